# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, BusyError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import follow as follows
from ansible_collections.slipway.ops.plugins.module_utils._log.follow import Follower, alone
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Piece, UnreadableError, coverage
from ansible_collections.slipway.ops.plugins.module_utils._log.postgres import PostgresLog
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.servers import (
    Cluster,
    FakeEngine,
    FakeHost,
    answer_postgres,
    tools,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.test_binlogs import HEAD, THERE, UUID
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import FakeRepository

LABEL = "log of database (mysql)"


class World:
    """A MySQL server, two repositories, and the follower."""

    def __init__(self, root: Path, names: Sequence[str] = ("main", "far"), **options: Any) -> None:
        self.root = root
        self.tools = tools(root, LogSource("mysql", "database"), names, **options)
        self.engine: FakeEngine = self.tools.engine  # type: ignore[assignment]
        self.host: FakeHost = self.tools.host  # type: ignore[assignment]
        self.data = root / "data"
        self.data.mkdir()
        self.repositories = {name: FakeRepository() for name in names}
        self.engine.start("fleet-database-1", self.data, THERE)
        self.engine.answers = lambda server, command, text: Outcome(0, f"1\t{THERE}/binlog\t1\t{UUID}\n", "")
        self.follower = self.new()

    def new(self) -> Follower:
        return Follower(
            self.tools,
            lambda repository: self.repositories[repository.name],
            lambda repository: self.repositories[repository.name],  # type: ignore[arg-type, return-value]
        )

    @property
    def said(self) -> list[str]:
        return self.tools.said  # type: ignore[attr-defined, no-any-return]

    @property
    def source(self) -> Any:
        return self.follower.sources[0]

    def write(self, number: int = 1, count: int = 100) -> None:
        path = self.data / f"binlog.{number:06d}"
        with open(path, "ab") as stream:
            if not stream.tell():
                stream.write(HEAD[:4] + (1_700_000_000 + number).to_bytes(4, "little") + HEAD[8:])
            stream.write(b"x" * count)

    def round(self, *bulk: bool) -> None:
        """One of everything."""
        self.host.pass_time(1)
        self.follower.tick()
        while self.source.work():
            pass
        for shipper in self.follower.shippers:
            for lane in bulk or (False, True):
                try:
                    while shipper.step(lane):
                        pass
                except BackupError:
                    pass

    def held(self, name: str = "main", number: int = 1) -> int:
        return coverage(self.repositories[name].pieces(f"fleet/database/{UUID}/binlog.{number:06d}/")).end

    def state(self, name: str = "main") -> dict[str, Any]:
        found: dict[str, Any] = self.follower.status()["sources"]["database"]["repositories"][name]
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_is_written_is_in_all_repositories(world: World) -> None:
    world.write()
    world.round()
    assert (world.held("main"), world.held("far")) == (298, 298)
    world.write(count=50)
    world.round()
    assert (world.held("main"), world.held("far")) == (348, 348)
    assert world.said == [f"{LABEL}: follows fleet-database-1"]


def test_a_repository_that_is_away_stops_nothing_and_is_said_once(world: World) -> None:
    world.write()
    world.repositories["far"].fault = BackupError("repository /srv/far: send the log: the server does not answer")
    for _round in range(60):
        world.write(count=10)
        world.round()
    assert world.held("main") == 298 + 600
    assert world.repositories["far"].objects == {}
    state = world.state("far")
    assert (state["unsent_objects"], state["unsent_seconds"]) == (60, 60)
    assert state["error"] == "repository /srv/far: send the log: the server does not answer"
    assert world.state("main")["unsent_seconds"] == 0
    # The best repository counts for what a loss would cost.
    assert world.follower.status()["sources"]["database"]["loss_seconds"] == 0
    world.repositories["main"].fault = BackupError("away as well")
    world.write()
    world.round()
    world.host.pass_time(9)
    assert world.follower.status()["sources"]["database"]["loss_seconds"] == 10
    world.repositories["far"].fault = world.repositories["main"].fault = None
    world.round()
    assert world.held("far") == world.held("main") == 998
    assert [line for line in world.said if "answer" in line or "works again" in line] == [
        "repository /srv/far: send the log: the server does not answer",
        "repository /srv/main: works again after 10 s",
        "repository /srv/far: works again after 1 min 10 s",
    ]
    assert world.state("far")["error"] == ""


def test_small_objects_do_not_wait_for_large_ones(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follows, "BULK_BYTES", 100)
    world.write(1, 40)
    world.round(False)
    world.write(1, 500)
    world.write(2, 40)
    world.round(False)
    shipper = world.follower.shippers[0]
    waiting = [item.piece.name for item in world.source.outbox.waiting("main")]
    assert "whole-000000000738.gz" in waiting
    assert not [item for item in world.source.outbox.waiting("main") if not follows.is_bulk(item)]
    assert not shipper.step(bulk=False)
    assert shipper.step(bulk=True)
    world.round()
    assert world.held(number=2) == 238


def test_what_is_there_with_another_content_is_put_aside_and_said(world: World) -> None:
    world.write()
    path = f"fleet/database/{UUID}/binlog.000001/000000000000-000000000298.gz"
    world.repositories["main"].objects[path] = b"another"
    world.round()
    assert world.state("main")["conflicts"] == 1
    assert world.state("main")["unsent_objects"] == 0
    assert world.state("far")["conflicts"] == 0
    assert any(f"{path} is in the repository main with another content" in line for line in world.said)
    world.write()
    world.round()
    assert world.held("far") == 398


def test_too_much_that_waits_is_said_and_small_objects_are_no_longer_made(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=150)
    world.repositories["far"].fault = BackupError("away")
    for _round in range(5):
        world.write(count=40)
        world.round()
    assert world.held("main") == 398
    waiting = world.source.outbox.totals("far")[0]
    assert waiting < 5
    assert "too much waits for far: only whole files are cut for it now" in world.source.problems
    world.write(2)
    world.round()
    world.repositories["far"].fault = None
    world.round()
    world.write(2)
    world.round()
    assert world.source.problems == []
    assert (world.held("far", 1), world.held("far", 2)) == (398, 398)


def test_a_disk_that_is_nearly_full_stops_everything_until_there_is_room(world: World) -> None:
    world.write()
    world.round()
    world.host.free = (512 << 20) - 1
    world.write()
    world.round()
    assert world.held() == 298
    world.host.free = 520 << 20
    world.round()
    assert world.held() == 298
    world.host.free = 700 << 20
    world.round()
    assert world.held() == 398
    assert [line.split(": ", 1)[1] for line in world.said if "to be kept" in line] == [
        "512.0 MiB are free of 512.0 MiB to be kept: nothing is received or cut any more, the servers keep their logs",
        "700.0 MiB are free of 512.0 MiB to be kept: goes on",
    ]


def test_a_container_that_is_away_is_said_once(world: World) -> None:
    world.engine.running = []
    for _round in range(12):
        world.host.pass_time(1)
        world.follower.tick()
    assert world.said == [f"{LABEL}: waits for a running container of service database"]
    world.engine.start("fleet-database-1", world.data, THERE)
    world.write()
    world.host.pass_time(2)
    world.round()
    assert world.source.problems == []
    assert world.source.stuck_since is None


def test_what_goes_wrong_is_a_problem_with_an_age(world: World) -> None:
    world.write()
    world.round()
    world.data.joinpath("binlog.000002").symlink_to("/etc/passwd")
    world.round()
    world.host.pass_time(30)
    status = world.follower.status()["sources"]["database"]
    assert (status["uncut_seconds"], status["loss_seconds"]) == (30, 30)
    assert "symbolic" in status["problems"][0]


def test_status_and_metrics_of_all_stacks(world: World) -> None:
    world.write()
    world.round()
    world.follower.audit()
    (world.root / "metrics").mkdir()
    (world.root / "state/shop").mkdir()
    other = {"epoch": 5, "sources": {"db": {"holes": ["x"], "repositories": {"main": {"unsent_seconds": 7}}}}}
    (world.root / "state/shop/log.json").write_text(json.dumps(other), encoding="utf-8")
    world.follower.publish()
    status = json.loads((world.root / "state/fleet/log.json").read_text(encoding="utf-8"))
    source = status["sources"]["database"]
    assert (source["lineage"], source["position"], source["server"]) == (UUID, "binlog.000001:298", "fleet-database-1")
    assert source["repositories"]["main"]["url"] == "/srv/main"
    metrics = (world.root / "metrics/slipway_log.prom").read_text(encoding="utf-8")
    for line in (
        'slipway_log_loss_seconds{stack="fleet",source="database"} 0',
        'slipway_log_holes{stack="shop",source="db"} 1',
        'slipway_log_unsent_seconds{stack="shop",source="db",repository="main"} 7',
        'slipway_log_follow_timestamp_seconds{stack="shop"} 5',
        "# TYPE slipway_log_unsent_seconds gauge",
    ):
        assert line in metrics.splitlines()
    assert 'slipway_log_loss_seconds{stack="shop"' not in metrics


def test_holes_are_said(world: World) -> None:
    world.write()
    world.round()
    world.write(4)
    world.data.joinpath("binlog.000001").unlink()
    world.round()
    world.follower.audit()
    assert any("file binlog.000001 is missing (3 in all): a restore cannot pass it" in line for line in world.said)


def test_an_audit_that_fails_is_a_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> dict[str, Any]:
        raise ValueError("what")

    monkeypatch.setattr(world.source, "audit", fail)
    world.follower.audit()
    assert "could not be looked after: what" in world.source.problems


class Reading:
    """A repository to look into."""

    def __init__(self, repository: FakeRepository) -> None:
        self._repository = repository
        self.deleted: list[Piece] = []
        self.checked: list[Piece] = []
        self.denied = False

    def pieces(self, prefix: str = "") -> list[Piece]:
        return self._repository.pieces(prefix)

    def check(self, piece: Piece) -> int:
        self.checked.append(piece)
        if self._repository.objects[piece.path] == b"torn":
            raise UnreadableError(f"{piece.path}: torn", piece)
        return 0

    def delete(self, pieces: Sequence[Piece]) -> None:
        if self.denied:
            raise BackupError("repository /srv/main: delete old parts of the log: access is denied; check the key")
        for piece in pieces:
            self.deleted.append(piece)
            del self._repository.objects[piece.path]


def inspector(world: World, **options: Any) -> tuple[follows.Inspector, Reading]:
    reading = Reading(world.repositories["main"])
    used = replace(world.tools, settings=replace(world.tools.settings, **options))
    return follows.Inspector(world.tools.settings.repositories[0], world.follower.sources, reading, used), reading


def test_what_another_object_holds_as_well_is_deleted_once_that_was_read_back(world: World) -> None:
    for number in (1, 2):
        for _round in range(3):
            world.write(number)
            world.round()
    world.write(3)
    world.round()
    look, reading = inspector(world)
    before = world.held(number=1)
    look.step()
    assert {piece.stream.name for piece in reading.checked} == {"binlog.000001", "binlog.000002"}
    assert all(piece.whole for piece in reading.checked)
    assert len(reading.deleted) == 8
    assert world.held(number=1) == before
    assert world.held(number=3) == 298
    look.step()
    assert len(reading.deleted) == 8
    assert look.missing == {"database": []}


def test_nothing_is_deleted_that_rests_on_a_damaged_object(world: World) -> None:
    for number in (1, 2):
        world.write(number)
        world.round()
    repository = world.repositories["main"]
    repository.objects[f"fleet/database/{UUID}/binlog.000001/whole-000000000298.gz"] = b"torn"
    look, reading = inspector(world)
    with pytest.raises(UnreadableError):
        look.step()
    assert reading.deleted == []


def test_credentials_that_may_only_add(world: World) -> None:
    for number in (1, 2):
        world.write(number)
        world.round()
    look, reading = inspector(world)
    reading.denied = True
    look.step()
    look.step()
    assert len([line for line in world.said if "superfluous objects of the log stay there" in line]) == 1
    off, other = inspector(world, tidy=False)
    off.step()
    assert other.checked == other.deleted == []


def test_what_was_sent_and_is_gone_is_said(world: World) -> None:
    for number in range(1, 7):
        world.write(number)
        world.round()
    objects = world.repositories["main"].objects
    look, _reading = inspector(world, tidy=False)
    look.step()
    # What is older than all the rest was let go by who may do that.
    for path in [path for path in objects if "000001/" in path]:
        del objects[path]
    look.step()
    assert look.missing == {"database": []}
    for path in [path for path in objects if "000003/" in path]:
        del objects[path]
    look.step()
    look.step()
    assert look.missing == {"database": ["binlog.000003"]}
    said = [line for line in world.said if "is not whole there" in line]
    assert len(said) == 1
    assert "binlog.000003 was sent to the repository main and is not whole there (1 of this kind)" in said[0]
    objects.clear()
    look.step()
    assert len(look.missing["database"]) == 5


def test_one_follower_a_stack(tmp_path: Path) -> None:
    path = str(tmp_path / "log/follow.lock")
    busy = pytest.raises(BusyError, match="the logs of stack fleet are followed already")
    with alone(path, "fleet"), busy, alone(path, "fleet"):
        pass
    with alone(path, "fleet"):
        pass


def test_a_stack_without_a_database(tmp_path: Path) -> None:
    used = tools(tmp_path, LogSource("mysql", "database"))
    with pytest.raises(RefusedError, match="has no database whose log could be followed"):
        Follower(replace(used, settings=replace(used.settings, sources=())))


def wait(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def running(world: World) -> tuple[threading.Thread, list[BaseException]]:
    failed: list[BaseException] = []

    def run() -> None:
        try:
            world.follower.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, failed


def test_it_follows_until_it_is_stopped(tmp_path: Path) -> None:
    world = World(tmp_path, interval_seconds=0.05)
    thread, failed = running(world)
    world.write()
    wait(lambda: world.held("far") == 298 and world.held("main") == 298)
    world.write(count=1)
    world.follower.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert failed == []
    # What was written last was cut and sent before it ended.
    assert world.held() == 299
    assert world.said[-1] == "the logs of stack fleet are followed no more: all of it is sent"
    assert json.loads((tmp_path / "state/fleet/log.json").read_text(encoding="utf-8"))["stack"] == "fleet"


def test_a_server_is_looked_after_as_soon_as_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not only a minute later: what is told of it is what a restore goes by."""
    monkeypatch.setattr(follows, "STATUS_SECONDS", 0.05)
    world = World(tmp_path, interval_seconds=0.05, audit_seconds=3600)
    world.write()
    thread, failed = running(world)
    wait(lambda: bool(world.follower.status()["sources"]["database"].get("server")))
    world.follower.stop()
    thread.join(10)
    assert failed == []


def test_it_ends_when_its_program_was_replaced(tmp_path: Path) -> None:
    world = World(tmp_path, interval_seconds=0.05)
    world.write()
    answers = iter([False, True])
    world.follower.run(lambda: next(answers))
    assert world.held() == 298
    assert "this program was replaced: ends, to be started anew" in world.said
    assert world.said[-1].startswith("the logs of stack fleet are followed no more")


def test_a_repository_that_hangs_blocks_neither_cutting_nor_the_other_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follows, "STOP_SECONDS", 0.2)
    world = World(tmp_path, interval_seconds=0.02)
    hangs = threading.Event()

    class Hanging(FakeRepository):
        def send(self, root: str, pieces: Sequence[Piece]) -> Any:
            hangs.wait(30)
            raise BackupError("sending has ended")

        def close(self) -> None:
            hangs.set()

    world.repositories["far"] = Hanging()
    world.follower = world.new()
    thread, failed = running(world)
    for size in range(5):
        world.write(count=10)
        wait(lambda size=size: world.held("main") == 198 + 10 * (size + 1))  # type: ignore[misc]
    assert world.source.outbox.totals("far")[0] == 5
    world.follower.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert failed == []
    assert "objects wait to be sent" in world.said[-1]


def test_what_nobody_thought_of_ends_it_so_that_it_is_started_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, interval_seconds=0.02)

    def surprise() -> int:
        raise RuntimeError("surprise")

    monkeypatch.setattr(world.source, "tick", surprise)
    thread, failed = running(world)
    thread.join(10)
    assert not thread.is_alive()
    assert [str(error) for error in failed] == ["surprise"]


def test_a_postgresql_server_with_its_receiver(tmp_path: Path) -> None:
    used = tools(tmp_path, LogSource("postgresql", "database"), interval_seconds=0.02)
    engine: FakeEngine = used.engine  # type: ignore[assignment]
    cluster, repository = Cluster(tmp_path / "data"), FakeRepository()
    engine.start("fleet-database-1", tmp_path / "data", "/var/lib/postgresql/data")
    engine.answers = answer_postgres(cluster)
    ended = threading.Event()

    def receive(command: Sequence[str]) -> Outcome:
        received = next(word for word in command if "received" in word).split("source=")[1].split(",")[0]
        while not ended.is_set():
            cluster.stream(Path(received))
            ended.wait(0.05)
        return Outcome(137, "", "")

    engine.receiver = receive
    remove = engine.remove_receivers

    def and_end(label: str) -> int:
        if engine.received:
            ended.set()
        return remove(label)

    engine.remove_receivers = and_end  # type: ignore[method-assign]
    follower = Follower(used, lambda item: repository, lambda item: repository)  # type: ignore[arg-type, return-value]
    assert isinstance(follower.sources[0], PostgresLog)
    thread = threading.Thread(target=follower.run, daemon=True)
    thread.start()
    cluster.write(50000)
    wait(lambda: any(piece.end == 50000 for piece in repository.pieces()))
    assert follower.status()["sources"]["database"]["receiving"] is True
    follower.stop()
    thread.join(10)
    assert not thread.is_alive()

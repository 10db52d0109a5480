# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import postgres, wal
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import collect_wal
from ansible_collections.slipway.ops.plugins.module_utils._log.postgres import PostgresLog
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.source import WaitingError
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.servers import (
    MIB,
    Cluster,
    FakeEngine,
    FakeHost,
    answer_postgres,
    tools,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import FakeRepository

SOURCE = LogSource("postgresql", "database")
THERE = "/var/lib/postgresql/data"


class World:
    """A server, its receiver, and what follows it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tools = tools(root, SOURCE, budget_bytes=1 << 30)
        self.engine: FakeEngine = self.tools.engine  # type: ignore[assignment]
        self.host: FakeHost = self.tools.host  # type: ignore[assignment]
        self.cluster = Cluster(root / "data")
        self.repository = FakeRepository()
        self.engine.start("fleet-database-1", root / "data", THERE)
        self.engine.answers = answer_postgres(self.cluster)
        self.until: int | None = None
        self.engine.receiver = self.receive
        self.log = PostgresLog(SOURCE, self.tools)

    @property
    def said(self) -> list[str]:
        return self.tools.said  # type: ignore[attr-defined, no-any-return]

    def receive(self, command: Sequence[str]) -> Outcome:
        passfile = self.root / "state/fleet/log/database/passfile"
        self.passfile = (passfile.read_text(encoding="utf-8"), passfile.stat().st_mode & 0o777)
        mount = next(word for word in command if "target=/slipway/received" in word)
        self.cluster.stream(Path(mount.split("source=")[1].split(",")[0]), self.until)
        return Outcome(1, "", "pg_receivewal: error: disconnected\n")

    def connect(self) -> None:
        """Receive what there is; then the connection ends."""
        with pytest.raises(BackupError, match="disconnected"):
            self.log.receive_once()

    def cut(self) -> None:
        self.host.pass_time(1)
        self.log.tick()
        while self.log.work():
            pass
        self.log.tick()

    def send(self) -> None:
        waiting = [item.piece for item in self.log.outbox.waiting("main")]
        self.log.outbox.remove("main", self.repository.send(self.log.outbox.directory("main"), waiting).done)

    def follow(self) -> None:
        self.connect()
        self.cut()
        self.send()

    def check(self, timeline: int = 0, begin: int = 5 * MIB) -> None:
        """A recovery from the repository finds what the server wrote, up to its last byte."""
        assert self.log.tail is not None
        shutil.rmtree(self.root / "wal", ignore_errors=True)
        pieces = self.repository.pieces(self.log.tail.lineage.path)
        found = collect_wal(self.repository, pieces, str(self.root / "wal"), begin, timeline=timeline)
        timeline = timeline or self.cluster.timeline
        raw = self.cluster.raw[timeline]
        assert found.end == len(raw)
        for name in found.names:
            segment = wal.Segment.parse(name, MIB)
            assert segment is not None
            wanted = bytes(self.cluster.raw[segment.timeline][segment.start : segment.end])
            got = (self.root / "wal" / name).read_bytes()
            assert len(got) == MIB
            assert got[: len(wanted)] == wanted


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_receiver_shares_the_server_s_network_and_is_told_nothing_secret(world: World) -> None:
    world.cluster.write(1000)
    world.connect()
    (command,) = world.engine.received
    assert command[:4] == ["docker", "run", "--rm", "--name"]
    assert "container:fleet-database-1" in command
    assert command[command.index("--entrypoint") + 1 : command.index("--entrypoint") + 3] == [
        "pg_receivewal",
        "sha256:image",
    ]
    assert {"--slot=slipway_database", "--synchronous", "--no-loop", "--no-password"} <= set(command)
    assert not [word for word in command if "geheim" in word]
    assert world.passfile == ("*:*:*:postgres:geheim\n", 0o600)
    assert not (world.root / "state/fleet/log/database/passfile").exists()
    # Leftovers of a follower that was killed go first.
    assert world.engine.removed[0] == "fleet/database"
    # The password comes from the variable or from the file that it names, inside of the container.
    script = next(script for script, _text in world.engine.asked if "psql" not in script)
    assert '"${POSTGRES_PASSWORD-}"' in script
    assert '"$(cat "$POSTGRES_PASSWORD_FILE")"' in script


@pytest.mark.parametrize(
    ("user", "environment", "told"),
    [
        ("", {"POSTGRES_PASSWORD": "a%s b"}, "postgres\na%s b"),
        ("", {"POSTGRES_USER": "fleet", "POSTGRES_PASSWORD": "x\ny"}, "fleet\nx\ny"),
        ("other", {"POSTGRES_USER": "fleet"}, "other\n"),
        ("", {"POSTGRES_PASSWORD": "", "POSTGRES_PASSWORD_FILE": "secret"}, "postgres\nfrom a file"),
    ],
)
def test_user_and_password_are_those_of_the_container(
    user: str, environment: dict[str, str], told: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("from a file\n", encoding="utf-8")
    command = postgres.tell_command(user, "POSTGRES_PASSWORD")
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", **environment}, cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.decode() == told


def test_odd_passwords_stand_in_the_file_as_libpq_wants(world: World) -> None:
    assert postgres.passfile_line("u:x", "a\\b:c") == "*:*:*:u\\:x:a\\\\b\\:c\n"
    assert postgres.slot_name("My-Db.1") == "slipway_my_db_1"


def test_the_log_comes_whole(world: World) -> None:
    world.cluster.write(1000)
    world.follow()
    world.check()
    assert world.log.position() == wal.print_lsn(world.cluster.flush)
    for count in (8, 64, 3 * MIB, 8192, 16, MIB - 8):
        world.cluster.write(count)
        world.follow()
        world.check()
    assert world.log.holes() == []
    names = sorted(path.name for path in Path(world.log.received(world.log.tail.lineage)).iterdir())  # type: ignore
    # What was cut goes; the newest stays for the receiver to go on from.
    assert len(names) == 3
    assert names[-1].endswith(".partial")


def test_a_slot_is_made_once(world: World) -> None:
    world.cluster.write(1000)
    world.follow()
    world.follow()
    made = [text for _script, text in world.engine.asked if "pg_create_physical" in text]
    assert made == ["SELECT pg_create_physical_replication_slot('slipway_database', true);\n"]


def test_a_slot_that_was_lost_is_made_anew_and_said(world: World) -> None:
    world.cluster.write(1000)
    world.follow()
    world.cluster.slot["wal_status"] = "lost"  # type: ignore[index]
    world.follow()
    assert "pg_drop_replication_slot" in [text for _script, text in world.engine.asked if "pg_create" in text][-1]
    assert any("gave up the replication slot" in line for line in world.said)


def test_a_restart_goes_on(world: World) -> None:
    world.cluster.write(50000)
    world.follow()
    world.cluster.write(70000)
    world.log = PostgresLog(SOURCE, world.tools)
    world.follow()
    world.check()
    pieces = world.repository.pieces()
    assert [(piece.start, piece.end) for piece in pieces] == [(0, 50000), (50000, 120000)]


def test_a_container_that_is_re_created_is_found(world: World) -> None:
    world.cluster.write(1000)
    world.follow()
    world.engine.start("fleet-database-2", world.root / "data", THERE, pid=200)
    world.cluster.write(1000)
    world.follow()
    world.check()
    assert "container:fleet-database-2" in world.engine.received[-1]
    assert [line for line in world.said if "follows" in line] == [
        "log of database (postgresql): follows fleet-database-1",
        "log of database (postgresql): follows fleet-database-2",
    ]


def test_without_a_container_it_waits_without_asking_all_the_time(world: World) -> None:
    world.engine.running = []
    with pytest.raises(WaitingError, match="waits for a running container of service database"):
        world.log.receive_once()
    with pytest.raises(WaitingError):
        world.log.receive_once()
    assert world.engine.looks == 1
    world.host.pass_time(5)
    with pytest.raises(WaitingError):
        world.log.receive_once()
    assert world.engine.looks == 2


def test_two_containers_of_the_service_are_refused(world: World) -> None:
    first = world.engine.running[0]
    second = world.engine.start("fleet-database-2", world.root / "data", THERE, pid=200)
    world.engine.running = [first, second]
    with pytest.raises(BackupError, match=r"has 2 containers \(fleet-database-1, fleet-database-2\), a log has one"):
        world.log.receive_once()
    # The one that was followed before goes on.
    world.engine.running = [first]
    world.host.pass_time(5)
    world.cluster.write(1000)
    world.follow()
    world.engine.running = [first, second]
    world.cluster.write(1000)
    world.follow()
    world.check()


def test_a_server_in_recovery_is_waited_for(world: World) -> None:
    world.cluster.recovery = True
    with pytest.raises(WaitingError, match="waits until fleet-database-1 has ended its recovery"):
        world.log.receive_once()


def test_a_server_that_keeps_too_little_is_refused(world: World) -> None:
    world.cluster.level = "minimal"
    with pytest.raises(RefusedError, match="set wal_level=replica"):
        world.log.receive_once()


@pytest.mark.parametrize(
    ("stderr", "remedy"),
    [
        ('FATAL:  no pg_hba.conf entry for replication connection from host "127.0.0.1"', "add to pg_hba.conf: host"),
        ('FATAL:  password authentication failed for user "postgres"', "POSTGRES_PASSWORD does not hold the password"),
        ("FATAL:  must be superuser or replication role to start walsender", "ALTER ROLE postgres REPLICATION"),
        ("ERROR:  all replication slots are in use", "raise max_replication_slots"),
        ("something else\n", "something else"),
        ("", "exit status 1"),
    ],
)
def test_why_a_receiver_ended(world: World, stderr: str, remedy: str) -> None:
    world.cluster.write(1000)
    world.engine.receiver = lambda command: Outcome(1, "", stderr)
    with pytest.raises(BackupError, match="the receiver ended: ") as error:
        world.log.receive_once()
    assert remedy in str(error.value)


def test_a_new_timeline_is_followed(world: World) -> None:
    world.cluster.write(MIB + 5000)
    world.follow()
    world.cluster.promote()
    world.cluster.write(MIB + 3000)
    world.follow()
    world.check(timeline=2)
    names = {piece.stream.name for piece in world.repository.pieces()}
    assert "00000002.history" in names
    assert "000000020000000000000006" in names
    received = Path(world.log.received(world.log.tail.lineage))  # type: ignore[union-attr]
    # The old timeline's last file will never be finished, and goes once it was cut.
    assert not (received / "000000010000000000000006.partial").exists()
    assert world.log.holes() == []


def test_a_server_that_went_back_begins_a_new_lineage(world: World, tmp_path: Path) -> None:
    world.cluster.write(50000)
    world.follow()
    before = len(world.repository.objects)
    old = Cluster(tmp_path / "older", world.cluster.system)
    old.salt = 9
    old.write(20000)
    world.cluster = old
    world.engine.answers = answer_postgres(old)
    world.engine.start("fleet-database-2", tmp_path / "older", THERE, pid=200)
    world.follow()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == "7710803898420211734.2"
    assert any("it went back" in line for line in world.said)
    assert any("begins lineage 7710803898420211734.2 after 7710803898420211734" in line for line in world.said)
    world.check()
    assert len(world.repository.objects) == before + 1
    assert not Path(world.log.received(world.log.tail.lineage).replace(".2", "")).exists()
    # And it stays there, over a restart as well.
    world.log = PostgresLog(SOURCE, world.tools)
    world.cluster.write(1000)
    world.follow()
    world.check()


def test_a_server_that_went_back_and_overtook_is_noticed_by_its_bytes(world: World, tmp_path: Path) -> None:
    """It was away long enough to have written more than was received: the receiver writes the partial segment again."""
    world.cluster.write(50000)
    world.follow()
    other = Cluster(tmp_path / "other", world.cluster.system)
    other.salt = 9
    other.write(90000)
    other.slot = world.cluster.slot
    world.cluster = other
    world.engine.answers = answer_postgres(other)
    world.connect()
    world.cut()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == "7710803898420211734.2"
    world.cluster.slot = None
    world.follow()
    assert all(piece.end <= 50000 for piece in world.repository.pieces("fleet/database/7710803898420211734/"))


def test_another_cluster_is_another_lineage(world: World, tmp_path: Path) -> None:
    world.cluster.write(MIB + 50000)
    world.connect()
    # Nothing of it was cut yet when the server is another one.
    other = Cluster(tmp_path / "other", "7000000000000000001")
    other.write(3000)
    first, world.cluster = world.cluster, other
    world.engine.answers = answer_postgres(other)
    world.follow()
    world.cut()
    world.send()
    world.check()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == "7000000000000000001"
    received = sorted(path.name for path in (world.root / "state/fleet/log/database/received").iterdir())
    assert received == ["7000000000000000001"]
    assert world.log.older == []
    held = world.repository.pieces("fleet/database/7710803898420211734")
    assert sum(piece.size for piece in held if piece.whole) == MIB
    # The first one comes back, and goes on where it was.
    world.cluster = first
    world.engine.answers = answer_postgres(first)
    world.cluster.write(104)
    world.follow()
    world.check()
    assert world.log.tail.lineage.name == "7710803898420211734"


@pytest.mark.parametrize(
    "said",
    [
        "ERROR:  requested starting point 0/700000 on timeline 1 is not in this server's history",
        "ERROR:  requested WAL segment 000000010000000000000006 has already been removed",
    ],
)
def test_what_cannot_be_gone_on_from_is_cut_and_left(world: World, said: str) -> None:
    world.cluster.write(2 * MIB + 5000)
    world.connect()
    world.engine.receiver = lambda command: Outcome(1, "", said)
    with pytest.raises(BackupError):
        world.log.receive_once()
    # Not before all of it was cut.
    with pytest.raises(WaitingError, match="waits until what was received is cut"):
        world.log.receive_once()
    world.cut()
    world.send()
    world.cluster.write(3 * MIB)
    world.cluster.slot["restart_lsn"] = wal.print_lsn(world.cluster.flush)  # type: ignore[index]
    world.engine.receiver = world.receive
    world.follow()
    assert any("begins at the slot's position" in line for line in world.said)
    assert world.log.holes() == [f"segment 00000001000000000000000{number}" for number in (7, 8, 9)]


def test_holes_are_filled_from_the_server_s_own_directory(world: World) -> None:
    test_what_cannot_be_gone_on_from_is_cut_and_left(world, "requested WAL segment x has already been removed")
    pg_wal = world.root / "data/pg_wal"
    # One that the server uses again is no more what its name says; one without a successor may not be complete.
    kept = (pg_wal / "000000010000000000000008").read_bytes()
    (pg_wal / "000000010000000000000008").write_bytes((pg_wal / "000000010000000000000005").read_bytes())
    found = world.log.audit()
    world.cut()
    assert world.log.holes() == ["segment 000000010000000000000008"]
    assert found["wal_status"] == "reserved"
    (pg_wal / "000000010000000000000008").write_bytes(kept)
    world.log.audit()
    world.cut()
    world.send()
    assert world.log.holes() == []
    assert any("filled 1 missing segments" in line for line in world.said)
    pieces = world.repository.pieces()
    # The segment that was partial when the receiver had to begin elsewhere is filled as well, from its own beginning.
    wholes = sorted(piece.stream.name for piece in pieces if piece.whole)
    assert "000000010000000000000008" in wholes
    assert not [path for path in Path(world.log.received(world.log.tail.lineage)).iterdir() if path.name[0] == "."]  # type: ignore


def test_a_receiver_that_was_killed_while_it_made_a_file(world: World) -> None:
    world.cluster.write(1000)
    world.follow()
    received = Path(world.log.received(world.log.tail.lineage))  # type: ignore[union-attr]
    (received / "000000010000000000000006.partial").write_bytes(bytes(8192 * 3))
    world.follow()
    assert not (received / "000000010000000000000006.partial").exists()
    assert (received / "000000010000000000000005.partial").exists()
    world.check()


def test_the_audit_says_how_the_server_sees_it(world: World) -> None:
    assert world.log.audit() == {"server": ""}
    world.cluster.write(50000)
    world.follow()
    found = world.log.audit()
    assert found["server"] == "fleet-database-1"
    assert found["server_lsn"] == found["received_lsn"] == wal.print_lsn(world.cluster.flush)
    assert (found["retained_bytes"], found["behind_seconds"], found["wal_status"]) == (0, 0, "reserved")
    world.cluster.write(5000)
    world.host.pass_time(60)
    assert world.log.audit()["retained_bytes"] == 5000
    world.host.pass_time(60)
    assert world.log.audit()["behind_seconds"] == 0
    world.host.pass_time(60)
    assert world.log.audit()["behind_seconds"] == 60
    world.follow()
    assert world.log.audit()["behind_seconds"] == 0
    world.cluster.slot["wal_status"] = "unreserved"  # type: ignore[index]
    world.log.audit()
    assert "the replication slot is unreserved: the server drops log" in world.log.problems


def test_how_long_receiving_has_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cluster.write(1000)
    log, host = world.log, world.host
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        host.pass_time(seconds)
        if len(waits) == 8:
            log.stopping.set()
        return log.stopping.is_set()

    monkeypatch.setattr(log.stopping, "wait", wait)
    world.engine.receiver = lambda command: Outcome(1, "", "FATAL:  password authentication failed")
    log.receive()
    assert waits == [1, 2, 4, 8, 15, 30, 30, 30]
    assert log.silent_since is not None
    assert world.said.count(f"{log.label}: {log.problems[0]}") == 1
    assert log.audit()["unreceived_seconds"] == sum(waits)


def test_a_receiver_that_runs_for_a_while_has_no_problem(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.cluster.write(1000)
    log, host = world.log, world.host
    log.silent_since = 1.0
    log.note("receiver", "the receiver ended: x")

    def runs(command: Sequence[str]) -> Outcome:
        assert log.receiving
        host.pass_time(6)
        log.tick()
        assert log.silent_since is None
        assert log.problems == []
        log.stopping.set()
        return Outcome(1, "", "killed")

    world.engine.receiver = runs
    log.receive()
    assert not log.receiving


def test_a_disk_that_is_nearly_full_stops_the_receiver(world: World) -> None:
    world.cluster.write(1000)
    world.connect()
    world.log.hold(True)
    assert world.engine.removed[-1] == "fleet/database"
    assert world.log.tick() == 0
    assert not world.log.work()
    world.log.hold(False)
    world.cut()
    world.send()
    world.check()


def test_a_state_file_that_is_lost_costs_nothing_but_time(world: World) -> None:
    world.cluster.write(50000)
    world.follow()
    objects = dict(world.repository.objects)
    files.remove(f"{world.log.directory}/state.json")
    world.log = PostgresLog(SOURCE, world.tools)
    world.cluster.write(1000)
    world.follow()
    world.check()
    assert {**world.repository.objects, **objects} == world.repository.objects


def test_stopping_removes_the_receiver(world: World) -> None:
    world.log.stop()
    assert world.engine.removed == ["fleet/database"]
    world.log.receive()
    assert world.engine.received == []


def test_an_answer_that_is_none_is_quoted(world: World) -> None:
    world.engine.answers = lambda server, command, text: Outcome(0, "WARNING: what", "")
    with pytest.raises(BackupError, match="answered 'WARNING: what', which is no answer"):
        world.log.receive_once()


def test_segments_of_another_size(tmp_path: Path) -> None:
    world: Any = World(tmp_path)
    world.cluster.write(1000)
    world.follow()
    assert world.log.segment_size == MIB
    assert PostgresLog(SOURCE, world.tools).segment_size == MIB


def test_a_server_that_comes_back_at_once_is_not_cut_twice(world: World, tmp_path: Path) -> None:
    """A restore was tried and taken back before anything of the first server's was cut."""
    world.cluster.write(50000)
    world.connect()
    first = world.log.tail
    other = Cluster(tmp_path / "other", "7000000000000000001")
    other.write(3000)
    world.engine.answers = answer_postgres(other)
    world.cluster, kept = other, world.cluster
    world.connect()
    assert world.log.older == [first]
    world.cluster = kept
    world.engine.answers = answer_postgres(kept)
    world.cluster.write(1000)
    world.follow()
    assert world.log.tail is first
    assert len(world.log.older) <= 1
    world.check()

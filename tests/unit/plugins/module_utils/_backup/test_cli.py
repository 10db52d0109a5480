# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import cli
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    BusyError,
    Promises,
    RefusedError,
    RepositoryError,
    UsageError,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_source import PostgresqlAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import lease
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World


def opening(tools: Callable[[], Tools]) -> Callable[..., Tools]:
    """The door to the tools, on the repository that was named."""

    def tools_for(stack: str, progress: Callable[[str], None], repository: str = "", hurry: bool = False) -> Tools:
        found = replace(tools(), progress=progress)
        if not repository or found.settings.repository(repository) == found.settings.primary:
            return found
        return found.of(next(other for other in found.others if other.name == repository))

    return tools_for


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = Database(World(tmp_path), "mariadb").world
    monkeypatch.setattr(cli, "CONFIGURATION_DIRECTORY", str(tmp_path / "etc/backup"))
    (tmp_path / "etc/backup/fleet").mkdir(parents=True)
    monkeypatch.setattr(cli, "tools_for", opening(lambda: world.tools))

    @contextmanager
    def local(name: str, owner: str, ttl_seconds: float = 300, steers: bool = True) -> Iterator[None]:
        assert not steers
        with lease(name, owner, ttl_seconds, directory=str(tmp_path / "lease")):
            yield

    monkeypatch.setattr(cli, "lease", local)
    return world


def test_run_points_verify_status(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.backup(["run"]) == 0
    assert "4 rows, 1 files" in capsys.readouterr().out
    assert cli.points([]) == 0
    assert "20260101T020001Z  manual          good" in capsys.readouterr().out
    assert cli.backup(["verify"]) == 0
    assert "reads back as it was stored" in capsys.readouterr().out
    assert cli.backup(["check"]) == 0
    capsys.readouterr()
    assert cli.backup(["status", "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["newest_good"], status["overdue"], status["previous"]) == ("20260101T020001Z", False, [])


def test_json_is_all_that_is_on_stdout(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.backup(["run", "--json", "--kind", "scheduled"]) == 0
    seen = capsys.readouterr()
    assert json.loads(seen.out)["kind"] == "scheduled"
    assert "physical backup of the databases of service database" in seen.err


def test_status_fails_without_a_good_point(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.backup(["status"]) == 1
    assert "OVERDUE" in capsys.readouterr().out


def test_freshness_comes_from_the_repository(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.backup(["run"])
    world.points.clear()
    assert world.status()["ok"] is True
    assert cli.backup(["status"]) == 1


def test_restore_and_its_plan(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.backup(["run"])
    world.database.empty()
    assert cli.restore(["--plan"]) == 0
    assert world.database.rows == []
    with pytest.raises(RefusedError, match="nothing was named"):
        cli.restore([])
    capsys.readouterr()
    assert cli.restore(["--confirm", "fleet"]) == 0
    assert world.database.rows == [1, 2, 3, 4]
    assert "restore --discard-previous --confirm fleet" in capsys.readouterr().out
    assert cli.restore(["--discard-previous", "--confirm", "fleet", "--plan"]) == 0
    planned = capsys.readouterr().out.splitlines()
    assert planned
    assert all(Path(line.partition(": ")[2]).is_dir() for line in planned)
    assert cli.restore(["--discard-previous", "--confirm", "fleet"]) == 0


@pytest.mark.parametrize("argv", [["--abort"], ["--discard-beside"], ["--extract", "/tmp/look"]])
def test_what_has_no_plan_is_not_done_when_one_is_asked_for(world: World, argv: list[str]) -> None:
    with pytest.raises(UsageError, match="nothing was done"):
        cli.restore([*argv, "--confirm", "fleet", "--plan"])


def test_a_plan_that_cannot_be_followed_fails(world: World) -> None:
    cli.backup(["run"])
    world.free = 0
    assert cli.restore(["--plan"]) == RefusedError.exit_status


def test_restore_to_a_target(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(World(tmp_path / "cluster"))
    monkeypatch.setattr(cli, "tools_for", opening(cluster.tools))
    assert cli.backup(["run"]) == 0
    good = cluster.add("good")
    bad = cluster.add("bad")
    cluster.world.clock += timedelta(minutes=1)
    assert cli.restore(["--to", f"xid:{cluster.xid}", "--before", "--plan"]) == 0
    assert f"just before transaction {cluster.xid}" in capsys.readouterr().out
    assert cluster.rows == ["one", "two", "good", "bad"]
    assert cli.restore(["--to", f"{bad:%Y-%m-%d %H:%M:%S}", "--before", "--confirm", "fleet", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert cluster.rows == ["one", "two", "good"]
    assert summary["reached"]["postgresql-postgres"]["time"] == good.isoformat()
    # The log begins anew, and so there is a point at once; what was there before is not its price.
    assert cluster.world.points[summary["point_after"]].verified
    assert cluster.world.points[summary["saved"]].verified


def test_a_restore_without_a_point_after_it_is_said(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(World(tmp_path / "cluster"))
    monkeypatch.setattr(cli, "tools_for", opening(cluster.tools))
    assert cli.backup(["run"]) == 0
    cluster.world.faults["took a base backup"] = BackupError("the repository is read-only")
    assert cli.restore(["--confirm", "fleet"]) == 0
    assert "warning: the data is restored, but no point could be made of it" in capsys.readouterr().out


def test_an_interrupted_restore_is_taken_back(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    cli.backup(["run"])
    world.faults["stop application"] = Killed()
    with pytest.raises(Killed):
        cli.restore(["--confirm", "fleet"])
    del world.faults["stop application"]
    assert cli.restore(["--abort", "--confirm", "fleet"]) == 0
    assert "was taken back" in capsys.readouterr().out
    assert all(world.running.values())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--point", "20260101T020001Z", "--to", "now"], "name one of them"),
        (["--point", "yesterday"], "is no name of a point"),
        (["--to", "yesterday"], "cannot be understood"),
        (["--before"], "belongs to a time, a position or a transaction"),
        (["--timeline", "x"], "timeline 'x'"),
    ],
)
def test_targets_that_are_unclear(world: World, argv: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cli.restore(argv)


def test_a_look_and_what_is_copied_from_it(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(World(tmp_path / "cluster"))
    monkeypatch.setattr(cli, "tools_for", opening(cluster.tools))
    assert cli.backup(["run"]) == 0
    assert cli.restore(["--beside", "--plan"]) == 0
    assert cli.restore(["--beside", "--point", "latest"]) == 0
    said = capsys.readouterr().out
    assert "look: docker exec -it slipway-look-fleet-postgresql-postgres-" in said
    assert "slipway restore --discard-beside --stack fleet" in said
    monkeypatch.setattr(PostgresqlAdapter, "count", lambda self, opened, wanted: (3, 1))
    assert cli.restore(["--database", "shop", "--table", "orders", "--plan"]) == 0
    assert "3 rows come; the 1 of the live table are kept beside" in capsys.readouterr().out
    with pytest.raises(RefusedError, match="nothing was named"):
        cli.restore(["--database", "shop"])
    with pytest.raises(UsageError, match="do these one by one"):
        cli.restore(["--database", "shop", "--to", "now", "--confirm", "fleet"])
    with pytest.raises(UsageError, match="add --database"):
        cli.restore(["--table", "orders", "--confirm", "fleet"])
    # Nothing live is touched by a look, so it waits for no other job.
    with lease("fleet", "release", directory=str(tmp_path / "lease")):
        assert cli.restore(["--discard-beside"]) == 0
        with pytest.raises(BusyError):
            cli.restore(["--database", "shop", "--confirm", "fleet"])
    assert cluster.isolated == {}


def test_a_drill_and_what_it_is_judged_by(
    tmp_path: Path, world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = Cluster(World(tmp_path / "cluster"))
    monkeypatch.setattr(
        cli, "tools_for", lambda stack, progress, *chosen, **options: replace(cluster.tools(), progress=progress)
    )
    assert cli.backup(["run"]) == 0
    cluster.add("good")
    cluster.world.clock += timedelta(minutes=1)
    assert cli.drill(["--plan"]) == 0
    assert "throw all of it away" in capsys.readouterr().out
    # Neither a release nor a backup waits for a drill, nor a drill for them.
    with lease("fleet", "release", directory=str(tmp_path / "lease")):
        assert cli.drill([]) == 0
    said = capsys.readouterr().out
    assert "RTO: everything served after" in said
    assert said.rstrip().splitlines()[-1].startswith("the drill is good: point 2026")
    with lease("fleet.drill", "drill", directory=str(tmp_path / "lease")), pytest.raises(BusyError):
        cli.drill([])
    cluster.world.faults["recovery"] = "no luck"
    assert cli.drill(["--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert cli.drill(["--list"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "  good  " in first
    assert "  FAILED  " in second
    assert cli.drill(["--sweep"]) == 0
    with pytest.raises(UsageError, match="name one of them"):
        cli.drill(["--to", "now-1min", "--random"])
    capsys.readouterr()
    assert cli.backup(["status"]) == 1
    assert "NOT AS PROMISED: the last drill failed: none of the 1 newest points" in capsys.readouterr().out


def test_status_fails_when_a_promise_is_broken(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.promises = Promises(rpo_seconds=600)
    cli.backup(["run"])
    assert cli.backup(["status"]) == 0
    world.clock += timedelta(minutes=20)
    capsys.readouterr()
    assert cli.backup(["status", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["overdue"], found["promises"]["rpo"]["broken"]) == (False, True)


def test_one_job_at_a_time(world: World, tmp_path: Path) -> None:
    with lease("fleet", "release", directory=str(tmp_path / "lease")):
        with pytest.raises(BusyError, match="held by release"):
            cli.backup(["run"])
        with pytest.raises(BusyError):
            cli.restore(["--confirm", "fleet"])
    assert cli.backup(["run"]) == 0


def test_being_told_to_stop_is_an_error_that_is_noted(world: World) -> None:
    def told(step: str) -> None:
        if step == "store":
            os.kill(os.getpid(), signal.SIGTERM)

    world.happens = told  # type: ignore[method-assign]
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(BackupError, match="was told to stop"):
        cli.backup(["run"])
    assert "was told to stop" in world.status()["error"]
    assert signal.getsignal(signal.SIGTERM) is before
    assert not Path(world.place.spool).exists()


@pytest.mark.parametrize("argv", [[], ["rn"], ["run", "--kind", "before-restore"], ["run", "--what"]])
def test_wrong_words(world: World, argv: list[str]) -> None:
    with pytest.raises(UsageError, match="--help"):
        cli.backup(argv)


def test_which_stack_is_meant(world: World, tmp_path: Path) -> None:
    (tmp_path / "etc/backup/shop").mkdir()
    with pytest.raises(UsageError, match="--stack fleet"):
        cli.points([])
    assert cli.points(["--stack", "fleet"]) == 0
    for name in ("fleet", "shop"):
        (tmp_path / "etc/backup" / name).rmdir()
    with pytest.raises(RefusedError, match="run the play with the role backup"):
        cli.points([])


def test_a_strange_stack_name_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a name of a stack"):
        cli.tools_for("../etc", print)


def test_another_repository_is_named_when_the_first_is_lost(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add_repository("far")
    assert cli.backup(["run"]) == 0
    world.faults["repository"] = "repository /repository: list the points: nothing answers"
    capsys.readouterr()
    for argv, words in (
        (["points"], "The points are in far as well: slipway backup points --repository far"),
        (["verify"], "slipway backup verify --repository far"),
    ):
        with pytest.raises(RepositoryError, match=words):
            cli.backup(argv)
        assert cli.backup([*argv, "--repository", "far"]) == 0
    with pytest.raises(RepositoryError, match="far as well: slipway restore --plan --repository far"):
        cli.restore(["--confirm", "fleet"])
    world.upload("new.jpg", "new")
    assert cli.restore(["--repository", "far", "--confirm", "fleet"]) == 0
    assert world.uploads == {"a.jpg": "hello"}
    with pytest.raises(UsageError, match="has none of this name; it has main, far"):
        cli.restore(["--repository", "x", "--plan"])


def test_status_asks_each_repository(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    far = world.add_repository("far")
    cli.backup(["run"])
    capsys.readouterr()
    assert cli.backup(["status", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["repositories"]
    assert {name: record["newest_good"] for name, record in found.items()} == {
        "main": "20260101T020001Z",
        "far": "20260101T020001Z",
    }
    far.points.clear()
    assert cli.backup(["status"]) == 1
    assert "repository far (sftp:far:/repository): 0 points, no good point" in capsys.readouterr().out
    world.faults["repository far"] = "the server does not answer"
    assert cli.backup(["status"]) == 1
    assert "behind: the server does not answer" in capsys.readouterr().out


def test_what_the_retention_would_let_go(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.add_repository("far", append_only=True)
    for _day in range(3):
        cli.backup(["run"])
        world.clock += timedelta(days=1)
    world.keep(daily=1)
    capsys.readouterr()
    assert cli.backup(["retention", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["repositories"]
    assert [len(found[name]["remove"]) for name in ("main", "far")] == [2, 0]
    assert found["main"]["removed"] == []
    assert len(world.points) == 3
    assert cli.backup(["retention", "--dry-run"]) == 0
    assert "GOES" in capsys.readouterr().out
    assert cli.backup(["retention"]) == 0
    assert "this host may not remove anything there" in capsys.readouterr().out
    assert len(world.points) == 1

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import drill as drills
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.drill import Wish, drill, plan
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    DrillSettings,
    RefusedError,
    Smoke,
    StoppedError,
    UsageError,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World

KEY = "postgresql-postgres"
NEWEST = Wish()


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Three points, a day apart; a row after each of them, and some minutes of log after the last one."""
    cluster = Cluster(World(tmp_path))
    Path(cluster.world.place.metrics).mkdir()
    for number, row in enumerate(("three", "four", "five")):
        make_point(cluster.tools(), "scheduled")
        cluster.add(row)
        if number < 2:
            cluster.world.clock += timedelta(days=1)
    cluster.world.clock += timedelta(minutes=5)
    cluster.world.events.clear()
    return cluster


def names(cluster: Cluster) -> list[str]:
    """The points, newest first."""
    return sorted(cluster.world.points, reverse=True)


def written(cluster: Cluster) -> dict[str, Any]:
    return dict(json.loads(Path(cluster.world.place.drill).read_text(encoding="utf-8")))


def results(report: dict[str, Any]) -> list[tuple[str, str]]:
    return [(found["point"], found["result"]) for found in report["tried"]]


def damage(cluster: Cluster, point: str) -> None:
    """A byte of the point's base backup is another one."""
    snapshots = cluster.world.snapshots
    name = f"part-{KEY}-{point}"
    ((path, content),) = snapshots[name].items()
    snapshots[name] = {path: content[:-700] + bytes([content[-700] ^ 1]) + content[-699:]}


def edit_manifest(cluster: Cluster, point: str, **changes: Any) -> None:
    content = cluster.world.snapshots[f"snapshot-{point}"]
    path = next(name for name in content if name.endswith("manifest.json"))
    value = json.loads(content[path])
    value["sources"][0].update(changes)
    content[path] = json.dumps(value).encode()


def assert_untouched(cluster: Cluster) -> None:
    world = cluster.world
    assert cluster.rows == ["one", "two", "three", "four", "five"]
    assert cluster.isolated == {}
    assert {path.name for path in (world.root / "volumes/fleet_pg").iterdir()} == {"_data"}
    assert not Path(world.place.drill_work).exists()
    assert not Path(world.place.drill_journal).exists()
    assert not [event for event in world.events if event.startswith(("stop app", "stop post", "move"))]
    assert all(world.running.values())


def test_the_newest_point_and_a_random_second(cluster: Cluster) -> None:
    picked: list[int] = []

    def first(count: int) -> int:
        picked.append(count)
        return 0

    report = drill(cluster.tools(), NEWEST, first)
    database = report["databases"][KEY]
    assert (report["ok"], report["error"]) == (True, "")
    assert (report["point"], report["newest_good"]) == (names(cluster)[0],) * 2
    assert results(report) == [(names(cluster)[0], "good")]
    assert (database["rows"], database["timeline"], database["by_log"]) == (5, "2", True)
    assert (database["facts"]["amcheck"], database["served_by"]) == ("not in this image", "postgres:17")
    # The first second after the point, before the row that came after it.
    assert 300 < picked[0] < 500
    assert report["random"]["databases"][KEY]["rows"] == 4
    assert report["files"]["volume-fleet_uploads"] == {"volume": "fleet_uploads", "files": 1, "bytes": 5}
    assert_untouched(cluster)


def test_what_it_measures(cluster: Cluster) -> None:
    report = drill(cluster.tools(), NEWEST)
    # The log reaches to now, so nothing of the database would be lost; the volume is as old as the point.
    assert report["rpo"][KEY] < 10
    assert 360 < report["rpo"]["volume-fleet_uploads"] == report["rpo_seconds"] < 500
    assert set(report["rto"]) == {KEY, "volume-fleet_uploads"}
    assert 0 < report["rto"][KEY] < report["rto_seconds"] < report["duration_seconds"]


def test_checking_everything_is_no_part_of_a_restore(cluster: Cluster) -> None:
    plain = drill(cluster.tools(), NEWEST)["rto_seconds"]
    docker = type(cluster.tools().docker)
    before = docker.execute

    def slow(self: Any, container: Any, command: Any, text: str = "") -> Outcome:
        if command[0] == "pg_amcheck":
            cluster.world.clock += timedelta(hours=2)
        return before(self, container, command, text)

    cluster.world.faults["amcheck"] = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docker, "execute", slow)
        report = drill(cluster.tools(), NEWEST)
    assert report["duration_seconds"] > 7200
    assert report["rto_seconds"] < plain + 10
    assert report["rto"][KEY] < plain + 10


def test_it_is_written_down_and_exported(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(interval_seconds=604800)
    report = drill(cluster.tools(), NEWEST)
    status = written(cluster)
    assert status["report"] == report
    assert (status["ok"], status["last_success_epoch"], status["newest_good"]) == (
        True,
        report["started_epoch"],
        names(cluster)[0],
    )
    cluster.world.faults["recovery"] = "no luck"
    drill(cluster.tools(), NEWEST)
    status = written(cluster)
    assert (status["ok"], status["last_success_epoch"]) == (False, report["started_epoch"])
    assert status["rto_seconds"] == report["rto_seconds"]
    assert status["last_attempt_epoch"] > report["started_epoch"]
    metrics = (Path(cluster.world.place.metrics) / "slipway_drill.prom").read_text(encoding="utf-8")
    assert 'slipway_drill_last_attempt_succeeded{stack="fleet"} 0\n' in metrics
    assert f'slipway_drill_rto_seconds{{stack="fleet"}} {report["rto_seconds"]:.0f}\n' in metrics
    assert 'slipway_drill_interval_seconds{stack="fleet"} 604800\n' in metrics
    lines = Path(cluster.world.place.drills).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["ok"] for line in lines] == [True, False]


def test_only_the_last_drills_are_remembered(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drills, "REMEMBERED", 2)
    reports = [drill(cluster.tools(), NEWEST) for _turn in range(3)]
    lines = Path(cluster.world.place.drills).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["id"] for line in lines] == [report["id"] for report in reports[1:]]


def test_without_a_log_the_point_is_tried(cluster: Cluster) -> None:
    report = drill(cluster.tools(log=False), NEWEST)
    assert (report["ok"], report["random"], report["databases"][KEY]["rows"]) == (True, None, 4)
    assert 360 < report["rpo"][KEY] < 500
    assert "the log covers no second" in report["warnings"][-1]


# What it finds.


def test_a_flipped_byte_in_the_newest_point(cluster: Cluster) -> None:
    newest, second, _oldest = names(cluster)
    damage(cluster, newest)
    report = drill(cluster.tools(), NEWEST)
    assert report["ok"] is False
    assert results(report) == [(newest, "cannot be restored"), (second, "good")]
    assert (report["point"], report["newest_good"]) == (second, second)
    assert report["error"].startswith(f"point {newest} cannot be restored: the databases of service postgres")
    assert f"the newest good one is {second}, 1 d 7 min old" in report["error"]
    # The log leads on from the older point, so that nothing would be lost all the same.
    assert report["databases"][KEY]["rows"] == 5
    assert written(cluster)["newest_good"] == second
    assert_untouched(cluster)


def test_a_part_that_has_gone(cluster: Cluster) -> None:
    newest, second, _oldest = names(cluster)
    del cluster.world.snapshots[f"part-{KEY}-{newest}"]
    cluster.world.parts.pop(newest)
    point = cluster.world.points[newest]
    cluster.world.points[newest] = type(point)(point.name, point.kind, point.snapshot, True, point.evidence, ())
    report = drill(cluster.tools(), NEWEST)
    assert report["newest_good"] == second
    assert "is not in the repository" in report["error"]


def test_a_manifest_that_cannot_be_read(cluster: Cluster) -> None:
    newest, second, _oldest = names(cluster)
    content = cluster.world.snapshots[f"snapshot-{newest}"]
    content[next(name for name in content if name.endswith("manifest.json"))] = b"{"
    report = drill(cluster.tools(), NEWEST)
    assert (report["ok"], report["newest_good"]) == (False, second)
    assert "its manifest cannot be read" in report["error"]


def test_an_engine_that_the_newest_point_does_not_fit(cluster: Cluster) -> None:
    newest, second, _oldest = names(cluster)
    edit_manifest(cluster, newest, major=18, image="postgres:18", image_id="sha256:18")
    report = drill(cluster.tools(), NEWEST)
    assert results(report) == [(newest, "does not fit what is deployed"), (second, "good")]
    assert "the point is of PostgreSQL 18 and postgres:17 has 17" in report["error"]
    assert f"the newest good one is {second}" in report["error"]


def test_an_upgrade_that_no_point_fits(cluster: Cluster) -> None:
    newest = names(cluster)[0]
    cluster.world.faults["major"] = 18
    report = drill(cluster.tools(), NEWEST)
    assert [result for _point, result in results(report)] == ["does not fit what is deployed"] * 3
    assert (report["newest_good"], report["newest_whole"]) == ("", newest)
    assert "none of the 3 newest points can be restored" in report["error"]
    assert f"Point {newest} is whole by itself: it can be restored where postgres:17 runs" in report["error"]
    assert report["databases"][KEY]["rows"] == 4
    assert_untouched(cluster)


def test_neither_fitting_nor_whole(cluster: Cluster) -> None:
    cluster.world.faults["major"] = 18
    damage(cluster, names(cluster)[0])
    report = drill(cluster.tools(), NEWEST)
    assert "is not whole by itself either" in report["error"]
    assert "newest_whole" not in report


@pytest.mark.parametrize(
    ("fault", "value", "words"),
    [
        ("recovery", "invalid checkpoint record", "invalid checkpoint record"),
        ("amcheck", 2, "pg_amcheck found damage"),
        ("unclean", True, "after its end"),
        ("serving", "invalid value for parameter", "the stack's own server does not serve the restored data"),
        ("read back", "files", "comes back as 1 files with 5 bytes; the point lists 0"),
        ("start isolated", BackupError("docker run: no space left on device"), "no space left on device"),
        ("unpack", BackupError("restic: ciphertext verification failed"), "ciphertext verification failed"),
    ],
)
def test_all_points_bad(cluster: Cluster, fault: str, value: Any, words: str) -> None:
    cluster.world.faults[fault] = value
    report = drill(cluster.tools(), NEWEST)
    assert (report["ok"], report["newest_good"], len(report["tried"])) == (False, "", 3)
    assert "none of the 3 newest points can be restored" in report["error"]
    assert words in report["error"]
    assert report["error"] == written(cluster)["error"]
    assert_untouched(cluster)


def test_no_more_points_are_tried_than_wanted(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(tries=2)
    cluster.world.faults["recovery"] = "no"
    assert len(drill(cluster.tools(), NEWEST)["tried"]) == 2


def test_a_log_that_cannot_be_followed(cluster: Cluster) -> None:
    newest = names(cluster)[0]
    cluster.world.faults["fetch the log"] = BackupError("a file of the log is missing")
    # For a point alone no log is needed, but the histories of its timelines.
    log = cluster.tools().log
    before = type(log).fetch

    def fetch(self: Any, source: Any, record: Any, target: Target, directory: str, say: Any) -> Any:
        if target.kind == "point":
            return None
        return before(self, source, record, target, directory, say)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(log), "fetch", fetch)
        report = drill(cluster.tools(), NEWEST)
    assert results(report) == [(newest, "good, but its log cannot be followed")]
    assert (report["ok"], report["newest_good"]) == (False, newest)
    assert report["error"].startswith(f"the log cannot be followed from point {newest}, which is good by itself")
    assert report["databases"][KEY]["rows"] == 4


def test_a_random_second_that_cannot_be_restored(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    # Sixteen years from now.
    report = drill(cluster.tools(), NEWEST, lambda count: 1 << 29)
    assert (report["ok"], report["newest_good"]) == (False, names(cluster)[0])
    assert re.match(r"a random second, 20\d\d-.* UTC, cannot be restored: .* is after the log's end", report["error"])
    assert report["random"]["error"]


def test_no_point_at_all(tmp_path: Path) -> None:
    cluster = Cluster(World(tmp_path))
    with pytest.raises(RefusedError, match="has no point that was read back"):
        drill(cluster.tools(), NEWEST)
    assert "has no point that was read back" in written(cluster)["error"]


def test_a_repository_that_does_not_answer(cluster: Cluster) -> None:
    cluster.world.faults["repository"] = "connection refused"
    with pytest.raises(BackupError, match="connection refused"):
        drill(cluster.tools(), NEWEST)
    assert written(cluster)["error"] == "connection refused"
    assert_untouched(cluster)


# What the host cannot hold says nothing of any point.


def test_a_disk_without_room(cluster: Cluster) -> None:
    cluster.world.free = 0
    with pytest.raises(RefusedError, match="make room there"):
        drill(cluster.tools(), NEWEST)
    assert (written(cluster)["ok"], written(cluster)["report"]["tried"]) == (False, [])
    assert "start isolated" not in cluster.world.events


def test_too_little_memory(cluster: Cluster) -> None:
    cluster.world.memory = 100 << 20
    with pytest.raises(RefusedError, match=r"100.0 MiB of memory are free .* choose a quieter hour"):
        drill(cluster.tools(), NEWEST)
    assert "start isolated" not in cluster.world.events


def test_memory_that_nobody_knows(cluster: Cluster) -> None:
    cluster.world.memory = None
    assert drill(cluster.tools(), NEWEST)["ok"] is True


# What else goes on.


def test_a_backup_meanwhile(cluster: Cluster) -> None:
    """Its retention moves data: what failed is tried once more, and is not called bad for it."""
    repository = type(cluster.tools().repository)
    before, fails = repository.fetch, [True]

    def fetch(self: Any, snapshot: str, path: str, target: Any = None, sink: Any = None) -> Any:
        if fails and snapshot.startswith("part-"):
            fails.clear()
            del cluster.world.points[names(cluster)[-1]]
            raise BackupError("restic: the pack is not there")
        return before(self, snapshot, path, target, sink)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "fetch", fetch)
        report = drill(cluster.tools(log=False), NEWEST)
    assert (report["ok"], results(report)) == (True, [(names(cluster)[0], "good")])


def test_a_point_that_goes_meanwhile(cluster: Cluster) -> None:
    newest, second, _oldest = names(cluster)
    cluster.world.drill = DrillSettings(tries=3)
    before = drills.choice_of

    def gone(tools: Any, target: Target, point: Any, warnings: Any = ()) -> Any:
        if point.name == newest:
            cluster.world.points.pop(newest, None)
            raise BackupError("no such snapshot")
        return before(tools, target, point, warnings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drills, "choice_of", gone)
        report = drill(cluster.tools(), NEWEST)
    assert results(report) == [(newest, "went with the retention meanwhile"), (second, "good")]
    assert (report["ok"], report["point"]) == (True, second)


def test_being_told_to_stop_tries_nothing_else(cluster: Cluster) -> None:
    cluster.world.faults["start isolated"] = StoppedError("was told to stop")
    with pytest.raises(StoppedError):
        drill(cluster.tools(), NEWEST)
    assert cluster.world.events.count("start isolated") == 1
    assert written(cluster)["error"] == "was told to stop"
    assert_untouched(cluster)


def die(cluster: Cluster, step: int) -> bool:
    """A drill that dies after a step, and puts nothing in order; whether it came so far."""
    cluster.world.events.clear()
    cluster.world.dies_after = step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ansible_collections.slipway.ops.plugins.module_utils._backup.trial.Trial.clear", _nothing)
        patch.setattr(drills.files, "remove", _nothing)
        patch.setattr(drills, "record", _nothing)
        try:
            drill(cluster.tools(), NEWEST)
        except Killed:
            return True
        finally:
            cluster.world.dies_after = 0
    return False


def test_killed_at_every_step(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(smoke=Smoke("application", ("check",)))
    step = 1
    while die(cluster, step):
        report = drill(cluster.tools(), NEWEST)
        assert report["ok"] is True, step
        lines = Path(cluster.world.place.drills).read_text(encoding="utf-8").splitlines()
        assert "was killed" in json.loads(lines[-2])["error"]
        assert_untouched(cluster)
        step += 1
    assert step > 10


def _nothing(*_words: Any) -> None:
    return None


def test_what_a_killed_one_left_can_be_swept_alone(cluster: Cluster) -> None:
    assert die(cluster, 2)
    cluster.world.faults["repository"] = "away"
    assert len(drills.sweep(cluster.tools())) == 1
    drills.files.remove(cluster.world.place.drill_journal)
    assert_untouched(cluster)


# The application's own check.


def test_the_application_is_asked(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(smoke=Smoke("application", ("php", "artisan", "health")))
    report = drill(cluster.tools(), NEWEST)
    assert report["smoke"]["said"] == "3 orders"
    ((wish, files_),) = cluster.world.smoked
    command = wish.command(detach=False)
    assert command[-4:] == ["php", "sha256:x", "artisan", "health"]
    assert wish.network.startswith(f"container:slipway-drill-fleet-{KEY}-serving-")
    assert list(files_.values()) == [""]
    assert_untouched(cluster)


def test_the_network_leads_nowhere_and_has_the_names(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(smoke=Smoke("application", ("check",)))
    docker, seen = type(cluster.tools().docker), []
    before = docker.start_isolated

    def start(self: Any, wish: Any) -> Any:
        seen.append((wish, Path(wish.environment_file).read_text() if wish.environment_file else ""))
        return before(self, wish)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(docker, "start_isolated", start)
        drill(cluster.tools(log=False), NEWEST)
    wish, environment = seen[-1]
    words = " ".join(wish.command())
    assert "--network none --add-host application:127.0.0.1" in words
    assert "--add-host postgres:127.0.0.1" in words
    assert "--add-host cache:127.0.0.1" in words
    assert "--entrypoint docker-entrypoint.sh sha256:x postgres" in words
    assert "--cap-drop ALL" in words
    assert "secret" not in words
    assert environment == "PGDATA=/var/lib/postgresql/data\nPOSTGRES_PASSWORD=secret\n"


def test_an_application_that_is_not_content(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(tries=1, smoke=Smoke("application", ("check",)))
    cluster.world.faults["smoke outcome"] = Outcome(3, "", "no orders\n")
    report = drill(cluster.tools(log=False), NEWEST)
    assert (
        "the application's own check (check in service application) ended with exit status 3: no orders"
        in (report["error"])
    )
    assert_untouched(cluster)


def test_a_check_of_a_service_that_is_not_there(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(smoke=Smoke("shop", ("check",)))
    with pytest.raises(RefusedError, match="correct backup_drill_smoke_service"):
        drill(cluster.tools(), NEWEST)


def test_two_servers_of_one_kind(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(smoke=Smoke("application", ("check",)))
    for name in names(cluster):
        content = cluster.world.snapshots[f"snapshot-{name}"]
        path = next(name for name in content if name.endswith("manifest.json"))
        value = json.loads(content[path])
        value["sources"].append({**value["sources"][0], "service": "other"})
        content[path] = json.dumps(value).encode()
    cluster.world.running["fleet-other-1"] = True
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drills._Drill, "_fits", _nothing)
        patch.setattr("ansible_collections.slipway.ops.plugins.module_utils._backup.trial.space_problems", _no_problems)
        with pytest.raises(RefusedError, match="several servers of kind postgresql"):
            drill(cluster.tools(log=False), NEWEST)


def _no_problems(*_words: Any) -> list[str]:
    return []


# What is asked for.


def test_one_point(cluster: Cluster) -> None:
    oldest = names(cluster)[-1]
    target = parse_target(oldest, cluster.world.clock)
    report = drill(cluster.tools(), Wish(target))
    assert (report["ok"], report["point"], report["databases"][KEY]["rows"]) == (True, oldest, 2)
    assert report["newest_good"] == ""
    damage(cluster, oldest)
    report = drill(cluster.tools(), Wish(target))
    assert (report["ok"], results(report)) == (False, [(oldest, "cannot be restored")])


def test_one_moment(cluster: Cluster) -> None:
    before = parse_target(f"xid:{cluster.xid}", cluster.world.clock, inclusive=False)
    report = drill(cluster.tools(), Wish(before))
    assert (report["ok"], report["databases"][KEY]["rows"], report["rpo_seconds"]) == (True, 4, None)


def test_a_moment_that_is_not_covered_is_refused(cluster: Cluster) -> None:
    target = parse_target("2025-01-01 00:00:00", cluster.world.clock)
    with pytest.raises(RefusedError, match="is before the end of the oldest good point"):
        drill(cluster.tools(), Wish(target))


def test_only_a_random_second(cluster: Cluster) -> None:
    report = drill(cluster.tools(), Wish(random=True), lambda count: count - 1)
    assert (report["ok"], report["files"], report["databases"][KEY]["rows"]) == (True, {}, 5)
    assert report["rpo_seconds"] is None
    with pytest.raises(RefusedError, match=r"slipway drill --point"):
        drill(cluster.tools(log=False), Wish(random=True))
    with pytest.raises(UsageError, match="name one of them"):
        drills.wish_for(Target(), True)


def test_the_plan_touches_nothing(cluster: Cluster) -> None:
    cluster.world.drill = DrillSettings(smoke=Smoke("application", ("check",)))
    found = plan(cluster.tools(), NEWEST)
    assert (found["point"], found["problems"]) == (names(cluster)[0], [])
    assert "run check as service application on it, in a network that leads nowhere" in found["plan"]
    assert cluster.world.events == []
    cluster.world.faults["major"] = 18
    assert "has 18" in plan(cluster.tools(), NEWEST)["problems"][0]


def test_mariadb_is_tried_as_well(tmp_path: Path) -> None:
    world = Database(World(tmp_path), "mariadb").world
    make_point(world.tools, "scheduled")
    report = drill(world.tools, NEWEST)
    assert (report["ok"], report["error"]) == (True, "")
    assert report["databases"]["mariadb-database"]["rows"] == 4

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import (
    ensure_repository,
    load_settings,
    make_point,
    removable_orphans,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Catalogue,
    Orphan,
    Part,
    Point,
    RefusedError,
    RepositoryMissing,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import read_back
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    """With a server of MariaDB that has four rows."""
    return Database(World(tmp_path), "mariadb").world


def test_a_point_is_stored_read_back_and_only_then_counted(world: World) -> None:
    summary = make_point(world.tools, "scheduled")
    assert summary["point"] == "20260101T020001Z"
    assert (summary["rows"], summary["files"], summary["points"]) == (4, 1, 1)
    assert world.events == ["took a backup", "stored part", "store", "mark", "check"]
    assert world.points[summary["point"]].verified
    stored = world.snapshots[summary["snapshot"]]
    assert str(world.volume / "a.jpg") in stored
    assert f"{world.place.stack_files}/stack.json" in stored
    status = world.status()
    assert (status["ok"], status["error"], status["last_success"]) == (True, "", "2026-01-01T02:00:01+00:00")
    assert not Path(world.place.spool).exists()


def fail(world: World, words: str, kind: str = "scheduled") -> None:
    """A backup that must fail: the good points and what the status says of them stay."""
    points, before = dict(world.points), world.status() if Path(world.place.status).exists() else {}
    with pytest.raises(BackupError) as caught:
        make_point(world.tools, kind)
    assert words in str(caught.value)
    after = world.status()
    assert after["ok"] is False
    assert words in after["error"]
    for name in ("point", "last_success", "size_bytes"):
        assert after.get(name) == before.get(name)
    assert {name: point for name, point in world.points.items() if point.verified} == points
    assert not Path(world.place.spool).exists()


def full(world: World) -> None:
    world.free = 100 << 20


def read_only(world: World) -> None:
    world.read_only = True


def stopped(world: World) -> None:
    world.running["fleet-database-1"] = False


def emptied(world: World) -> None:
    world.database.empty()


def dropped(world: World) -> None:
    world.database.drop()


def without_files(world: World) -> None:
    (world.volume / "a.jpg").unlink()


def fault(name: str, value: Any) -> Callable[[World], None]:
    def switch(world: World) -> None:
        world.faults[name] = value

    return switch


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        pytest.param(fault("backup", "dies"), "ended with exit status 137", id="tool dies half way"),
        pytest.param(fault("backup", "is cut off"), "is cut off within a chunk", id="stream is cut off"),
        pytest.param(fault("backup", "is empty"), "is not whole after 0 B: it is empty", id="empty stream"),
        pytest.param(fault("backup", "says nothing"), "did not end with", id="tool does not say that it is whole"),
        pytest.param(read_only, "is on a read-only file system", id="read-only disk"),
        pytest.param(full, "are free, and a backup wants", id="full disk"),
        pytest.param(stopped, "does not run", id="database stopped"),
        pytest.param(emptied, "has no row now and had 4", id="rows are gone"),
        pytest.param(dropped, "database shop is not there now", id="database is gone"),
        pytest.param(without_files, "has no file now and had 1", id="files are gone"),
        pytest.param(fault("repository", "wrong password"), "wrong password", id="repository cannot be opened"),
        pytest.param(fault("store", BackupError("connection lost")), "connection lost", id="upload fails"),
        pytest.param(fault("read back", "xbstream"), "reads back as", id="another checksum"),
        pytest.param(fault("read back", "json"), "its manifest cannot be read back", id="manifest damaged"),
        pytest.param(fault("read back", "files"), "the snapshot has none of them", id="files missing"),
    ],
)
def test_a_bad_backup_fails_and_touches_no_good_point(
    world: World, switch: Callable[[World], None], words: str
) -> None:
    world.keep(daily=1)
    make_point(world.tools, "scheduled")
    world.clock += timedelta(days=1)
    switch(world)
    events = len(world.events)
    fail(world, words)
    assert "remove" not in world.events[events:]
    assert "check" not in world.events[events:]


@pytest.mark.parametrize("step", ["took a backup", "stored part", "store", "mark", "check"])
def test_a_backup_that_is_killed_leaves_the_good_points(world: World, step: str) -> None:
    first = make_point(world.tools, "scheduled")["point"]
    world.clock += timedelta(days=1)
    world.faults[step] = Killed()
    with pytest.raises(Killed):
        make_point(world.tools, "scheduled")
    del world.faults[step]
    assert world.points[first].verified
    world.clock += timedelta(days=1)
    last = make_point(world.tools, "scheduled")["point"]
    assert world.points[last].verified
    assert all(point.verified for point in world.points.values())
    assert {name for name, parts in world.parts.items() if parts} == set(world.points)


def orphan(world: World, point: str, key: str = "mariadb-database") -> str:
    """A part that a job left behind."""
    part = Part(key, f"lost-{point}")
    world.parts.setdefault(point, []).append(part)
    world.snapshots[part.snapshot] = {"/x.sql": b"x"}
    return point


def orphans(world: World) -> set[str]:
    return {name for name, parts in world.parts.items() if parts and name not in world.points}


@pytest.mark.parametrize("way", ["fails", "is killed"])
def test_what_a_dead_job_left_goes_with_the_next_one(world: World, way: str) -> None:
    make_point(world.tools, "scheduled")
    world.faults["store"] = Killed() if way == "is killed" else BackupError("connection lost")
    for _day in range(2):
        world.clock += timedelta(days=1)
        with pytest.raises((Killed, BackupError)):
            make_point(world.tools, "scheduled")
        # Never more than one job's parts wait.
        assert len(orphans(world)) == 1
    del world.faults["store"]
    world.clock += timedelta(days=1)
    make_point(world.tools, "scheduled")
    assert orphans(world) == set()
    assert json.loads(Path(world.place.unfinished).read_text(encoding="utf-8")) == []


def test_parts_that_another_host_may_be_making_stay(world: World) -> None:
    orphan(world, "20251231T020000Z")
    very_old = orphan(world, "20251201T020000Z")
    make_point(world.tools, "scheduled")
    # Not by the clock alone, as long as nothing else is good.
    assert orphans(world) == {"20251201T020000Z", "20251231T020000Z"}
    make_point(world.tools, "scheduled")
    assert orphans(world) == {"20251231T020000Z"}
    assert very_old not in world.parts or not world.parts[very_old]


def test_parts_of_a_point_that_was_good_once_stay() -> None:
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    good, bad = Orphan("20250101T000000Z", "k", "a", proved=True), Orphan("20250101T000000Z", "k", "b")
    point = Point("20251231T000000Z", "scheduled", "s", True)
    assert removable_orphans(Catalogue((point,), (good, bad)), set(), now) == [bad]
    assert removable_orphans(Catalogue((), (good, bad)), set(), now) == []
    assert removable_orphans(Catalogue((), (good, bad)), {bad.point}, now) == [bad]
    assert removable_orphans(Catalogue((), (good, bad), whole=False), {bad.point}, now) == []


def test_orphans_that_cannot_be_removed_stop_nothing(world: World) -> None:
    make_point(world.tools, "scheduled")
    orphan(world, "20251201T020000Z")
    world.faults["remove orphans"] = BackupError("access is denied")
    assert world.points[make_point(world.tools, "scheduled")["point"]].verified
    assert any("they stay for now: access is denied" in line for line in world.said)


def test_smaller_data_can_be_accepted(world: World) -> None:
    make_point(world.tools, "scheduled")
    world.database.empty()
    fail(world, "slipway backup run --stack fleet --accept-smaller")
    assert make_point(world.tools, "manual", accept_smaller=True)["rows"] == 0
    assert make_point(world.tools, "scheduled")["rows"] == 0


def test_old_points_go_after_a_good_one(world: World) -> None:
    world.keep(daily=2)
    names = []
    for _day in range(4):
        names.append(make_point(world.tools, "scheduled")["point"])
        world.clock += timedelta(days=1)
    assert sorted(world.points) == names[2:]


def test_a_failed_check_keeps_all_and_fails_the_run(world: World) -> None:
    world.keep(daily=1)
    make_point(world.tools, "scheduled")
    world.clock += timedelta(days=1)
    world.faults["check"] = BackupError("a pack is damaged")
    with pytest.raises(BackupError, match="a pack is damaged"):
        make_point(world.tools, "scheduled")
    assert len(world.points) == 2
    status = world.status()
    assert status["ok"] is False
    assert "is good, but: a pack is damaged" in status["error"]
    assert status["last_success"].startswith("2026-01-02")


def test_what_a_release_names_stays(world: World) -> None:
    world.keep(daily=1)
    first = make_point(world.tools, "manual")["point"]
    second = make_point(world.tools, "before-release")["point"]
    releases = Path(world.place.releases)
    releases.mkdir(parents=True)
    records = [{"release": number, "recovery_point": first if number == 1 else ""} for number in range(1, 12)]
    (releases / "history.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    for _day in range(3):
        world.clock += timedelta(days=1)
        last = make_point(world.tools, "scheduled")["point"]
    assert sorted(world.points) == [first, second, last]
    # A release that is under way names its point in its journal.
    (releases / "journal.json").write_text(json.dumps({"recovery_point": last}), encoding="utf-8")
    world.clock += timedelta(days=1)
    assert sorted(world.points) == [first, second, last]
    assert last not in make_point(world.tools, "scheduled")["removed"]


def test_a_short_list_lets_nothing_go(world: World) -> None:
    world.keep(daily=1)
    make_point(world.tools, "scheduled")
    world.clock += timedelta(days=1)
    world.faults["short list"] = True
    assert make_point(world.tools, "scheduled")["removed"] == []


def test_append_only_credentials_remove_nothing(world: World) -> None:
    world.keep(daily=1)
    world.settings = replace(world.settings, repositories=(replace(world.settings.primary, append_only=True),))
    orphan(world, "20251201T020000Z")
    for _day in range(3):
        assert make_point(world.tools, "scheduled")["removed"] == []
        world.clock += timedelta(days=1)
    assert len(world.points) == 3
    assert orphans(world) == {"20251201T020000Z"}
    assert not [step for step in world.events if step.startswith("remove")]


def test_the_structure_is_checked_once_in_its_interval(world: World) -> None:
    for _hour in range(3):
        make_point(world.tools, "manual")
        world.clock += timedelta(hours=1)
    assert world.events.count("check") == 1
    world.clock += timedelta(hours=21)
    make_point(world.tools, "manual")
    assert world.events.count("check") == 2


def test_a_safety_point_is_no_backup_of_record(world: World) -> None:
    make_point(world.tools, "scheduled")
    before = world.status()
    world.database.empty()
    summary = make_point(world.tools, "before-restore")
    assert world.points[summary["point"]].verified
    assert world.status() == before


def test_metrics_are_written_where_an_exporter_reads_them(world: World) -> None:
    Path(world.place.metrics).mkdir()
    make_point(world.tools, "scheduled")
    text = (Path(world.place.metrics) / "slipway_backup.prom").read_text(encoding="utf-8")
    assert 'slipway_backup_last_attempt_succeeded{stack="fleet"} 1' in text


def test_any_point_can_be_read_back_later(world: World) -> None:
    summary = make_point(world.tools, "scheduled")
    point = world.points[summary["point"]]
    assert [part.get("files") or part["bytes"] for part in read_back(world.tools, point)][1] == 1
    world.faults["read back"] = "xbstream"
    with pytest.raises(BackupError, match="slipway backup check"):
        read_back(world.tools, point)


def test_settings_that_are_missing_or_of_another_stack(world: World, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="run the play with the role backup"):
        load_settings(world.place)
    path = Path(world.place.settings)
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"stack": "other", "repositories": [{"name": "m", "url": "/r"}],'
        ' "sources": [{"kind": "volume", "volume": "v"}]}',
        encoding="utf-8",
    )
    with pytest.raises(RefusedError, match="is for stack other"):
        load_settings(world.place)


@pytest.mark.parametrize(
    ("missing", "dry_run", "calls"), [(False, False, []), (True, False, ["made"]), (True, True, [])]
)
def test_a_missing_repository_is_initialised(world: World, missing: bool, dry_run: bool, calls: list[str]) -> None:
    made: list[str] = []

    class Repository:
        def probe(self) -> None:
            if missing and not made:
                raise RepositoryMissing("none")

        def initialise(self) -> None:
            made.append("made")

    assert ensure_repository(Repository(), dry_run) is missing  # type: ignore[arg-type]
    assert made == calls

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.copies import bring_up, missing
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Point, Retention
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World

NOW = datetime(2026, 2, 1, tzinfo=timezone.utc)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = Database(World(tmp_path), "mariadb").world
    (tmp_path / "metrics").mkdir()
    world.add_repository("far")
    return world


def point(day: int, verified: bool = True) -> Point:
    return Point(f"202601{day:02}T020000Z", "scheduled", f"s{day}", verified)


def test_what_is_missing() -> None:
    source = [point(1), point(2), point(3, verified=False), point(4), point(5)]
    held = [point(2), point(4, verified=False)]
    assert [one.name[6:8] for one in missing(source, held, Retention(daily=30), NOW)] == ["05", "04", "01"]
    # What would go at once is not copied.
    assert [one.name[6:8] for one in missing(source, held, Retention(daily=2), NOW)] == ["05", "04"]
    assert [one.name[6:8] for one in missing(source, held, Retention(daily=1), NOW, {point(1).name})] == ["05", "01"]
    assert missing(source, source, Retention(daily=30), NOW) == []


def test_each_repository_gets_every_point_and_proves_it(world: World) -> None:
    world.add_repository("third")
    summary = make_point(world.tools, "scheduled")
    assert summary["warnings"] == []
    for shelf in world.shelves.values():
        (found,) = shelf.points.values()
        assert (found.name, found.verified) == (summary["point"], True)
        # The manifest names the part as the primary knows it.
        assert found.parts[0].snapshot.startswith("copy-of-")
    assert [name for name in world.events if name.startswith("mark")] == ["mark", "mark far", "mark third"]
    status = world.status()["repositories"]
    standing = {name: (record["ok"], record["points"], record["newest_good"]) for name, record in status.items()}
    assert standing == dict.fromkeys(("main", "far", "third"), (True, 1, summary["point"]))
    metrics = (Path(world.place.metrics) / "slipway_backup.prom").read_text(encoding="utf-8")
    assert 'slipway_backup_repository_ok{stack="fleet",repository="far"} 1' in metrics
    assert 'slipway_backup_repository_last_success_timestamp_seconds{stack="fleet",repository="third"} ' in metrics


def test_a_copy_that_fails_warns_and_is_caught_up(world: World) -> None:
    world.faults["copy far"] = BackupError("the server does not answer")
    first = make_point(world.tools, "scheduled")
    assert world.points[first["point"]].verified
    assert first["warnings"] == ["repository far is behind: the server does not answer. The next backup tries again"]
    status = world.status()
    assert (status["ok"], status["point"]) == (True, first["point"])
    assert (status["repositories"]["far"]["ok"], status["repositories"]["main"]["ok"]) == (False, True)
    metrics = (Path(world.place.metrics) / "slipway_backup.prom").read_text(encoding="utf-8")
    assert 'slipway_backup_repository_ok{stack="fleet",repository="far"} 0' in metrics
    del world.faults["copy far"]
    world.clock += timedelta(days=1)
    second = make_point(world.tools, "scheduled")
    assert sorted(world.shelves["far"].points) == [first["point"], second["point"]]
    assert second["repositories"]["far"]["copied"] == [second["point"], first["point"]]
    assert world.status()["repositories"]["far"]["error"] == ""


@pytest.mark.parametrize("step", ["copy far", "copied far", "mark far", "check far"])
def test_killed_anywhere_the_next_job_goes_on(world: World, step: str) -> None:
    world.faults[step] = Killed()
    with pytest.raises(Killed):
        make_point(world.tools, "scheduled")
    (first,) = world.points.values()
    assert first.verified
    del world.faults[step]
    world.clock += timedelta(days=1)
    make_point(world.tools, "scheduled")
    assert len(world.shelves["far"].points) == 2
    assert all(found.verified for found in world.shelves["far"].points.values())


@pytest.mark.parametrize("fault", ["copy far", "read back far"])
def test_a_damaged_copy_does_not_count(world: World, fault: str) -> None:
    make_point(world.tools, "scheduled")
    world.clock += timedelta(days=1)
    world.faults[fault] = "damages" if fault == "copy far" else "files"
    summary = make_point(world.tools, "scheduled")
    assert "repository far is behind: point" in summary["warnings"][0]
    held = world.shelves["far"].points
    assert [found.verified for _name, found in sorted(held.items())] == [True, False]
    assert world.status()["repositories"]["far"]["ok"] is False


def test_each_repository_keeps_by_its_own_rules(world: World) -> None:
    world.keep(daily=1)
    world.add_repository("vault", append_only=True, retention=Retention(daily=1))
    for _day in range(3):
        make_point(world.tools, "scheduled")
        world.clock += timedelta(days=1)
    assert len(world.points) == 1
    assert len(world.shelves["far"].points) == 3
    assert len(world.shelves["vault"].points) == 3
    assert "remove vault" not in world.events


def test_a_lost_primary_takes_nothing_with_it(world: World) -> None:
    make_point(world.tools, "scheduled")
    world.points.clear()
    world.parts.clear()
    world.clock += timedelta(days=1)
    make_point(world.tools, "scheduled")
    assert len(world.shelves["far"].points) == 2


def test_nobody_waits_for_a_copy_during_a_release(world: World) -> None:
    make_point(world.tools, "before-release")
    make_point(world.tools, "before-restore")
    assert not world.shelves["far"].points
    world.clock += timedelta(days=1)
    make_point(world.tools, "scheduled")
    assert sorted(world.shelves["far"].points) == sorted(world.points)
    assert len(world.points) == 2


class Nothing(dict[str, Point]):
    def __setitem__(self, name: str, value: Point) -> None:
        return None


def test_a_storage_that_swallows_is_found(world: World) -> None:
    make_point(world.tools, "before-release")
    (far,) = world.tools.others
    world.shelves["far"].points = Nothing()
    with pytest.raises(BackupError, match="was copied and is not there"):
        bring_up(world.tools, far)

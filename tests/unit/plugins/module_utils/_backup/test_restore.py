# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import restore as restores
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import choose
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import (
    abort,
    discard_previous,
    is_store,
    restore_status,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World


def target(tools: Tools, words: str) -> Target:
    return parse_target(words, tools.host.now())


def restore(tools: Tools, words: str, confirm: str, safety: bool = True) -> dict[str, Any]:
    return restores.restore(tools, target(tools, words), confirm, safety)


def make_plan(tools: Tools, words: str, safety: bool = True) -> restores.Plan:
    return restores.make_plan(tools, target(tools, words), safety)


def extract(tools: Tools, words: str, directory: str) -> dict[str, Any]:
    return restores.extract(tools, target(tools, words), directory)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A world with a point, after which data was lost."""
    world = Database(World(tmp_path), "mariadb").world
    make_point(world.tools, "scheduled")
    world.database.empty()
    (world.volume / "a.jpg").unlink()
    world.upload("new.jpg", "new")
    world.events.clear()
    world.said.clear()
    return world


def assert_whole(world: World) -> None:
    assert world.database.rows == [1, 2, 3, 4]
    assert world.uploads == {"a.jpg": "hello"}
    assert all(world.running.values())


def assert_old(world: World) -> None:
    assert world.database.rows == []
    assert world.uploads == {"new.jpg": "new"}
    assert all(world.running.values())


STEPS = [
    # The tool that makes the files one moment, and the server.
    *("start isolated", "start isolated", "stop isolated"),
    # The files are saved, and the database is not: its directory is kept.
    *("store", "mark"),
    *("stop application", "stop database", "move _data", "move data", "start database"),
    *("unpack", "move _data", "move _data", "start application"),
]


def test_everything_comes_back_in_order(world: World) -> None:
    summary = restore(world.tools, "latest", "fleet")
    assert_whole(world)
    assert world.events == STEPS
    assert summary["started_services"] == ["fleet-application-1"]
    files, database = summary["previous"][::-1] if "mysql" in summary["previous"][0] else summary["previous"]
    assert (Path(files) / "new.jpg").read_text(encoding="utf-8") == "new"
    assert Database.read(Path(database))["rows"] == []
    assert world.points[summary["saved"]].parts == ()


def test_the_plan_changes_nothing(world: World) -> None:
    plan = make_plan(world.tools, "latest")
    assert plan.problems == []
    assert "stop fleet-application-1" in plan.lines
    assert any("1 databases, about 4 rows" in line for line in plan.lines)
    assert world.events == []
    assert world.uploads == {"new.jpg": "new"}


@pytest.mark.parametrize("confirm", ["", "other", "FLEET", "fleet "])
def test_the_target_must_be_named(world: World, confirm: str) -> None:
    with pytest.raises(RefusedError, match="say --confirm fleet when you mean it"):
        restore(world.tools, "latest", confirm)
    assert world.events == []


def test_a_point_that_does_not_exist(world: World) -> None:
    with pytest.raises(RefusedError, match="there is none of this name for stack fleet"):
        restore(world.tools, "20000101T000000Z", "fleet")
    assert world.events == []


def test_a_disk_without_room(world: World) -> None:
    world.free = 100 << 20
    with pytest.raises(RefusedError, match="are free and the restore needs"):
        restore(world.tools, "latest", "fleet")
    assert world.events == []


def test_a_stack_that_is_not_deployed(world: World) -> None:
    del world.running["fleet-database-1"]
    with pytest.raises(RefusedError, match="deploy the stack first"):
        restore(world.tools, "latest", "fleet")
    assert world.events == []


def test_a_part_that_comes_back_wrong_touches_nothing(world: World) -> None:
    world.faults["read back"] = "xbstream"
    with pytest.raises(BackupError, match="Nothing was touched"):
        restore(world.tools, "latest", "fleet")
    assert world.events == []
    assert_old(world)


def test_a_repository_that_takes_no_safety_point_stops_the_restore(world: World) -> None:
    world.faults["store"] = BackupError("the repository is read-only")
    with pytest.raises(BackupError, match="read-only"):
        restore(world.tools, "latest", "fleet")
    assert_old(world)
    restore(world.tools, "latest", "fleet", safety=False)
    assert_whole(world)


def left_over(world: World) -> list[str]:
    """What only a restore needs, beside the data."""
    return sorted(path.name for path in world.root.rglob(".slipway-*") if "previous" not in path.name)


@pytest.mark.parametrize("step", sorted(set(STEPS)))
def test_killed_at_any_step_the_same_command_ends_it_and_the_old_data_is_kept(world: World, step: str) -> None:
    world.faults[step] = Killed()
    with pytest.raises(Killed):
        restore(world.tools, "latest", "fleet")
    assert restore_status(world.tools)["interrupted_restore"] is not None
    del world.faults[step]
    summary = restore(world.tools, "latest", "fleet")
    assert_whole(world)
    assert restore_status(world.tools)["interrupted_restore"] is None
    assert summary["started_services"] == ["fleet-application-1"]
    assert len(summary["previous"]) == 2
    assert world.database.isolated == {}
    assert left_over(world) == []


@pytest.mark.parametrize("step", sorted(set(STEPS)))
def test_killed_at_any_step_it_can_be_taken_back(world: World, step: str) -> None:
    world.faults[step] = Killed()
    with pytest.raises(Killed):
        restore(world.tools, "latest", "fleet")
    del world.faults[step]
    abort(world.tools, "fleet")
    assert_old(world)
    assert restore_status(world.tools)["interrupted_restore"] is None
    assert world.database.isolated == {}
    assert left_over(world) == []


def test_only_a_point_can_be_extracted(world: World, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="--beside"):
        extract(world.tools, "now", str(tmp_path / "look"))


def test_another_point_may_end_an_interrupted_restore(world: World) -> None:
    world.clock += timedelta(days=1)
    make_point(world.tools, "scheduled", accept_smaller=True)
    (first, second) = sorted(world.points)
    world.faults["unpack"] = Killed()
    with pytest.raises(Killed):
        restore(world.tools, second, "fleet")
    del world.faults["unpack"]
    summary = restore(world.tools, first, "fleet")
    assert_whole(world)
    assert summary["saved"]


def test_a_new_point_does_not_change_what_an_interrupted_restore_means(world: World) -> None:
    world.faults["unpack"] = Killed()
    with pytest.raises(Killed):
        restore(world.tools, "latest", "fleet")
    del world.faults["unpack"]
    world.points["20270101T000000Z"] = Point("20270101T000000Z", "scheduled", "s", True)
    with pytest.raises(RefusedError, match="was interrupted"):
        restore(world.tools, "latest", "fleet")


def point(name: str, kind: str = "scheduled", verified: bool = True) -> Point:
    return Point(name, kind, name, verified)


ONE, TWO, THREE = "20260101T000000Z", "20260102T000000Z", "20260103T000000Z"


@pytest.mark.parametrize(
    ("points", "wanted", "chosen", "warnings"),
    [
        ([point(ONE), point(TWO)], "latest", TWO, 0),
        ([point(ONE), point(TWO, "before-restore")], "latest", ONE, 0),
        ([point(ONE), point(TWO, verified=False)], "latest", ONE, 1),
        ([point(ONE), point(TWO, "before-restore")], TWO, TWO, 0),
        ([point(ONE, verified=False)], ONE, ONE, 1),
    ],
)
def test_which_point_is_meant(points: list[Point], wanted: str, chosen: str, warnings: int) -> None:
    found, said = choose(points, wanted, "fleet")
    assert (found.name, len(said)) == (chosen, warnings)


@pytest.mark.parametrize(
    ("points", "wanted"),
    [([], "latest"), ([point(ONE, verified=False)], "latest"), ([point(ONE)], TWO), ([], ONE)],
)
def test_no_such_point(points: list[Point], wanted: str) -> None:
    with pytest.raises(RefusedError):
        choose(points, wanted, "fleet")


@pytest.mark.parametrize(
    ("image", "store"),
    [
        ("redis:7.4-alpine", True),
        ("registry.test:5000/library/redis@sha256:abc", True),
        ("valkey/valkey:8", True),
        ("shop/application:redis", False),
        ("redis.test/application:1", False),
    ],
)
def test_caches_and_queues_run_on(world: World, image: str, store: bool) -> None:
    assert is_store(replace(world.tools.docker.containers("fleet")[0], image=image)) is store


def test_old_data_goes_only_when_told(world: World) -> None:
    previous = restore(world.tools, "latest", "fleet")["previous"]
    with pytest.raises(RefusedError):
        discard_previous(world.tools, "")
    assert discard_previous(world.tools, "", plan_only=True) == previous
    assert all(Path(path).exists() for path in previous)
    assert discard_previous(world.tools, "fleet") == previous
    assert not any(Path(path).exists() for path in previous)
    assert discard_previous(world.tools, "fleet") == []


def test_old_data_of_an_interrupted_restore_stays(world: World) -> None:
    world.faults["start application"] = Killed()
    with pytest.raises(Killed):
        restore(world.tools, "latest", "fleet")
    with pytest.raises(RefusedError, match="was interrupted"):
        discard_previous(world.tools, "fleet")


def test_a_point_can_be_looked_into(world: World, tmp_path: Path) -> None:
    target = tmp_path / "look"
    extract(world.tools, "latest", str(target))
    assert list(target.rglob("mariadb-database.xbstream"))
    with pytest.raises(RefusedError, match="is not empty"):
        extract(world.tools, "latest", str(target))

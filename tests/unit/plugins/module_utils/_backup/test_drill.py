# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.drill import drill
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(World(tmp_path))
    make_point(cluster.tools(), "scheduled")
    cluster.add("three")
    cluster.world.clock += timedelta(minutes=1)
    cluster.world.events.clear()
    return cluster


def written(cluster: Cluster) -> dict[str, Any]:
    return dict(json.loads(Path(cluster.world.place.drill).read_text(encoding="utf-8")))


def assert_untouched(cluster: Cluster) -> None:
    assert cluster.rows == ["one", "two", "three"]
    assert cluster.isolated == {}
    assert {path.name for path in (cluster.world.root / "volumes/fleet_pg").iterdir()} == {"_data"}
    assert not [event for event in cluster.world.events if event.startswith(("stop app", "stop post", "move"))]


def test_a_restore_is_tried_and_measured(cluster: Cluster) -> None:
    found = drill(cluster.tools(), Target())
    database = found["databases"]["postgresql-postgres"]
    assert (database["rows"], database["timeline"]) == (3, "2")
    assert database["facts"]["amcheck"] == "not in this image"
    assert database["seconds"] > 0
    assert 0 <= database["behind_seconds"] < 60
    assert {**found, "ok": True} == written(cluster)
    assert_untouched(cluster)


def test_a_moment_in_between_can_be_tried(cluster: Cluster) -> None:
    before = parse_target(f"xid:{cluster.xid}", cluster.world.clock, inclusive=False)
    assert drill(cluster.tools(), before)["databases"]["postgresql-postgres"]["rows"] == 2


@pytest.mark.parametrize(
    ("fault", "value", "words"),
    [
        ("recovery", "invalid checkpoint record", "invalid checkpoint record"),
        ("amcheck", 2, "pg_amcheck found damage"),
        ("read back", "tar", "choose another point"),
        ("fetch the log", BackupError("a file of the log is missing"), "a file of the log is missing"),
    ],
)
def test_what_cannot_be_restored_is_written_down(cluster: Cluster, fault: str, value: Any, words: str) -> None:
    cluster.world.faults[fault] = value
    with pytest.raises(BackupError, match=words):
        drill(cluster.tools(), Target())
    assert written(cluster)["ok"] is False
    assert words in written(cluster)["error"]
    assert_untouched(cluster)


def test_a_disk_without_room(cluster: Cluster) -> None:
    cluster.world.free = 0
    with pytest.raises(RefusedError, match="make room there"):
        drill(cluster.tools(), Target())
    assert written(cluster)["ok"] is False


def test_a_killed_one_goes_with_the_next(cluster: Cluster) -> None:
    cluster.world.faults["start isolated"] = Killed()
    with pytest.raises(Killed):
        drill(cluster.tools(), Target())
    assert cluster.isolated
    del cluster.world.faults["start isolated"]
    drill(cluster.tools(), Target())
    assert_untouched(cluster)


def test_mariadb_is_tried_as_well(tmp_path: Path) -> None:
    world = Database(World(tmp_path), "mariadb").world
    make_point(world.tools, "scheduled")
    assert drill(world.tools, Target())["databases"]["mariadb-database"]["rows"] == 4

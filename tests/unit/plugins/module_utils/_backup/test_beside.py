# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import beside as besides
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_source import PostgresqlAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import restore
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Opened, Wanted
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    cluster = Cluster(World(tmp_path))
    make_point(cluster.tools(), "scheduled")
    cluster.add("three")
    cluster.lose()
    cluster.world.clock += timedelta(minutes=1)
    return cluster


def before_the_loss(cluster: Cluster) -> Target:
    return parse_target(f"{cluster.log[0][3]:%Y-%m-%d %H:%M:%S}Z", cluster.world.clock)


def opened_rows(cluster: Cluster) -> list[str]:
    (server,) = cluster.isolated.values()
    return Cluster.read_rows(server.data)


def test_a_look_touches_nothing_live(cluster: Cluster) -> None:
    cluster.world.events.clear()
    found = besides.look(cluster.tools(), before_the_loss(cluster))
    assert opened_rows(cluster) == ["one", "two", "three"]
    (opened,) = found["opened"]
    assert opened["visit"] == f"docker exec -it {opened['container']} psql"
    assert "last transaction at" in opened["reached"]
    assert cluster.rows == []
    assert not [event for event in cluster.world.events if event.startswith(("stop app", "stop post", "move"))]
    assert besides.discard_look(cluster.tools()) == ["postgresql-postgres"]
    assert cluster.isolated == {}
    assert {path.name for path in (cluster.world.root / "volumes/fleet_pg").iterdir()} == {"_data"}
    assert besides.discard_look(cluster.tools()) == []


def test_its_plan(cluster: Cluster) -> None:
    plan = besides.look(cluster.tools(), before_the_loss(cluster), plan_only=True)
    assert "3 min 8 s old" in plan["plan"][0]
    assert "nothing live is touched" in plan["plan"][-1]
    assert (plan["problems"], cluster.isolated) == ([], {})
    cluster.world.free = 0
    assert "make room there" in besides.look(cluster.tools(), before_the_loss(cluster), plan_only=True)["problems"][0]
    with pytest.raises(RefusedError, match="make room there"):
        besides.look(cluster.tools(), before_the_loss(cluster))


def test_there_is_one_at_a_time(cluster: Cluster) -> None:
    besides.look(cluster.tools(), before_the_loss(cluster))
    with pytest.raises(RefusedError, match=r"there is one already, of 2026-01-01 .* UTC: slipway-look-fleet"):
        besides.look(cluster.tools(), Target())


@pytest.mark.parametrize("step", ["fetch the log", "start isolated", "stop isolated", "remove isolated"])
def test_a_killed_one_makes_room_for_the_next(cluster: Cluster, step: str) -> None:
    cluster.world.faults[step] = Killed()
    with pytest.raises(Killed):
        besides.look(cluster.tools(), before_the_loss(cluster))
    del cluster.world.faults[step]
    besides.look(cluster.tools(), before_the_loss(cluster))
    assert len(cluster.isolated) == 1
    assert opened_rows(cluster) == ["one", "two", "three"]


def test_a_killed_one_can_be_discarded(cluster: Cluster) -> None:
    cluster.world.faults["start isolated"] = Killed()
    with pytest.raises(Killed):
        besides.look(cluster.tools(), Target())
    assert besides.discard_look(cluster.tools()) == ["postgresql-postgres"]
    assert cluster.isolated == {}


def test_one_that_fails_leaves_nothing(cluster: Cluster) -> None:
    cluster.world.faults["recovery"] = "invalid checkpoint record"
    with pytest.raises(BackupError, match="invalid checkpoint record"):
        besides.look(cluster.tools(), Target())
    assert besides.read_look(cluster.tools()) is None


def test_a_restore_leaves_it_alone(cluster: Cluster) -> None:
    besides.look(cluster.tools(), before_the_loss(cluster))
    restore(cluster.tools(), before_the_loss(cluster), "fleet")
    assert opened_rows(cluster) == ["one", "two", "three"]


def test_where_there_is_no_such_database(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="service other of stack fleet: point 20260101T020001Z holds no database"):
        besides.look(cluster.tools(), Target(), "other")
    world = World(tmp_path / "other")
    make_point(world.tools, "scheduled")
    with pytest.raises(RefusedError, match="slipway restore --extract DIRECTORY"):
        besides.look(world.tools, Target())


@pytest.mark.parametrize(
    ("table", "wanted"),
    [
        ("", Wanted("shop")),
        ("orders", Wanted("shop", table="orders")),
        ("trade.orders", Wanted("shop", "trade", "orders")),
    ],
)
def test_what_is_wanted(table: str, wanted: Wanted) -> None:
    assert besides.parse_wanted("shop", table) == wanted


def test_a_copy_needs_something_open_and_the_name(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def copy(self: PostgresqlAdapter, opened: Opened, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        asked.append((opened.container.name, wanted.text))
        return {"copied": wanted.text, "kept": "old", "rows": 1, "warnings": []}

    live_rows: list[int | None] = [499, None]
    monkeypatch.setattr(PostgresqlAdapter, "copy", copy)
    monkeypatch.setattr(PostgresqlAdapter, "count", lambda self, opened, wanted: (500, live_rows.pop(0)))
    wanted = Wanted("shop", table="orders")
    with pytest.raises(RefusedError, match="slipway restore --beside"):
        besides.copy(cluster.tools(), wanted, "fleet")
    besides.look(cluster.tools(), before_the_loss(cluster))
    plan = besides.copy(cluster.tools(), wanted, "", plan_only=True)
    assert "copy shop.orders, as it was at 2026-01-01" in plan["plan"][0]
    assert plan["plan"][1] == "500 rows come; the 499 of the live table are kept beside"
    assert (plan["rows"], plan["live_rows"]) == (500, 499)
    plan = besides.copy(cluster.tools(), wanted, "", plan_only=True)
    assert plan["plan"][1] == "500 rows come; there is no live table"
    assert len(besides.copy(cluster.tools(), Wanted("shop"), "", plan_only=True)["plan"]) == 1
    with pytest.raises(RefusedError, match="nothing was named"):
        besides.copy(cluster.tools(), wanted, "")
    with pytest.raises(RefusedError, match="say --service"):
        besides.copy(cluster.tools(), wanted, "fleet", "other")
    assert asked == []
    assert besides.copy(cluster.tools(), wanted, "fleet")["kept"] == "old"
    (server,) = cluster.isolated.values()
    assert asked == [(server.wish.name, "shop.orders")]
    server.running = False
    with pytest.raises(BackupError, match="does not run any more"):
        besides.copy(replace(cluster.tools()), wanted, "fleet")

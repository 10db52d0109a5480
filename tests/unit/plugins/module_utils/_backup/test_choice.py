# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import Choice, choose_for
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    """Three points a day apart, with a transaction an hour after each."""
    cluster = Cluster(World(tmp_path))
    for _day in range(3):
        make_point(cluster.tools(), "scheduled")
        cluster.world.clock += timedelta(hours=1)
        cluster.add("row")
        cluster.world.clock += timedelta(hours=23)
    return cluster


def points(cluster: Cluster) -> list[str]:
    return sorted(cluster.world.points)


def choose(cluster: Cluster, words: str, log: bool = True) -> Choice:
    return choose_for(cluster.tools(log), parse_target(words, cluster.world.clock))


def test_the_newest_point_that_ends_before_the_target(cluster: Cluster) -> None:
    first, second, third = points(cluster)
    assert choose(cluster, "latest").point.name == third
    assert choose(cluster, "now").point.name == third
    assert choose(cluster, "2026-01-02 12:00:00").point.name == second
    assert choose(cluster, "2026-01-01 02:30:00").point.name == first
    # It had begun by then, and was not whole yet.
    assert choose(cluster, f"{cluster.world.points[third].time:%Y-%m-%d %H:%M:%S}Z").point.name == second
    assert choose(cluster, f"xid:{cluster.log[1][2]}").point.name == second
    assert choose(cluster, f"lsn:0/{cluster.log[0][1]:X}").point.name == first
    assert choose(cluster, first).point.name == first


def test_a_point_that_was_never_read_back_is_none_to_begin_from(cluster: Cluster) -> None:
    _first, second, third = points(cluster)
    point = cluster.world.points[third]
    cluster.world.points[third] = type(point)(point.name, point.kind, point.snapshot, False, (), point.parts)
    assert choose(cluster, "now").point.name == second


def test_a_point_from_the_future_is_not_taken_for_the_latest(cluster: Cluster) -> None:
    """It was made by a clock that was wrong, and may hold older data than those that came after it."""
    now = cluster.world.clock
    cluster.world.clock += timedelta(days=400)
    make_point(cluster.tools(), "scheduled")
    cluster.world.clock = now
    with pytest.raises(RefusedError, match="is from the future, by this host's clock"):
        choose(cluster, "latest")
    assert choose(cluster, points(cluster)[-1]).point.name == points(cluster)[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "2025-12-31 23:00:00",
            "is before the end of the oldest good point (point 20260101T020001Z, which is whole from",
        ),
        ("lsn:0/10", "is before the end of the oldest good point"),
        ("xid:3", "is before the end of the oldest good point"),
        ("lsn:FF/0", "position FF/0 is after the log's end; the log is whole from 2026-01-03"),
    ],
)
def test_what_no_point_leads_to_is_refused(cluster: Cluster, words: str, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        choose(cluster, words)
    assert said in str(caught.value)
    assert "UTC" in str(caught.value)


def test_a_target_may_be_of_one_server_alone(cluster: Cluster) -> None:
    """Where a stack has several, a transaction of one says nothing of the others."""
    target = parse_target(f"xid:{cluster.log[1][2]}", cluster.world.clock)
    assert choose_for(cluster.tools(), target, "postgres").point.name == points(cluster)[1]
    with pytest.raises(RefusedError, match="no source of stack fleet keeps a log"):
        choose_for(cluster.tools(), target, "another")


def test_a_place_in_another_kind_of_log(cluster: Cluster) -> None:
    with pytest.raises(RefusedError, match="0-1-2 is no transaction of PostgreSQL; give xid:<number>"):
        choose(cluster, "gtid:0-1-2")
    with pytest.raises(RefusedError, match=r"0-1-2,0-2-3 is no position in its log; give an LSN"):
        choose(cluster, "gtid:0-1-2,0-2-3")


def test_the_covered_range_is_said(cluster: Cluster) -> None:
    with pytest.raises(RefusedError, match=r"covered is what comes after that, to 2026-01-04 02:0\d:\d\d UTC"):
        choose(cluster, "2025-12-31 23:00:00")
    cluster.world.faults["log ends"] = cluster.log[-1][3]
    cluster.world.faults["log remark"] = "a file is missing after 0/3000928"
    with pytest.raises(RefusedError) as caught:
        choose(cluster, "now")
    assert "is after the log's end; the log is whole from 2026-01-03" in str(caught.value)
    assert "to 2026-01-03 03:03" in str(caught.value)
    assert "a file is missing after 0/3000928" in str(caught.value)


def test_without_a_log_only_points_can_be_restored(cluster: Cluster) -> None:
    newest = points(cluster)[-1]
    choice = choose(cluster, "latest", log=False)
    assert choice.point.name == newest
    assert "no log leads on from point" in choice.warnings[0]
    with pytest.raises(RefusedError, match="no log is kept of it"):
        choose(cluster, "now", log=False)


def test_a_point_on_a_branch_that_was_left_is_passed_over(cluster: Cluster) -> None:
    cluster.world.faults["left timelines"] = ()
    first, second, third = points(cluster)
    log = cluster.tools().log
    assert log is not None
    coverage = log.coverage

    class Left:
        def coverage(self, source: object, record: dict[str, object], target: object) -> object:
            return (
                None
                if third in str(record["file"]) or record["end_time"] > "2026-01-03"
                else coverage(
                    source,
                    record,
                    target,  # type: ignore[arg-type]
                )
            )

    tools = cluster.tools()
    tools.log = Left()  # type: ignore[assignment]
    choice = choose_for(tools, parse_target("latest", cluster.world.clock))
    assert (choice.point.name, choice.warnings) == (second, [f"passed over {third}: no log leads on from it"])
    choice = choose_for(tools, parse_target("now", cluster.world.clock))
    assert choice.point.name == second
    assert first < second


def test_a_stack_without_a_database_that_keeps_a_log(tmp_path: Path) -> None:
    world = World(tmp_path)
    make_point(world.tools, "scheduled")
    with pytest.raises(RefusedError, match="no source of stack fleet keeps a log"):
        choose_for(world.tools, parse_target("now", world.clock))

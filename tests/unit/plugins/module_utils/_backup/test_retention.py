# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Point, Retention, point_name
from ansible_collections.slipway.ops.plugins.module_utils._backup.retention import plan_retention

FIRST = datetime(2026, 1, 1, 2, tzinfo=timezone.utc)
NOW = FIRST + timedelta(days=3001)


def point(days: float, kind: str = "scheduled", verified: bool = True) -> Point:
    name = point_name(FIRST + timedelta(days=days))
    return Point(name, kind, f"snapshot-{name}", verified)


def gone(points: list[Point], rules: Retention) -> list[float]:
    return sorted((other.time - FIRST).total_seconds() / 86400 for other in plan_retention(points, rules, NOW).remove)


@pytest.mark.parametrize(
    ("points", "rules", "removed"),
    [
        pytest.param([], Retention(), [], id="nothing"),
        pytest.param([point(day) for day in range(40)], Retention(daily=30), list(range(10)), id="30 days"),
        pytest.param([point(0), point(0.25), point(0.5)], Retention(daily=30), [0, 0.25], id="newest of a day"),
        pytest.param([point(0), point(1), point(400)], Retention(daily=3), [], id="days without a point do not count"),
        pytest.param([point(0), point(3000), point(1)], Retention(daily=2), [0], id="a clock that jumped"),
        pytest.param(
            [point(0)] + [point(day, verified=False) for day in range(1, 15)], Retention(daily=3), [], id="14 bad days"
        ),
        pytest.param([point(0, verified=False), point(1)], Retention(), [0], id="a bad one with a good one after it"),
        pytest.param([point(day, verified=False) for day in range(3)], Retention(daily=1), [], id="none is known good"),
        pytest.param(
            [point(0), point(0.1, "before-restore"), point(1)],
            Retention(daily=30),
            [],
            id="safety points have their place",
        ),
        pytest.param(
            [point(0, "before-restore"), *(point(day) for day in range(1, 4))],
            Retention(daily=3),
            [0],
            id="and go with the days they belong to",
        ),
        pytest.param([point(0), point(1, "before-restore")], Retention(daily=1), [], id="only a safety point is newer"),
        pytest.param(
            [point(0, "before-release"), point(0.1, "before-release"), point(0.5), point(9)],
            Retention(daily=1),
            [0.5],
            id="what a rollback would name stays",
        ),
        pytest.param(
            [point(day, "before-release") for day in range(12)] + [point(20)],
            Retention(daily=1),
            [0, 1],
            id="for as many releases as are kept",
        ),
        pytest.param([point(7 * week) for week in range(6)], Retention(daily=1, weekly=4), [0, 7], id="weekly"),
        pytest.param(
            [point(31 * month) for month in range(5)], Retention(daily=1, monthly=2), [0, 31, 62], id="monthly"
        ),
        pytest.param([point(366 * year) for year in range(4)], Retention(daily=0, yearly=2), [0, 366], id="yearly"),
    ],
)
def test_what_goes(points: list[Point], rules: Retention, removed: list[float]) -> None:
    assert gone(points, rules) == removed


def test_the_newest_good_point_stays_whatever_the_rules() -> None:
    points = [point(day) for day in range(5)]
    plan = plan_retention(points, Retention(daily=0), NOW)
    assert points[-1] not in plan.remove
    assert plan.keep[points[-1].name] == ["newest that was read back"]


def test_all_points_bad() -> None:
    points = [point(day, verified=False) for day in range(400)]
    for rules in (Retention(daily=1), Retention(daily=0, yearly=1)):
        assert plan_retention(points, rules, NOW).remove == ()


@pytest.mark.parametrize("rules", [Retention(daily=1), Retention(daily=3), Retention(daily=0, yearly=1)])
def test_points_of_a_clock_that_ran_ahead_take_nobody_s_place(rules: Retention) -> None:
    """A clock that was years ahead for some days, or somebody who wants the good points to go."""
    now = FIRST + timedelta(days=10)
    real = [point(day) for day in range(10)]
    ahead = [point(day) for day in range(2000, 2040)]
    alone = plan_retention(real, rules, now)
    plan = plan_retention([*real, *ahead], rules, now)
    assert set(alone.keep) <= set(plan.keep)
    assert real[-1].name in plan.keep
    assert not [other for other in plan.remove if other in ahead]
    # While the clock of this host is ahead, or far behind, nothing else is lost either.
    for wrong in (FIRST + timedelta(days=2050), FIRST - timedelta(days=9000)):
        assert plan_retention([*real, *ahead], Retention(daily=50), wrong).remove == ()


def test_what_is_needed_stays_whatever_the_rules() -> None:
    points = [point(day) for day in range(5)]
    plan = plan_retention(points, Retention(daily=1), NOW, {points[1].name})
    assert plan.keep[points[1].name] == ["a release names it"]
    assert plan.remove == (points[3], points[2], points[0])


def test_every_point_is_kept_for_a_reason_or_removed() -> None:
    points = [point(day / 3, verified=day % 4 != 0) for day in range(100)]
    plan = plan_retention(points, Retention(daily=5, weekly=2), NOW)
    assert set(plan.keep) | {other.name for other in plan.remove} == {other.name for other in points}
    assert not set(plan.keep) & {other.name for other in plan.remove}
    assert all(plan.keep.values())

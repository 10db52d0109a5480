# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Point, Retention, point_name
from ansible_collections.slipway.ops.plugins.module_utils._backup.retention import plan_retention

FIRST = datetime(2026, 1, 1, 2, tzinfo=timezone.utc)


def point(days: float, kind: str = "scheduled", verified: bool = True) -> Point:
    name = point_name(FIRST + timedelta(days=days))
    return Point(name, kind, f"snapshot-{name}", verified)


def gone(points: list[Point], rules: Retention) -> list[float]:
    return sorted((other.time - FIRST).total_seconds() / 86400 for other in plan_retention(points, rules).remove)


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
    plan = plan_retention(points, Retention(daily=0))
    assert points[-1] not in plan.remove
    assert plan.keep[points[-1].name] == ["newest that was read back"]


def test_every_point_is_kept_for_a_reason_or_removed() -> None:
    points = [point(day / 3, verified=day % 4 != 0) for day in range(100)]
    plan = plan_retention(points, Retention(daily=5, weekly=2))
    assert set(plan.keep) | {other.name for other in plan.remove} == {other.name for other in points}
    assert not set(plan.keep) & {other.name for other in plan.remove}
    assert all(plan.keep.values())

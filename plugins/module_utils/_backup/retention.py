# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which recovery points may go.

The rules look at points, not at the clock: days without a point are not counted, so a clock that jumps or weeks of
failed backups never make the good ones old. Only points that were read back fill a place; the newest of them always
stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_BEFORE_RELEASE,
    KIND_MANUAL,
    KIND_SCHEDULED,
    Catalogue,
    Point,
    Retention,
    point_name,
)

PERIODS = (("daily", "%Y-%m-%d"), ("weekly", "%G-W%V"), ("monthly", "%Y-%m"), ("yearly", "%Y"))
# A point made before a restore or a release must not push out the same day's regular one: it has its own place.
REGULAR_KINDS = (KIND_SCHEDULED, KIND_MANUAL)
# As many as releases are kept on a host for the way back: a rollback names these points.
RELEASE_POINTS = 10
# How far the clocks of two hosts may be apart.
AHEAD = timedelta(days=1)


@dataclass(frozen=True)
class RetentionPlan:
    """Why each kept point is kept, and which points go."""

    keep: dict[str, list[str]] = field(default_factory=dict)
    remove: tuple[Point, ...] = ()


def plan_for(catalogue: Catalogue, rules: Retention, now: datetime, needed: Collection[str] = ()) -> RetentionPlan:
    """Decide about every point of a repository. Nothing goes when the list of them may be a short one."""
    if not catalogue.whole:
        return RetentionPlan({point.name: ["not every snapshot could be read"] for point in catalogue.points})
    return plan_retention(catalogue.points, rules, now, needed)


def plan_retention(
    points: Iterable[Point], rules: Retention, now: datetime, needed: Collection[str] = ()
) -> RetentionPlan:
    """Decide about every point of a stack. `needed` are the points that its releases name for the way back."""
    newest_first = sorted(points, key=lambda point: point.name, reverse=True)
    verified = [point for point in newest_first if point.verified]
    if not verified:
        # Nothing here is known to be good: removing any of it could remove the only usable one.
        return RetentionPlan({point.name: ["no point was read back yet"] for point in newest_first})
    # What bears a time that has not come was made by a clock that ran ahead, or by somebody who wants good points to
    # go. It takes nobody's place, and stays until its time has come.
    latest = point_name(now + AHEAD)
    ahead = [point.name for point in newest_first if point.name > latest]
    keep: dict[str, list[str]] = {name: ["its time has not come: see the host's clock"] for name in ahead}
    good = [point for point in verified if point.name not in keep]
    for found in dict.fromkeys((verified[0], *good[:1])):
        keep.setdefault(found.name, []).append("newest that was read back")
    regular = [point for point in good if point.kind in REGULAR_KINDS]
    for period, pattern in PERIODS:
        seen: list[str] = []
        for point in regular:
            label = point.time.strftime(pattern)
            if label in seen:
                continue
            if len(seen) == getattr(rules, period):
                break
            seen.append(label)
            keep.setdefault(point.name, []).append(f"{period} {label}")
    oldest_kept = min(keep)
    for point in [point for point in good if point.kind == KIND_BEFORE_RELEASE][:RELEASE_POINTS]:
        keep.setdefault(point.name, []).append("for the way back from a release")
    for point in newest_first:
        if point.name in needed:
            keep.setdefault(point.name, []).append("a release names it")
        if point.kind not in REGULAR_KINDS and point.verified and point.name >= oldest_kept:
            keep.setdefault(point.name, []).append(point.kind)
        elif not point.verified and (not good or point.name > good[0].name):
            keep.setdefault(point.name, []).append("nothing newer was read back")
    return RetentionPlan(keep, tuple(point for point in newest_first if point.name not in keep))

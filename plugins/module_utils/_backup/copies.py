# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every further repository gets the points of the primary, and counts only what was read back from itself.

A copy is made after the point is good in the primary, from there, and never touches it. What could not be copied is
copied by the next backup: what is missing is asked of the repositories, and not remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Point, Retention
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import prove
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.retention import plan_retention
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools


def missing(
    source: Iterable[Point], held: Iterable[Point], rules: Retention, now: datetime, needed: Collection[str] = ()
) -> list[Point]:
    """The good points that a repository should have and has not, the newest first: what its own retention would let go
    at once is not copied to it."""
    present = {point.name: point for point in held if point.verified}
    wanted = {point.name: point for point in source if point.verified and point.name not in present}
    keep = plan_retention([*present.values(), *wanted.values()], rules, now, needed).keep
    return [wanted[name] for name in sorted(wanted, reverse=True) if name in keep]


def bring_up(tools: Tools, other: Repository, needed: Collection[str] = ()) -> list[str]:
    """Copy what another repository lacks, and prove each point there; returns the names of the points. The caller holds
    the lease."""
    source = tools.repository.points()
    done = []
    for point in missing(source, other.points(), other.settings.retention, tools.host.now(), needed):
        tools.progress(f"copying point {point.name} to repository {other.name}")
        # One point after the other: a copy that ends early has brought whole points, the newest first. Its parts come
        # before it, and one that came without them is not good.
        other.copy_from(tools.repository, [*(part.snapshot for part in point.parts), point.snapshot])
        copied = _find(other.points(), point.name, other)
        tools.progress(f"reading point {point.name} back from repository {other.name}")
        prove(tools.of(other), copied)
        done.append(point.name)
    return done


def _find(points: Sequence[Point], name: str, other: Repository) -> Point:
    for point in points:
        if point.name == name:
            return point
    raise BackupError(
        f"repository {other.name}: point {name} was copied and is not there; look for a rule that deletes there"
    )

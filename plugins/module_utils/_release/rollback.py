# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: which release was the last good one before this, and what going there does not bring back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import routes

SUCCEEDED = "succeeded"
REMOVED = "removed"
Record = Mapping[str, Any]


class RollbackRefused(Exception):
    """There is no way back, or not by itself; one line with the reason and the remedy."""


@dataclass(frozen=True)
class Target:
    """Where to go back to, from which release, and what people should know."""

    kept: Kept
    current: int
    notes: tuple[str, ...] = ()


def choose(stack: str, history: Sequence[Record], kept: Callable[[int], Kept | None], wanted: int | None) -> Target:
    """The release `wanted`, or else the last good one that differs from what serves now."""
    good = [record for record in history if record.get("outcome") == SUCCEEDED]
    if not good:
        raise RollbackRefused(
            f"stack {stack}: no release of it succeeded on this host, so there is nothing to go back to"
        )
    if history[-1].get("outcome") == REMOVED:
        raise RollbackRefused(f"stack {stack}: it was removed from this host; run deploy.yml to have it again")
    current = good[-1]
    now = kept(int(current["release"]))
    found = _wanted(stack, history, kept, wanted) if wanted is not None else _last_good(stack, good, kept, now)
    if now is not None and routes(now.model) != routes(found.model):
        raise RollbackRefused(
            f"stack {stack}: release {found.release} has other routes than release {now.release}, and nginx's sites "
            "come from the inventory; put the older Compose file there and run deploy.yml"
        )
    return Target(found, int(current["release"]), _notes(stack, history, found.release))


def _wanted(stack: str, history: Sequence[Record], kept: Callable[[int], Kept | None], wanted: int) -> Kept:
    record = next((record for record in history if record.get("release") == wanted), None)
    if record is None:
        raise RollbackRefused(f"stack {stack}: there is no release {wanted}; see: slipway status {stack}")
    if record.get("outcome") != SUCCEEDED:
        reason = record.get("reason") or "no reason recorded"
        raise RollbackRefused(
            f"stack {stack}: release {wanted} {record.get('outcome')} ({reason}); "
            f"go back to one that succeeded, see: slipway status {stack}"
        )
    found = kept(wanted)
    if found is None:
        raise RollbackRefused(
            f"stack {stack}: release {wanted} is not kept any more; release its version by the inventory"
        )
    return found


def _last_good(stack: str, good: Sequence[Record], kept: Callable[[int], Kept | None], now: Kept | None) -> Kept:
    # Whoever went back from 5 to 3 and goes back again does not want 4 or 5.
    before = int(good[-1].get("back_to") or good[-1]["release"])
    for record in reversed(good):
        number = int(record["release"])
        if number >= before or record.get("back_to"):
            continue
        found = kept(number)
        if found is not None and (now is None or not found.same_as(now)):
            return found
    raise RollbackRefused(
        f"stack {stack}: no good release before {before} is kept on this host; release a version by the inventory"
    )


def _notes(stack: str, history: Sequence[Record], target: int) -> tuple[str, ...]:
    """A rollback leaves the data: which migrations stay, and what undoing them would cost."""
    notes: list[str] = []
    for record in history:
        number = int(record.get("release", 0))
        if number <= target or not record.get("migrated"):
            continue
        services = ", ".join(record["migrated"])
        note = f"release {number} migrated the data of {services}, and that stays"
        point = record.get("recovery_point")
        if point:
            note += (
                f"; to undo it as well: slipway restore --stack {stack} --point {point} --confirm {stack}, "
                f"which discards everything written since {record.get('started')}"
            )
        notes.append(note)
    return tuple(notes)

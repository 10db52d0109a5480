# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: which release was the last good one before this, and what going there does not bring back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.engine import FINISH
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import routes
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

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


def serving(journal: Record | None, kept: Callable[[int], Kept | None], deployed: Mapping[str, Any] | None) -> Any:
    """The model that serves: the one on record, unless a release died in its end before it was."""
    ending = kept(int(journal["release"])) if journal and journal.get("phase") == FINISH else None
    return ending.model if ending is not None else deployed


def choose(
    stack: str,
    history: Sequence[Record],
    kept: Callable[[int], Kept | None],
    wanted: int | None,
    deployed: Mapping[str, Any] | None = None,
) -> Target:
    """The release `wanted`, or else the last good one that differs from what serves now, the model `deployed`."""
    good = [record for record in history if record.get("outcome") == SUCCEEDED]
    if not good:
        raise RollbackRefused(
            f"stack {stack}: no release of it succeeded on this host, so there is nothing to go back to"
        )
    if history[-1].get("outcome") == REMOVED:
        raise RollbackRefused(f"stack {stack}: it was removed from this host; run deploy.yml to have it again")
    current = int(good[-1]["release"])
    now = kept(current)
    serves = now.model if now is not None else None
    if deployed is not None and serves is not None and deployed != serves:
        # What serves was never found good, so the last good one is where to go.
        current, serves = int(history[-1]["release"]), deployed
    if wanted is not None:
        found = _wanted(stack, history, kept, wanted)
    elif now is not None and serves is not now.model:
        found = now
    else:
        found = _last_good(stack, good, kept, now)
    if serves is not None:
        _require_alike(stack, found, serves, current)
    return Target(found, current, _notes(stack, history, found.release))


def _require_alike(stack: str, found: Kept, serves: Mapping[str, Any], current: int) -> None:
    """What other parts of the system were told of the release that serves must fit the one that comes back."""
    if routes(serves) != routes(found.model):
        raise RollbackRefused(
            f"stack {stack}: release {found.release} has other routes than release {current}, and nginx's sites "
            "come from the inventory; put the older Compose file there and run deploy.yml"
        )
    if _alone(serves) != _alone(found.model):
        raise RollbackRefused(
            f"stack {stack}: release {found.release} has what runs exactly once on other hosts than release {current}; "
            "put the older placement into the inventory and run deploy.yml"
        )


def _alone(model: Mapping[str, Any]) -> tuple[list[str], dict[str, str]]:
    """The services that run exactly once here, and those that do so on other hosts."""
    stack = Stack(model)
    return sorted(name for name, service in stack.services.items() if service.single), dict(stack.elsewhere)


def _wanted(stack: str, history: Sequence[Record], kept: Callable[[int], Kept | None], wanted: int) -> Kept:
    record = next((record for record in reversed(history) if record.get("release") == wanted), None)
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

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack's logs put together from their parts, for the host program and other jobs on the stack."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    STACK_NAME,
    Place,
    RefusedError,
    UsageError,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Engine
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace, parse_log_settings
from ansible_collections.slipway.ops.plugins.module_utils._log.shelves import Shelf, WaitingShelf
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools
from ansible_collections.slipway.ops.plugins.module_utils._log.store import Access, Store
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def tools_for(stack: str, say: Callable[[str], None]) -> LogTools:
    """The tools of a stack whose backup is set up on this host."""
    if not STACK_NAME.match(stack):
        raise UsageError(f"stack {stack!r}: is not a name of a stack")
    place = Place(stack)
    document = files.read_json(LogPlace(place).settings)
    if document is None:
        raise RefusedError(
            f"{LogPlace(place).settings}: is missing, so no log of stack {stack} is followed here; run the play with"
            " the role backup, with backup_log_enabled: true and a database among its sources"
        )
    return LogTools(parse_log_settings(document, place), LogPlace(place), Engine(), say=say)


def stores_for(tools: LogTools) -> dict[str, Store]:
    """The logs in each of the stack's repositories, by the repository's name."""
    return {item.name: Store(Access(item, tools.place.known_hosts(item.name))) for item in tools.settings.repositories}


def shelves_for(tools: LogTools, key: str, repository: str = "") -> list[Shelf]:
    """Where a source's objects are: those that wait here, then those in a repository, the first unless another is
    named. The others are not asked: one that cannot be reached must not stand in the way."""
    outgoing = f"{tools.place.source(key)}/outgoing"
    waiting: list[Shelf] = [WaitingShelf(f"{outgoing}/{item.name}") for item in tools.settings.repositories]
    stores = stores_for(tools)
    return [*waiting, stores.get(repository) or next(iter(stores.values()))]


def present_lineage(place: LogPlace, key: str) -> Lineage | None:
    """The lineage that a source's server writes now; None when it was not followed yet. A recovery point notes it: only
    this lineage's log goes on from there."""
    state = files.read_json(f"{place.source(key)}/state.json")
    name = state.get("lineage") if isinstance(state, dict) else None
    return Lineage.named(place.place.stack, key, str(name)) if name else None

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
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools
from ansible_collections.slipway.ops.plugins.module_utils._log.store import Access, Store
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def tools_for(stack: str, say: Callable[[str], None]) -> LogTools:
    """The tools of a stack whose backup is set up on this host."""
    if not STACK_NAME.match(stack):
        raise UsageError(f"stack {stack!r}: is not a name of a stack")
    place = Place(stack)
    document = files.read_json(place.settings)
    if document is None:
        raise RefusedError(f"{place.settings}: is missing; run the play with the role backup for stack {stack}")
    return LogTools(parse_log_settings(document, place), LogPlace(place), Engine(), say=say)


def stores_for(tools: LogTools) -> dict[str, Store]:
    """The logs in each of the stack's repositories, by the repository's name."""
    return {item.name: Store(Access(item, tools.place.known_hosts(item.name))) for item in tools.settings.repositories}


def present_lineage(place: LogPlace, key: str) -> Lineage | None:
    """The lineage that a source's server writes now; None when it was not followed yet. A recovery point notes it: only
    this lineage's log goes on from there."""
    state = files.read_json(f"{place.source(key)}/state.json")
    name = state.get("lineage") if isinstance(state, dict) else None
    return Lineage.named(place.place.stack, key, str(name)) if name else None

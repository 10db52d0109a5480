# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The end of a colour that stood for the way back: its time is over, and no release has ended it before."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseError, lease
from ansible_collections.slipway.ops.plugins.module_utils._release.container import host_files
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import parse_container
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

OWNER = "end of the old colour"


class Gateway(Protocol):
    def containers(self, stack: str) -> list[dict[str, Any]]: ...
    def stop_all(self, containers: Iterable[tuple[str, str, int]]) -> None: ...
    def remove(self, container: str, name: str) -> None: ...


def retire(name: str, gateway: Gateway, places: Places) -> list[str]:
    """Stop and remove the containers of the stack whose time is over; their names. Nothing while a job is at work."""
    records = Records(name, places.stacks, places.state)
    if not _over(records):
        return []
    try:
        with lease(name, OWNER, wait_seconds=0, directory=places.leases):
            return _end(name, records, gateway)
    except LeaseError:
        return []


def _over(records: Records) -> set[str]:
    return {key for key, until in records.standing().items() if until <= time.time()}


def _end(name: str, records: Records, gateway: Gateway) -> list[str]:
    over, model = _over(records), records.model()
    going = [each for each in map(parse_container, gateway.containers(name)) if each.id in over]
    services = Stack(model).services if model else {}
    gateway.stop_all(
        (each.id, each.name, services[each.service].stop_grace_whole if each.service in services else 30)
        for each in going
        if each.alive
    )
    for each in going:
        gateway.remove(each.id, each.name)
    left = {key: until for key, until in records.standing().items() if key not in over}
    records.write_standing(left)
    if model and not left:
        records.collect_files(host_files(Stack(model)))
    return [each.name for each in going]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on the whole host, while no job on any of its stacks is under way."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import Lease, LeaseError, lease
from ansible_collections.slipway.ops.plugins.module_utils._release import records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places

LEASE_SECONDS = 300


class Busy(LeaseError):
    """A job on a stack is under way."""

    exit_status = 4


@contextlib.contextmanager
def all_stacks(owner: str, places: Places, wait_seconds: float) -> Iterator[list[Lease]]:
    """Hold the lease of every stack on this host."""
    held: list[Lease] = []
    with contextlib.ExitStack() as ends:
        for name in records.stacks(places.stacks):
            try:
                held.append(
                    ends.enter_context(lease(name, owner, LEASE_SECONDS, wait_seconds, places.leases, steers=False))
                )
            except LeaseError as error:
                raise Busy(str(error)) from error
        yield held

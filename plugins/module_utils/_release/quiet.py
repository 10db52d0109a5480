# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on the whole host, while no job on any of its stacks is under way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import Lease, LeaseError, lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.records import cluster_stacks
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState
from ansible_collections.slipway.ops.plugins.module_utils._release import records
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places

LEASE_SECONDS = 120.0  # well below what jobs wait for a lease, so that one of them sees a dead holder's end


class Busy(LeaseError):
    """A job on a stack is under way."""

    exit_status = 4


@contextlib.contextmanager
def all_stacks(
    owner: str,
    places: Places,
    wait_seconds: float,
    swarm: Callable[[], RaftGateway] | None = None,
) -> Iterator[list[Lease]]:
    """Hold the lease of every stack on this host; with `swarm`, on a manager, also of those on its Swarm."""
    held: list[Lease] = []
    with contextlib.ExitStack() as ends:
        for state in _states(swarm) if swarm else ():
            try:
                held.append(ends.enter_context(cluster_lease(state, owner, LEASE_SECONDS, wait_seconds)))
            except (LeaseError, EngineError) as error:
                raise Busy(str(error)) from error
        for name in records.stacks(places.stacks):
            try:
                held.append(
                    ends.enter_context(lease(name, owner, LEASE_SECONDS, wait_seconds, places.leases, steers=False))
                )
            except LeaseError as error:
                raise Busy(str(error)) from error
        yield held


def _states(connect: Callable[[], RaftGateway]) -> list[ClusterState]:
    """Of the Swarm's stacks. Without an engine, on a worker and without a quorum nothing is released from here."""
    try:
        gateway = connect()
        return [ClusterState(gateway, name) for name in (cluster_stacks(gateway) if gateway.node_id() else ())]
    except EngineError:
        return []

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of a stack on a Swarm: one for all its nodes, in the stack's state object.

The semantics are those of `_lease`. Clocks of other nodes are not trusted: a holder elsewhere is taken over when its
heartbeat did not change for its TTL by our own clock, a holder that died on this node at once.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import Lease, boot_id, claim, holder_died
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import LEASE, ClusterState, Labels, packed, plain
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError


class _Slot:
    """The lease's record among the state's labels."""

    def __init__(self, state: ClusterState, patience_seconds: float | None = None) -> None:
        self._state = state
        self._patience = patience_seconds

    def exchange(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        def in_labels(labels: dict[str, str]) -> Labels:
            return {**labels, LEASE: packed(edit(plain(labels, LEASE) or {}))}

        self._state.change(in_labels, self._patience)


class ClusterLease(Lease):
    passing = (OSError, EngineError)

    def check(self) -> None:
        """By a write: a read could come from the memory of a manager that lost its quorum."""
        self.renew()

    def leave_until_reboot(self, owner: str, ttl_seconds: float) -> None:
        """Only until the end of the block: the Swarm goes on meanwhile, and no other node could tell the boot."""


class _Watcher:
    """Whether a record is of nobody any more, as seen from this node."""

    def __init__(self, node: str, clock: Callable[[], float]) -> None:
        self._node = node
        self._clock = clock
        self._seen: tuple[Any, ...] = ()
        self._since = 0.0

    def is_free(self, record: dict[str, Any]) -> bool:
        if not record.get("owner"):
            return True
        if record.get("node") == self._node and holder_died(record, boot_id()):
            return True
        seen = (record.get("fencing"), record.get("heartbeat"))
        if seen != self._seen:
            self._seen, self._since = seen, self._clock()
        return self._clock() - self._since > float(record["ttl_seconds"])


def cluster_holder(state: ClusterState) -> dict[str, Any] | None:
    """The record of the holder, unless it is known to be dead. Reads only."""
    record = plain(state.read(), LEASE) or {}
    return None if _Watcher(state.gateway.node_id(), time.monotonic).is_free(record) else record


@contextlib.contextmanager
def cluster_lease(
    state: ClusterState,
    owner: str,
    ttl_seconds: float = 300,
    wait_seconds: float = 0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Lease]:
    """The block runs as the stack's only job in the whole Swarm, and only in it `state.write` goes through."""
    node = state.gateway.node_id()
    held = claim(
        _Slot(state),
        state.stack,
        owner,
        ttl_seconds,
        wait_seconds,
        _Watcher(node, clock).is_free,
        ClusterLease,
        {"node": node, "host": socket.gethostname()},
    )
    state.held = held.record
    try:
        yield held
    finally:
        state.held = None
        # Without a quorum it stays ours on paper; our end is seen at once on this node, after the TTL elsewhere.
        with contextlib.suppress(EngineError):
            held.release()

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState

from .fake import Clock, Raft


@pytest.fixture
def raft() -> Raft:
    return Raft()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(raft: Raft, clock: Clock) -> ClusterState:
    return ClusterState(raft.gateway(), "t", clock=clock)

"""Work on a whole host waits for the jobs on its stacks, and on those of its Swarm."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import holder
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_holder, cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.records import ClusterRecords
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import Busy, all_stacks
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places

from .._raft.fake import Raft


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(str(tmp_path / "etc"), str(tmp_path / "var"), str(tmp_path / "lease"), str(tmp_path / "nginx"))
    Records("here", found.stacks, found.state).write_deployed({}, {})
    return found


@pytest.fixture
def state() -> ClusterState:
    found = ClusterState(Raft().gateway(), "there")
    with cluster_lease(found, "release"):
        ClusterRecords(found).write_deployed({}, {})
    return found


def test_stacks_of_both_kinds_are_held(places: Places, state: ClusterState) -> None:
    with all_stacks("upgrade", places, 0, lambda: state.gateway) as leases:  # type: ignore[arg-type,return-value]
        assert len(leases) == 2
        assert (cluster_holder(state) or {})["owner"] == "upgrade"
        assert (holder("here", places.leases) or {})["owner"] == "upgrade"
    assert not (cluster_holder(state) or {}).get("owner")


def test_a_release_on_the_swarm_is_waited_for(places: Places, state: ClusterState) -> None:
    other = ClusterState(state.gateway, "there")
    with (
        cluster_lease(other, "release of there"),
        pytest.raises(Busy, match="held by release of there"),
        all_stacks("upgrade", places, 0, lambda: state.gateway),  # type: ignore[arg-type,return-value]
    ):
        pytest.fail("it was not waited for")


def test_a_host_without_an_engine_has_its_own_stacks(places: Places) -> None:
    def missing() -> None:
        raise EngineMissing("no engine")

    with all_stacks("upgrade", places, 0, missing) as leases:  # type: ignore[arg-type]
        assert len(leases) == 1

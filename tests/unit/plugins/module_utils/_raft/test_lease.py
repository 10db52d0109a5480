from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease import lease as leases
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseHeld, LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import Unavailable
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_holder, cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import JOURNAL, LEASE, ClusterState

from .fake import Clock, Raft


def record(state: ClusterState) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(state.read()[LEASE])
    return found


def hold_elsewhere(raft: Raft, **changes: Any) -> None:
    """A record as a job on node n2 left it."""
    value = {
        "name": "t",
        "owner": "release 3",
        "node": "n2",
        "host": "two",
        "pid": 7,
        "process_start": 1,
        "boot_id": "b",
        "since": 0.0,
        "heartbeat": 5.0,
        "ttl_seconds": 60,
        "fencing": 3,
        **changes,
    }
    ClusterState(raft.gateway("n2"), "t").change(lambda labels: {**labels, LEASE: json.dumps(value)})


def test_one_on_the_whole_swarm(raft: Raft, state: ClusterState) -> None:
    other = ClusterState(raft.gateway("n2"), "t")
    with cluster_lease(state, "release 7") as held:
        assert held.fencing == 1
        held.check()
        found = cluster_holder(other)
        assert found is not None
        assert found["owner"] == "release 7"
        with (
            pytest.raises(LeaseHeld, match=r"lease t: held by release 7 \(process \d+ on .*\) since .*, so backup can"),
            cluster_lease(other, "backup"),
        ):
            pass
    assert cluster_holder(other) is None
    with cluster_lease(other, "backup") as held:
        assert held.fencing == 2


def test_the_holder_is_waited_for(raft: Raft, state: ClusterState) -> None:
    other = ClusterState(raft.gateway("n2"), "t")
    done = threading.Event()

    def hold() -> None:
        with cluster_lease(other, "release 1"):
            done.set()
            time.sleep(0.3)

    thread = threading.Thread(target=hold)
    thread.start()
    done.wait()
    with cluster_lease(state, "release 2", wait_seconds=10) as held:
        assert held.fencing == 2
    thread.join()


def test_of_two_that_want_it_at_once_one_gets_it(raft: Raft) -> None:
    got: list[str] = []
    at_work = []

    def work(node: str) -> None:
        with cluster_lease(ClusterState(raft.gateway(node), "t"), node, wait_seconds=30):
            at_work.append(node)
            assert at_work == [node]
            time.sleep(0.02)
            at_work.remove(node)
            got.append(node)

    threads = [threading.Thread(target=work, args=(f"n{number}",)) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(got) == ["n0", "n1", "n2", "n3"]
    assert record(ClusterState(raft.gateway(), "t"))["fencing"] == 4


def test_taken_over_when_the_heartbeat_stands_still(raft: Raft, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Whatever the clock of the other node said: its heartbeat may lie in our future or far in our past."""
    hold_elsewhere(raft, heartbeat=9e12)
    monkeypatch.setattr(leases.time, "sleep", clock.sleep)
    monkeypatch.setattr(leases.time, "monotonic", clock.monotonic)
    mine = ClusterState(raft.gateway("n1"), "t")
    with cluster_lease(mine, "release 4", ttl_seconds=3600, wait_seconds=300, clock=clock.monotonic) as held:
        assert held.fencing == 4
    assert 1060 < clock.now < 1063


def test_a_heart_that_beats_is_not(raft: Raft, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    hold_elsewhere(raft)
    real = clock.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        hold_elsewhere(raft, heartbeat=5.0 + clock.now // 30)

    monkeypatch.setattr(leases.time, "sleep", sleep)
    monkeypatch.setattr(leases.time, "monotonic", clock.monotonic)
    mine = ClusterState(raft.gateway("n1"), "t")
    with (
        pytest.raises(LeaseHeld, match="held by release 3"),
        cluster_lease(mine, "release 4", wait_seconds=300, clock=clock.monotonic),
    ):
        pass


def test_who_died_on_this_node_is_taken_over_at_once(raft: Raft) -> None:
    hold_elsewhere(raft)
    with cluster_lease(ClusterState(raft.gateway("n2"), "t"), "release 4") as held:
        assert held.fencing == 4


def test_a_reboot_does_not_keep_the_others_from_going_on(raft: Raft, state: ClusterState) -> None:
    """No other node could tell when this one has booted."""
    with cluster_lease(ClusterState(raft.gateway("n2"), "t"), "upgrade", 60) as held:
        held.leave_until_reboot("reboot after the upgrade", 600)
    with cluster_lease(state, "the next one"):
        assert record(state)["owner"] == "the next one"


def test_an_overtaken_holder_writes_nothing_more(raft: Raft, state: ClusterState) -> None:
    with cluster_lease(state, "release 1") as held:
        state.write({JOURNAL: '{"phase":"start"}'})
        # Between its reading and its writing another one takes over.
        raft.write_meets = lambda: hold_elsewhere(raft)
        with pytest.raises(LeaseLost, match="lost to release 3"):
            state.write({JOURNAL: '{"phase":"switch"}'})
        with pytest.raises(LeaseLost):
            held.check()
    assert state.read()[JOURNAL] == '{"phase":"start"}'
    assert record(state)["owner"] == "release 3"


def test_the_heart_beats(raft: Raft, state: ClusterState) -> None:
    with cluster_lease(state, "release 1", ttl_seconds=0.2):
        first = record(state)["heartbeat"]
        time.sleep(0.3)
        assert record(state)["heartbeat"] > first


def test_a_check_needs_the_quorum(raft: Raft, clock: Clock) -> None:
    """The memory of a manager that is cut off still says that the lease is ours."""
    state = ClusterState(raft.gateway(), "t", patience_seconds=1, clock=clock)
    with cluster_lease(state, "release 1") as held:
        raft.quorum = False
        with pytest.raises(Unavailable):
            held.check()
    raft.quorum = True
    assert record(state)["owner"] == "release 1"


def test_an_attempt_that_seemed_to_fail_had_come_through(
    raft: Raft, state: ClusterState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.change(lambda labels: labels)
    real = state.gateway.update_config

    def cut_off(*arguments: Any) -> None:
        monkeypatch.setattr(state.gateway, "update_config", real)
        real(*arguments)
        raise Unavailable("config: node lost leader status")

    monkeypatch.setattr(state.gateway, "update_config", cut_off)
    with cluster_lease(state, "release 1") as held:
        assert held.fencing == 1
        held.check()


def test_seen_by_status(raft: Raft, state: ClusterState) -> None:
    hold_elsewhere(raft)
    assert cluster_holder(state) is not None
    assert cluster_holder(ClusterState(raft.gateway("n2"), "t")) is None

from __future__ import annotations

import re
import threading

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import Conflict, Unavailable
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import (
    JOURNAL,
    STATE_LABEL,
    ClusterState,
    Labels,
    object_name,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

from .fake import Clock, Raft


def test_names_are_those_that_docker_takes() -> None:
    assert object_name("fleet") == "slipway-fleet"
    assert object_name("fleet", "release-7") == "slipway-fleet-release-7"
    assert re.fullmatch(r"slipway-[0-9a-f]{16}", object_name("ends-with-"))
    assert re.fullmatch(r"slipway-[0-9a-f]{16}-release-7", object_name("x" * 60, "release-7"))
    assert object_name("x" * 60) != object_name("x" * 61)


def test_created_when_missing_and_changed_in_one_step(state: ClusterState) -> None:
    assert state.read() == {}
    state.change(lambda labels: {**labels, "a": "1"})
    state.change(lambda labels: {**labels, "b": "2"})
    assert state.read() == {"a": "1", "b": "2", STATE_LABEL: "t"}


def test_what_does_not_change_is_not_written(raft: Raft, state: ClusterState) -> None:
    state.change(lambda labels: {**labels, "a": "1"})
    before = raft.writes
    state.change(lambda labels: labels)
    assert raft.writes == before


def test_two_create_it_at_once(raft: Raft, state: ClusterState) -> None:
    other = ClusterState(raft.gateway("n2"), "t")
    raft.write_meets = lambda: other.change(lambda labels: {**labels, "b": "2"})
    state.change(lambda labels: {**labels, "a": "1"})
    assert state.read() == {"a": "1", "b": "2", STATE_LABEL: "t"}


def test_many_writers_lose_nothing(raft: Raft) -> None:
    def count() -> None:
        mine = ClusterState(raft.gateway(), "t")

        def more(labels: dict[str, str]) -> Labels:
            return {**labels, "n": str(int(labels.get("n", "0")) + 1)}

        for _each in range(20):
            mine.change(more)

    threads = [threading.Thread(target=count) for _each in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert ClusterState(raft.gateway(), "t").read()["n"] == "120"


def test_who_always_comes_second_gives_up(raft: Raft, state: ClusterState, monkeypatch: pytest.MonkeyPatch) -> None:
    def second(*_arguments: object) -> None:
        raise Conflict("update out of sequence")

    state.change(lambda labels: labels)
    monkeypatch.setattr(state.gateway, "update_config", second)
    with pytest.raises(EngineError, match="stack t: 100 writes in a row came second"):
        state.change(lambda labels: {**labels, "a": "1"})


def test_a_new_leader_is_waited_for(raft: Raft, state: ClusterState, clock: Clock) -> None:
    raft.quorum = False
    real = clock.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        raft.quorum = clock.now >= 1010

    clock.sleep = sleep  # type: ignore[method-assign]
    state.change(lambda labels: {**labels, "a": "1"})
    assert state.read()["a"] == "1"
    assert 1010 <= clock.now < 1012


def test_but_not_for_ever(raft: Raft, state: ClusterState, clock: Clock) -> None:
    raft.quorum = False
    with pytest.raises(Unavailable):
        state.change(lambda labels: {**labels, "a": "1"})
    assert 1030 <= clock.now < 1032


def test_only_the_holder_of_the_lease_writes(raft: Raft, state: ClusterState) -> None:
    with pytest.raises(LeaseLost, match="lease t: lost to another job; nothing more is changed"):
        state.write({JOURNAL: "{}"})
    with cluster_lease(state, "release 1"):
        state.write({JOURNAL: "{}"})
        other = ClusterState(raft.gateway("n2"), "t")
        with pytest.raises(LeaseLost, match=r"lost to release 1 \(process \d+ on .*\) since"):
            other.write({JOURNAL: None})
        assert state.read()[JOURNAL] == "{}"
        state.write({JOURNAL: None})
        assert JOURNAL not in state.read()
    with pytest.raises(LeaseLost):
        state.write({JOURNAL: "{}"})

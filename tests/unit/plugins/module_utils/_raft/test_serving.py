from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer, Tally
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import (
    PROXY_LABEL,
    Following,
    Serving,
    merged,
    report_label,
)
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

from .fake import Clock, Raft


@pytest.fixture
def serving(raft: Raft, state: ClusterState, clock: Clock) -> Iterator[Serving]:
    with cluster_lease(state, "release 1"):
        yield Serving(state, raft.gateway(), clock)


def say(raft: Raft, node: str, **said: Any) -> None:
    raft.nodes[node]["Spec"]["Labels"][report_label("t")] = json.dumps(said)


def test_each_change_is_a_generation(serving: Serving, state: ClusterState) -> None:
    assert serving.wish().generation == 0
    assert serving.current() == {}
    assert serving.set({"web": {"id1": 1}}) == 1
    assert serving.set({"web": {"id1": 1}}) == 1
    share = {"web": Following(("id2",), 0.1, salt="7", cookie="try=yes")}
    assert serving.set({"web": {"id1": 1, "id2": 1}}, share, judging="7-10") == 2
    assert serving.current() == {"web": {"id1": 1, "id2": 1}}
    wish = Serving(ClusterState(state.gateway, "t"), serving._nodes).wish()
    assert (wish.generation, wish.following, wish.judging) == (2, share, "7-10")
    assert serving.set({"web": {"id2": 1}}) == 3
    assert serving.wish().following == {}
    assert serving.wish().judging == ""


def test_what_served_and_is_left_out_is_closed(serving: Serving) -> None:
    serving.set({"web": {"id1": 1}, "api": {"id2": 1}})
    assert serving.set({"web": {"id3": 1}}) == 2
    assert serving.current() == {"web": {"id3": 1}, "api": {}}
    assert serving.set({"web": {"id3": 1}}) == 3
    assert serving.current() == {"web": {"id3": 1}}
    serving.set({})
    assert serving.current() == {"web": {}}


def test_only_the_holder_sets(raft: Raft, state: ClusterState) -> None:
    with pytest.raises(LeaseLost):
        Serving(state, raft.gateway()).set({"web": {}})


def test_every_proxy_that_is_there_acknowledges(raft: Raft, serving: Serving, clock: Clock) -> None:
    for node in ("n1", "n2"):
        raft.add_node(node, {PROXY_LABEL: "true"})
    raft.add_node("n3", {PROXY_LABEL: "true"}, State="down")
    raft.add_node("n4")
    say(raft, "n1", generation=1)
    say(raft, "n2", generation=0, problem="nginx did not take it")
    with pytest.raises(EngineError, match=r"stack t: host-n2 \(nginx did not take it\) did not follow within 5 s"):
        serving.await_acknowledged(1, 5)
    say(raft, "n2", generation=1, draining=True)
    before = clock.now
    reports = serving.await_acknowledged(1, 5)
    assert clock.now == before
    assert [(each.node, each.ready, each.generation, each.draining) for each in reports] == [
        ("host-n1", True, 1, False),
        ("host-n2", True, 1, True),
        ("host-n3", False, 0, False),
    ]


def test_a_proxy_is_there_while_a_new_leader_gets_to_know_it(raft: Raft, serving: Serving) -> None:
    raft.add_node("n1", {PROXY_LABEL: "true"}, State="unknown")
    with pytest.raises(EngineError, match="host-n1 did not follow"):
        serving.await_acknowledged(1, 1)


def test_without_a_proxy(raft: Raft, serving: Serving) -> None:
    raft.add_node("n1")
    with pytest.raises(EngineError, match=r"no node carries the label ops\.slipway\.proxy=true"):
        serving.await_acknowledged(1, 5)
    raft.add_node("n2", {PROXY_LABEL: "true"}, State="down")
    with pytest.raises(EngineError, match=r"no proxy is ready \(host-n2\)"):
        serving.await_acknowledged(1, 5)


def test_answers_of_all_proxies_are_put_together(raft: Raft, serving: Serving) -> None:
    one, two = Tally(), Tally()
    for _each in range(15):
        one.add(Answer("a", 200, 0.0123))
    two.add(Answer("a", 500, 1.0))
    for node, tally, judging in (("n1", one, "7"), ("n2", two, "7"), ("n3", two, "6")):
        raft.add_node(node, {PROXY_LABEL: "true"})
        say(raft, node, generation=1, judging=judging, tallies={"id1": tally.plain()})
    found = merged(serving.reports(), "7")["id1"]
    assert (found.answers, found.errors, found.times) == (16, 1, {0.012: 15, 1.0: 1})

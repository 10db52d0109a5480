# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manager changes, and in which order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm import plan
from ansible_collections.slipway.ops.plugins.module_utils._swarm.plan import NodeWish, plan_cluster
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Cluster, Node, Settings


def manager(name: str, **changes: object) -> Node:
    found = Node(f"id-{name}", name, "manager", reachability="reachable", manager_address=f"{name}:2377")
    return replace(found, **changes)  # type: ignore[arg-type]


def worker(name: str, **changes: object) -> Node:
    return replace(Node(f"id-{name}", name, "worker"), **changes)  # type: ignore[arg-type]


def cluster(*nodes: Node, settings: Settings = Settings()) -> Cluster:  # noqa: B008 - frozen
    return Cluster("c", settings, nodes)


def wish(name: str, role: str = "manager", **changes: object) -> NodeWish:
    return replace(NodeWish(name, f"id-{name}", role=role), **changes)  # type: ignore[arg-type]


def test_nothing_to_do() -> None:
    found = plan_cluster(cluster(manager("a"), worker("b")), Settings(), [wish("a"), wish("b", "worker")])
    assert (found.steps, found.problems, found.warnings) == ([], [], [])


def test_settings_say_each_difference() -> None:
    found = plan_cluster(cluster(manager("a")), Settings(task_history=2, autolock=True), [wish("a")])
    assert found.lines == ["settings: task_history 5 -> 2, autolock False -> True"]


def test_new_managers_come_before_old_ones_go_and_the_worker_itself_last() -> None:
    nodes = (manager("a", leader=True), manager("b"), manager("c"), worker("d"))
    wishes = [wish("a", "worker"), wish("b", "worker"), wish("c"), wish("d")]
    assert plan_cluster(cluster(*nodes), None, wishes, own_id="id-b").lines == [
        "d: worker -> manager",
        "a: manager -> worker",
        "b: manager -> worker",
    ]


@pytest.mark.parametrize(
    ("unreachable", "demoted", "problem"),
    [
        ("c", "b", "b: is not taken from the managers: 1 of 2 managers would be left reachable and 2 are needed"),
        ("c", "c", ""),
    ],
)
def test_no_demotion_below_a_majority(unreachable: str, demoted: str, problem: str) -> None:
    nodes = [manager(name, reachability="unreachable" if name == unreachable else "reachable") for name in "abc"]
    wishes = [wish(name, "worker" if name == demoted else "manager") for name in "abc"]
    found = plan_cluster(cluster(*nodes), None, wishes)
    assert [line.startswith(problem) for line in found.problems] == ([True] if problem else [])
    assert bool(found.lines) is not bool(problem)


def test_of_two_demotions_the_second_may_be_too_many() -> None:
    nodes = [manager(name, reachability="unreachable" if name == "e" else "reachable") for name in "abcde"]
    wishes = [wish(name, "worker" if name in "abc" else "manager") for name in "abcde"]
    found = plan_cluster(cluster(*nodes), None, wishes)
    assert found.lines == ["a: manager -> worker", "b: manager -> worker"]
    assert found.problems[0].startswith("c: is not taken from the managers: 1 of 2")


def test_the_last_manager_stays() -> None:
    found = plan_cluster(cluster(manager("a")), None, [wish("a", "worker")])
    assert "it is the last one" in found.problems[0]


def test_an_even_number_is_warned_of() -> None:
    found = plan_cluster(cluster(manager("a"), worker("b")), None, [wish("a"), wish("b")])
    assert found.warnings == ["2 managers stand the loss of 0, no more than 1 do; make it 1 or 3"]


def test_others_become_active_before_one_is_drained() -> None:
    nodes = (manager("a"), worker("b"), worker("c", availability="drain"))
    wishes = [wish("a"), wish("b", "worker", availability="drain"), wish("c", "worker")]
    assert plan_cluster(cluster(*nodes), None, wishes).lines == [
        "c: drain -> active",
        "b: drain, and wait until its tasks have moved",
    ]


def test_labels_of_others_are_left_alone_and_ours_follow_the_wish() -> None:
    node = manager("a", labels={"zone": "a", "disk": "ssd", "foreign": "1", plan.OWNED_LABEL: "disk,zone"})
    found = plan_cluster(cluster(node), None, [wish("a", labels={"zone": "b"})])
    assert found.lines == ["a: labels without disk, zone=b"]
    assert found.steps[0].value.of(node.labels) == {"foreign": "1", "zone": "b", plan.OWNED_LABEL: "zone"}
    same = manager("a", labels=found.steps[0].value.of(node.labels))
    assert plan_cluster(cluster(same), None, [wish("a", labels={"zone": "b"})]).lines == []


def test_a_host_that_leaves_is_drained_and_demoted() -> None:
    nodes = [manager(name) for name in "abc"]
    wishes = [wish("a"), wish("b"), wish("c", state="absent")]
    assert plan_cluster(cluster(*nodes), None, wishes).lines == [
        "c: drain, and wait until its tasks have moved",
        "c: manager -> worker",
    ]


def test_the_older_entry_of_a_host_that_joined_anew_goes_and_leaves_its_labels() -> None:
    old = replace(worker("b"), id="old", state="down", labels={"foreign": "1", "zone": "x", plan.OWNED_LABEL: "zone"})
    nodes = (manager("a"), worker("b"), old)
    found = plan_cluster(cluster(*nodes), None, [wish("a"), wish("b", "worker")])
    assert found.lines == ["b: labels foreign=1", "b: remove node old, which joined anew"]


def test_named_nodes_are_removed_and_others_not() -> None:
    nodes = (manager("a"), worker("gone", state="down"), worker("down", state="down"))
    assert plan_cluster(cluster(*nodes), None, [wish("a")], ["gone"]).lines == [
        "gone: remove node id-gone, which is gone"
    ]


def test_a_node_that_no_manager_knows_is_a_problem() -> None:
    assert (
        "b: not known to the managers" in plan_cluster(cluster(manager("a")), None, [wish("a"), wish("b")]).problems[0]
    )


def test_what_would_have_joined_is_foreseen() -> None:
    coming = [NodeWish("a", role="manager", labels={"zone": "a"}), NodeWish("b")]
    foreseen = plan.foresee(None, Settings(), coming)
    found = plan_cluster(foreseen, Settings(), plan.with_foreseen_ids(coming))
    assert (found.lines, found.problems) == (["a: labels zone=a"], [])

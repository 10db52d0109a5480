# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who makes the Swarm, who joins, who leaves, who speaks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm.members import Member, MembersPlan, plan_members
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Cluster, Local, Node, Settings, Wish

ALL = ("a", "b", "c")


def outside(name: str, role: str = "manager", **changes: Any) -> Member:
    wish = {key: changes.pop(key) for key in list(changes) if key in Wish.__dataclass_fields__ and key != "state"}
    return Member(name, Wish(role=role, **wish), Local(name, default_address=f"192.0.2.{ord(name)}", **changes))


def cluster(*names: str, workers: str = "", **changes: Any) -> Cluster:
    nodes = [
        Node(f"id-{name}", name, "manager", reachability="reachable", manager_address=f"{name}:2377") for name in names
    ]
    nodes += [Node(f"id-{name}", name, "worker") for name in workers]
    return replace(Cluster("c", Settings(), tuple(nodes)), **changes)


def inside(name: str, found: Cluster | None, role: str = "manager", **wish: Any) -> Member:
    local = Local(name, "active", f"id-{name}", manager=role == "manager", error="" if found else "no leader")
    return Member(name, Wish(role=role, **wish), local, found if role == "manager" else None)


def planned(*members: Member, **options: Any) -> MembersPlan:
    return plan_members(members, options.pop("settings", Settings()), **options)


def test_the_first_manager_makes_it_and_the_others_join() -> None:
    plan = planned(outside("a", "worker"), outside("b"), outside("c"), expected=ALL)
    assert (plan.init, plan.acting, plan.join, plan.problems) == ("b", "b", ["c", "a"], [])
    assert plan.addresses == ["192.0.2.98:2377"]


def test_nobody_makes_one_while_a_member_was_not_asked() -> None:
    plan = planned(outside("a"), outside("b"), expected=ALL)
    assert (plan.init, plan.problems) == (
        "",
        ["no host of this run is in a Swarm, and c could be in one; run this with all members once"],
    )


def test_somebody_must_be_a_manager() -> None:
    assert "set swarm_role to manager" in planned(outside("a", "worker")).problems[0]


def test_a_newcomer_joins_by_the_managers_that_are_reachable() -> None:
    found = cluster("a", "b")
    plan = planned(inside("a", found), inside("b", found), outside("c"), expected=ALL)
    assert (plan.join, plan.acting, plan.addresses, plan.init) == (["c"], "a", ["a:2377", "b:2377"], "")


def test_as_declared_there_is_nothing_to_do() -> None:
    found = cluster("a", workers="b")
    plan = planned(inside("a", found), inside("b", found, "worker"))
    assert (plan.lines, plan.join, plan.leave, plan.problems) == ([], [], [], [])


def test_without_a_quorum_nothing_is_done() -> None:
    plan = planned(inside("a", None), inside("b", None, "worker"))
    assert "a: no quorum (no leader)" in plan.problems[0]
    assert "swarm_recover.yml" in plan.problems[0]


def test_without_a_manager_in_the_run_workers_are_left_as_they_are() -> None:
    plan = planned(inside("b", None, "worker"))
    assert (plan.problems, len(plan.warnings)) == ([], 1)


def test_a_newcomer_cannot_join_a_swarm_whose_managers_are_not_asked() -> None:
    plan = planned(inside("b", None, "worker"), outside("c"))
    assert "of which no manager answers" in plan.problems[0]


def test_two_swarms_are_not_mixed() -> None:
    plan = planned(inside("a", cluster("a")), inside("b", cluster("b", id="other")))
    assert "managers of 2 Swarms (a in c; b in other)" in plan.problems[0]


@pytest.mark.parametrize("rejoin", [False, True])
def test_a_manager_that_comes_back_after_a_recovery(rejoin: bool) -> None:
    recovered, old = cluster("a", recovery=5), cluster("a", "b")
    plan = planned(inside("b", old, rejoin=rejoin), inside("a", recovered))
    if rejoin:
        assert (plan.acting, plan.rejoin, plan.join, plan.problems) == ("a", ["b"], ["b"], [])
    else:
        assert "b: is in a Swarm as node id-b, which the managers of this one do not know" in plan.problems[0]


def test_a_swarm_that_fell_into_two_is_told() -> None:
    plan = planned(inside("a", cluster("a")), inside("b", cluster("b")))
    assert "the Swarm fell into two" in plan.problems[0]


def test_a_locked_manager_is_opened_first() -> None:
    locked = Member("b", Wish(role="manager"), Local("b", "locked"))
    plan = planned(inside("a", cluster("a", "b")), locked)
    assert (plan.unlock, plan.join, plan.problems) == (["b"], [], [])
    assert planned(locked).unlock == ["b"]


def test_who_leaves_is_told_with_its_node() -> None:
    found = cluster("a", "b", "c")
    plan = planned(inside("a", found), inside("b", found), inside("c", found, state="absent"))
    assert (plan.leave, plan.leaving_ids, plan.dismantle) == (["c"], ["id-c"], "")
    assert plan.lines == ["c: drain, and wait until its tasks have moved", "c: manager -> worker"]


def test_a_swarm_ends_only_without_services() -> None:
    ends = planned(
        inside("a", cluster("a", workers="b", services=0), state="absent"), inside("b", None, "worker", state="absent")
    )
    assert (ends.dismantle, ends.leave, ends.problems) == ("a", ["b"], [])
    refused = planned(inside("a", cluster("a", services=2), state="absent"))
    assert "2 services run on it" in refused.problems[0]


def test_no_manager_would_be_left() -> None:
    plan = planned(inside("a", cluster("a", workers="b"), state="absent"), inside("b", None, "worker"))
    assert "no manager would be left" in plan.problems[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"live_restore": True}, "set docker_live_restore to false"),
        ({"encrypts": False}, "cannot encrypt overlay networks"),
        ({"state": "error", "error": "broken"}, "its part in the Swarm is in state error (broken)"),
        ({"state": "", "error": "dockerd does not answer"}, "a: dockerd does not answer"),
        (
            {"state": "active", "address": "192.0.2.1", "advertise_address": "192.0.2.2"},
            "swarm_advertise_address is 192.0.2.2",
        ),
        (
            {"state": "active", "manager": True, "address_pools": ("10.0.0.0/8",), "subnet_size": 20},
            "",
        ),
    ],
)
def test_what_keeps_a_host_out(changes: dict[str, Any], message: str) -> None:
    wish = {"advertise_address": changes.pop("advertise_address", "")}
    member = Member("a", Wish(role="manager", subnet_size=20, **wish), Local("a", **changes))
    found = planned(member).problems
    assert not message or message in found[0]


def test_check_mode_knows_hosts_without_docker() -> None:
    member = Member("a", Wish(role="manager", labels={"zone": "a"}), Local("a", "", error="no docker"))
    plan = planned(member, check=True)
    assert (plan.init, plan.lines, plan.problems) == ("a", ["a: labels zone=a"], [])

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps carried out, and waited for."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm.apply import Applier
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import read_cluster
from ansible_collections.slipway.ops.plugins.module_utils._swarm.plan import NodeWish, plan_cluster
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Settings

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway, node, service, task


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def applied(
    gateway: FakeGateway, *wishes: NodeWish, settings: Settings | None = None, forget: tuple[str, ...] = ()
) -> None:
    clock = Clock()
    plan = plan_cluster(read_cluster(gateway), settings, wishes, forget, gateway.own)
    assert plan.problems == []
    Applier(gateway, 5, clock, clock.sleep).apply(plan)


def wish(name: str, role: str = "manager", **changes: object) -> NodeWish:
    return NodeWish(name, f"id-{name}", role=role, **changes)  # type: ignore[arg-type]


def test_everything_in_its_order() -> None:
    gateway = FakeGateway("a", "b", "c")
    gateway.found["id-d"] = node("d", "worker")
    applied(
        gateway,
        wish("a"),
        wish("b", "worker"),
        wish("c"),
        wish("d", labels={"zone": "d"}),
        settings=Settings(task_history=1),
    )
    assert gateway.calls == [
        "update the Swarm",
        "id-d: Labels {'zone': 'd', 'ops.slipway.labels': 'zone'}",
        "id-d: Role manager",
        "id-b: Role worker",
    ]
    assert (
        plan_cluster(
            read_cluster(gateway), Settings(task_history=1), [wish("a"), wish("d", labels={"zone": "d"})]
        ).lines
        == []
    )


def test_a_write_that_was_overtaken_is_tried_again() -> None:
    gateway = FakeGateway("a")
    gateway.overtaken = 3
    applied(gateway, wish("a", labels={"zone": "a"}))
    assert gateway.found["id-a"]["Spec"]["Labels"]["zone"] == "a"


def test_a_drain_waits_until_tasks_run_elsewhere() -> None:
    gateway = FakeGateway("a")
    gateway.found["id-b"] = node("b", "worker")
    gateway.service_list, gateway.task_list = [service("web", 1)], [task("web", "id-b")]
    applied(gateway, wish("a"), wish("b", "worker", availability="drain"))
    assert [each["NodeID"] for each in gateway.task_list] == ["id-elsewhere"]


def test_a_drain_that_cannot_end_says_why() -> None:
    gateway = FakeGateway("a")
    gateway.found["id-b"] = node("b", "worker")
    gateway.service_list = [service("web", 2)]
    gateway.task_list, gateway.room = [task("web", "id-b"), task("web", "", "pending")], False
    with pytest.raises(SwarmError, match=r"1 tasks still run there, and web has fewer replicas .*\(no suitable node\)"):
        applied(gateway, wish("a"), wish("b", "worker", availability="drain"))
    assert gateway.found["id-b"]["Spec"]["Availability"] == "drain"


def test_a_manager_that_got_lost_since_the_plan_stops_a_demotion() -> None:
    gateway = FakeGateway("a", "b", "c")
    plan = plan_cluster(read_cluster(gateway), None, [wish("a"), wish("b", "worker"), wish("c")])
    gateway.found["id-c"]["ManagerStatus"]["Reachability"] = "unreachable"
    with pytest.raises(SwarmError, match="1 of 2 managers would be left reachable"):
        Applier(gateway).apply(plan)
    assert gateway.calls == []


def test_only_nodes_that_are_down_are_removed() -> None:
    gateway = FakeGateway("a")
    gateway.found["id-b"] = node("b", "worker")
    with pytest.raises(SwarmError, match="it is up; take it out by swarm_state: absent"):
        applied(gateway, wish("a"), forget=("b",))
    gateway.found["id-b"]["Status"]["State"] = "down"
    applied(gateway, wish("a"), forget=("b",))
    assert gateway.calls == ["remove id-b"]


def test_without_a_leader_the_remedy_is_told() -> None:
    gateway = FakeGateway("a")
    plan = plan_cluster(read_cluster(gateway), Settings(task_history=1), [wish("a")])
    gateway.error = "lost"
    with pytest.raises(SwarmError, match=r"settings: .*no quorum of managers; .*swarm_recover.yml"):
        Applier(gateway).apply(plan)


def test_a_manager_that_a_recovery_cut_off_is_removed_as_it_is() -> None:
    gateway = FakeGateway("a")
    gateway.found["id-b"] = {**node("b", "worker", Status={"State": "down"}), "ID": "id-b"}
    gateway.found["id-b"]["Spec"]["Role"] = "manager"
    applied(gateway, wish("a"), forget=("id-b",))
    assert gateway.calls == ["remove id-b"]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carries a plan out on a manager, one step after the other, and waits for what a step sets in motion."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import read_cluster
from ansible_collections.slipway.ops.plugins.module_utils._swarm.plan import (
    AVAILABILITY,
    DEMOTE,
    DRAINED,
    LABELS,
    PROMOTE,
    REMOVE,
    SETTINGS,
    ClusterPlan,
    Step,
    refusal,
)
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import (
    ACTIVE,
    DOWN,
    DRAIN,
    MANAGER,
    READY,
    WORKER,
    Settings,
    shown,
)

POLL_SECONDS = 0.5
# A write that another one overtook is tried again on what that one left.
ATTEMPTS = 10
ROLE_SECONDS = 120
# A node that left is told from one that is only slow after this long.
GONE_SECONDS = 60
LIVE_STATES = ("new", "pending", "assigned", "accepted", "preparing", "ready", "starting", "running")


class Applier:
    def __init__(
        self,
        gateway: SwarmGateway,
        drain_seconds: float = 300,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gateway = gateway
        self._drain_seconds = drain_seconds
        self._clock = clock
        self._sleep = sleep

    def apply(self, plan: ClusterPlan) -> None:
        for step in plan.steps:
            try:
                self._do(step)
            except ApiError as error:
                raise translate(step.line, error) from error

    def set_availability(self, node: str, availability: str) -> bool:
        """Set it and, for a drain, wait; False where it was so already."""
        found = str((self._gateway.node(node).get("Spec") or {}).get("Availability", ACTIVE))
        if found != availability:
            self._node(node, lambda spec: {**spec, "Availability": availability})
        if availability == DRAIN:
            self._wait_for_tasks(node)
        return found != availability

    def _do(self, step: Step) -> None:
        if step.kind == SETTINGS:
            self._settings(step.value)
        elif step.kind == LABELS:
            self._node(step.node, lambda spec: {**spec, "Labels": step.value.of(spec.get("Labels") or {})})
        elif step.kind == AVAILABILITY:
            self.set_availability(step.node, step.value)
        elif step.kind == DRAINED:
            self.set_availability(step.node, DRAIN)
        elif step.kind == PROMOTE:
            self._node(step.node, lambda spec: {**spec, "Role": MANAGER})
            self._wait(lambda: self._is_reachable(step.node), ROLE_SECONDS, f"{step.line}: did not become reachable")
        elif step.kind == DEMOTE:
            self._demote(step)
        elif step.kind == REMOVE:
            self._remove(step)

    def _settings(self, settings: Settings) -> None:
        def change() -> None:
            swarm = self._gateway.swarm()
            self._gateway.update(int(swarm["Version"]["Index"]), settings.into_spec(swarm["Spec"]))

        self._again(change)

    def _node(self, node: str, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        def change() -> None:
            found = self._gateway.node(node)
            spec = dict(found["Spec"])
            wanted = changed(spec)
            if wanted != spec:
                self._gateway.update_node(node, int(found["Version"]["Index"]), wanted)

        self._again(change)

    def _again(self, change: Callable[[], None]) -> None:
        for attempt in range(ATTEMPTS):
            try:
                change()
                return
            except ApiError as error:
                if "out of sequence" not in str(error) or attempt == ATTEMPTS - 1:
                    raise
                self._sleep(POLL_SECONDS * attempt)

    def _demote(self, step: Step) -> None:
        """The managers may have changed since the plan was made, so the question is asked again."""
        cluster = read_cluster(self._gateway)
        node = cluster.node(step.node)
        if node is not None and node.in_raft:
            managers = cluster.managers
            problem = refusal(len(managers), sum(each.reachable for each in managers), node)
            if problem:
                raise SwarmError(f"{step.line}: {problem}")
        self._node(step.node, lambda spec: {**spec, "Role": WORKER})
        self._wait(lambda: self._is_out(step.node), ROLE_SECONDS, f"{step.line}: is still a member of the raft")

    def _remove(self, step: Step) -> None:
        self._wait(
            lambda: self._state(step.node) in (DOWN, ""),
            GONE_SECONDS,
            f"{step.line}: it is up; take it out by swarm_state: absent",
        )
        if self._state(step.node):
            # One that a recovery cut off is called a manager still, but only members of the raft can be demoted.
            if not self._is_out(step.node):
                self._node(step.node, lambda spec: {**spec, "Role": WORKER})
            self._wait(lambda: self._is_out(step.node), ROLE_SECONDS, f"{step.line}: is still a member of the raft")
            self._gateway.remove_node(step.node)

    def _wait_for_tasks(self, node: str) -> None:
        """Until the node runs none, and what ran there runs elsewhere as often as it is wanted."""
        moved = {str(task["ServiceID"]) for task in self._gateway.tasks(node=[node]) if _alive(task)}
        give_up_at = self._clock() + self._drain_seconds
        while True:
            left = [task for task in self._gateway.tasks(node=[node]) if _alive(task)]
            names = {str(service["ID"]): service for service in self._gateway.services()} if moved else {}
            short = [names[service] for service in moved if service in names and self._is_short(names[service])]
            if not left and not short:
                return
            if self._clock() >= give_up_at:
                raise SwarmError(self._stuck(node, left, short))
            self._sleep(POLL_SECONDS)

    def _is_short(self, service: Mapping[str, Any]) -> bool:
        replicated = ((service["Spec"].get("Mode") or {}).get("Replicated") or {}).get("Replicas")
        if replicated is None:
            return False
        tasks = self._gateway.tasks(service=[str(service["ID"])], desired_state=["running"])
        return sum(task["Status"]["State"] == "running" for task in tasks) < int(replicated)

    def _stuck(self, node: str, left: list[dict[str, Any]], short: list[dict[str, Any]]) -> str:
        reasons = [str(service["Spec"]["Name"]) for service in short]
        told = {
            str(task["Status"].get("Err") or task["Status"].get("Message") or "")
            for service in short
            for task in self._gateway.tasks(service=[str(service["ID"])], desired_state=["running"])
            if task["Status"]["State"] != "running"
        }
        return (
            f"node {node}: {len(left)} tasks still run there, and {shown(reasons)} has fewer replicas than wanted after"
            f" {self._drain_seconds:g} s ({'; '.join(sorted(told)) or 'no reason given'}); make room for them on other"
            " nodes or change their placement. The node stays drained"
        )

    def _is_reachable(self, node: str) -> bool:
        manager = self._gateway.node(node).get("ManagerStatus") or {}
        return str(manager.get("Reachability")) == "reachable"

    def _is_out(self, node: str) -> bool:
        try:
            found = self._gateway.node(node)
        except ApiError:
            # Whoever demotes itself is no manager any more, and cannot ask.
            swarm = self._gateway.information().get("Swarm") or {}
            if swarm.get("NodeID") == node:
                return not swarm.get("ControlAvailable")
            raise
        return not found.get("ManagerStatus")

    def _state(self, node: str) -> str:
        try:
            found: Optional[str] = (self._gateway.node(node).get("Status") or {}).get("State")
        except ApiError as error:
            if error.status == 404:
                return ""
            raise
        return str(found or READY)

    def _wait(self, ready: Callable[[], bool], seconds: float, message: str) -> None:
        give_up_at = self._clock() + seconds
        while True:
            try:
                if ready():
                    return
                reason = ""
            except ApiError as error:
                # While the leader changes nobody answers.
                reason = f" ({error})"
            if self._clock() >= give_up_at:
                raise SwarmError(f"{message} within {seconds:g} s{reason}")
            self._sleep(POLL_SECONDS)


def _alive(task: Mapping[str, Any]) -> bool:
    return task["Status"]["State"] in LIVE_STATES

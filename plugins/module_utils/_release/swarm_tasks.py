# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a stack on a Swarm: looked at, waited for until they are good or gone, and the reason when they fail."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._release import observed as state
from ansible_collections.slipway.ops.plugins.module_utils._release import report, swarm_observed
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError, Progress
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_observed import Node, SwarmService, Task
from ansible_collections.slipway.ops.plugins.module_utils._release.watching import POLL_SECONDS, Clock
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

MAXIMUM_FAILURES = 3
UNPLACED_SECONDS = 15.0  # how long no node may suit a task before that counts as a failure
END_SECONDS = 30.0  # for a task to be gone, beyond its grace period


class Gateway(Protocol):
    """What is asked of a manager's API about tasks."""

    def nodes(self) -> list[dict[str, Any]]: ...
    def services(self, stack: str) -> list[dict[str, Any]]: ...
    def tasks(self, stack: str) -> list[dict[str, Any]]: ...
    def remove_service(self, name: str) -> None: ...
    def task_logs(self, task: str, terminal: bool, lines: int) -> str: ...


class Tasks:
    def __init__(
        self, gateway: Callable[[], Gateway], clock: Clock, limits: Limits, secrets: Iterable[str] = ()
    ) -> None:
        self._gateway = gateway
        self._clock = clock
        self._limits = limits
        self._secrets = list(secrets)
        self._running_since: dict[str, float] = {}
        self._unplaced_since: dict[str, float] = {}

    def services(self, stack: Stack) -> list[SwarmService]:
        tasks = [swarm_observed.parse_task(raw) for raw in self._gateway().tasks(stack.name)]
        found = [swarm_observed.parse_service(raw, tasks) for raw in self._gateway().services(stack.name)]
        return sorted(found, key=lambda each: (each.service, each.release))

    def nodes(self) -> dict[str, Node]:
        found = (swarm_observed.parse_node(raw) for raw in self._gateway().nodes())
        return {node.id: node for node in found}

    def await_ready(self, stack: Stack, names: Iterable[str]) -> None:
        """Return when all tasks of these are good; raise with the reason and the last lines of the first that fails."""
        begun = self._clock.monotonic()
        pending = sorted(set(names))
        while pending:
            passed = self._clock.monotonic() - begun
            there = {service.name: service for service in self.services(stack)}
            nodes = self.nodes()
            for name in pending:
                if name not in there:
                    raise EngineError(f"service {name}: somebody removed it during the release; run again")
            pending = [name for name in pending if not self._is_ready(there[name], nodes)]
            if pending and passed >= self._limits.health:
                self._fail_late(there[pending[0]])
            if pending:
                self._clock.sleep(POLL_SECONDS)

    def _is_ready(self, service: SwarmService, nodes: Mapping[str, Node]) -> bool:
        for task in service.newest():
            self._check_alive(service, task)
        containers = swarm_observed.containers(service, nodes)
        if service.job:
            return all(each.state == state.EXITED for each in containers)
        settled = [self._is_settled(each) for each in containers if each.ready]
        return len(settled) == len(containers) and all(settled)

    def _is_settled(self, container: Container) -> bool:
        """Without a healthcheck: it ran for the settle time as the same task."""
        if container.health == state.HEALTHY:
            return True
        since = self._running_since.setdefault(container.id, self._clock.monotonic())
        return self._clock.monotonic() - since >= self._limits.settle

    def _check_alive(self, service: SwarmService, task: Task) -> None:
        if task.state == swarm_observed.PENDING and task.error:
            since = self._unplaced_since.setdefault(task.id, self._clock.monotonic())
            if self._clock.monotonic() - since >= UNPLACED_SECONDS:
                self._fail(service, task, f"finds no node: {task.error}")
            return
        self._unplaced_since.pop(task.id, None)
        failures = service.failures(task)
        if task.ended and task.leaving and task.state != swarm_observed.COMPLETE:
            self._fail(service, task, _what_failed(task))
        if task.ended and task.leaving and not service.job:
            self._fail(service, task, "ended, and its restart policy does not start it again")
        if len(failures) >= MAXIMUM_FAILURES and task.state != swarm_observed.RUNNING:
            self._fail(service, failures[-1], f"{_what_failed(failures[-1])}, {len(failures)} times")

    def check_still_good(self, stack: Stack, failures: Mapping[str, int]) -> None:
        """Stricter than the gate: what has passed it must not end any more, not even to be started again."""
        for service in self.services(stack):
            if service.job or service.name not in failures:
                continue
            failed = [each for each in service.tasks if each.state in swarm_observed.FAILED]
            if len(failed) > failures[service.name]:
                last = max(failed, key=lambda each: each.since)
                self._fail(service, last, f"{_what_failed(last)} after it had been ready")

    def _fail_late(self, service: SwarmService) -> None:
        what = f"not healthy after {self._limits.health:g} s"
        bad = [task for task in service.newest() if task.state != swarm_observed.RUNNING]
        if not bad:
            raise EngineError(f"services.{service.service}: {service.name} {what}")
        error = f" ({bad[0].state}: {bad[0].error})" if bad[0].error else f" ({bad[0].state})"
        self._fail(service, bad[0], what + error)

    def _fail(self, service: SwarmService, task: Task, what: str) -> None:
        place = f" on {self._where([task])}" if task.node else ""
        said = report.mask(what, self._secrets)
        raise EngineError(f"services.{service.service}: {service.name}.{task.slot}{place} {said}{self._said(task)}")

    def _said(self, task: Task) -> str:
        if not task.has_container:
            return ""
        output = self._gateway().task_logs(task.id, task.terminal, 30)
        said = report.last_lines(report.mask(output, self._secrets))
        return f", its last lines: {said}" if said else ""

    def failures(self, stack: Stack, progress: Progress) -> dict[str, int]:
        return {
            service.name: sum(task.state in swarm_observed.FAILED for task in service.tasks)
            for service in self.services(stack)
            if service.name in progress.created
        }

    def has_completed(self, stack: Stack, name: str) -> bool:
        service = next((each for each in self.services(stack) if each.name == name), None)
        if service is None:
            raise EngineError(f"service {name}: somebody removed it during the release; run again")
        for task in service.newest():
            if task.state == swarm_observed.COMPLETE:
                return True
            if task.ended and task.has_container:
                raise EngineError(
                    f"services.{service.service}.x-slipway.{service.purpose}: exit code {task.exit_code}"
                    f"{self._said(task)}; correct it and release again"
                )
            self._check_alive(service, task)
        return False

    def remove(self, stack: Stack, names: Iterable[str]) -> None:
        """Remove services of the Swarm and wait until none of their tasks runs any more."""
        doomed = set(names)
        found = [each for each in self.services(stack) if each.name in doomed]
        for service in found:
            self._gateway().remove_service(service.name)
        self.await_ended(stack, found)

    def await_ended(self, stack: Stack, services: list[SwarmService]) -> None:
        identities = {service.id for service in services}
        limit = max((service.grace_seconds for service in services), default=0.0) + END_SECONDS
        begun = self._clock.monotonic()
        while identities:
            nodes = self.nodes()
            tasks = (swarm_observed.parse_task(raw) for raw in self._gateway().tasks(stack.name))
            running = [each for each in tasks if each.service in identities and each.up and not self._lost(nodes, each)]
            if not running:
                return
            if self._clock.monotonic() - begun >= limit:
                names = ", ".join(each.name for each in services if each.id in {task.service for task in running})
                raise EngineError(
                    f"{names}: tasks still run after {limit:g} s; see docker ps on {self._where(running)}"
                )
            self._clock.sleep(POLL_SECONDS)

    @staticmethod
    def _lost(nodes: Mapping[str, Node], task: Task) -> bool:
        return task.node in nodes and nodes[task.node].down

    def _where(self, tasks: Iterable[Task]) -> str:
        nodes = self.nodes()
        return ", ".join(sorted({nodes[task.node].name for task in tasks if task.node in nodes})) or "no node"


def _what_failed(task: Task) -> str:
    if task.state == "rejected":
        return f"was rejected ({task.error})"
    if "unhealthy" in task.error:
        return "is unhealthy"
    if task.exit_code and "non-zero exit" in task.error:
        return f"ended with exit code {task.exit_code}"
    return f"did not start ({task.error})" if task.error else f"ended ({task.state})"

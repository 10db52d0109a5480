# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy on a manager of a Swarm: nginx follows what the stacks' state objects say, and the node's labels say so.

Servers are the wanted tasks that run (Swarm calls a task with a healthcheck running when it is healthy), at their
node's address and the port that Swarm published. A task on a node that the managers lost is left out; nginx itself
passes over it until they notice. While they have no leader everything stays as it is.

With a change of leader the managers may forget which port a task publishes that runs on, and its node does not tell
it again. It cannot have changed: what was seen once counts as long as the task runs. A proxy that never saw it is told
by the one on the task's node, which asks the container. Where there is none, the task gets no requests, and that is
said.
"""

from __future__ import annotations

import queue
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Answers, ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Tally
from ansible_collections.slipway.ops.plugins.module_utils._proxy.upstreams import Server, Share, render
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import Conflict, NotManager
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import (
    PROXY_LABEL,
    Wish,
    parse_report,
    report_label,
    wishes,
)
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import packed
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import upstream_name

DRAINING_SECONDS = 0.25
TASKS_SECONDS = 1.0  # tasks have no events
TALLIES_SECONDS = 1.0
IDLE_SECONDS = 60.0
GONE = ("down", "disconnected")
RUNNING = "running"
NO_ADDRESS = ("", "0.0.0.0", "127.0.0.1", "::", "::1")  # noqa: S104 (what Swarm says, nothing that we bind)
ATTEMPTS = 20
UNTOLD_SECONDS = 10.0
NO_PORT = (
    "this task runs on node {node}, yet nobody tells the port that it publishes, so it gets no requests; start its "
    "service's tasks anew: docker service update --force SERVICE"
)

Ports = list[dict[str, Any]]  # as a task's PortStatus lists them


class Gateway(Protocol):
    """What the agent needs of the Swarm."""

    def node_id(self) -> str: ...
    def configs(self, label: str) -> list[dict[str, Any]]: ...
    def nodes(self) -> list[dict[str, Any]]: ...
    def node(self, node_id: str) -> dict[str, Any]: ...
    def update_node(self, found: Mapping[str, Any], labels: Mapping[str, str]) -> None: ...
    def service(self, service: str) -> dict[str, Any] | None: ...
    def tasks(self, services: Iterable[str]) -> list[dict[str, Any]]: ...
    def published(self, tasks: Iterable[str]) -> dict[str, list[dict[str, Any]]]: ...


class Proxy(Protocol):
    def names(self) -> list[str]: ...
    def read(self, names: list[str]) -> dict[str, str]: ...
    def apply(self, upstreams: Mapping[str, str]) -> bool: ...
    def draining(self) -> bool: ...
    def follow(self) -> Answers: ...


@dataclass(frozen=True)
class Task:
    """A task that serves: on which node, at which address, and container port → published port."""

    service: str
    node: str
    host: str
    ports: Mapping[int, int]


@dataclass
class _Count:
    """Answers counted for one word of one stack."""

    word: str
    answers: Answers
    services: dict[str, str] = field(default_factory=dict)  # address → Swarm service
    tallies: dict[str, Tally] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)
    told_at: float = float("-inf")

    def read(self, now: float) -> None:
        for answer in self.answers.read():
            service = self.services.get(answer.server)
            if service is not None:
                self.tallies.setdefault(service, Tally()).add(answer)
        # Each telling is an event for every proxy, this one too.
        if now - self.told_at >= TALLIES_SECONDS:
            self.told = {service: tally.plain() for service, tally in self.tallies.items()}
            self.told_at = now


def node_address(node: Mapping[str, Any]) -> str:
    """A manager may not know its own address; then it is the one where the others reach it."""
    address = node["Status"].get("Addr") or ""
    if address in NO_ADDRESS:
        address = (node.get("ManagerStatus") or {}).get("Addr", "").rpartition(":")[0].strip("[]")
    return f"[{address}]" if ":" in address else address


def _on_node(ports: Iterable[dict[str, Any]] | None) -> Ports:
    """Those that a task publishes on its own node, for TCP."""
    return [port for port in ports or () if port.get("PublishMode") == "host" and port.get("Protocol") == "tcp"]


def host_ports(task: Mapping[str, Any], ipv6: bool) -> dict[int, int]:
    """Container port → port of the node, for its addresses of this family.

    Engines before 27 draw a port for each family, and the two may differ (moby#42442). They tell IPv4's first.
    """
    found: dict[int, int] = {}
    for port in task_ports(task):
        target, published = int(port["TargetPort"]), int(port["PublishedPort"])
        found[target] = published if ipv6 else found.get(target, published)
    return found


def task_ports(task: Mapping[str, Any]) -> Ports:
    """Those that it publishes on its node, as far as the managers know."""
    return _on_node((task["Status"].get("PortStatus") or {}).get("Ports"))


def untold(task: Mapping[str, Any]) -> bool:
    """It runs, and the managers do not know at which port."""
    return task["Status"]["State"] == RUNNING and task["DesiredState"] == RUNNING and not task_ports(task)


def told_ports(nodes: Iterable[Mapping[str, Any]], stacks: Iterable[str]) -> dict[str, Ports]:
    """Task → the ports that the proxy on its node told."""
    listed = list(stacks)
    reports = (parse_report(stack, node) for node in nodes for stack in listed)
    return {task: ports for report in reports if report is not None for task, ports in report.ports.items()}


def with_ports(task: dict[str, Any], ports: Ports | None) -> dict[str, Any]:
    return {**task, "Status": {**task["Status"], "PortStatus": {"Ports": ports}}} if ports else task


def serving_tasks(tasks: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]]) -> list[Task]:
    """In a steady order. Without any on a node that is there, those on lost nodes: the managers may be wrong."""
    known = {node["ID"]: node for node in nodes}
    found: list[tuple[tuple[int, str], bool, Task]] = []
    for raw in tasks:
        status, node = raw["Status"], known.get(raw.get("NodeID", ""))
        if node is None or status["State"] != RUNNING or raw["DesiredState"] != RUNNING:
            continue
        host = node_address(node)
        task = Task(raw["ServiceID"], raw["NodeID"], host, host_ports(raw, ":" in host))
        found.append(((int(raw.get("Slot") or 0), raw["ID"]), node["Status"]["State"] in GONE, task))
    ordered = [(gone, task) for _order, gone, task in sorted(found, key=lambda each: each[0])]
    there = {task.service for gone, task in ordered if not gone}
    return [task for gone, task in ordered if not gone or task.service not in there]


def published_ports(service: Mapping[str, Any]) -> list[int]:
    """The container ports of a Swarm service that each of its tasks publishes on its node."""
    ports = _on_node((service["Spec"].get("EndpointSpec") or {}).get("Ports"))
    return sorted({int(port["TargetPort"]) for port in ports})


def upstream_files(stack: str, wish: Wish, tasks: Iterable[Task], ports: Mapping[str, Iterable[int]]) -> dict[str, str]:
    """File name → content of every upstream of the stack. `ports` are those of each service of the stack."""
    tasks = list(tasks)
    result: dict[str, str] = {}
    for service in wish.serving:
        weights = wish.weights(service)
        following = wish.following.get(service)
        later = set(following.services) if following else set()
        share = Share(following.of_next, following.salt, following.cookie, following.header) if following else None
        for port in sorted(ports[service]):
            groups: tuple[list[Server], list[Server]] = ([], [])
            for task in tasks:
                if task.service in weights and port in task.ports:
                    server = Server(f"{task.host}:{task.ports[port]}", weights[task.service])
                    groups[task.service in later].append(server)
            result.update(render(upstream_name(stack, service, port), *groups, share))
    return result


class Agent:
    """One `step` reads everything and brings nginx and the node's labels to it.

    `meet` is told where requests go: address of each other node → published ports.
    """

    def __init__(
        self,
        gateway: Gateway,
        proxy: Proxy,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        meet: Callable[[Mapping[str, frozenset[int]]], None] = lambda _servers: None,
    ) -> None:
        self._gateway = gateway
        self._proxy = proxy
        self._say = say
        self._clock = clock
        self._meet = meet
        self._node = ""
        self._counts: dict[str, _Count] = {}
        self._ports: dict[str, list[int]] = {}
        self._problems: dict[str, str] = {}
        self._seen: dict[str, Ports] = {}  # of each task that runs
        self._untold: dict[str, float] = {}  # task → since when nobody tells its port

    def run(self, events: queue.Queue[bool]) -> None:
        """Step after each event, and as often as what was found asks for. Ends with an event that is False."""
        alive = True
        while alive:
            wait = self._guarded_step()
            try:
                alive = events.get(timeout=wait)
                while not events.empty():
                    alive = events.get_nowait() and alive
            except queue.Empty:
                continue

    def _guarded_step(self) -> float:
        problem = ""
        try:
            wait, _result = self.step()
        except NotManager:
            self._node, wait = "", IDLE_SECONDS
        except EngineError as error:
            problem, wait = f"upstreams stay as they are: {error}", TASKS_SECONDS
        self._complain("", problem)
        return wait

    def step(self) -> tuple[float, dict[str, str]]:
        """After how many seconds to look again, and stack → changed, unchanged or the problem."""
        self._node = self._node or self._gateway.node_id()
        if not self._node:
            return IDLE_SECONDS, {}
        nodes = self._gateway.nodes()
        mine = next((node for node in nodes if node["ID"] == self._node), None)
        if mine is None:
            self._node = ""  # it may have left for another Swarm
            return TASKS_SECONDS, {}
        if (mine["Spec"].get("Labels") or {}).get(PROXY_LABEL) != "true":
            return IDLE_SECONDS, {}
        asked = wishes(self._gateway)
        services = {each for wish in asked.values() for name in wish.serving for each in wish.weights(name)}
        raw = self._gateway.tasks(sorted(services))
        told = self._learn(raw, nodes, asked)
        raw = [with_ports(task, told.get(task["ID"])) for task in raw]
        self._seen = {task["ID"]: ports for task in raw for ports in [task_ports(task)] if ports}
        tasks = serving_tasks(raw, nodes)
        elsewhere = [task for task in tasks if task.node != self._node]
        self._meet(
            {
                host: frozenset(port for task in elsewhere if task.host == host for port in task.ports.values())
                for host in {task.host for task in elsewhere}
            }
        )
        result: dict[str, str] = {}
        for stack, wish in asked.items():
            result[stack] = self._follow(stack, wish, tasks)
        draining = self._proxy.draining()
        here: dict[str, dict[str, Ports]] = {}
        for task in raw:
            if task["NodeID"] == self._node and task["ID"] in told:
                here.setdefault(task["ServiceID"], {})[task["ID"]] = told[task["ID"]]
        self._report(mine, asked, result, draining, here)
        self._counts = {stack: count for stack, count in self._counts.items() if stack in asked}
        self._ports = {service: ports for service, ports in self._ports.items() if service in services}
        return DRAINING_SECONDS if draining else TASKS_SECONDS, result

    def _learn(
        self, tasks: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]], stacks: Iterable[str]
    ) -> dict[str, Ports]:
        """The ports that the managers lack: as they were, from the containers here, from the proxies on other nodes."""
        lacking = {task["ID"]: task["NodeID"] for task in tasks if untold(task)}
        if not lacking:
            self._untold = {}
            return {}
        elsewhere = told_ports(nodes, stacks)
        found = {task: self._seen.get(task) or elsewhere.get(task) or [] for task in lacking}
        mine = [task for task, node in lacking.items() if node == self._node and not found[task]]
        if mine:
            found.update(self._gateway.published(mine))
        now = self._clock()
        self._untold = {task: self._untold.get(task, now) for task in lacking if not found.get(task)}
        for task, since in self._untold.items():
            if now - since >= UNTOLD_SECONDS:
                self._complain(task, NO_PORT.format(node=lacking[task]))
        return {task: ports for task, ports in found.items() if ports}

    def _follow(self, stack: str, wish: Wish, tasks: list[Task]) -> str:
        ports = {service: self._ports_of(stack, service, wish.weights(service)) for service in wish.serving}
        self._count(stack, wish, tasks)
        try:
            changed = self._proxy.apply(upstream_files(stack, wish, tasks, ports))
        except (ProxyError, OSError) as error:
            return str(error)
        if changed:
            self._say(f"{stack}: upstreams changed, nginx reloaded")
        return "changed" if changed else "unchanged"

    def _ports_of(self, stack: str, service: str, services: Iterable[str]) -> list[int]:
        """Those of its Swarm services; of a service that is closed, those that it had."""
        services = list(services)
        for each in services:
            if each not in self._ports:
                found = self._gateway.service(each)
                if found is not None:
                    self._ports[each] = published_ports(found)
        ports = {port for each in services for port in self._ports.get(each, [])}
        if not ports:
            pattern = re.escape(upstream_name(stack, service, 0)[:-1]) + r"(\d+)\.conf"
            ports = {int(found[1]) for name in self._proxy.names() for found in [re.fullmatch(pattern, name)] if found}
        return sorted(ports)

    def _count(self, stack: str, wish: Wish, tasks: list[Task]) -> None:
        """Before nginx sends a request to a new server: not one answer shall be missed."""
        count = self._counts.get(stack)
        if not wish.judging:
            self._counts.pop(stack, None)
            return
        if count is None or count.word != wish.judging:
            count = self._counts[stack] = _Count(wish.judging, self._proxy.follow())
        asked = {each for name in wish.serving for each in wish.weights(name)}
        for task in tasks:
            if task.service in asked:
                count.services.update({f"{task.host}:{port}": task.service for port in task.ports.values()})
        count.read(self._clock())

    # What the others are told

    def _report(
        self,
        mine: Mapping[str, Any],
        asked: Mapping[str, Wish],
        result: Mapping[str, str],
        draining: bool,
        here: Mapping[str, Mapping[str, Ports]],
    ) -> None:
        said: dict[str, str] = {}
        for stack, wish in asked.items():
            before = parse_report(stack, mine)
            followed = result[stack] in ("changed", "unchanged")
            entry: dict[str, Any] = {
                "generation": wish.generation if followed or before is None else before.generation,
                "draining": draining,
            }
            if not followed:
                entry["problem"] = result[stack]
            self._complain(stack, entry.get("problem", ""))
            services = {each for name in wish.serving for each in wish.weights(name)}
            ports = {task: found for service in services for task, found in here.get(service, {}).items()}
            if ports:
                entry["ports"] = ports
            count = self._counts.get(stack)
            if count is not None:
                entry["judging"] = count.word
                entry["tallies"] = count.told
            said[report_label(stack)] = packed(entry)
        self._tell(mine, said)

    def _complain(self, about: str, problem: str) -> None:
        """Once, not with each step."""
        if problem and self._problems.get(about) != problem:
            self._say(f"{about}: {problem}" if about else problem)
        self._problems[about] = problem

    def _tell(self, node: Mapping[str, Any], said: Mapping[str, str]) -> None:
        """Write the labels that differ; those of stacks that are gone go."""
        for _attempt in range(ATTEMPTS):
            labels = dict(node["Spec"].get("Labels") or {})
            kept = {key: value for key, value in labels.items() if not key.startswith(f"{PROXY_LABEL}.") or key in said}
            wanted = {**kept, **said}
            if wanted == labels:
                return
            try:
                self._gateway.update_node(node, wanted)
                return
            except Conflict:
                node = self._gateway.node(node["ID"])
        raise EngineError(f"node {node['ID']}: {ATTEMPTS} writes of its labels in a row came second")

"""A raft store in memory, with Docker's compare-and-set."""

from __future__ import annotations

import base64
import copy
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import Conflict, Unavailable


class Raft:
    """What all nodes share. `write_meets` is called before each write: to lose the quorum, to be overtaken."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.index = 10
        self.configs: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, dict[str, Any]] = {}
        self.services: dict[str, dict[str, Any]] = {}
        self.tasks: list[dict[str, Any]] = []
        self.containers: dict[str, list[dict[str, Any]]] = {}  # of tasks
        self.quorum = True
        self.write_meets: Callable[[], None] | None = None
        self.writes = 0

    def gateway(self, node: str = "n1") -> Gateway:
        return Gateway(self, node)

    def add_node(self, node: str, labels: Mapping[str, str] | None = None, **status: Any) -> dict[str, Any]:
        self.nodes[node] = {
            "ID": node,
            "Version": {"Index": 1},
            "Spec": {"Labels": dict(labels or {}), "Role": "manager", "Availability": "active"},
            "Description": {"Hostname": f"host-{node}"},
            "Status": {"State": "ready", "Addr": f"10.0.0.{node[1:]}", **status},
        }
        return self.nodes[node]


class Gateway:
    """One node's view of it."""

    def __init__(self, raft: Raft, node: str) -> None:
        self.raft = raft
        self.node_name = node

    def node_id(self) -> str:
        return self.node_name

    def _write(self) -> None:
        if self.raft.write_meets is not None:
            meets, self.raft.write_meets = self.raft.write_meets, None
            meets()
        if not self.raft.quorum:
            raise Unavailable("config: the Swarm has no leader")
        self.raft.writes += 1
        self.raft.index += 1

    def config(self, name: str) -> dict[str, Any] | None:
        with self.raft.lock:
            return copy.deepcopy(self.raft.configs.get(name))

    def configs(self, label: str) -> list[dict[str, Any]]:
        key, equals, value = label.partition("=")
        with self.raft.lock:
            found = copy.deepcopy(list(self.raft.configs.values()))
        labels = ((each, each["Spec"]["Labels"]) for each in found)
        return [each for each, own in labels if key in own and (not equals or own[key] == value)]

    def create_config(self, name: str, labels: Mapping[str, str], data: bytes) -> None:
        self._write()
        with self.raft.lock:
            if name in self.raft.configs:
                raise Conflict(f"config {name} already exists")
            spec = {"Name": name, "Labels": dict(labels), "Data": base64.b64encode(data).decode("ascii")}
            self.raft.configs[name] = {"ID": f"id-{name}", "Version": {"Index": self.raft.index}, "Spec": spec}

    def update_config(self, found: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        self._write()
        with self.raft.lock:
            current = self.raft.configs[found["Spec"]["Name"]]
            if current["Version"] != found["Version"]:
                raise Conflict("update out of sequence")
            current["Version"] = {"Index": self.raft.index}
            current["Spec"]["Labels"] = dict(labels)

    def remove_config(self, name: str) -> None:
        self._write()
        with self.raft.lock:
            self.raft.configs.pop(name, None)

    def nodes(self) -> list[dict[str, Any]]:
        with self.raft.lock:
            return copy.deepcopy(list(self.raft.nodes.values()))

    def node(self, node_id: str) -> dict[str, Any]:
        with self.raft.lock:
            return copy.deepcopy(self.raft.nodes[node_id])

    def update_node(self, found: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        self._write()
        with self.raft.lock:
            current = self.raft.nodes[found["ID"]]
            if current["Version"] != found["Version"]:
                raise Conflict("update out of sequence")
            current["Version"] = {"Index": self.raft.index}
            current["Spec"]["Labels"] = dict(labels)

    def service(self, service: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.raft.services.get(service))

    def tasks(self, services: Iterable[str]) -> list[dict[str, Any]]:
        wanted = set(services)
        return [copy.deepcopy(each) for each in self.raft.tasks if each["ServiceID"] in wanted]

    def published(self, tasks: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        wanted = set(tasks)
        mine = {each["ID"] for each in self.raft.tasks if each["NodeID"] == self.node_name}
        return {task: copy.deepcopy(ports) for task, ports in self.raft.containers.items() if task in wanted & mine}


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float, /) -> None:
        self.now += seconds

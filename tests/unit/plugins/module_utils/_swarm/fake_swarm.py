# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Swarm in memory that answers as dockerd does."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmGateway
from ansible_collections.slipway.ops.plugins.module_utils._swarm.raft import Position


class FakeGateway(SwarmGateway):
    """Keeps nodes, services and tasks; a role change takes effect at once, as does a drain where there is room."""

    def __init__(self, *hostnames: str, own: int = 0) -> None:
        self.calls: list[str] = []
        self.state = "active"
        self.error = ""
        self.root = "/var/lib/docker"
        self.key = ""
        self.room = True
        self.own = f"id-{hostnames[own]}" if hostnames else ""
        self.spec: dict[str, Any] = {
            "Name": "default",
            "Labels": {},
            "CAConfig": {"NodeCertExpiry": 90 * 86400 * 10**9},
        }
        self.found: dict[str, dict[str, Any]] = {f"id-{name}": node(name) for name in hostnames}
        self.service_list: list[dict[str, Any]] = []
        self.task_list: list[dict[str, Any]] = []
        self.overtaken = 0

    def information(self) -> dict[str, Any]:
        manager = bool(self.own) and bool(self.found.get(self.own, {}).get("ManagerStatus"))
        swarm = {
            "LocalNodeState": self.state if self.own else "inactive",
            "NodeID": self.own,
            "NodeAddr": "192.0.2.1",
            "ControlAvailable": manager,
            "Error": self.error,
            "Cluster": {"ID": "cluster", "DataPathPort": 4789, "SubnetSize": 24},
        }
        return {"Name": "host", "DockerRootDir": self.root, "Swarm": swarm, "LiveRestoreEnabled": False}

    def swarm(self) -> dict[str, Any]:
        if self.error:
            raise ApiError("rpc error: The swarm does not have a leader.", 500)
        tokens = {"Manager": "SWMTKN-manager", "Worker": "SWMTKN-worker"}
        return {"ID": "cluster", "Version": {"Index": 7}, "Spec": copy.deepcopy(self.spec), "JoinTokens": tokens}

    def nodes(self) -> list[dict[str, Any]]:
        return copy.deepcopy(list(self.found.values()))

    def node(self, node: str) -> dict[str, Any]:
        if node not in self.found:
            raise ApiError(f"node {node} not found", 404)
        return copy.deepcopy(self.found[node])

    def services(self) -> list[dict[str, Any]]:
        return self.service_list

    def objects(self, kind: str) -> list[dict[str, Any]]:
        return []

    def tasks(self, **filters: Sequence[str]) -> list[dict[str, Any]]:
        keys = {"node": "NodeID", "service": "ServiceID", "desired_state": "DesiredState"}
        return [task for task in self.task_list if all(task[keys[key]] in wanted for key, wanted in filters.items())]

    def unlock_key(self) -> str:
        return self.key

    def update(self, version: int, spec: Mapping[str, Any]) -> None:
        self.calls.append("update the Swarm")
        self.spec = dict(spec)

    def update_node(self, node: str, version: int, spec: Mapping[str, Any]) -> None:
        if self.overtaken:
            self.overtaken -= 1
            raise ApiError("rpc error: update out of sequence", 500)
        found = self.found[node]
        before = found["Spec"]
        if spec["Role"] == "worker":
            if before["Role"] == "manager" and "ManagerStatus" not in found:
                raise ApiError("rpc error: code = NotFound desc = can't find manager in raft memberlist", 404)
            found.pop("ManagerStatus", None)
        else:
            found["ManagerStatus"] = {"Reachability": "reachable", "Addr": "192.0.2.9:2377"}
        self.calls += [f"{node}: {key} {value}" for key, value in spec.items() if before[key] != value]
        found["Spec"] = dict(spec)
        if spec["Availability"] == "drain" and self.room:
            for task in self.task_list:
                if task["NodeID"] == node:
                    task["NodeID"] = "id-elsewhere"

    def remove_node(self, node: str) -> None:
        self.calls.append(f"remove {node}")
        del self.found[node]

    def init(self, body: Mapping[str, Any]) -> str:
        self.calls.append("force" if body.get("ForceNewCluster") else f"init {body['AdvertiseAddr']}")
        self.error = ""
        self.own = self.own or "id-new"
        self.found[self.own] = node(self.own.removeprefix("id-"))
        return self.own

    def join(self, body: Mapping[str, Any]) -> None:
        self.calls.append(f"join {body['RemoteAddrs']} {body['JoinToken']}")
        self.own = "id-new"
        self.found[self.own] = node("new")

    def leave(self, force: bool) -> None:
        self.calls.append(f"leave {force}")
        self.own = ""

    def unlock(self, key: str) -> None:
        if key != self.key:
            raise ApiError("invalid key", 500)
        self.state = "active"

    def told(self, root: str) -> dict[str, Any]:  # type: ignore[override]
        return {"ListenAddr": "0.0.0.0:2377"}

    def has_locked_key(self, root: str) -> bool:  # type: ignore[override]
        return False

    def raft_position(self, root: str) -> Position:  # type: ignore[override]
        return Position(2, 41, 41)

    def encrypts(self) -> bool:  # type: ignore[override]
        return True

    def default_address(self) -> str:  # type: ignore[override]
        return "192.0.2.1"


def node(name: str, role: str = "manager", **changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ID": f"id-{name}",
        "Version": {"Index": 3},
        "Spec": {"Role": role, "Availability": "active", "Labels": {}},
        "Description": {"Hostname": name},
        "Status": {"State": "ready", "Addr": "192.0.2.1"},
    }
    if role == "manager":
        found["ManagerStatus"] = {"Reachability": "reachable", "Addr": "192.0.2.1:2377"}
    return {**found, **changes}


def task(service: str, where: str, state: str = "running") -> dict[str, Any]:
    return {
        "ServiceID": service,
        "NodeID": where,
        "DesiredState": "running",
        "Status": {"State": state, "Err": "" if state == "running" else "no suitable node"},
    }


def service(name: str, replicas: int) -> dict[str, Any]:
    return {"ID": name, "Spec": {"Name": name, "Mode": {"Replicated": {"Replicas": replicas}}}}

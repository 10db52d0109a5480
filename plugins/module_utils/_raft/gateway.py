# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Swarm's raft store as Docker's API shows it: config objects and nodes, changed by compare-and-set.

Docker documents `ObjectVersion` so: the client sends the version that it read along with the modified specification,
and of two updates from the same version only one succeeds. Of a config only the labels can be updated; its name is
unique in the Swarm, so creating it under a name is atomic too. Config objects are kept encrypted in the raft store and
every manager's root can read them. Reads are no proof: a leader that lost its quorum answers them from memory for half
a minute. Only a write that came back is.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import (
    connect_client,
    known,
    translated,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

# A write comes back in some ten milliseconds; without a quorum Docker itself would hold it for half a minute.
CALL_TIMEOUT_SECONDS = 10
EVENTS = {"type": ["config", "node"]}
COMING = ("pending", "error")  # states of a node that is to be one of the cluster
TASK_LABEL = "com.docker.swarm.task.id"


class Conflict(EngineError):
    """Somebody else changed or created the object first."""


class Unavailable(EngineError):
    """The managers have no leader at the moment; whether a write came through is not known."""


class NotManager(EngineError):
    """This host's engine is no manager of a Swarm."""


# The first that fits: a manager that cannot reach its leader says that it is none, and goes on as a worker would.
_KINDS: Mapping[str, type[EngineError]] = {
    "has trouble connecting to the cluster": Unavailable,
    "update out of sequence": Conflict,
    "AlreadyExists": Conflict,
    "already exists": Conflict,
    "does not have a leader": Unavailable,
    "lost leader status": Unavailable,
    "DeadlineExceeded": Unavailable,
    "Unavailable": Unavailable,
    "not a swarm manager": NotManager,
    "Worker nodes can't be used": NotManager,
}
_REMEDIES: Mapping[type[EngineError], str] = {
    Unavailable: "; start the other managers or recover the quorum",
    NotManager: "; run it on a manager",
}


@contextlib.contextmanager
def _answered(what: str) -> Iterator[None]:
    import docker.errors
    import requests.exceptions

    with translated(what):
        try:
            yield
        except docker.errors.APIError as error:
            detail = str(error.explanation or error).strip().replace("\n", " ").rstrip(".")
            kind = next((kind for words, kind in _KINDS.items() if words in detail), None)
            if kind is None:
                raise
            raise kind(f"{what}: {detail}{_REMEDIES.get(kind, '')}") from error
        except requests.exceptions.RequestException as error:
            raise Unavailable(f"{what}: the engine did not answer ({error}); see journalctl -u docker") from error


class RaftGateway:
    def __init__(self, client: Any) -> None:
        self._client = client

    @classmethod
    def connect(cls) -> RaftGateway:
        return cls(connect_client(CALL_TIMEOUT_SECONDS))

    def node_id(self) -> str:
        """This node's id; empty where the engine is no manager of a Swarm, or is locked.

        Unavailable for a manager that is on its way into the cluster or lost it, as after a start of the engine.
        """
        with _answered("engine"):
            swarm = self._client.info().get("Swarm") or {}
        state, identity = swarm.get("LocalNodeState"), str(swarm.get("NodeID") or "")
        if state == "active" and swarm.get("ControlAvailable"):
            return identity
        if state in COMING or identity in {each.get("NodeID") for each in swarm.get("RemoteManagers") or ()} - {""}:
            detail = swarm.get("Error") or f"its state is {state}"
            raise Unavailable(f"this node of the Swarm is not ready: {detail}{_REMEDIES[Unavailable]}")
        return ""

    # Configs

    def config(self, name: str) -> dict[str, Any] | None:
        with _answered(f"config {name}"):
            return known(self._client.inspect_config, name)

    def configs(self, label: str) -> list[dict[str, Any]]:
        """Those with the label, each with its data."""
        with _answered(f"configs with {label}"):
            return list(self._client.configs(filters={"label": label}))

    def create_config(self, name: str, labels: Mapping[str, str], data: bytes) -> None:
        """Conflict when there is one of that name."""
        body = {"Name": name, "Labels": dict(labels), "Data": base64.b64encode(data).decode("ascii")}
        with _answered(f"config {name}"):
            self._client._result(self._client._post_json(self._client._url("/configs/create"), data=body), json=True)

    def update_config(self, found: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        """Give it these labels; Conflict when it is not as it was found any more."""
        # The SDK has no call for it.
        url = self._client._url("/configs/{0}/update", found["ID"])
        version = {"version": found["Version"]["Index"]}
        with _answered(f"config {found['Spec']['Name']}"):
            body = {**found["Spec"], "Labels": dict(labels)}
            self._client._raise_for_status(self._client._post_json(url, data=body, params=version))

    def remove_config(self, name: str) -> None:
        import docker.errors

        with _answered(f"config {name}"), contextlib.suppress(docker.errors.NotFound):
            self._client.remove_config(name)

    # Nodes

    def nodes(self) -> list[dict[str, Any]]:
        with _answered("nodes"):
            return list(self._client.nodes())

    def node(self, node_id: str) -> dict[str, Any]:
        with _answered(f"node {node_id}"):
            found: dict[str, Any] = self._client.inspect_node(node_id)
        return found

    def update_node(self, found: Mapping[str, Any], labels: Mapping[str, str]) -> None:
        """Give it these labels; Conflict when it is not as it was found any more."""
        with _answered(f"node {found['ID']}"):
            spec = {**found["Spec"], "Labels": dict(labels)}
            self._client.update_node(found["ID"], found["Version"]["Index"], spec)

    # What serves

    def service(self, service: str) -> dict[str, Any] | None:
        with _answered(f"service {service}"):
            return known(self._client.inspect_service, service)

    def tasks(self, services: Iterable[str]) -> list[dict[str, Any]]:
        """The tasks of these services that are wanted; a service that is gone has none."""
        import docker.errors

        listed = list(services)
        while listed:
            with _answered("tasks"):
                try:
                    return list(self._client.tasks(filters={"service": listed, "desired-state": "running"}))
                except docker.errors.NotFound:
                    # Docker names one of those that are gone and answers nothing about the others.
                    there = [each for each in listed if self.service(each) is not None]
                    if there == listed:
                        raise
                    listed = there
        return []

    def published(self, tasks: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        """Which TCP ports the containers of these tasks publish here, in the words of a task's `PortStatus`."""
        wanted = set(tasks)
        with _answered("containers"):
            containers = list(self._client.containers(filters={"label": TASK_LABEL}))
        found: dict[str, list[dict[str, Any]]] = {}
        for container in containers:
            task = container["Labels"][TASK_LABEL]
            if task in wanted:
                ports = [port for port in container.get("Ports") or () if port.get("PublicPort")]
                found[task] = [
                    {
                        "Protocol": port["Type"],
                        "TargetPort": port["PrivatePort"],
                        "PublishedPort": port["PublicPort"],
                        "PublishMode": "host",
                    }
                    for port in sorted(ports, key=lambda port: (":" in port.get("IP", ""), port["PrivatePort"]))
                    if port["Type"] == "tcp"
                ]
        return found

    def events(self) -> Iterator[dict[str, Any]]:
        """Changes of configs and nodes, which every manager hears, without an end. Tasks have no events."""
        with translated("events"):
            yield from self._client.events(decode=True, filters=EVENTS)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a stack runs on a Swarm, as values: its services, their tasks, and each wanted task as a container."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import observed as state
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container, Image
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import Reference

# The service's label that keeps the reference of the Compose file: a bare image id does not tell it.
REFERENCE_LABEL = "ops.slipway.image"

# A service with a task on each node cannot be scaled; this constraint stops it.
NOWHERE = "node.id == nowhere"

DOWN = "down"
RUNNING = "running"
PENDING = "pending"
STARTING = "starting"
COMPLETE = "complete"
SHUTDOWN = "shutdown"
REMOVE = "remove"
FAILED = ("failed", "rejected")
ENDED = (COMPLETE, SHUTDOWN, *FAILED, "orphaned", REMOVE)
GONE = "dead"  # the state of a container that nothing starts again


@dataclass(frozen=True)
class Node:
    id: str
    name: str
    state: str
    address: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    engine: int = 0  # the major version of its Docker

    @property
    def down(self) -> bool:
        # It is `unknown` for a while after each change of the leader, though it runs.
        return self.state == DOWN


@dataclass(frozen=True)
class Task:
    id: str
    service: str  # the id of its service
    slot: int
    node: str
    wanted: str
    state: str
    error: str = ""
    exit_code: int = 0
    created: str = ""
    since: str = ""
    has_container: bool = False
    terminal: bool = False

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def up(self) -> bool:
        """Whether its node runs it, or is about to."""
        return self.state in (STARTING, RUNNING)

    @property
    def leaving(self) -> bool:
        """It shall end, and no other takes its place by that alone."""
        return self.wanted in (SHUTDOWN, REMOVE)


@dataclass(frozen=True)
class SwarmService:
    id: str
    name: str
    service: str
    config_hash: str
    release: int
    reference: str
    image: str
    replicas: int | None  # None for a task on each node
    job: bool = False
    purpose: str = ""
    checked: bool = False
    grace_seconds: float = 10
    objects: frozenset[str] = frozenset()
    volumes: tuple[str, ...] = ()  # those that it may write
    tasks: tuple[Task, ...] = ()

    @property
    def wanted(self) -> int:
        """How many tasks the Swarm is asked for."""
        return len(self.newest()) or 1 if self.replicas is None else self.replicas

    @property
    def image_id(self) -> str:
        return self.image.rpartition("@")[2]

    def place(self, task: Task) -> tuple[int, str]:
        """What a task and those that take its place after it have in common."""
        return (0, task.node) if self.replicas is None else (task.slot, "")

    def newest(self) -> list[Task]:
        """The last task of each place; those that were scaled away are none.

        On a node that is drained or down a service for each node has no place; what ran there stays listed.
        """
        found: dict[tuple[int, str], Task] = {}
        for task in sorted(self.tasks, key=lambda each: each.created):
            found[self.place(task)] = task
        placeless = self.replicas is None and not self.job
        return [
            found[place]
            for place in sorted(found)
            if found[place].wanted != REMOVE
            and not (placeless and found[place].wanted == SHUTDOWN and found[place].state not in (*FAILED, COMPLETE))
        ]

    def failures(self, task: Task) -> list[Task]:
        """Those in the place of the task that failed, the last one last."""
        mine = [each for each in self.tasks if self.place(each) == self.place(task) and each.state in FAILED]
        return sorted(mine, key=lambda each: each.created)


def parse_node(raw: Mapping[str, Any]) -> Node:
    status = raw.get("Status") or {}
    description = raw.get("Description") or {}
    version = (description.get("Engine") or {}).get("EngineVersion", "").partition(".")[0]
    return Node(
        id=raw["ID"],
        name=description.get("Hostname", ""),
        state=status.get("State", ""),
        address=status.get("Addr", ""),
        labels=raw["Spec"].get("Labels") or {},
        engine=int(version) if version.isdigit() else 0,
    )


def parse_task(raw: Mapping[str, Any]) -> Task:
    status = raw["Status"]
    container = status.get("ContainerStatus") or {}
    return Task(
        id=raw["ID"],
        service=raw.get("ServiceID", ""),
        slot=int(raw.get("Slot") or 0),
        node=raw.get("NodeID", ""),
        wanted=raw.get("DesiredState", ""),
        state=status.get("State", ""),
        error=status.get("Err", ""),
        exit_code=int(container.get("ExitCode") or 0),
        created=raw.get("CreatedAt", ""),
        since=status.get("Timestamp", ""),
        has_container=bool(container.get("ContainerID")),
        terminal=bool(raw["Spec"].get("ContainerSpec", {}).get("TTY")),
    )


def parse_service(raw: Mapping[str, Any], tasks: Iterable[Task]) -> SwarmService:
    spec = raw["Spec"]
    labels = spec.get("Labels") or {}
    mode = spec.get("Mode") or {}
    container = spec["TaskTemplate"]["ContainerSpec"]
    job = mode.get("ReplicatedJob")
    grace = container.get("StopGracePeriod")
    return SwarmService(
        id=raw["ID"],
        name=spec["Name"],
        service=labels.get(state.SERVICE_LABEL, ""),
        config_hash=labels.get(state.HASH_LABEL, ""),
        release=int(labels.get(state.RELEASE_LABEL) or 0),
        reference=labels.get(REFERENCE_LABEL, ""),
        image=container.get("Image", ""),
        replicas=_replicas(spec),
        job=job is not None,
        purpose=labels.get(state.PURPOSE_LABEL, ""),
        checked=(container.get("Healthcheck") or {}).get("Test", ["NONE"]) != ["NONE"],
        grace_seconds=10 if grace is None else grace / 1_000_000_000,
        objects=frozenset(
            each[key]
            for section, key in (("Configs", "ConfigID"), ("Secrets", "SecretID"))
            for each in container.get(section) or []
        ),
        volumes=tuple(
            str(each["Source"])
            for each in container.get("Mounts") or []
            if each.get("Type") == "volume" and each.get("Source") and not each.get("ReadOnly")
        ),
        tasks=tuple(each for each in tasks if each.service == raw["ID"]),
    )


def _replicas(spec: Mapping[str, Any]) -> int | None:
    mode = spec.get("Mode") or {}
    if "ReplicatedJob" in mode:
        return int(mode["ReplicatedJob"].get("TotalCompletions") or 1)
    if "Global" in mode:
        constraints = (spec["TaskTemplate"].get("Placement") or {}).get("Constraints") or []
        return 0 if NOWHERE in constraints else None
    return int((mode.get("Replicated") or {}).get("Replicas") or 0)


def containers(service: SwarmService, nodes: Mapping[str, Node]) -> list[Container]:
    """Each task that the Swarm wants as a container; `nodes` by their ids.

    What is not up yet, or is about to be started anew, counts as starting: the Swarm works on it by itself.
    """
    found = [
        _container(service, number, task, nodes.get(task.node))
        for number, task in enumerate(service.newest(), start=1)
        if task.ended or not task.leaving
    ]
    found.extend(_awaited(service, number) for number in range(len(found) + 1, service.wanted + 1))
    if not found:
        # Scaled to nothing while another release replaces it; it must not be forgotten.
        return [_blank(service, 0, state.EXITED)]
    return found


def _container(service: SwarmService, number: int, task: Task, node: Node | None) -> Container:
    how, health = state.RUNNING, state.STARTING
    if service.job and task.state == COMPLETE:
        how, health = state.EXITED, state.NO_HEALTHCHECK
    elif task.ended and task.leaving:
        how, health = (state.EXITED if service.job else GONE), state.NO_HEALTHCHECK
    elif task.state == RUNNING and not (node and node.down):
        health = state.HEALTHY if service.checked else state.NO_HEALTHCHECK
    return Container(
        **{
            **_base(service, number, how),
            "id": task.id,
            "health": health,
            "exit_code": task.exit_code,
            "restarts": len(service.failures(task)),
            "started_at": task.since,
            "node": node.name if node else "",
        }
    )


def _awaited(service: SwarmService, number: int) -> Container:
    return Container(**{**_base(service, number, state.RUNNING), "health": state.STARTING})


def _blank(service: SwarmService, number: int, how: str) -> Container:
    return Container(**_base(service, number, how))


def _base(service: SwarmService, number: int, how: str) -> dict[str, Any]:
    return {
        "id": f"{service.id}.{number}",
        "name": f"{service.name}.{number}",
        "service": service.service,
        "number": number,
        "config_hash": service.config_hash,
        "image": service.reference,
        "image_id": service.image_id,
        "state": how,
        "release": service.release,
        "oneoff": bool(service.purpose),
        "purpose": service.purpose,
        "volumes": service.volumes,
    }


def known_images(services: Iterable[SwarmService]) -> dict[str, Image]:
    """What each reference was resolved to by the newest service that uses it."""
    found: dict[str, Image] = {}
    for service in sorted(services, key=lambda each: each.release):
        if service.reference:
            found[service.reference] = as_image(service.reference, service.image_id, "@" in service.image)
    return found


def as_image(reference: str, identity: str, from_registry: bool = True) -> Image:
    return Image(identity, Reference.parse(reference).at(identity) if from_registry else "")


def pinned(reference: str, image: Image) -> str:
    """What a task's image is called so that every node runs the very same one."""
    return f"{reference.partition('@')[0]}@{image.id}" if image.digest else image.id

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs, as values: the engine's own records parsed once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

STACK_LABEL = "ops.slipway.stack"
SERVICE_LABEL = "ops.slipway.service"
HASH_LABEL = "ops.slipway.config-hash"
RELEASE_LABEL = "ops.slipway.release"
NUMBER_LABEL = "com.docker.compose.container-number"
ONEOFF_LABEL = "com.docker.compose.oneoff"
PURPOSE_LABEL = "ops.slipway.purpose"
RUN_PURPOSE = "run"

RUNNING = "running"
EXITED = "exited"
HEALTHY = "healthy"
UNHEALTHY = "unhealthy"
STARTING = "starting"
NO_HEALTHCHECK = "none"


@dataclass(frozen=True)
class Container:
    id: str
    name: str
    service: str
    number: int
    config_hash: str
    image: str
    image_id: str
    state: str
    health: str = NO_HEALTHCHECK
    exit_code: int = 0
    restarts: int = 0
    started_at: str = ""
    release: int = 0
    oneoff: bool = False
    purpose: str = ""
    addresses: Mapping[str, str] = field(default_factory=dict)
    host_network: bool = False
    node: str = ""  # where it runs, in a Swarm
    health_log: str = ""
    standing: bool = False  # of the colour before, kept for the way back
    volumes: tuple[str, ...] = ()  # those that it may write
    stop_grace_seconds: int = 10

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    @property
    def alive(self) -> bool:
        """Running, or about to run again by itself."""
        return self.state in (RUNNING, "restarting", "paused")

    @property
    def stray(self) -> bool:
        """A container for one command that has outlived it. One that somebody runs by hand stays while it lives."""
        return bool(self.purpose) and not (self.purpose == RUN_PURPOSE and self.alive)

    @property
    def serving(self) -> bool:
        """Running and not found unhealthy."""
        return self.running and self.health != UNHEALTHY

    @property
    def ready(self) -> bool:
        return self.running and self.health in (HEALTHY, NO_HEALTHCHECK)


@dataclass(frozen=True)
class Image:
    id: str
    digest: str = ""


@dataclass(frozen=True)
class Observed:
    """A host as it is. `available` is False where there is no engine yet."""

    available: bool
    containers: tuple[Container, ...] = ()
    images: Mapping[str, Image] = field(default_factory=dict)
    networks: frozenset[str] = frozenset()
    altered_networks: frozenset[str] = frozenset()  # the stack's own, but made with other settings
    own_networks: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    upstreams: Mapping[str, str] = field(default_factory=dict)
    files_missing: bool = False  # configs and secrets that new containers will find
    replicas: Mapping[str, int] = field(default_factory=dict)  # where the engine, not the file, counts them
    chooses: bool = False  # whether the engine itself chooses which replicas end, where there are to be fewer


def altered(bodies: Iterable[Mapping[str, Any]], hashes: Mapping[str, str]) -> frozenset[str]:
    """The networks of these bodies that exist with a hash of other settings."""
    return frozenset(
        body["Name"] for body in bodies if hashes.get(body["Name"], "") not in ("", body["Labels"][HASH_LABEL])
    )


def parse_container(raw: Mapping[str, Any]) -> Container:
    """From the engine's answer to `inspect`."""
    labels = raw["Config"].get("Labels") or {}
    state = raw["State"]
    health = state.get("Health") or {}
    probes = health.get("Log") or []
    networks = raw["NetworkSettings"].get("Networks") or {}
    return Container(
        id=raw["Id"],
        name=raw["Name"].lstrip("/"),
        service=labels.get(SERVICE_LABEL, ""),
        number=int(labels.get(NUMBER_LABEL) or 0),
        config_hash=labels.get(HASH_LABEL, ""),
        image=raw["Config"].get("Image", ""),
        image_id=raw.get("Image", ""),
        state=state.get("Status", ""),
        health=health.get("Status") or NO_HEALTHCHECK,
        exit_code=int(state.get("ExitCode") or 0),
        restarts=int(raw.get("RestartCount") or 0),
        started_at=state.get("StartedAt", ""),
        release=int(labels.get(RELEASE_LABEL) or 0),
        oneoff=labels.get(ONEOFF_LABEL, "False") == "True",
        purpose=labels.get(PURPOSE_LABEL, ""),
        addresses={name: entry["IPAddress"] for name, entry in networks.items() if entry.get("IPAddress")},
        host_network=raw.get("HostConfig", {}).get("NetworkMode") == "host",
        health_log=(probes[-1].get("Output") or "").strip() if probes else "",
        volumes=tuple(
            mount.get("Name") or mount.get("Source") or ""
            for mount in raw.get("Mounts") or []
            if (mount.get("Type") or "").lower() == "volume" and mount.get("RW", True)
        ),
        stop_grace_seconds=int(raw["Config"].get("StopTimeout") or 10),
    )


def with_standing(containers: Iterable[Container], until: Mapping[str, float]) -> tuple[Container, ...]:
    """Marks those that are to stay for some time yet: container id → the end of that time."""
    now = time.time()
    return tuple(replace(each, standing=until.get(each.id, 0) > now) for each in containers)


def parse_image(raw: Mapping[str, Any]) -> Image:
    digests = raw.get("RepoDigests") or []
    return Image(id=raw["Id"], digest=digests[0] if digests else "")

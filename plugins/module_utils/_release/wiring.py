# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release put together from its parts, for modules and the host program."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import DIRECTORY, Lease, lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx
from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import ComposeEngine, Gateway, Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.records import STATE, Records
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Release
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import STACK_DIRECTORY, UPSTREAM_DIRECTORY
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

EMPTY: Mapping[str, Any] = {
    "services": {},
    "networks": {},
    "volumes": {},
    "configs": {},
    "secrets": {},
    "slipway": {"backup": {"volumes": []}},
}


@dataclass(frozen=True)
class Places:
    """Where things lie on the host; other places are for tests."""

    stacks: str = STACK_DIRECTORY
    state: str = STATE
    leases: str = DIRECTORY
    upstreams: str = UPSTREAM_DIRECTORY


@dataclass(frozen=True)
class Settings:
    actor: str = "slipway"
    lease_ttl_seconds: float = 120
    lease_wait_seconds: float = 300
    limits: Limits = field(default_factory=Limits)
    places: Places = field(default_factory=Places)


class _Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


def empty_stack(name: str) -> Stack:
    return Stack({"name": name, **EMPTY})


def release(
    stack: Stack,
    variables: Mapping[str, str],
    settings: Settings,
    connect: Callable[[], Gateway] = DockerGateway.connect,
) -> Release:
    places = settings.places
    records = Records(stack.name, places.stacks, places.state)
    engine = ComposeEngine(
        connect,
        Nginx(places.upstreams),
        records,
        _Clock(),
        settings.limits,
        report.secrets_of(stack, variables),
    )

    def take(owner: str) -> AbstractContextManager[Lease]:
        return lease(stack.name, owner, settings.lease_ttl_seconds, settings.lease_wait_seconds, places.leases)

    return Release(engine, records, take, stack, variables, settings.actor)

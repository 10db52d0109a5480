# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release put together from its parts, for modules and the host program."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.recovery import BackupPoints
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import DIRECTORY, Lease, LeaseError, lease
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx
from ansible_collections.slipway.ops.plugins.module_utils._release import report, rollback
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import ComposeEngine, Gateway, Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import STATE, Kept, Records
from ansible_collections.slipway.ops.plugins.module_utils._release.release import (
    Gate,
    Policy,
    Release,
    ReleaseFailed,
    open_gate,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.together import Board, TogetherError, new_state
from ansible_collections.slipway.ops.plugins.module_utils._release.together import Gate as HostGate
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import STACK_DIRECTORY, UPSTREAM_DIRECTORY
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

# What a caller should expect of a release, each with its one line.
FAILURES = (ReleaseFailed, TogetherError, rollback.RollbackRefused, PlanError, EngineError, LeaseError, BackupError)

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
    policy: Policy = field(default_factory=Policy)
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
    back_to: Kept | None = None,
    migrate: bool = True,
    gate: Gate = open_gate,
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

    points = BackupPoints(stack.name)
    return Release(
        engine, records, take, stack, variables, settings.actor, points, settings.policy, back_to, migrate, gate
    )


def request(
    stack: Stack, variables: Mapping[str, str], settings: Settings, wait_seconds: float, migrate: bool
) -> dict[str, Any]:
    """What the process of a release over several hosts needs to know, as plain values."""
    return {
        "model": stack.plain,
        "variables": dict(variables),
        "settings": asdict(settings),
        "wait_seconds": wait_seconds,
        "migrate": migrate,
    }


def run_requested(name: str, board: Board) -> bool:
    """This host's part of a release over several hosts. The request holds secrets: it goes as soon as it is read."""
    asked = board.read("request")
    board.clear("request")
    if not asked:
        raise TogetherError(f"stack {name}: there is no request for a release on this host; release it by deploy.yml")
    plain = asked["settings"]
    policy = Policy(**{**plain["policy"], "confirmed_volumes": tuple(plain["policy"]["confirmed_volumes"])})
    settings = Settings(
        **{**plain, "limits": Limits(**plain["limits"]), "policy": policy, "places": Places(**plain["places"])}
    )
    stack = Stack(asked["model"])
    gate = HostGate(board, new_state(asked["token"]), asked["wait_seconds"])
    work = release(stack, asked["variables"], settings, migrate=asked["migrate"], gate=gate)
    gate.images = work.images
    gate.say()
    return gate.run(lambda: work.present(False))


def rolling_back(
    name: str,
    wanted: int | None,
    settings: Settings,
    connect: Callable[[], Gateway] = DockerGateway.connect,
) -> tuple[Release, rollback.Target]:
    """The release that brings a kept one back, and what it goes back to. Raises RollbackRefused."""
    records = Records(name, settings.places.stacks, settings.places.state)
    target = rollback.choose(name, records.history(), records.kept_release, wanted)
    kept = target.kept
    return release(Stack(kept.model), kept.variables, settings, connect, back_to=kept), target

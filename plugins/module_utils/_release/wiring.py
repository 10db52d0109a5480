# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release put together from its parts, for modules and the host program."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.recovery import BackupPoints
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import (
    DIRECTORY,
    Lease,
    LeaseError,
    describe,
    holder,
    lease,
)
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_holder, cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.records import ClusterRecords, cluster_stacks
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import Serving
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState
from ansible_collections.slipway.ops.plugins.module_utils._release import once, records, report, rollback
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import ComposeEngine, Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.container import ContainerSpec
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway, EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import Engine, EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.hooks import Hooks
from ansible_collections.slipway.ops.plugins.module_utils._release.images import Images, Room, silent
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import STATE, Kept
from ansible_collections.slipway.ops.plugins.module_utils._release.registry import Registries, parse_setup
from ansible_collections.slipway.ops.plugins.module_utils._release.release import (
    Beside,
    Gate,
    Leaser,
    Ledger,
    Policy,
    Release,
    ReleaseFailed,
    open_gate,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.signatures import Rule, Signatures, parse_rules
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm import SwarmEngine
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_gateway import SwarmGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.together import Board, TogetherError, new_state
from ansible_collections.slipway.ops.plugins.module_utils._release.together import Gate as HostGate
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import STACK_DIRECTORY, UPSTREAM_DIRECTORY
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import COMPOSE, SWARM, Stack

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
    room: Room = field(default_factory=Room)
    signatures: tuple[Rule, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)


class _Clock:
    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, /) -> None:
        time.sleep(seconds)


def empty_stack(name: str) -> Stack:
    return Stack({"name": name, **EMPTY})


@dataclass(frozen=True)
class Parts:
    """What differs from engine to engine."""

    engine: Engine
    records: Ledger
    take: Leaser
    holder: Callable[[], str]  # who works on the stack now; empty when nobody does
    pulling: Callable[[], str] = str  # how far the pull of a release is


def images(gateway: DockerGateway, settings: Settings, say: Callable[[str], None] = silent) -> Images:
    """What brings images to this host; the registries are asked for sizes as its engine is set up."""
    setup = parse_setup(gateway.information())

    def idle() -> int:
        # Its package stands on this one.
        from ansible_collections.slipway.ops.plugins.module_utils._docker.cli import idle_bytes

        return idle_bytes(settings.places)

    return Images(
        gateway,
        Registries(setup).manifest,
        _Clock(),
        settings.room,
        idle,
        Signatures(settings.signatures, setup.is_plain),
        say,
    )


def _on_compose(name: str, settings: Settings, secrets: Sequence[str]) -> Parts:
    places = settings.places
    book = records.Records(name, places.stacks, places.state)
    engine = ComposeEngine(
        DockerGateway.connect,
        Nginx(places.upstreams),
        book,
        _Clock(),
        settings.limits,
        lambda gateway: images(cast(DockerGateway, gateway), settings, book.say_pull),
        secrets,
    )

    def take(owner: str) -> AbstractContextManager[Lease]:
        return lease(name, owner, settings.lease_ttl_seconds, settings.lease_wait_seconds, places.leases)

    def working() -> str:
        held = holder(name, places.leases)
        return describe(held) if held else ""

    return Parts(engine, book, take, working, book.said_pull)


class _NoSwarm(RaftGateway):
    """A host that is no node of a Swarm yet: nothing is recorded."""

    def node_id(self) -> str:
        return ""

    def config(self, name: str) -> None:
        return None

    def configs(self, label: str) -> list[dict[str, Any]]:
        return []

    def nodes(self) -> list[dict[str, Any]]:
        return []


def _raft() -> RaftGateway:
    try:
        gateway = RaftGateway.connect()
        return gateway if gateway.node_id() else _NoSwarm(None)
    except EngineMissing:
        return _NoSwarm(None)


def _on_swarm(name: str, settings: Settings, secrets: Sequence[str]) -> Parts:
    gateway = _raft()
    state = ClusterState(gateway, name)
    engine = SwarmEngine(SwarmGateway.connect, Serving(state, gateway), _Clock(), settings.limits, secrets)

    def take(owner: str) -> AbstractContextManager[Lease]:
        return cluster_lease(state, owner, settings.lease_ttl_seconds, settings.lease_wait_seconds)

    def working() -> str:
        held = cluster_holder(state)
        return describe(held) if held else ""

    return Parts(engine, ClusterRecords(state), take, working)


ADAPTERS: Mapping[str, Callable[[str, Settings, Sequence[str]], Parts]] = {COMPOSE: _on_compose, SWARM: _on_swarm}


def stacks(places: Places) -> list[str]:
    """The names of all stacks deployed on this host, or on the Swarm that it is a manager of."""
    try:
        on_swarm = cluster_stacks(_raft())
    except EngineError:
        on_swarm = []  # the managers have no leader; what runs on this host alone can be told all the same
    return sorted({*records.stacks(places.stacks), *on_swarm})


def ledgers(places: Places) -> list[Ledger]:
    """The records of all these stacks; EngineError where the Swarm's cannot be read."""
    gateway = _raft()
    here: list[Ledger] = [records.Records(name, places.stacks, places.state) for name in records.stacks(places.stacks)]
    return [*here, *(ClusterRecords(ClusterState(gateway, name)) for name in cluster_stacks(gateway))]


def recorded(name: str, settings: Settings) -> Parts:
    """The parts of a stack that is known here by its name alone: those where it is deployed."""
    found = [adapter(name, settings, ()) for adapter in ADAPTERS.values()]
    deployed = (each for each in found if each.records.model() is not None)
    removed = (each for each in found if each.records.history())
    return next(deployed, None) or next(removed, None) or found[0]


def parts(stack: Stack, variables: Mapping[str, str], settings: Settings) -> Parts:
    """The adapter of the model's engine, with what belongs to it."""
    adapter = ADAPTERS.get(stack.engine)
    if adapter is None:
        raise EngineError(
            f"stack {stack.name}: its engine {stack.engine} is not one of {', '.join(ADAPTERS)} on this host; "
            "bring the host program up to date, or change stack_engine"
        )
    return adapter(stack.name, settings, report.secrets_of(stack, variables))


def _refuse_two_engines(stack: Stack, settings: Settings) -> None:
    for engine, adapter in ADAPTERS.items():
        if engine != stack.engine and adapter(stack.name, settings, ()).records.model() is not None:
            raise EngineError(
                f"stack {stack.name}: it runs on {engine} here, and would run on {stack.engine} beside that; remove it "
                f"there first by remove.yml -e stack_engine={engine}"
            )


def release(
    stack: Stack,
    variables: Mapping[str, str],
    settings: Settings,
    back_to: Kept | None = None,
    migrate: bool = True,
    gate: Gate = open_gate,
    expected: Mapping[str, Any] | None = None,
) -> Release:
    on = parts(stack, variables, settings)
    _refuse_two_engines(stack, settings)
    points = BackupPoints(stack.name)
    masked = report.secrets_of(stack, variables)
    hooks = Hooks(stack.name, stack.hooks, masked, stack.hook_timeout_seconds)
    return Release(
        on.engine,
        on.records,
        on.take,
        stack,
        variables,
        settings.actor,
        points,
        settings.policy,
        back_to,
        migrate,
        gate,
        Beside(expected, hooks, lambda: _tidy(settings.places), settings.limits.settle, settings.digests),
    )


def _tidy(places: Places) -> None:
    """What cannot be pruned now, the timer of the role docker prunes; a release does not fail by it."""
    # Its package stands on this one.
    from ansible_collections.slipway.ops.plugins.module_utils._docker.cli import after_release

    with contextlib.suppress(EngineError, LeaseError, OSError, ValueError):
        after_release(places)


def request(
    stack: Stack,
    variables: Mapping[str, str],
    settings: Settings,
    wait_seconds: float,
    migrate: bool,
    expected: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What the process of a release over several hosts needs to know, as plain values."""
    return {
        "model": stack.plain,
        "variables": dict(variables),
        "settings": asdict(settings),
        "wait_seconds": wait_seconds,
        "migrate": migrate,
        "expected": expected,
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
        **{
            **plain,
            "limits": Limits(**plain["limits"]),
            "policy": policy,
            "places": Places(**plain["places"]),
            "room": Room(**plain["room"]),
            "signatures": parse_rules(plain["signatures"]),
        }
    )
    stack = Stack(asked["model"])
    gate = HostGate(board, new_state(asked["token"]), asked["wait_seconds"])
    work = release(stack, asked["variables"], settings, migrate=asked["migrate"], gate=gate, expected=asked["expected"])
    gate.images = work.images
    gate.say()
    return gate.run(lambda: work.present(False))


def rolling_back(
    name: str,
    wanted: int | None,
    settings: Settings,
) -> tuple[Release, rollback.Target]:
    """The release that brings a kept one back, and what it goes back to. Raises RollbackRefused."""
    book = recorded(name, settings).records
    serves = rollback.serving(book.journal(), book.kept_release, book.model())
    target = rollback.choose(name, book.history(), book.kept_release, wanted, serves)
    kept = target.kept
    return release(Stack(kept.model), kept.variables, settings, back_to=kept), target


def deployed_again(name: str, settings: Settings) -> Release:
    """A release of what is deployed already. Raises PlanError where nothing is."""
    book = recorded(name, settings).records
    model = book.model()
    numbers = (int(each["release"]) for each in reversed(book.history()) if each.get("outcome") == rollback.SUCCEEDED)
    kept = next((each for each in map(book.kept_release, numbers) if each is not None and each.model == model), None)
    if model is None or kept is None:
        raise PlanError(f"stack {name}: no good release of it is deployed on this host; see: slipway status {name}")
    return release(Stack(model), kept.variables, settings)


def one_command(
    name: str, service: str, command: list[str], number: int, settings: Settings
) -> tuple[Parts, DockerGateway, ContainerSpec]:
    """What runs one command as a service of the deployed stack runs."""
    on = recorded(name, settings)
    model = on.records.model()
    if model is None:
        raise once.OnceError(f"stack {name}: is not deployed on this host; see: slipway status")
    gateway = DockerGateway.connect()
    files = records.Records(name, settings.places.stacks, settings.places.state).files_directory
    return on, gateway, once.spec(Stack(model), service, command, gateway.containers(name), files, number)

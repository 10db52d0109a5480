# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a release will do: the wish compared with what runs, service by service, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._release import observed as state
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container, Observed
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import (
    BLUE_GREEN,
    CANARY,
    RECREATE,
    ROLLING,
    START_FIRST,
    Service,
    Stack,
)

KEEP = "keep"
CREATE = "create"
START = "start"
ROLL = "roll"
STOP_FIRST = "stop-first"
REMOVE = "remove"


class PlanError(Exception):
    """The host cannot be brought to the wish; says what stands in the way and what to do."""


@dataclass(frozen=True)
class ServicePlan:
    service: str
    action: str
    reason: str = ""
    keep: tuple[Container, ...] = ()
    start: tuple[Container, ...] = ()
    numbers: tuple[int, ...] = ()
    old: tuple[Container, ...] = ()
    migrate: bool = False
    gap: str = ""
    strategy: str = ROLLING
    how: str = ""
    keep_old_seconds: float = 0
    gives_way_to: str = ""  # the service that takes its volume, and must not write it at the same time

    @property
    def staying_behind(self) -> tuple[Container, ...]:
        """The old colour, which goes on running when the release has ended."""
        if not self.keep_old_seconds:
            return ()
        return tuple(each for each in self.old if each.running and not each.standing)

    @property
    def changed(self) -> bool:
        return self.action != KEEP

    def line(self) -> str:
        parts = [f"{self.service}: {self.action}"]
        if self.reason:
            parts.append(f" ({self.reason})")
        details = []
        if self.migrate:
            details.append("migrate once from the new image")
        if self.start:
            details.append(f"start {_numbers(each.number for each in self.start)}")
        if self.numbers:
            details.append(f"new {_numbers(self.numbers)}")
        if self.old:
            details.append(f"remove {_numbers(each.number for each in self.old)}")
        details.extend(text for text in (self.how, self.gap) if text)
        return "".join(parts) + (f": {', '.join(details)}" if details else "")


def _numbers(numbers: Iterable[int]) -> str:
    return " ".join(str(number) for number in numbers)


@dataclass(frozen=True)
class Stage:
    """A share of the requests, how long it is watched, and whether old requests are waited for."""

    share: float
    seconds: float
    drain: bool


@dataclass(frozen=True)
class Plan:
    release: int
    services: tuple[ServicePlan, ...] = ()
    pulls: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    strays: tuple[Container, ...] = ()
    upstreams: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    pending_commands: tuple[str, ...] = ()
    absent_networks: tuple[str, ...] = ()
    recovery_point: bool = False
    stages: tuple[Stage, ...] = (Stage(1.0, 0.0, True),)
    last_seconds: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(
        default_factory=dict
    )  # what a name must stand for, where that was settled before

    @property
    def moving(self) -> tuple[ServicePlan, ...]:
        return tuple(each for each in self.services if each.changed)

    @property
    def changed(self) -> bool:
        return bool(self.lines())

    @property
    def canaries(self) -> tuple[str, ...]:
        """The services that take part in shares below 1."""
        return tuple(each.service for each in self.services if each.strategy == CANARY)

    def service(self, name: str) -> ServicePlan:
        return next(each for each in self.services if each.service == name)

    def lines(self) -> list[str]:
        return [
            *(f"remove the stray container {each.name}" for each in self.strays),
            *(f"pull {reference}" for reference in self.pulls),
            *(["make a recovery point, because a migration is pending"] if self.recovery_point else []),
            *(f"create network {name}" for name in self.networks),
            *(f"create volume {name}" for name in self.volumes),
            *(each.line() for each in self.moving),
            *self.warnings(),
            *self._times(),
            *(f"write upstream {name}" for name in self.upstreams),
            *(f"remove network {name}" for name in self.absent_networks),
            *(f"record {what}" for what in self.records),
            *(f"{name}: run the after_release commands" for name in self.pending_commands),
        ]

    def warnings(self) -> list[str]:
        return [
            f"{each.service}: the migration comes first, so both versions run on the migrated data; it must suit both"
            for each in self.services
            if each.migrate and each.strategy in (CANARY, BLUE_GREEN)
        ]

    def _times(self) -> list[str]:
        """How long it takes as far as that is known: the strategy's own times, and those of the last release."""
        shares = sum(each.seconds for each in self.stages[:-1])
        watched = self.stages[-1].seconds
        if not shares and not watched:
            return []
        phases = ["start", *(["migrate"] if any(each.migrate for each in self.services) else [])]
        last = sum(self.last_seconds.get(phase, 0.0) for phase in phases)
        parts = [
            *([f"{last:.0f} s to start, by the last releases"] if last else []),
            *([f"{shares:g} s of shares"] if shares else []),
            *([f"{watched:g} s watched with all requests"] if watched else []),
        ]
        rest = "draining" if last else "starting and draining"
        return [f"takes about {last + shares + watched:.0f} s ({', '.join(parts)}) and the time of {rest}"]


def make_plan(
    stack: Stack,
    observed: Observed,
    release: int,
    records: tuple[str, ...] = (),
    pending_commands: tuple[str, ...] = (),
    last_seconds: Mapping[str, float] | None = None,
) -> Plan:
    """The plan to bring `observed` to the stack. Raises PlanError where the engine's state forbids it."""
    _check_surroundings(stack, observed)
    planned: dict[str, ServicePlan] = {}
    for name in stack.start_order():
        restarted = [
            other
            for other, need in stack.services[name].depends_on.items()
            if need["restart"] and planned[other].changed and planned[other].old
        ]
        planned[name] = _plan_service(stack, stack.services[name], observed, restarted, last_seconds or {})
    gone = sorted({each.service for each in observed.containers if each.service not in planned and not each.oneoff})
    removed = tuple(_plan_removal(stack, observed, name, planned) for name in gone)
    services = (*planned.values(), *removed)
    moving = any(each.changed for each in services)
    plan = Plan(
        release=release,
        services=services,
        pulls=_pulls(stack, observed, planned),
        networks=tuple(
            name
            for name in (stack.network_name(key) for key in own_keys(stack, "networks"))
            if name not in observed.networks
        ),
        volumes=tuple(
            name
            for name in (stack.volume_name(key) for key in own_keys(stack, "volumes"))
            if name not in observed.volumes
        ),
        strays=tuple(each for each in observed.containers if each.stray),
        upstreams=_upstreams(stack, observed, moving),
        records=(
            *records,
            *(("configs and secrets",) if observed.files_missing else ()),
        ),
        pending_commands=pending_commands,
        last_seconds=last_seconds or {},
        images={name: image.id for name, image in observed.images.items()},
    )
    return replace(plan, stages=_stages(stack, plan))


def _plan_removal(stack: Stack, observed: Observed, name: str, planned: Mapping[str, ServicePlan]) -> ServicePlan:
    old = tuple(each for each in observed.containers if each.service == name and not each.oneoff)
    if name in stack.elsewhere:
        return ServicePlan(name, REMOVE, f"{stack.elsewhere[name]} runs it", old=old)
    reason = "it is not in the Compose file any more"
    written = {volume for each in old if each.alive for volume in each.volumes}
    for other, entry in planned.items():
        service = stack.services[other]
        taken = written & {
            stack.volume_name(mount["source"])
            for mount in service.plain["volumes"]
            if mount["type"] == "volume" and not mount["read_only"]
        }
        if taken and entry.action in (CREATE, START) and service.order[0] == STOP_FIRST:
            reason += f", and stops before {other} starts, which takes {', '.join(sorted(taken))}"
            return ServicePlan(name, REMOVE, reason, old=old, gives_way_to=other)
    return ServicePlan(name, REMOVE, reason, old=old)


def is_late(stack: Stack, plan: Plan, name: str) -> bool:
    """Stopped before its start, here or on the host that ran it until now, and nobody needs it before the switch."""
    entry = plan.service(name)
    if entry.strategy == RECREATE:
        return False
    comes = entry.action == CREATE and name in stack.services and stack.services[name].single
    if entry.action != STOP_FIRST and not comes:
        return False
    return not any(name in stack.dependencies(other) for other in stack.services)


def removal_plan(observed: Observed, release: int, upstream_names: Iterable[str], records: tuple[str, ...]) -> Plan:
    """Everything of the stack but its volumes goes."""
    services = sorted({each.service for each in observed.containers if not each.oneoff})
    closed = upstreams.closed(upstream_names)
    return Plan(
        release=release,
        services=tuple(
            ServicePlan(
                name,
                REMOVE,
                "the stack is to be absent",
                old=tuple(each for each in observed.containers if each.service == name and not each.oneoff),
            )
            for name in services
        ),
        strays=tuple(each for each in observed.containers if each.purpose),
        upstreams=tuple(name for name in upstreams.differing(closed, observed.upstreams) if name in observed.upstreams),
        absent_networks=tuple(sorted(observed.own_networks)),
        records=records,
    )


def own_keys(stack: Stack, section: str) -> list[str]:
    return [key for key in stack.plain[section] if not stack.is_external(section, key)]


def _check_surroundings(stack: Stack, observed: Observed) -> None:
    if not observed.available:
        return
    wrong = []
    for section, found in (("networks", observed.networks), ("volumes", observed.volumes)):
        for key in stack.plain[section]:
            name = stack.network_name(key) if section == "networks" else stack.volume_name(key)
            if stack.is_external(section, key) and name not in found:
                wrong.append(f"{section}.{key}: is external and {name} is not on this host; create it or drop external")
    for key in own_keys(stack, "networks"):
        name = stack.network_name(key)
        if name in observed.altered_networks:
            wrong.append(
                f"networks.{key}: {name} exists with other settings and is in use; "
                "give the network a new name in the Compose file"
            )
    if wrong:
        raise PlanError("; ".join(wrong))


def _pulls(stack: Stack, observed: Observed, planned: Mapping[str, ServicePlan]) -> tuple[str, ...]:
    """Images that are not here and that a new container needs; `never` leaves the check to the pull phase."""
    needed = dict.fromkeys(
        service.image
        for name, service in stack.services.items()
        if service.image not in observed.images and (planned[name].numbers or planned[name].migrate)
    )
    return tuple(needed)


def _upstreams(stack: Stack, observed: Observed, moving: bool) -> tuple[str, ...]:
    """Which upstream files to write; while containers are about to change, those whose content is settled by that."""
    if moving:
        return ()
    return tuple(upstreams.differing(upstreams.wanted(stack, observed.containers), observed.upstreams))


def _stages(stack: Stack, plan: Plan) -> tuple[Stage, ...]:
    steps: list[dict[str, float]] = next((stack.services[name].canary["steps"] for name in plan.canaries), [])
    watched = [
        stack.services[each.service].monitor_seconds
        for each in plan.moving
        if each.action not in (REMOVE, KEEP) and each.old and not is_late(stack, plan, each.service)
    ]
    return (
        *(Stage(step["share"], step["seconds"], False) for step in steps),
        Stage(1.0, max(watched, default=0.0), True),
    )


def _plan_service(
    stack: Stack, service: Service, observed: Observed, restarted: list[str], last_seconds: Mapping[str, float]
) -> ServicePlan:
    mine = sorted(
        (each for each in observed.containers if each.service == service.name and not each.oneoff),
        key=lambda each: (each.standing, each.number),
    )
    image = observed.images.get(service.image)
    wanted_hash = stack.config_hash(service.name)
    job = stack.is_job(service.name)

    def matches(container: Container) -> bool:
        same_image = image is None or container.image_id == image.id
        return container.config_hash == wanted_hash and same_image and not restarted

    def usable(container: Container) -> bool:
        if job:
            return container.state == state.EXITED and container.exit_code == 0
        return container.serving

    replicas = observed.replicas.get(service.name, service.replicas)
    keep = [each for each in mine if matches(each) and usable(each)]
    if not (job and observed.chooses):  # what a Swarm's job has done stays listed with it
        keep = keep[:replicas]
    start = [each for each in mine if matches(each) and each.state == state.EXITED and not job and each not in keep]
    start = start[: replicas - len(keep)]
    staying = [*keep, *start]
    old = tuple(each for each in mine if each not in staying)
    missing = max(0, replicas - len(staying))
    order, why = service.order
    base: dict[str, Any] = {"service": service.name, "keep": tuple(keep), "start": tuple(start), "old": old}
    base["migrate"] = bool(missing and service.migrate and not staying)
    if missing:
        free = (number for number in range(1, replicas + len(mine) + 1) if number not in {each.number for each in mine})
        base["numbers"] = tuple(number for number, _place in zip(free, range(missing)))
    running_old = [each for each in old if each.alive]
    if observed.chooses and order == START_FIRST and service.routes and keep and any(map(matches, running_old)):
        # Requests cannot be led away first from what is not known before it ends, so all replicas are made anew.
        first = max(each.number for each in mine) + 1
        numbers = tuple(range(first, first + replicas))
        return ServicePlan(
            service.name, ROLL, f"{replicas} replicas instead of {len(mine)}", numbers=numbers, old=tuple(mine)
        )
    if not missing and not start:
        back = any(each.standing for each in keep)
        if back or all(each.standing for each in old):
            if not back:  # the colour before stays for its time
                return ServicePlan(**{**base, "action": KEEP, "old": ()})
            reason = "the colour before still stands, so nothing is started"
            return ServicePlan(**{**base, "action": REMOVE, "reason": reason})
        reason = "more replicas than wanted" if all(map(matches, old)) else "containers of an earlier release are left"
        return ServicePlan(**{**base, "action": REMOVE, "reason": reason})
    if not running_old:
        reason = f"{len(keep)} of {replicas} run" if keep else "none runs"
        return ServicePlan(**{**base, "action": CREATE if missing else START, "reason": reason})
    reason = _reason(service, running_old, wanted_hash, image.id if image else "", restarted)
    if order == START_FIRST:
        base.update(strategy=service.strategy, how=_how(service), keep_old_seconds=service.keep_old_seconds)
        return ServicePlan(**{**base, "action": ROLL, "reason": reason})
    base.update(
        strategy=RECREATE if service.strategy == RECREATE else ROLLING,
        gap=_gap(service, base["migrate"], last_seconds),
    )
    return ServicePlan(**{**base, "action": STOP_FIRST, "reason": f"{reason}; {why}"})


def _how(service: Service) -> str:
    if service.strategy == CANARY:
        steps = (f"{step['share'] * 100:g}% for {step['seconds']:g} s" for step in service.canary["steps"])
        return f"canary: {', '.join(steps)}, then all"
    if service.strategy == BLUE_GREEN:
        return f"blue-green: all at once, the old colour stands {service.keep_old_seconds:g} s more"
    return ""


def _gap(service: Service, migrates: bool, last_seconds: Mapping[str, float]) -> str:
    """How long nothing of it serves: to stop, perhaps to migrate, and to start, as long as that took the last time."""
    stopping = service.stop_grace_seconds
    needed = ["migrate"] if migrates and service.strategy == RECREATE else []
    if service.strategy != RECREATE or "start" not in last_seconds or not all(key in last_seconds for key in needed):
        after = "the migration and its start" if needed else "its start"
        return f"gap: up to {stopping:g} s to stop and the time of {after}"
    parts = [f"{last_seconds[key]:.1f} s to {key}" for key in (*needed, "start")]
    total = stopping + sum(last_seconds[key] for key in (*needed, "start"))
    return f"gap: up to about {total:.0f} s ({stopping:g} s to stop, {', '.join(parts)}, by the last releases)"


def _reason(service: Service, old: list[Container], wanted_hash: str, image_id: str, restarted: list[str]) -> str:
    if restarted:
        return f"{', '.join(restarted)} changes"
    first = old[0]
    if first.image != service.image:
        return f"image {first.image} -> {service.image}"
    if first.config_hash != wanted_hash:
        return "its configuration changes"
    if image_id and first.image_id != image_id:
        return f"image {service.image} is another one now"
    if first.health == state.UNHEALTHY:
        return "it is unhealthy"
    return f"it is {first.state}"

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for stacks of containers on one Docker host."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Proxy
from ansible_collections.slipway.ops.plugins.module_utils._release import observed as state
from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.container import (
    ContainerSpec,
    HostFile,
    host_files,
    network_body,
    once_spec,
    service_spec,
    volume_body,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.division import Division
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import (
    FINISH,
    Capabilities,
    EngineError,
    Progress,
    collected,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.images import Images, Wanted
from ansible_collections.slipway.ops.plugins.module_utils._release.judge import Seen
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container, Image, Observed
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import (
    KEEP,
    REMOVE,
    STOP_FIRST,
    Plan,
    ServicePlan,
    is_late,
    own_keys,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.reference import Reference
from ansible_collections.slipway.ops.plugins.module_utils._release.watching import POLL_SECONDS, Clock, Watched, watch
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import RECREATE, Stack

MAXIMUM_RESTARTS = 3
FOLLOW_SECONDS = 5.0
GATE_POLL_SECONDS = 0.1  # until new replicas are healthy; a release is as fast as its gate


class Gateway(Protocol):
    """What the adapter needs of the engine's API."""

    def containers(self, stack: str) -> list[dict[str, Any]]: ...
    def inspect(self, container: str) -> dict[str, Any] | None: ...
    def image(self, reference: str) -> dict[str, Any] | None: ...
    def networks(self) -> list[dict[str, Any]]: ...
    def volumes(self) -> list[str]: ...
    def pull(self, reference: str, say: Callable[[Mapping[str, Any]], None] | None = None) -> None: ...
    def tag(self, image: str, reference: str) -> None: ...
    def distribution(self, reference: str) -> str: ...
    def layer_chains(self) -> list[tuple[str, ...]]: ...
    def free_bytes(self) -> int: ...
    def has_data(self, volume: str) -> bool: ...
    def create_network(self, body: Mapping[str, Any]) -> None: ...
    def remove_network(self, name: str) -> None: ...
    def create_volume(self, body: Mapping[str, Any]) -> None: ...
    def create(self, name: str, body: Mapping[str, Any]) -> str: ...
    def join(self, container: str, network: str, endpoint: Mapping[str, Any]) -> None: ...
    def start(self, container: str, name: str) -> None: ...
    def stop_all(self, containers: Iterable[tuple[str, str, int]]) -> None: ...
    def remove(self, container: str, name: str, volumes: bool = False) -> None: ...
    def rename(self, container: str, name: str) -> None: ...
    def wait(self, container: str, name: str, timeout_seconds: float) -> int: ...
    def logs(self, container: str, lines: int) -> str: ...
    def execute(self, container: str, name: str, command: list[str]) -> tuple[int, str]: ...


class Store(Protocol):
    """What the adapter needs of the stack's records."""

    @property
    def files_directory(self) -> str: ...
    def mounted_files(self) -> frozenset[str]: ...
    def write_files(self, wanted: Mapping[str, HostFile]) -> None: ...
    def collect_files(self, wanted: Collection[str]) -> None: ...
    def standing(self) -> dict[str, float]: ...


@dataclass(frozen=True)
class Limits:
    """How long the phases may take, in seconds."""

    health: float = 300
    settle: float = 5
    drain: float = 30
    migration: float = 3600


class ComposeEngine:
    capabilities = Capabilities(name="compose", start_first=True, several_hosts=False)

    def __init__(
        self,
        connect: Callable[[], Gateway],
        proxy: Proxy,
        store: Store,
        clock: Clock,
        limits: Limits,
        images: Callable[[Gateway], Images],
        secrets: Iterable[str] = (),
    ) -> None:
        self._connect = connect
        self._connected: Gateway | None = None
        self._proxy = proxy
        self._store = store
        self._clock = clock
        self._limits = limits
        self._images = images
        self._secrets = list(secrets)
        self._settling: dict[str, tuple[str, float]] = {}
        self._exit_codes: dict[str, int] = {}
        self._restarts: dict[str, int] = {}
        self._division: Division | None = None
        self._seen = Seen()
        self._divided_at = 0.0

    @property
    def _gateway(self) -> Gateway:
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    # Observe

    def observe(self, stack: Stack) -> Observed:
        names = sorted(upstreams.wanted(stack, ()))
        written = self._proxy.read(names)
        try:
            gateway = self._gateway
        except EngineError:
            return Observed(available=False, upstreams=written)
        networks = {raw["Name"]: raw.get("Labels") or {} for raw in gateway.networks()}
        hashes = {name: labels.get(state.HASH_LABEL, "") for name, labels in networks.items()}
        bodies = (network_body(stack, key) for key in own_keys(stack, "networks"))
        return Observed(
            available=True,
            containers=self._containers(stack),
            images=self.images(stack),
            networks=frozenset(networks),
            altered_networks=state.altered(bodies, hashes),
            own_networks=frozenset(
                name for name, labels in networks.items() if labels.get(state.STACK_LABEL) == stack.name
            ),
            volumes=frozenset(gateway.volumes()),
            upstreams=written,
            files_missing=bool(set(host_files(stack)) - self._store.mounted_files()),
        )

    def require(self) -> None:
        """Raise what is missing on this host."""
        self._connected = self._gateway

    def images(self, stack: Stack) -> dict[str, Image]:
        references = dict.fromkeys(service.image for service in stack.services.values())
        found = {reference: self._gateway.image(reference) for reference in references}
        return {name: state.parse_image(raw) for name, raw in found.items() if raw is not None}

    def _containers(self, stack: Stack) -> tuple[Container, ...]:
        found = (state.parse_container(raw) for raw in self._gateway.containers(stack.name))
        return state.with_standing(found, self._store.standing())

    def _inspect(self, container: str) -> Container | None:
        raw = self._gateway.inspect(container)
        return None if raw is None else state.parse_container(raw)

    def has_image(self, image_id: str) -> bool:
        return self._gateway.image(image_id) is not None

    def has_data(self, volume: str) -> bool:
        return self._gateway.has_data(volume)

    # Phases

    def look_up(self, references: Iterable[str]) -> list[Wanted]:
        names = list(references)
        return self._images(self._gateway).look_up(names, {}) if names else []

    def pin(self, images: Mapping[str, Image]) -> None:
        missing: dict[str, str] = {}
        for reference, image in images.items():
            if self.has_image(image.id):
                continue
            if not image.digest:
                raise EngineError(
                    f"image {reference}: the one of that release is not on this host any more and no registry "
                    "gave it a digest to fetch it by; load it or release another version"
                )
            missing[image.digest] = Reference.parse(image.digest).digest
        if missing:
            self._images(self._gateway).bring(missing, missing)
        for reference, image in images.items():
            here = self._gateway.image(reference)
            if here is None or here["Id"] != image.id:
                self._gateway.tag(image.id, reference)

    def pull(self, stack: Stack, plan: Plan) -> bool:
        for service in stack.services.values():
            if service.image in plan.pulls and service.pull_policy == "never":
                raise EngineError(
                    f"services.{service.name}.image: {service.image} is not on this host and pull_policy is never; "
                    "load the image or change the policy"
                )
        fresh = {each.image for each in stack.services.values() if each.pull_policy == "always"}
        settled = [each.image for each in stack.services.values() if each.image in plan.digests]
        wanted = list(dict.fromkeys([*plan.pulls, *sorted(fresh), *settled]))
        images = self._images(self._gateway)
        images.check(each.image for each in stack.services.values() if each.image not in wanted)
        if not wanted:
            return False
        before = {reference: self._gateway.image(reference) for reference in wanted}
        images.bring(wanted, plan.digests)
        after = {reference: self._gateway.image(reference) for reference in wanted}
        return any((before[name] or {}).get("Id") != (after[name] or {}).get("Id") for name in wanted)

    def prepare(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        for stray in plan.strays:
            self._gateway.remove(stray.id, stray.name, volumes=True)
        self._store.write_files(host_files(stack))
        for key in stack.plain["networks"]:
            if stack.network_name(key) in plan.networks:
                self._gateway.create_network(network_body(stack, key))
        for key in stack.plain["volumes"]:
            if stack.volume_name(key) in plan.volumes:
                self._gateway.create_volume(volume_body(stack, key))

    def stop_old(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        for name in reversed(stack.start_order()):
            if plan.service(name).strategy == RECREATE:
                self._retire(stack, plan.service(name), progress)

    def migrate(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        migrating = [each.service for each in plan.services if each.migrate]
        needed = {other for name in migrating for other in stack.dependencies(name)}
        self._bring_up([name for name in stack.start_order() if name in needed], stack, plan, progress)
        for name in migrating:
            self._await_dependencies(stack, name)
            command = stack.services[name].migrate or []
            spec = once_spec(stack, name, command, "migrate", plan.release, self._store.files_directory)
            code, output = self._run_once(spec, progress)
            if code != 0:
                raise EngineError(
                    f"services.{name}.x-slipway.migrate: exit code {code}{self._said(output)}; "
                    "correct the migration and release again"
                )
            progress.migrated.append(name)
            progress.record()

    def start(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        # The host that is to run it once starts it after all hosts have come through this phase.
        self._stop(stack, [each for entry in plan.services if entry.service in stack.elsewhere for each in entry.old])
        # Requests will be sent to those as well, and they may have been started a moment ago.
        kept = [each for entry in plan.services for each in entry.keep if not stack.is_job(entry.service)]
        self._await_health(stack, [each.id for each in kept if each.health == state.STARTING])
        self._bring_up([name for name in stack.start_order() if not is_late(stack, plan, name)], stack, plan, progress)

    def switch(self, stack: Stack, plan: Plan, progress: Progress, share: float) -> None:
        """All upstream files at once, from what will remain: the old of services still to be replaced serve on."""
        if self._division is None:
            self._division = Division(self._proxy, stack, plan, progress)
            leaving = {each.id for entry in plan.services for each in entry.old}
            found = map(self._inspect, [each for each in progress.created if each not in leaving])
            self._restarts = {each.id: each.restarts for each in found if each is not None}
        progress.share = share
        self._remember_upstreams(stack, progress)
        progress.record()
        self._divide(stack, progress)

    def _divide(self, stack: Stack, progress: Progress) -> None:
        if self._division is not None:
            progress.reloaded = self._division.apply(self._containers(stack)) or progress.reloaded
            self._divided_at = self._clock.monotonic()

    def watch(self, stack: Stack, plan: Plan, progress: Progress, seconds: float, drain: bool) -> None:
        if self._division is not None:
            look = functools.partial(self._look, stack, progress)
            watched = Watched(look, self._division.seen, self._division.draining)
            limit = self._limits.drain if drain else None
            self._seen = watch(stack, watched, progress, self._clock, seconds, limit, self._seen)

    def _look(self, stack: Stack, progress: Progress) -> None:
        self._check_still_good(stack, self._restarts)
        # The unit that follows addresses waits for the lease, and shares can take long.
        if progress.share < 1 and self._clock.monotonic() - self._divided_at >= FOLLOW_SECONDS:
            self._divide(stack, progress)

    def replace(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        for name in stack.start_order():
            if is_late(stack, plan, name):
                self._bring_up([name], stack, plan, progress)

    def finish(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        staying = {each.id for entry in plan.services for each in entry.staying_behind}
        leaving = [each for entry in plan.services for each in entry.old if each.id not in staying]
        progress.removing = [each.id for each in leaving]
        progress.record()
        self.dismiss(stack, leaving)
        if not staying and not self._store.standing():  # what they have mounted must be there when they start again
            self._store.collect_files(host_files(stack))

    def dismiss(self, stack: Stack, containers: Iterable[Container]) -> None:
        """Stop them, each with its grace, and remove them."""
        containers = list(containers)
        self._stop(stack, containers)
        for each in containers:
            self._gateway.remove(each.id, each.name)

    def close(self, stack: Stack, plan: Plan) -> None:
        self._proxy.apply(upstreams.closed(plan.upstreams))
        self.dismiss(stack, [*plan.strays, *(each for entry in plan.services for each in entry.old)])
        for network in plan.absent_networks:
            self._gateway.remove_network(network)
        self._store.collect_files(())

    def run_after(self, stack: Stack, services: list[str]) -> None:
        containers = self._containers(stack)
        for name in services:
            for command in stack.services[name].after_release:
                for container in upstreams.backends(stack, name, containers):
                    code, output = self._gateway.execute(container.id, container.name, command)
                    if code != 0:
                        raise EngineError(
                            f"services.{name}.x-slipway.after_release: exit code {code} in {container.name}"
                            f"{self._said(output)}; the release is live: correct it and run again"
                        )

    def settle(self, stack: Stack, observed: Observed) -> None:
        jobs = {name for name in stack.services if stack.is_job(name)}
        starting = [
            each.id
            for each in observed.containers
            if each.health == state.STARTING and each.running and each.service not in jobs
        ]
        self._await_health(stack, starting)

    def undo(self, stack: Stack, plan: Plan, progress: Progress) -> list[str]:
        # Another host may run it by now, and two would be worse than none.
        elsewhere = [
            f"{entry.service} stays stopped here, because {stack.elsewhere[entry.service]} may run it already"
            for entry in plan.services
            if entry.service in stack.elsewhere
            and any(each.alive for each in entry.old)
            and not any(found and found.alive for found in (self._inspect(each.id) for each in entry.old))
        ]
        return [*self._put_back(stack, progress.plain()), *elsewhere]

    def recover(self, stack: Stack, journal: Mapping[str, Any]) -> None:
        if journal.get("phase") == FINISH:
            going = set(journal.get("removing") or [])
            self.dismiss(stack, [each for each in self._containers(stack) if each.id in going])
        else:
            self._put_back(stack, journal)
        if not self._store.standing():
            self._store.collect_files(self._files_in_use(stack))

    def _put_back(self, stack: Stack, journal: Mapping[str, Any]) -> list[str]:
        """Take away what was created, have again what was stopped; returns what could not be put back."""
        left: list[str] = []
        created = self._made_by(stack, journal)
        ours = {each.id for each in created}
        before = [each for each in self._inspect_all(journal.get("stopped")) if each.id not in ours]
        stopped = [each for each in before if not each.running and each.service not in stack.elsewhere]
        returning = {each.id for each in before}
        started = [each for each in self._inspect_all(journal.get("started")) if each.id not in returning]
        # What was stopped first comes back first; its successor holds its name, port, address or data until then.
        there = {each.service for each in self._containers(stack) if each.id not in ours}
        in_the_way = [each for each in created if any(_succeeds(each, other, there) for other in stopped)]
        self._discard(stack, in_the_way, left)
        rivals = [each for each in started if any(_exclude_each_other(other, each) for other in stopped)]
        with collected(left):
            self._stop(stack, rivals)
        staying = [each for each in self._inspect_all(each.id for each in (*in_the_way, *rivals)) if each.alive]
        back = [each for each in stopped if not any(_exclude_each_other(each, other) for other in staying)]
        for container in back:
            with collected(left):
                self._reinstate(stack, container)
        with collected(left):
            self._await_health(stack, [each.id for each in back])
        if journal.get("switched"):
            with collected(left):
                self._switch_back(stack, journal, ours)
            with collected(left):
                self._let_go(stack, journal, created)
        self._discard(stack, [each for each in created if each not in in_the_way], left)
        with collected(left):
            self._stop(stack, [each for each in started if each not in rivals])
        with collected(left):
            self._store.collect_files(self._files_in_use(stack))
        return left

    def _made_by(self, stack: Stack, journal: Mapping[str, Any]) -> list[Container]:
        """The containers of that release. The last one may have been made and not written down any more."""
        named = self._inspect_all(journal.get("created"))
        labelled = [each for each in self._containers(stack) if each.release == journal.get("release")]
        return list({each.id: each for each in (*named, *labelled)}.values())

    def _inspect_all(self, containers: Iterable[str] | None) -> list[Container]:
        """Those that are there."""
        return [each for each in map(self._inspect, dict.fromkeys(containers or ())) if each is not None]

    # Parts of phases

    def _let_go(self, stack: Stack, journal: Mapping[str, Any], created: list[Container]) -> None:
        """What the new version was asked before it was given up is answered by it."""
        if not journal.get("reloaded"):
            return
        begun = self._clock.monotonic()
        while self._proxy.draining() and self._clock.monotonic() - begun < self._limits.drain:
            self._clock.sleep(POLL_SECONDS)
        with contextlib.suppress(EngineError):  # they are removed in any case
            self._stop(stack, self._inspect_all(each.id for each in created))

    def _discard(self, stack: Stack, containers: list[Container], left: list[str]) -> None:
        """Remove new containers, each with its grace: a store has taken writes, a worker has jobs."""
        doomed = self._inspect_all(each.id for each in containers)
        with contextlib.suppress(EngineError):  # they are removed in any case
            self._stop(stack, doomed)
        for container in doomed:
            with collected(left):
                self._gateway.remove(container.id, container.name, volumes=True)

    def _files_in_use(self, stack: Stack) -> set[str]:
        """The names of our files that a container mounts."""
        mounts = [mount for raw in self._gateway.containers(stack.name) for mount in raw.get("Mounts") or []]
        sources = [mount.get("Source") or "" for mount in mounts]
        return {os.path.basename(path) for path in sources if os.path.dirname(path) == self._store.files_directory}

    def _reinstate(self, stack: Stack, container: Container) -> None:
        fixed = stack.services[container.service].container_name if container.service in stack.services else None
        if fixed and container.name != fixed:
            self._gateway.rename(container.id, fixed)
        self._gateway.start(container.id, container.name)

    def _remember_upstreams(self, stack: Stack, progress: Progress) -> None:
        if not progress.switched:
            names = sorted(upstreams.wanted(stack, ()))
            progress.previous_upstreams = {**upstreams.closed(names), **self._proxy.read(names)}
            progress.switched = True
            progress.record()

    def _switch_back(self, stack: Stack, journal: Mapping[str, Any], created: Collection[str]) -> None:
        """To what remains, wherever it is by now; and nowhere for what the release before did not have."""
        remaining = [each for each in self._containers(stack) if each.id not in created]
        previous = dict(journal.get("previous_upstreams") or {})
        if not self._proxy.apply({**previous, **upstreams.wanted(stack, remaining)}):
            # Who wrote these files may have died before nginx was told.
            self._proxy.load()

    def _bring_up(self, names: list[str], stack: Stack, plan: Plan, progress: Progress) -> None:
        """Start what these services lack, each after those it depends on, and pass them all through the gate."""
        waiting: list[str] = []
        moved: list[str] = []
        for name in names:
            entry = plan.service(name)
            if entry.action in (KEEP, REMOVE) or name in progress.up:
                continue
            self._await_dependencies(stack, name)
            for other in plan.services:
                if other.gives_way_to == name:
                    self._retire(stack, other, progress)
            if entry.action == STOP_FIRST:
                if entry.strategy != RECREATE:
                    self._retire(stack, entry, progress)
                moved.append(name)
            for container in entry.start:
                progress.started.append(container.id)
                progress.record()
                self._free_name(stack, entry)
                self._reinstate(stack, container)
                waiting.append(container.id)
            for number in entry.numbers:
                waiting.append(self._create(stack, entry, number, plan.release, progress))
            progress.up.append(name)
        self._await_health(stack, waiting)
        self._point(stack, moved, progress)

    def _point(self, stack: Stack, services: list[str], progress: Progress) -> None:
        """A service that was stopped first has no old address to serve from: its upstreams follow at once."""
        names = {
            file
            for service, _port, name in upstreams.upstream_ports(stack)
            if service in services
            for file in upstreams.file_names(name)
        }
        if names:
            self._remember_upstreams(stack, progress)
            wish = upstreams.wanted(stack, self._containers(stack))
            self._proxy.apply({name: content for name, content in wish.items() if name in names})

    def _create(self, stack: Stack, entry: ServicePlan, number: int, release: int, progress: Progress) -> str:
        spec = service_spec(stack, entry.service, number, release, self._store.files_directory)
        self._free_name(stack, entry)
        container = self._create_from(spec, progress)
        self._gateway.start(container, spec.name)
        return container

    def _free_name(self, stack: Stack, entry: ServicePlan) -> None:
        fixed = stack.services[entry.service].container_name
        for old in entry.old:
            if fixed and old.name == fixed:
                self._gateway.rename(old.id, f"{fixed}-{old.id[:8]}")

    def _create_from(self, spec: ContainerSpec, progress: Progress) -> str:
        container = self._gateway.create(spec.name, spec.body)
        progress.created.append(container)
        progress.record()
        for network, endpoint in spec.further_networks.items():
            self._gateway.join(container, network, endpoint)
        return container

    def _run_once(self, spec: ContainerSpec, progress: Progress) -> tuple[int, str]:
        container = self._create_from(spec, progress)
        try:
            self._gateway.start(container, spec.name)
            code = self._gateway.wait(container, spec.name, self._limits.migration)
            return code, self._gateway.logs(container, 50)
        finally:
            self._gateway.remove(container, spec.name, volumes=True)
            progress.created.remove(container)
            progress.record()

    def _retire(self, stack: Stack, entry: ServicePlan, progress: Progress) -> None:
        # Only what served comes back when the release is undone: a container that kept ending does not.
        progress.stopped.extend(each.id for each in entry.old if each.running)
        progress.record()
        self._stop(stack, entry.old)

    def _stop(self, stack: Stack, containers: Iterable[Container]) -> None:
        self._gateway.stop_all((each.id, each.name, self._grace(stack, each)) for each in containers if each.alive)

    def _grace(self, stack: Stack, container: Container) -> int:
        found = stack.services.get(container.service)
        return max(found.stop_grace_whole if found else 0, container.stop_grace_seconds)

    # The health gate

    def _await_dependencies(self, stack: Stack, name: str) -> None:
        conditions = {other: need["condition"] for other, need in stack.services[name].depends_on.items()}
        if not conditions:
            return
        wanted = {other: stack.config_hash(other) for other in conditions}
        pending = [
            each
            for each in self._containers(stack)
            if each.service in conditions and not each.oneoff and each.config_hash == wanted[each.service]
        ]
        self._await_health(stack, [each.id for each in pending if conditions[each.service] != "service_started"])

    def _await_health(self, stack: Stack, containers: list[str]) -> None:
        """Return when all are ready; raise with the reason and the last lines of the log of the first that fails."""
        begun = self._clock.monotonic()
        pending = list(dict.fromkeys(containers))
        while pending:
            passed = self._clock.monotonic() - begun
            pending = [each for each in pending if not self._is_ready(stack, each)]
            if pending and passed >= self._limits.health:
                container = self._inspect(pending[0])
                self._fail(container, f"not healthy after {self._limits.health:g} s")
            if pending:
                self._clock.sleep(GATE_POLL_SECONDS)

    def _is_ready(self, stack: Stack, container_id: str) -> bool:
        container = self._inspect(container_id)
        if container is None:
            raise EngineError(f"container {container_id[:12]}: somebody removed it during the release; run again")
        if stack.is_job(container.service):
            if container.state == state.EXITED and container.exit_code != 0:
                self._fail(container, f"ended with exit code {container.exit_code}")
            return container.state == state.EXITED
        self._check_alive(container)
        if container.health == state.NO_HEALTHCHECK:
            return self._is_settled(container)
        return container.health == state.HEALTHY

    def _is_settled(self, container: Container) -> bool:
        """Without a healthcheck: it ran for the settle time without a restart."""
        now = self._clock.monotonic()
        started_at, since = self._settling.get(container.id, ("", now))
        if not container.running or started_at != container.started_at:
            since = now
        self._settling[container.id] = (container.started_at, since)
        return container.running and now - since >= self._limits.settle

    def _check_alive(self, container: Container) -> None:
        if container.exit_code:
            # The engine forgets it as soon as the container runs again.
            self._exit_codes[container.id] = container.exit_code
        code = self._exit_codes.get(container.id, container.exit_code)
        if container.state in (state.EXITED, "dead"):
            self._fail(container, f"ended with exit code {code}")
        if container.restarts >= MAXIMUM_RESTARTS and not container.running:
            self._fail(container, f"ended {container.restarts} times, last with exit code {code}")
        # Between two starts the engine calls a container unhealthy that has never been asked.
        if container.running and container.health == state.UNHEALTHY:
            probe = report.last_lines(report.mask(container.health_log, self._secrets), 3)
            self._fail(container, f"is unhealthy (probe: {probe})" if probe else "is unhealthy")

    def _check_still_good(self, stack: Stack, restarts: Mapping[str, int]) -> None:
        """Stricter than the gate: what has passed it must not end any more, not even to be started again."""
        for container in map(self._inspect, restarts):
            if container is None or stack.is_job(container.service):
                continue
            self._check_alive(container)
            if not container.running:
                self._fail(container, f"ended with exit code {container.exit_code} after it had been ready")
            if container.restarts > restarts[container.id]:
                self._fail(container, "was started again after it had been ready")

    def _fail(self, container: Container | None, what: str) -> None:
        if container is None:
            raise EngineError(f"a container {what}; somebody removed it, run again")
        log = self._said(self._gateway.logs(container.id, 30))
        raise EngineError(f"services.{container.service}: {container.name} {what}{log}")

    def _said(self, output: str) -> str:
        said = report.last_lines(report.mask(output, self._secrets))
        return f", its last lines: {said}" if said else ""


def _succeeds(new: Container, stopped: Container, there: Collection[str]) -> bool:
    """Whether the one took the place of the other, be it under a new name."""
    return new.service == stopped.service or (
        new.service not in there and bool(set(new.volumes) & set(stopped.volumes))
    )


def _exclude_each_other(stopped: Container, other: Container) -> bool:
    """Whether the one cannot come back while the other is there."""
    return stopped.service == other.service or bool(set(stopped.volumes) & set(other.volumes))

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The adapter for stacks on a Docker Swarm: new services of the Swarm beside the old ones, and the proxies between.

A service of the stack is one service of the Swarm for each release that changed it, named by that release. Swarm's own
rolling update is not used: it stops a task before the proxies have gone over to the next one.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Tally
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import (
    PROXY_LABEL,
    Following,
    ProxyReport,
    Served,
    merged,
)
from ansible_collections.slipway.ops.plugins.module_utils._release import observed as state
from ansible_collections.slipway.ops.plugins.module_utils._release import swarm_observed, swarm_tasks
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import (
    FINISH,
    Capabilities,
    EngineError,
    Progress,
    collected,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.images import Wanted
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
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_observed import SwarmService
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_service import (
    PRIVILEGES_VERSION,
    SECTIONS,
    ClusterObject,
    job_body,
    needs_newer_engine,
    network_body,
    objects,
    service_body,
    service_name,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_tasks import END_SECONDS, Tasks
from ansible_collections.slipway.ops.plugins.module_utils._release.watching import POLL_SECONDS, Clock, Watched, watch
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import RECREATE, Stack

FOLLOW_SECONDS = 30.0  # for the proxies to take a switch over


class Gateway(swarm_tasks.Gateway, Protocol):
    """What the adapter needs of a manager's API."""

    def swarm(self) -> dict[str, Any]: ...
    def create_service(self, body: Mapping[str, Any]) -> str: ...
    def scale(self, name: str, replicas: int) -> None: ...
    def objects(self, kind: str, stack: str) -> list[dict[str, Any]]: ...
    def create_object(self, kind: str, body: Mapping[str, Any]) -> None: ...
    def remove_object(self, kind: str, identity: str, name: str) -> None: ...
    def distribution(self, reference: str) -> str: ...
    def image(self, reference: str) -> dict[str, Any] | None: ...
    def networks(self) -> list[dict[str, Any]]: ...
    def create_network(self, body: Mapping[str, Any]) -> None: ...
    def remove_network(self, name: str) -> None: ...
    def volumes(self) -> list[str]: ...
    def has_data(self, volume: str) -> bool: ...


class Serving(Protocol):
    """Who serves, as the proxies of the cluster are told: service -> id of the Swarm's service -> weight."""

    def current(self) -> dict[str, dict[str, int]]: ...
    def set(self, serving: Served, following: Mapping[str, Following] | None = None, judging: str = "") -> int: ...
    def await_acknowledged(self, generation: int, timeout_seconds: float) -> list[ProxyReport]: ...
    def reports(self) -> list[ProxyReport]: ...


class SwarmEngine:
    capabilities = Capabilities(name="swarm", start_first=True, several_hosts=True)

    def __init__(
        self,
        connect: Callable[[], Gateway],
        serving: Serving,
        clock: Clock,
        limits: Limits,
        secrets: Iterable[str] = (),
    ) -> None:
        self._connect = connect
        self._connected: Gateway | None = None
        self._serving = serving
        self._clock = clock
        self._limits = limits
        self._resolved: dict[str, Image] = {}
        self._tasks = Tasks(lambda: self._gateway, clock, limits, secrets)
        self._failures: dict[str, int] = {}
        self._seen = Seen()
        self._judging = ""  # the word under which the proxies count answers while a release watches them

    @property
    def _gateway(self) -> Gateway:
        if self._connected is None:
            self._connected = self._connect()
        return self._connected

    # Observe

    def require(self) -> None:
        found = self._gateway.swarm()
        local = found.get("LocalNodeState", "inactive")
        if local == "locked":
            raise EngineError("the Swarm of this host is locked since the engine's start; run: docker swarm unlock")
        if local != "active":
            raise EngineError(
                f"this host is no node of a Swarm (state {local}); make it one by role swarm, "
                "or set stack_engine to compose"
            )
        if not found.get("ControlAvailable"):
            managers = ", ".join(str(each.get("Addr")) for each in found.get("RemoteManagers") or [])
            raise EngineError(f"this host is a worker of the Swarm; release on a manager, one of: {managers}")
        try:
            self._gateway.nodes()
        except EngineError as error:
            raise EngineError(
                f"the Swarm has no leader, so nothing can be changed ({error}); bring a majority of its managers back, "
                "or recover it by playbooks/swarm_recover.yml; what runs goes on running"
            ) from error

    def _is_there(self) -> bool:
        """Whether there is a Swarm yet; raises where there is one that cannot be asked from here."""
        try:
            local = self._gateway.swarm().get("LocalNodeState", "inactive")
        except EngineError:
            return False
        if local != "inactive":
            self.require()
        return bool(local != "inactive")

    def observe(self, stack: Stack) -> Observed:
        if not self._is_there():
            return Observed(available=False)
        services = self._tasks.services(stack)
        nodes = self._tasks.nodes()
        containers = tuple(each for service in services for each in swarm_observed.containers(service, nodes))
        networks = {
            raw["Name"]: raw.get("Labels") or {} for raw in self._gateway.networks() if raw.get("Scope") == "swarm"
        }
        hashes = {name: labels.get(state.HASH_LABEL, "") for name, labels in networks.items()}
        bodies = (network_body(stack, key) for key in own_keys(stack, "networks"))
        images = self._images(stack, services)
        return Observed(
            available=True,
            containers=containers,
            images=images,
            networks=frozenset(networks),
            altered_networks=state.altered(bodies, hashes),
            own_networks=frozenset(
                name for name, labels in networks.items() if labels.get(state.STACK_LABEL) == stack.name
            ),
            # The node that runs a task makes its volumes.
            volumes=frozenset(
                [*self._gateway.volumes(), *(stack.volume_name(key) for key in own_keys(stack, "volumes"))]
            ),
            upstreams=self._settled_upstreams(stack, services, containers),
            files_missing=bool(self._missing_objects(stack)),
            replicas=self._counted_by_swarm(stack, services),
            chooses=True,
        )

    def images(self, stack: Stack) -> dict[str, Image]:
        return self._images(stack, self._tasks.services(stack))

    def _images(self, stack: Stack, services: Iterable[SwarmService]) -> dict[str, Image]:
        known = {**swarm_observed.known_images(services), **self._resolved}
        references = dict.fromkeys(service.image for service in stack.services.values())
        return {reference: known[reference] for reference in references if reference in known}

    def _counted_by_swarm(self, stack: Stack, services: Iterable[SwarmService]) -> dict[str, int]:
        """How many replicas a service with one on each node has."""
        wanted = {name: stack.config_hash(name) for name, service in stack.services.items() if service.is_global}
        counted = dict.fromkeys(wanted, 1)
        for service in services:
            if service.replicas is None and service.config_hash == wanted.get(service.service):
                counted[service.service] = service.wanted
        return counted

    def _settled_upstreams(
        self, stack: Stack, services: list[SwarmService], containers: Iterable[Container]
    ) -> dict[str, str]:
        """The proxies write these files; they count as right where requests are sent to what runs as wished."""
        wish = upstreams.wanted(stack, containers)
        serving = self._serving.current()
        ids = {service.id: service for service in services}
        settled = {}
        for name, _port, upstream in upstreams.upstream_ports(stack):
            hashes = {ids[each].config_hash if each in ids else "" for each in serving.get(name, {})}
            if hashes == {stack.config_hash(name)}:
                files = upstreams.file_names(upstream)
                settled.update({file: wish[file] for file in files})
        return settled

    def _routed(self, stack: Stack) -> list[str]:
        return [name for name, service in stack.services.items() if service.routes]

    def has_image(self, image_id: str) -> bool:
        """Nodes fetch what they lack, so the registry or the node itself answers this."""
        return True

    def has_data(self, volume: str) -> bool:
        """A volume on another node cannot be looked into from here, so it may hold something."""
        return self._gateway.has_data(volume) or len(self._tasks.nodes()) > 1

    # Phases

    def look_up(self, references: Iterable[str]) -> list[Wanted]:
        return [Wanted(reference, self._digest(reference)) for reference in references]

    def _digest(self, reference: str) -> str:
        """Empty where no registry tells it."""
        with contextlib.suppress(EngineError):
            return Reference.parse(reference).digest or self._gateway.distribution(reference)
        return ""

    def pin(self, images: Mapping[str, Image]) -> None:
        self._resolved.update(images)

    def pull(self, stack: Stack, plan: Plan) -> bool:
        """Ask the registry once what each new reference means; the nodes fetch just that."""
        before = self.images(stack)
        fresh = {each.image for each in stack.services.values() if each.pull_policy == "always"}
        settled = [each.image for each in stack.services.values() if each.image in plan.digests]
        for reference in dict.fromkeys([*plan.pulls, *sorted(fresh), *settled]):
            if reference not in self._resolved:
                self._resolved[reference] = self._resolve(reference, plan.digests.get(reference, ""))
        return self.images(stack) != before

    def _resolve(self, reference: str, settled: str) -> Image:
        try:
            digest = settled or Reference.parse(reference).digest or self._gateway.distribution(reference)
            return swarm_observed.as_image(reference, digest)
        except EngineError as error:
            here = self._gateway.image(reference)
            if here is None:
                raise EngineError(f"{error}; check the name and the registry's login") from error
        # No registry tells, but the image is here: loaded on the nodes, or fetched while the registry answered.
        image = state.parse_image(here)
        return swarm_observed.as_image(reference, image.digest.rpartition("@")[2]) if image.digest else image

    def prepare(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        self._require_engines(stack)
        self._require_proxies(stack)
        self._tasks.remove(stack, map(_service_of, plan.strays))
        for key in own_keys(stack, "networks"):
            if stack.network_name(key) in plan.networks:
                self._gateway.create_network(network_body(stack, key))
        for each in self._missing_objects(stack):
            self._gateway.create_object(each.kind, each.body())

    def _require_engines(self, stack: Stack) -> None:
        asking = needs_newer_engine(stack)
        older = [node.name for node in self._tasks.nodes().values() if 0 < node.engine < PRIVILEGES_VERSION]
        if asking and older:
            raise EngineError(
                f"{asking[0]}: Docker before {PRIVILEGES_VERSION} drops it on a Swarm, and {', '.join(older)} runs it; "
                "upgrade the engine there, or remove the key"
            )

    def _require_proxies(self, stack: Stack) -> None:
        routed = self._routed(stack)
        if routed and not any(node.labels.get(PROXY_LABEL) == "true" for node in self._tasks.nodes().values()):
            raise EngineError(
                f"services.{routed[0]}.x-slipway.routes: no node of the Swarm is a proxy; label the managers that run "
                f"nginx by swarm_labels, {PROXY_LABEL}=true"
            )

    def _missing_objects(self, stack: Stack) -> list[ClusterObject]:
        there = self._object_ids(stack)
        return [each for each in objects(stack) if each.name not in there]

    def _object_ids(self, stack: Stack) -> dict[str, str]:
        return {raw["Spec"]["Name"]: raw["ID"] for kind in SECTIONS for raw in self._gateway.objects(kind, stack.name)}

    def migrate(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        migrating = [each.service for each in plan.services if each.migrate]
        needed = {other for name in migrating for other in stack.dependencies(name)}
        self._bring_up([name for name in stack.start_order() if name in needed], stack, plan, progress)
        for name in migrating:
            self._await_dependencies(stack, name)
            command = stack.services[name].migrate or []
            identities, image = self._object_ids(stack), self._pinned(stack, name)
            body = job_body(stack, name, command, "migrate", plan.release, identities, image)
            self._run_once(stack, name, body, progress)
            progress.migrated.append(name)
            progress.record()

    def start(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        kept = [each for entry in plan.services for each in entry.keep if not stack.is_job(entry.service)]
        self._tasks.await_ready(stack, {_service_of(each) for each in kept if each.health == state.STARTING})
        self._bring_up([name for name in stack.start_order() if not is_late(stack, plan, name)], stack, plan, progress)

    def stop_old(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        for name in reversed(stack.start_order()):
            entry = plan.service(name)
            if entry.strategy == RECREATE:
                self._retire(stack, set(map(_service_of, entry.old)) - set(self._goal(stack, plan, entry)), progress)

    def switch(self, stack: Stack, plan: Plan, progress: Progress, share: float) -> None:
        """All services at once, to what will remain; below 1 a share of the canaries' requests alone."""
        self._judging = str(plan.release)
        self._remember(progress)
        if not progress.steps[1:]:
            self._failures = self._tasks.failures(stack, progress)
        progress.share = share
        progress.record()
        if share >= 1:
            self._serve(stack, self._remaining(stack, plan), progress)
        else:
            self._tell(self._serving.current(), self._following(stack, plan, share))
            progress.reloaded = True

    def _following(self, stack: Stack, plan: Plan, share: float) -> dict[str, Following]:
        there = {service.name: service.id for service in self._tasks.services(stack)}
        found: dict[str, Following] = {}
        for name in plan.canaries:
            goal = self._goal(stack, plan, plan.service(name))
            canary = stack.services[name].canary
            identities = tuple(there[each] for each in goal if each in there)
            found[name] = Following(identities, share, str(plan.release), canary["cookie"], canary["header"])
        return found

    def watch(self, stack: Stack, plan: Plan, progress: Progress, seconds: float, drain: bool) -> None:
        look = functools.partial(self._tasks.check_still_good, stack, self._failures)
        watched = Watched(look, functools.partial(self._answers, stack, progress), self._draining)
        limit = self._limits.drain if drain else None
        self._seen = watch(stack, watched, progress, self._clock, seconds, limit, self._seen)

    def _answers(self, stack: Stack, progress: Progress) -> Seen:
        """What the new and the old version of each service answered, by all proxies."""
        tallies = merged(self._serving.reports(), self._judging)
        new, old = dict[str, Tally](), dict[str, Tally]()
        for service in self._tasks.services(stack):
            if service.id in tallies and service.service in stack.services:
                found = new if service.name in progress.created else old
                found.setdefault(service.service, Tally()).merge(tallies[service.id])
        return Seen(new, old)

    def replace(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        for name in stack.start_order():
            if is_late(stack, plan, name):
                self._bring_up([name], stack, plan, progress)

    def finish(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        goal = {name: count for entry in plan.services for name, count in self._goal(stack, plan, entry).items()}
        there = {service.name: service for service in self._tasks.services(stack)}
        progress.removing = sorted(name for name in there if name not in goal)
        progress.record()
        self._stop_counting()
        for name, count in goal.items():
            if name in there and not there[name].job and (there[name].replicas or 0) > count:
                self._gateway.scale(name, count)
        self._tasks.remove(stack, progress.removing)
        self._collect(stack, objects(stack))

    def close(self, stack: Stack, plan: Plan) -> None:
        serving = self._serving.current()
        if serving:
            self._tell({name: {} for name in serving})
        self._tasks.remove(stack, [service.name for service in self._tasks.services(stack)])
        for network in plan.absent_networks:
            self._remove_network(network)
        self._collect(stack, ())

    def run_after(self, stack: Stack, services: list[str]) -> None:
        """Refused for a Swarm when the file is read: nothing can be run inside a task on another node."""

    def settle(self, stack: Stack, observed: Observed) -> None:
        jobs = {name for name in stack.services if stack.is_job(name)}
        starting = {
            _service_of(each)
            for each in observed.containers
            if each.health == state.STARTING and each.running and not each.oneoff and each.service not in jobs
        }
        self._tasks.await_ready(stack, starting)

    def undo(self, stack: Stack, plan: Plan, progress: Progress) -> list[str]:
        return self._put_back(stack, progress.plain())

    def recover(self, stack: Stack, journal: Mapping[str, Any]) -> None:
        """From any manager."""
        if journal.get("phase") == FINISH:
            self._tasks.remove(stack, journal.get("removing") or [])
        else:
            self._put_back(stack, journal)

    def _put_back(self, stack: Stack, journal: Mapping[str, Any]) -> list[str]:
        """Take away what was created, have again what was stopped; returns what could not be put back.

        EngineError where a successor may still run, so that what it took the place of would write the same data beside
        it, and where some proxy may still send requests to the new tasks.
        """
        left: list[str] = []
        self._judging = ""
        there = {service.name: service for service in self._tasks.services(stack)}
        created = [name for name in journal.get("created") or [] if name in there]
        scaled = {name: count for name, count in (journal.get("scaled") or {}).items() if name in there}
        stopped = {name: count for name, count in scaled.items() if (there[name].replicas or 0) < count}
        # What was stopped first comes back first; its successor holds its port or its volume until then.
        self._tasks.remove(stack, _successors(there, created, stopped))
        back = {there[name].service for name in stopped}
        rivals = {name: count for name, count in scaled.items() if name not in stopped and there[name].service in back}
        for name, count in rivals.items():
            self._gateway.scale(name, count)
        self._tasks.await_ended(stack, [there[name] for name, count in rivals.items() if not count])
        for name, count in stopped.items():
            with collected(left):
                self._gateway.scale(name, count)
        with collected(left):
            self._tasks.await_ready(stack, stopped)
        previous = journal.get("previous_serving") or {}
        if journal.get("switched") and (previous or self._serving.current()):
            self._tell(previous)
            self._await_drained()
        with collected(left):
            self._tasks.remove(stack, created)
        for name, count in scaled.items():
            if name not in stopped and name not in rivals:
                with collected(left):
                    self._gateway.scale(name, count)
        with collected(left):
            self._collect(stack, ())
        return left

    # Parts of phases

    def _goal(self, stack: Stack, plan: Plan, entry: ServicePlan) -> dict[str, int]:
        """Which services of the Swarm are there for it in the end, and with how many tasks."""
        counts = Counter(map(_service_of, (*entry.keep, *entry.start)))
        missing = len(entry.numbers)
        if missing and (stack.is_job(entry.service) or any(_service_of(each) in counts for each in entry.old)):
            # Some of its tasks do not run and are not started again, so all of it is made anew; and a Swarm runs all
            # of a job again when their number changes.
            missing += sum(counts.values())
            counts.clear()
        if missing:
            growing = max(counts, key=lambda name: int(name.rpartition("-r")[2]), default=None)
            counts[growing or service_name(stack, entry.service, plan.release)] += missing
        return dict(counts)

    def _bring_up(self, names: list[str], stack: Stack, plan: Plan, progress: Progress) -> None:
        """Bring these services to what they lack, each after those it depends on, and all through the gate."""
        waiting: set[str] = set()
        moved: list[str] = []
        for name in names:
            entry = plan.service(name)
            if entry.action in (KEEP, REMOVE) or name in progress.up:
                continue
            self._await_dependencies(stack, name)
            goal = self._goal(stack, plan, entry)
            for other in plan.services:
                if other.gives_way_to == name:
                    self._retire(stack, {_service_of(each) for each in other.old}, progress)
            if entry.action == STOP_FIRST:
                self._retire(stack, {_service_of(each) for each in entry.old} - set(goal), progress)
                moved.append(name)
            for service, count in goal.items():
                self._reach(stack, name, service, count, plan.release, progress)
            waiting.update(goal)
            progress.up.append(name)
        self._tasks.await_ready(stack, waiting)
        self._point(stack, plan, moved, progress)

    def _reach(self, stack: Stack, name: str, service: str, count: int, release: int, progress: Progress) -> None:
        there = next((each for each in self._tasks.services(stack) if each.name == service), None)
        if there is None:
            body = service_body(stack, name, release, count, self._object_ids(stack), self._pinned(stack, name))
            self._create(stack, name, body, progress)
        elif (there.replicas or 0) < count:
            self._scale(there, count, progress)

    def _create(self, stack: Stack, name: str, body: dict[str, Any], progress: Progress) -> None:
        body["Labels"] = {**body["Labels"], swarm_observed.REFERENCE_LABEL: stack.services[name].image}
        # Written before it is there: whoever comes after an interruption then looks for it.
        progress.created.append(body["Name"])
        progress.record()
        self._gateway.create_service(body)

    def _scale(self, service: SwarmService, count: int, progress: Progress) -> None:
        progress.scaled.setdefault(service.name, service.wanted)
        progress.record()
        self._gateway.scale(service.name, count)

    def _retire(self, stack: Stack, names: set[str], progress: Progress) -> None:
        """Stop all tasks but keep the service, for the way back."""
        old = [each for each in self._tasks.services(stack) if each.name in names and not each.job]
        for service in old:
            if service.wanted:
                self._scale(service, 0, progress)
        self._tasks.await_ended(stack, old)

    def _pinned(self, stack: Stack, name: str) -> str:
        reference = stack.services[name].image
        return swarm_observed.pinned(reference, self.images(stack)[reference])

    def _run_once(self, stack: Stack, name: str, body: dict[str, Any], progress: Progress) -> None:
        begun = self._clock.monotonic()
        try:
            self._create(stack, name, body, progress)
            while not self._tasks.has_completed(stack, body["Name"]):
                if self._clock.monotonic() - begun >= self._limits.migration:
                    raise EngineError(f"service {body['Name']}: runs longer than {self._limits.migration:g} s")
                self._clock.sleep(POLL_SECONDS)
        finally:
            self._gateway.remove_service(body["Name"])
            progress.created.remove(body["Name"])
            progress.record()

    def _collect(self, stack: Stack, wanted: Iterable[ClusterObject]) -> None:
        """Remove configs and secrets that nothing uses any more."""
        keep = {each.name for each in wanted}
        used = {identity for service in self._tasks.services(stack) for identity in service.objects}
        for kind in SECTIONS:
            for raw in self._gateway.objects(kind, stack.name):
                if raw["ID"] not in used and raw["Spec"]["Name"] not in keep:
                    self._gateway.remove_object(kind, raw["ID"], raw["Spec"]["Name"])

    def _remove_network(self, name: str) -> None:
        """A node lets go of a network a moment after its last task has ended."""
        begun = self._clock.monotonic()
        while True:
            try:
                self._gateway.remove_network(name)
                return
            except EngineError:
                if self._clock.monotonic() - begun >= END_SECONDS:
                    raise
            self._clock.sleep(POLL_SECONDS)

    # Where requests go

    def _serve(self, stack: Stack, wish: Served, progress: Progress) -> None:
        current = self._serving.current()
        closing: Served = {name: {} for name, weights in current.items() if weights and name not in wish}
        wish = {**wish, **closing}
        self._remember(progress)
        progress.reloaded = progress.reloaded or wish != current
        if wish or current:
            self._tell(wish)

    def _remember(self, progress: Progress) -> None:
        if not progress.switched:
            progress.previous_serving = self._serving.current()
            progress.switched = True
            progress.record()

    def _tell(self, wish: Served, following: Mapping[str, Following] | None = None) -> None:
        """Let the proxies follow, also where they were told but not seen to have followed."""
        self._serving.await_acknowledged(self._serving.set(wish, following, self._judging), FOLLOW_SECONDS)

    def _stop_counting(self) -> None:
        if self._judging:
            self._judging = ""
            self._serving.set(self._serving.current())

    def _remaining(self, stack: Stack, plan: Plan) -> dict[str, dict[str, int]]:
        """Who is to serve: what stays, and the old of services that are still to be replaced."""
        there = {service.name: service for service in self._tasks.services(stack)}
        found: dict[str, dict[str, int]] = {}
        for name in self._routed(stack):
            names = self._goal(stack, plan, plan.service(name))
            if is_late(stack, plan, name) and not any(each in there for each in names):
                names = dict.fromkeys(map(_service_of, plan.service(name).old), 1)
            found[name] = {there[each].id: 1 for each in names if each in there}
        return found

    def _point(self, stack: Stack, plan: Plan, services: list[str], progress: Progress) -> None:
        """A service that was stopped first has no old tasks to serve from: the proxies follow at once."""
        routed = [name for name in services if stack.services[name].routes]
        if routed:
            remaining = self._remaining(stack, plan)
            self._serve(stack, {**self._serving.current(), **{name: remaining[name] for name in routed}}, progress)

    def _draining(self) -> bool:
        return any(each.draining for each in self._serving.reports())

    def _await_drained(self) -> None:
        begun = self._clock.monotonic()
        while self._draining() and self._clock.monotonic() - begun < self._limits.drain:
            self._clock.sleep(POLL_SECONDS)

    # The health gate

    def _await_dependencies(self, stack: Stack, name: str) -> None:
        wanted = {
            other: stack.config_hash(other)
            for other, need in stack.services[name].depends_on.items()
            if need["condition"] != "service_started"
        }
        if wanted:
            found = (each for each in self._tasks.services(stack) if not each.purpose and each.wanted)
            self._tasks.await_ready(
                stack, [each.name for each in found if each.config_hash == wanted.get(each.service)]
            )


def _successors(there: Mapping[str, SwarmService], created: Collection[str], stopped: Collection[str]) -> list[str]:
    """Of what was created: the next of what was stopped, and what took the data of one that made room for it."""
    down = {there[name].service for name in stopped}
    data = {volume for name in stopped for volume in there[name].volumes}
    before = {service.service for name, service in there.items() if name not in created}
    return [
        name
        for name in created
        if there[name].service in down or (there[name].service not in before and data & set(there[name].volumes))
    ]


def _service_of(container: Container) -> str:
    """The service of the Swarm that a container belongs to."""
    return container.name.rpartition(".")[0]

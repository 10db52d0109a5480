# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a stack serves on a Swarm: written by a release, followed and acknowledged by the proxies on the managers.

Each change of what serves has the next generation. A proxy says in a label of its node which generation its nginx
serves, whether requests that came in before still run, what the servers answered while a release asks for that, and
what the tasks of its node publish where the managers do not know.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Tally
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import Unavailable
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import (
    FOLLOWING,
    GENERATION,
    JUDGING,
    SERVING,
    STATE_LABEL,
    Clock,
    ClusterState,
    Labels,
    packed,
    plain,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

PROXY_LABEL = "ops.slipway.proxy"
POLL_SECONDS = 0.1
# After a change of leader a node is "unknown" until it has spoken up again; it is there.
THERE = ("ready", "unknown")

Served = Mapping[str, Mapping[str, int]]


def report_label(stack: str) -> str:
    return f"{PROXY_LABEL}.{stack}"


@dataclass(frozen=True)
class Following:
    """The Swarm services of the next version of a service, and their share, as `_proxy/upstreams.py:Share` has it."""

    services: tuple[str, ...]
    of_next: float
    salt: str = ""
    cookie: str = ""
    header: str = ""


@dataclass(frozen=True)
class Wish:
    """What the proxies shall follow."""

    generation: int = 0
    serving: Served = field(default_factory=dict)
    following: Mapping[str, Following] = field(default_factory=dict)
    judging: str = ""

    def weights(self, service: str) -> dict[str, int]:
        """All that gets requests of the service: Swarm service id → weight of each of its tasks."""
        later = self.following[service].services if service in self.following else ()
        return {**dict.fromkeys(later, 1), **self.serving[service]}


def parse_wish(labels: Labels) -> Wish:
    following = plain(labels, FOLLOWING) or {}
    return Wish(
        int(labels.get(GENERATION) or 0),
        plain(labels, SERVING) or {},
        {name: Following(**{**entry, "services": tuple(entry["services"])}) for name, entry in following.items()},
        labels.get(JUDGING, ""),
    )


@dataclass(frozen=True)
class ProxyReport:
    """What a proxy said last. `node` is its host name; `ready` is False while the managers do not hear of the node."""

    node: str
    ready: bool
    generation: int = 0
    draining: bool = False
    judging: str = ""
    tallies: Mapping[str, Tally] = field(default_factory=dict)  # of each Swarm service
    problem: str = ""
    ports: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)  # of each task that the managers lack


def parse_report(stack: str, node: Mapping[str, Any]) -> ProxyReport | None:
    """None for a node that is no proxy."""
    labels = node["Spec"].get("Labels") or {}
    if labels.get(PROXY_LABEL) != "true":
        return None
    said = plain(labels, report_label(stack)) or {}
    return ProxyReport(
        node=node["Description"]["Hostname"],
        ready=node["Status"]["State"] in THERE,
        generation=int(said.get("generation") or 0),
        draining=bool(said.get("draining")),
        judging=said.get("judging", ""),
        tallies={service: Tally.parse(entry) for service, entry in (said.get("tallies") or {}).items()},
        problem=said.get("problem", ""),
        ports=said.get("ports") or {},
    )


class Nodes(Protocol):
    def nodes(self) -> list[dict[str, Any]]: ...


class Serving:
    """Writes need the stack's lease (`cluster_lease` of the same state)."""

    def __init__(self, state: ClusterState, nodes: Nodes, clock: Clock = time) -> None:
        self._state = state
        self._nodes = nodes
        self._clock = clock

    def wish(self) -> Wish:
        return parse_wish(self._state.read())

    def current(self) -> dict[str, dict[str, int]]:
        return {name: dict(weights) for name, weights in self.wish().serving.items()}

    def set(self, serving: Served, following: Mapping[str, Following] | None = None, judging: str = "") -> int:
        """Let these Swarm services serve, and return the generation that says so.

        `serving` is service → Swarm service id → weight of each of its tasks. A service with nothing in it is closed:
        its upstreams send requests nowhere; so is one that served and is not in it any more. `following` are those
        beside them that get a share. While `judging` is not empty the proxies count answers for it; another word begins
        anew.
        """
        written: list[int] = []

        def edit(labels: Labels) -> dict[str, str | None]:
            shares = {name: asdict(entry) for name, entry in (following or {}).items()}
            before = plain(labels, SERVING) or {}
            closed: Served = {name: {} for name, weights in before.items() if weights}
            changes = {
                SERVING: packed({name: dict(weights) for name, weights in {**closed, **serving}.items()}),
                FOLLOWING: packed(shares) if shares else None,
                JUDGING: judging or None,
            }
            generation = int(labels.get(GENERATION) or 0)
            if any(labels.get(key) != value for key, value in changes.items()):
                generation += 1
            written[:] = [generation]
            return {**changes, GENERATION: str(generation)}

        self._state.write(edit)
        return written[0]

    def reports(self) -> list[ProxyReport]:
        """What every proxy said last, in the order of their names."""
        found = (parse_report(self._state.stack, node) for node in self._nodes.nodes())
        return sorted((each for each in found if each is not None), key=lambda each: each.node)

    def await_acknowledged(self, generation: int, timeout_seconds: float) -> list[ProxyReport]:
        """Return when every proxy that is there serves the generation; EngineError names those that do not."""
        begun = self._clock.monotonic()
        while True:
            late: list[ProxyReport] | None = None
            try:
                reports = self.reports()
                late = [each for each in reports if each.ready and each.generation < generation]
                if not any(each.ready for each in reports):
                    raise EngineError(self._no_proxy(reports))
                if not late:
                    return reports
            except Unavailable:
                if self._clock.monotonic() - begun >= timeout_seconds:
                    raise
            if late and self._clock.monotonic() - begun >= timeout_seconds:
                raise EngineError(self._late(late, timeout_seconds))
            self._clock.sleep(POLL_SECONDS)

    def _no_proxy(self, reports: list[ProxyReport]) -> str:
        if reports:
            return (
                f"stack {self._state.stack}: no proxy is ready ({', '.join(each.node for each in reports)}); start one"
            )
        return (
            f"stack {self._state.stack}: no node carries the label {PROXY_LABEL}=true, so nothing would send requests "
            "to it; give it to the managers that run nginx (swarm_labels) and run the play"
        )

    def _late(self, late: list[ProxyReport], timeout_seconds: float) -> str:
        named = ", ".join(f"{each.node} ({each.problem})" if each.problem else each.node for each in late)
        return (
            f"stack {self._state.stack}: {named} did not follow within {timeout_seconds:g} s; "
            "look there: journalctl -u slipway-upstreams"
        )


class Reading(Protocol):
    def nodes(self) -> list[dict[str, Any]]: ...
    def configs(self, label: str) -> list[dict[str, Any]]: ...


def wishes(gateway: Reading) -> dict[str, Wish]:
    """What the proxies shall follow, for every stack on the Swarm of which something was ever to serve."""
    labels = (config["Spec"].get("Labels") or {} for config in gateway.configs(STATE_LABEL))
    found = {each[STATE_LABEL]: parse_wish(each) for each in labels}
    return {stack: wish for stack, wish in sorted(found.items()) if wish.generation}


def acknowledged(gateway: Reading) -> dict[str, Any]:
    """Stack → the generation that is to serve, and what each proxy says; plain values for people and programs."""
    nodes = gateway.nodes()
    result: dict[str, Any] = {}
    for stack, wish in wishes(gateway).items():
        reports = [report for report in (parse_report(stack, node) for node in nodes) if report is not None]
        result[stack] = {
            "generation": wish.generation,
            "serving": {name: dict(weights) for name, weights in wish.serving.items()},
            "proxies": [
                {key: getattr(each, key) for key in ("node", "ready", "generation", "draining", "problem")}
                for each in sorted(reports, key=lambda each: each.node)
            ],
        }
    return result


def merged(reports: list[ProxyReport], judging: str) -> dict[str, Tally]:
    """The answers of each Swarm service, as all proxies counted them for this word."""
    result: dict[str, Tally] = {}
    for report in reports:
        if report.judging == judging:
            for service, tally in report.tallies.items():
                result.setdefault(service, Tally()).merge(tally)
    return result

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an answering manager changes: settings, labels, roles, availability, nodes that go; in an order that is safe.

New managers come before old ones go, one at a time, and of each set in between more than half are reachable.
Nodes become active before others are drained, so that tasks have somewhere to go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import (
    ABSENT,
    ACTIVE,
    DRAIN,
    MANAGER,
    PRESENT,
    REACHABLE,
    READY,
    WORKER,
    Cluster,
    Node,
    Settings,
    quorum,
    shown,
)

# Which labels of a node are ours: others, such as what a proxy reports of itself, are left alone.
OWNED_LABEL = "ops.slipway.labels"

SETTINGS, LABELS, PROMOTE, AVAILABILITY, DRAINED, DEMOTE, REMOVE = (
    "settings",
    "labels",
    "promote",
    "availability",
    "drain",
    "demote",
    "remove",
)


@dataclass(frozen=True)
class NodeWish:
    """What one node is to be. Without an id it has not joined yet."""

    host: str
    id: str = ""
    hostname: str = ""
    role: str = WORKER
    availability: str = ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = PRESENT

    @classmethod
    def of_plain(cls, raw: Mapping[str, Any]) -> NodeWish:
        labels = {str(key): str(value) for key, value in (raw.get("labels") or {}).items()}
        return cls(**{**{key: value for key, value in raw.items() if value is not None}, "labels": labels})


@dataclass(frozen=True)
class LabelsWish:
    """The labels that are ours, and those that an older entry of the same host had from others."""

    ours: Mapping[str, str]
    inherited: Mapping[str, str] = field(default_factory=dict)

    def of(self, found: Mapping[str, str]) -> dict[str, str]:
        return wanted_labels({**self.inherited, **found}, self.ours)


@dataclass(frozen=True)
class Step:
    kind: str
    line: str
    node: str = ""
    value: Any = None


@dataclass
class ClusterPlan:
    steps: list[Step] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [step.line for step in self.steps]


def foresee(cluster: Optional[Cluster], settings: Settings, wishes: Sequence[NodeWish]) -> Cluster:
    """The Swarm as it would be when all that are to join have joined."""
    found = cluster or Cluster("", settings, ())
    coming = tuple(
        Node(
            id=_foreseen(wish),
            hostname=wish.hostname or wish.host,
            role=wish.role,
            reachability=REACHABLE if wish.role == MANAGER else "",
        )
        for wish in wishes
        if not wish.id and wish.state == PRESENT
    )
    return replace(found, nodes=found.nodes + coming)


def with_foreseen_ids(wishes: Sequence[NodeWish]) -> list[NodeWish]:
    """The wishes with the ids that `foresee` gives to nodes that have not joined yet."""
    return [
        wish if wish.id else replace(wish, id=_foreseen(wish)) for wish in wishes if wish.id or wish.state == PRESENT
    ]


def _foreseen(wish: NodeWish) -> str:
    return f"(joins) {wish.host}"


def plan_cluster(
    cluster: Cluster,
    settings: Optional[Settings],
    wishes: Sequence[NodeWish],
    forget: Sequence[str] = (),
    own_id: str = "",
) -> ClusterPlan:
    """Every step, and why some cannot be. `own_id` is the node that carries the steps out: it goes last."""
    plan = ClusterPlan()
    if settings is not None:
        differences = cluster.settings.differences(settings)
        if differences:
            plan.steps.append(Step(SETTINGS, f"settings: {', '.join(differences)}", value=settings))
    known = [(wish, node) for wish in wishes for node in [cluster.node(wish.id)] if node is not None]
    unknown = [wish.host for wish in wishes if wish.state == PRESENT and cluster.node(wish.id) is None]
    if unknown:
        plan.problems.append(f"{shown(unknown)}: not known to the managers; join the Swarm first")
    present = [(wish, node) for wish, node in known if wish.state == PRESENT]
    leaving = [(wish, node) for wish, node in known if wish.state == ABSENT]
    for wish, node in present:
        inherited = _inherited(cluster, node, wishes)
        labels = wanted_labels({**inherited, **node.labels}, wish.labels)
        if labels != dict(node.labels):
            value = LabelsWish(dict(wish.labels), inherited)
            plan.steps.append(Step(LABELS, _labels_line(wish.host, node.labels, labels), node.id, value))
    plan.steps += [
        Step(PROMOTE, f"{wish.host}: worker -> manager", node.id)
        for wish, node in present
        if wish.role == MANAGER and node.role == WORKER
    ]
    for wish, node in present:
        if wish.availability != node.availability and wish.availability != DRAIN:
            line = f"{wish.host}: {node.availability} -> {wish.availability}"
            plan.steps.append(Step(AVAILABILITY, line, node.id, wish.availability))
    drains = [(wish, node) for wish, node in present if wish.availability == DRAIN] + leaving
    for wish, node in drains:
        if node.availability != DRAIN and node.state == READY:
            plan.steps.append(Step(DRAINED, f"{wish.host}: drain, and wait until its tasks have moved", node.id))
    _demotions(plan, cluster, present, leaving, own_id)
    _removals(plan, cluster, wishes, forget)
    if not plan.problems:
        _warn(plan, cluster)
    return plan


def wanted_labels(found: Mapping[str, str], wished: Mapping[str, str]) -> dict[str, str]:
    """The labels of a node: those wished and those of others; what we set before and is not wished any more goes."""
    owned = [key for key in found.get(OWNED_LABEL, "").split(",") if key]
    kept = {key: value for key, value in found.items() if key not in owned and key != OWNED_LABEL}
    ours = {OWNED_LABEL: ",".join(sorted(wished))} if wished else {}
    return {**kept, **wished, **ours}


def _inherited(cluster: Cluster, node: Node, wishes: Sequence[NodeWish]) -> dict[str, str]:
    claimed = {wish.id for wish in wishes}
    older = [each for each in cluster.nodes if each.hostname == node.hostname and each.id not in claimed]
    found = {key: value for each in older if each.state != READY for key, value in each.labels.items()}
    owned = found.pop(OWNED_LABEL, "").split(",")
    return {key: value for key, value in found.items() if key not in owned}


def _labels_line(host: str, before: Mapping[str, str], after: Mapping[str, str]) -> str:
    words = [
        f"{key}={after[key]}" if key in after else f"without {key}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key) and key != OWNED_LABEL
    ]
    return f"{host}: labels {', '.join(words) or 'are ours'}"


def _demotions(
    plan: ClusterPlan,
    cluster: Cluster,
    present: Sequence[tuple[NodeWish, Node]],
    leaving: Sequence[tuple[NodeWish, Node]],
    own_id: str,
) -> None:
    demoted = [(wish, node) for wish, node in present if wish.role == WORKER and node.role == MANAGER]
    demoted += [(wish, node) for wish, node in leaving if node.role == MANAGER]
    # The leader would hand over once for each manager that goes before it, so it goes late; who does the work, last.
    demoted.sort(key=lambda pair: (pair[1].id == own_id, pair[1].leader, pair[1].reachable))
    total = len(cluster.managers) + sum(step.kind == PROMOTE for step in plan.steps)
    reachable = sum(node.reachable for node in cluster.managers) + sum(step.kind == PROMOTE for step in plan.steps)
    for wish, node in demoted:
        if node.in_raft:
            problem = refusal(total, reachable, node)
            if problem:
                plan.problems.append(f"{wish.host}: is not taken from the managers: {problem}")
                continue
            total, reachable = total - 1, reachable - node.reachable
        plan.steps.append(Step(DEMOTE, f"{wish.host}: manager -> worker", node.id))


def refusal(total: int, reachable: int, node: Node) -> str:
    """Why this manager may not go when so many are there and reachable; empty when it may."""
    if total <= 1:
        return "it is the last one; make another host a manager first"
    left, answering = total - 1, reachable - int(node.reachable)
    if answering < quorum(left):
        return (
            f"{answering} of {left} managers would be left reachable and {quorum(left)} are needed;"
            " bring unreachable managers back, or demote those first"
        )
    return ""


def _removals(plan: ClusterPlan, cluster: Cluster, wishes: Sequence[NodeWish], forget: Sequence[str]) -> None:
    """Nodes that were named, and older entries of hosts that joined anew. None of them may be up."""
    claimed = {wish.id for wish in wishes if wish.state == PRESENT}
    names = {node.hostname for node in cluster.nodes if node.id in claimed}
    for node in cluster.nodes:
        if node.id in claimed:
            continue
        if node.id in forget or node.hostname in forget:
            why = "is gone"
        elif node.hostname in names and node.state != READY:
            why = "joined anew"
        else:
            continue
        if node.in_raft:
            problem = refusal(len(cluster.managers), sum(each.reachable for each in cluster.managers), node)
            if problem:
                plan.problems.append(f"{node.hostname} ({node.id}): is not removed: {problem}")
                continue
        plan.steps.append(Step(REMOVE, f"{node.hostname}: remove node {node.id}, which {why}", node.id))


def _warn(plan: ClusterPlan, cluster: Cluster) -> None:
    gone = {step.node for step in plan.steps if step.kind in (DEMOTE, REMOVE)}
    managers = len([node for node in cluster.managers if node.id not in gone])
    managers += sum(step.kind == PROMOTE for step in plan.steps)
    if managers and managers % 2 == 0:
        plan.warnings.append(
            f"{managers} managers stand the loss of {managers - quorum(managers)}, no more than"
            f" {managers - 1} do; make it {managers - 1} or {managers + 1}"
        )
    for node in cluster.managers:
        if not node.reachable and node.id not in gone:
            plan.warnings.append(f"{node.hostname}: is a manager that the others do not reach")

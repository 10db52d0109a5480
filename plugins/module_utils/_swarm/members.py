# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host makes the Swarm, which ones join or leave it, and which one speaks for it; from what all hosts said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._swarm.plan import (
    NodeWish,
    foresee,
    plan_cluster,
    with_foreseen_ids,
)
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import (
    ABSENT,
    ERROR,
    LOCKED,
    MANAGER,
    PENDING,
    PRESENT,
    Cluster,
    Local,
    Settings,
    Wish,
    shown,
    with_port,
)


@dataclass(frozen=True)
class Member:
    """A host of the play: its wish, what it said of itself, and the Swarm as it sees it when it is a manager."""

    host: str
    wish: Wish
    seen: Local
    cluster: Optional[Cluster] = None


@dataclass
class MembersPlan:
    acting: str = ""
    init: str = ""
    unlock: list[str] = field(default_factory=list)
    rejoin: list[str] = field(default_factory=list)
    join: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    leave: list[str] = field(default_factory=list)
    leaving_ids: list[str] = field(default_factory=list)
    dismantle: str = ""
    nodes: list[dict[str, Any]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unlock_key_sha256: str = ""

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def plan_members(
    members: Sequence[Member],
    settings: Settings,
    expected: Sequence[str] = (),
    forget: Sequence[str] = (),
    check: bool = False,
) -> MembersPlan:
    """The steps of every host. `expected` are all hosts of the Swarm, those that the run left out included."""
    plan = MembersPlan()
    wanted = [member for member in members if member.wish.state == PRESENT]
    for member in wanted:
        _look_at(plan, member, check)
    plan.unlock = [member.host for member in members if member.seen.state == LOCKED]
    cluster = _chosen(plan, members)
    inside = [member for member in members if cluster is not None and cluster.node(member.seen.node_id) is not None]
    outside = [member for member in wanted if member not in inside and member.host not in plan.unlock]
    _strangers(plan, [member for member in outside if member.seen.member], cluster)
    if plan.problems:
        return plan
    if cluster is None:
        if plan.unlock or all(member.seen.member for member in wanted):
            _alone(plan, wanted)
            return plan
        _first(plan, wanted, members, expected)
        if plan.problems:
            return plan
    else:
        _speaker(plan, inside, cluster)
    plan.join = [member.host for member in _managers_first(outside) if member.host != plan.init]
    if cluster is None:
        first = next(member for member in members if member.host == plan.init)
        address = first.wish.advertise_address or first.seen.default_address
        plan.addresses = [with_port(address)]
    _leave(plan, [member for member in inside if member.wish.state == ABSENT], wanted, cluster)
    plan.nodes = [_node(member, cluster) for member in members if member in wanted or member in inside]
    if plan.dismantle:
        plan.nodes = [node for node in plan.nodes if node["host"] != plan.dismantle]
    _settle(plan, members, cluster, settings, forget)
    return plan


def _look_at(plan: MembersPlan, member: Member, check: bool) -> None:
    """What keeps this host out of any Swarm."""
    host, wish, seen = member.host, member.wish, member.seen
    if not seen.state:
        if not check:
            plan.problems.append(f"{host}: {seen.error}")
        return
    if seen.live_restore:
        plan.problems.append(
            f"{host}: dockerd runs with live-restore, which forbids a Swarm; set docker_live_restore to false"
        )
    if seen.state in (PENDING, ERROR):
        plan.problems.append(
            f"{host}: its part in the Swarm is in state {seen.state} ({seen.error}); see journalctl -u docker"
        )
    if wish.encrypted_networks and seen.encrypts is False:
        plan.problems.append(
            f"{host}: its kernel cannot encrypt overlay networks (no ESP with AES-GCM), and what goes over them between"
            " hosts would be lost; use another kernel, or set swarm_encrypted_networks to false, and encrypted to false"
            " in the stacks"
        )
    if seen.member and seen.state != LOCKED:
        fixed = [
            ("advertise_address", wish.advertise_address, seen.address),
            ("listen_address", wish.listen_address, seen.listen_address.rsplit(":", 1)[0].strip("[]")),
            ("data_path_address", wish.data_path_address, seen.data_path_address),
            ("data_path_port", wish.data_path_port, seen.data_path_port),
        ]
        if seen.manager and seen.address_pools:
            fixed += [
                ("address_pools", wish.address_pools, seen.address_pools),
                ("subnet_size", wish.subnet_size, seen.subnet_size),
            ]
        plan.problems += [
            f"{host}: swarm_{name} is {_said(given)} and the node has {_said(found)}, which is fixed while it is in the"
            " Swarm; put the old value back, or take the node out by swarm_state: absent and let it join again"
            for name, given, found in fixed
            if given and found and given != found
        ]


def _said(value: Any) -> str:
    return shown([str(item) for item in value]) if isinstance(value, tuple) else str(value)


def _chosen(plan: MembersPlan, members: Sequence[Member]) -> Optional[Cluster]:
    """The Swarm that the others are to belong to: after a recovery, the recovered one."""
    answering = [member for member in members if member.cluster is not None]
    ids = sorted({member.cluster.id for member in answering if member.cluster})
    if len(ids) > 1:
        told = "; ".join(f"{member.host} in {member.cluster.id}" for member in answering if member.cluster)
        plan.problems.append(
            f"the hosts are managers of {len(ids)} Swarms ({told}); take the hosts of one out of their Swarm by"
            " docker swarm leave --force, or put them into another play"
        )
        return None
    best: Optional[Cluster] = None
    for member in answering:
        if member.cluster and (best is None or member.cluster.recovery > best.recovery):
            best = member.cluster
    if best is None:
        return None
    for member in answering:
        other = member.cluster
        if other and other.recovery == best.recovery and best.node(member.seen.node_id) is None:
            plan.problems.append(
                f"{member.host}: is a manager of the same Swarm and yet not known to the others: the Swarm fell into"
                " two. Take one part out by docker swarm leave --force"
            )
    return best


def _strangers(plan: MembersPlan, strangers: Sequence[Member], cluster: Optional[Cluster]) -> None:
    """Hosts that think themselves in a Swarm, and are not known to its managers."""
    for member in strangers:
        seen = member.seen
        if cluster is None:
            continue
        if member.wish.rejoin:
            plan.rejoin.append(member.host)
        else:
            plan.problems.append(
                f"{member.host}: is in a Swarm as node {seen.node_id}, which the managers of this one do not know (it"
                " was removed, or the Swarm was recovered without it); swarm_rejoin=true makes it leave that and join"
                " again"
            )


def _alone(plan: MembersPlan, wanted: Sequence[Member]) -> None:
    """All are in a Swarm, and no manager of it answered."""
    silent = [member for member in wanted if member.seen.manager and member.host not in plan.unlock]
    if plan.unlock:
        return
    if silent:
        plan.problems.append(
            f"{shown([member.host for member in silent])}: no quorum ({silent[0].seen.error}); start the other"
            " managers, or, when they are lost, run playbooks/swarm_recover.yml"
        )
    elif wanted:
        plan.warnings.append(
            "no manager of the Swarm is in this run, so labels, roles and availability were not looked at"
        )


def _first(plan: MembersPlan, wanted: Sequence[Member], members: Sequence[Member], expected: Sequence[str]) -> None:
    """The host that makes the Swarm. None does while a host that may be in one was not asked."""
    if not wanted:
        return
    strangers = [member.host for member in members if member.seen.member]
    if strangers:
        plan.problems.append(
            f"{shown(strangers)}: in a Swarm, of which no manager answers; run this with its managers, or, if they are"
            " lost, playbooks/swarm_recover.yml"
        )
        return
    unseen = sorted(set(expected) - {member.host for member in members})
    if unseen:
        plan.problems.append(
            f"no host of this run is in a Swarm, and {shown(unseen)} could be in one; run this with all members once"
        )
        return
    managers = [member for member in wanted if member.wish.role == MANAGER]
    if not managers:
        plan.problems.append("no host is to be a manager; set swarm_role to manager on one, three or five of them")
        return
    plan.init = plan.acting = managers[0].host


def _speaker(plan: MembersPlan, inside: Sequence[Member], cluster: Cluster) -> None:
    speaking = [
        member for member in inside if member.cluster is not None and member.cluster.recovery == cluster.recovery
    ]
    speaking.sort(key=lambda member: (member.wish.state != PRESENT, member.wish.role != MANAGER))
    plan.acting = speaking[0].host
    plan.unlock_key_sha256 = cluster.unlock_key_sha256
    plan.addresses = [node.manager_address for node in cluster.managers if node.reachable]


def _managers_first(members: Sequence[Member]) -> list[Member]:
    return sorted(members, key=lambda member: member.wish.role != MANAGER)


def _leave(plan: MembersPlan, leaving: Sequence[Member], wanted: Sequence[Member], cluster: Optional[Cluster]) -> None:
    if cluster is None or not leaving:
        return
    staying = {node.id for node in cluster.nodes} - {member.seen.node_id for member in leaving}
    plan.leave = [member.host for member in leaving]
    plan.leaving_ids = [member.seen.node_id for member in leaving]
    if not staying and not wanted:
        if cluster.services:
            plan.problems.append(
                f"the Swarm would end, and {cluster.services} services run on it; remove the stacks first"
                " (playbooks/remove.yml), then set swarm_state to absent"
            )
        plan.dismantle = plan.acting
        plan.leave = [host for host in plan.leave if host != plan.acting]
        plan.leaving_ids = []


def _node(member: Member, cluster: Optional[Cluster]) -> dict[str, Any]:
    known = cluster is not None and cluster.node(member.seen.node_id) is not None
    return {
        "host": member.host,
        "id": member.seen.node_id if known else "",
        "hostname": member.seen.hostname,
        "role": member.wish.role,
        "availability": member.wish.availability,
        "labels": dict(member.wish.labels),
        "state": member.wish.state,
    }


def _settle(
    plan: MembersPlan,
    members: Sequence[Member],
    cluster: Optional[Cluster],
    settings: Settings,
    forget: Sequence[str],
) -> None:
    """What is left for the host that speaks for the Swarm."""
    wishes = [NodeWish.of_plain(node) for node in plan.nodes]
    own = next((member.seen.node_id for member in members if member.host == plan.acting), "")
    foreseen = foresee(cluster, settings, wishes)
    if plan.dismantle:
        return
    managers = {wish.id for wish in with_foreseen_ids(wishes) if wish.role == MANAGER and wish.state == PRESENT}
    others = {node.id for node in foreseen.nodes if node.role == MANAGER} - {wish.id for wish in wishes}
    if not managers | others:
        plan.problems.append("no manager would be left; set swarm_role to manager on one, three or five hosts")
        return
    found = plan_cluster(foreseen, settings, with_foreseen_ids(wishes), forget, own)
    plan.lines, plan.problems = found.lines, plan.problems + found.problems
    plan.warnings += found.warnings

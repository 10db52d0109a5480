# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which manager a Swarm that lost its quorum is recovered from, and what becomes of the other hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._swarm.raft import Position
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Local, shown

# github.com/moby/moby/issues/36852: dockerd forgets the Swarm when it is asked to, and unlocking does not help.
LOCKED_REASON = "Docker cannot force a new cluster from a manager whose key is locked (swarm_autolock)"


@dataclass(frozen=True)
class Survivor:
    """A host that answered: what it is, how far its raft has come, and whether its managers have a quorum."""

    host: str
    seen: Local
    raft: Position = field(default_factory=Position)
    answered: bool = False


@dataclass
class RecoveryPlan:
    seed: str = ""
    aside: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def plan_recovery(
    survivors: Sequence[Survivor], lost: Sequence[str] = (), archive: str = "", seed: str = ""
) -> RecoveryPlan:
    """From the manager whose log is the newest in raft's own order; with an archive, on the host that is named."""
    plan = RecoveryPlan()
    answered = [survivor.host for survivor in survivors if survivor.answered]
    if answered:
        plan.problems.append(
            f"{shown(answered)}: the managers have their quorum, and there is nothing to recover (seconds after a loss"
            " a leader may still say so); hosts that the Swarm does not know any more come back by role swarm with"
            " swarm_rejoin"
        )
        return plan
    managers = [survivor for survivor in survivors if survivor.raft.index and survivor.seen.member]
    if archive:
        if seed not in [survivor.host for survivor in survivors]:
            plan.problems.append("a recovery from an archive needs swarm_recover_seed, the reachable host that has it")
            return plan
        plan.seed = seed
        plan.lines.append(f"{seed}: put the state in {archive} in place of its own, and make it the only manager")
        others = [survivor for survivor in survivors if survivor.host != seed and survivor.seen.member]
    else:
        if not managers:
            plan.problems.append(
                "no manager is left; give swarm_recover_archive, the path of a backup on the host swarm_recover_seed"
            )
            return plan
        locked = [survivor.host for survivor in managers if survivor.seen.locked_key]
        if locked:
            plan.problems.append(f"{shown(locked)}: {LOCKED_REASON}; bring a majority of the managers back")
            return plan
        best = max(managers, key=lambda survivor: survivor.raft)
        plan.seed = best.host
        if seed and seed != best.host:
            plan.problems.append(
                f"{seed}: its raft is behind that of {best.host}, whose last writes would be lost; leave"
                " swarm_recover_seed out"
            )
            return plan
        plan.lines.append(
            f"{best.host}: make it the only manager, from its raft (term {best.raft.term}, index {best.raft.index});"
            " its own tasks start anew"
        )
        others = [survivor for survivor in managers if survivor.host != best.host]
    plan.aside = [survivor.host for survivor in others]
    for survivor in others:
        behind = f" (term {survivor.raft.term}, index {survivor.raft.index})" if survivor.raft.index else ""
        plan.lines.append(f"{survivor.host}: set its old state aside{behind} and join anew; its tasks start anew")
    untouched = [s.host for s in survivors if s.host != plan.seed and s.host not in plan.aside]
    plan.lines += [f"{host}: stays as it is" for host in untouched]
    plan.lines += [
        f"{host}: does not answer; as a manager it is removed, and must not come back unchanged" for host in lost
    ]
    return plan

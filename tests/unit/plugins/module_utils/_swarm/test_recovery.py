# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which manager a Swarm is recovered from."""

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._swarm.raft import Position
from ansible_collections.slipway.ops.plugins.module_utils._swarm.recovery import Survivor, plan_recovery
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Local


def survivor(name: str, index: int = 0, term: int = 3, **changes: object) -> Survivor:
    local = Local(name, "active", f"id-{name}", manager=index > 0, **changes)  # type: ignore[arg-type]
    return Survivor(name, local, Position(term, index) if index else Position())


def test_the_newest_raft_wins_and_the_others_step_aside() -> None:
    plan = plan_recovery([survivor("a", 50), survivor("b", 40, 4), survivor("w")], ["lost"])
    assert (plan.seed, plan.aside, plan.problems) == ("b", ["a"], [])
    assert plan.lines[0].startswith("b: make it the only manager, from its raft (term 4, index 40)")
    assert plan.lines[2:] == [
        "w: stays as it is",
        "lost: does not answer; as a manager it is removed, and must not come back unchanged",
    ]


def test_a_quorum_is_not_recovered() -> None:
    plan = plan_recovery([Survivor("a", Local("a", "active"), Position(1, 5), True)])
    assert "there is nothing to recover" in plan.problems[0]


def test_an_older_raft_is_not_taken() -> None:
    assert "its raft is behind that of b" in plan_recovery([survivor("a", 4), survivor("b", 5)], seed="a").problems[0]


def test_a_locked_manager_cannot_be_it() -> None:
    plan = plan_recovery([survivor("a", 5, locked_key=True)])
    assert "Docker cannot force a new cluster from a manager whose key is locked" in plan.problems[0]


def test_from_an_archive_all_others_join_anew() -> None:
    assert "give swarm_recover_archive" in plan_recovery([survivor("w")]).problems[0]
    assert "needs swarm_recover_seed" in plan_recovery([survivor("w")], archive="/a").problems[0]
    plan = plan_recovery([survivor("a"), survivor("w")], archive="/a.tar.gz", seed="a")
    assert (plan.seed, plan.aside) == ("a", ["w"])
    assert plan.lines[0] == "a: put the state in /a.tar.gz in place of its own, and make it the only manager"

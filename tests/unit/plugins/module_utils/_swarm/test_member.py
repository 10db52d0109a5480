# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host makes a Swarm, joins, is unlocked, leaves, recovers."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.member import Joining, Membership
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import observe_local
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import RECOVERY_LABEL

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


def membership(gateway: FakeGateway, check: bool = False) -> Membership:
    return Membership(gateway, observe_local(gateway)[0], check, sleep=lambda seconds: None)


def test_makes_a_swarm_once() -> None:
    gateway = FakeGateway()
    work = membership(gateway)
    work.present(Joining())
    assert (gateway.calls, work.lines, work.node_id) == (["init 192.0.2.1"], ["make a Swarm at 192.0.2.1"], "id-new")
    again = membership(gateway)
    again.present(Joining())
    assert again.lines == []


def test_joins_by_a_token_that_is_in_no_line() -> None:
    gateway = FakeGateway()
    work = membership(gateway)
    work.present(Joining(addresses=("192.0.2.9:2377",), token="SWMTKN-1"))
    assert gateway.calls == ["join ['192.0.2.9:2377'] SWMTKN-1"]
    assert work.lines == ["join a Swarm by 192.0.2.9:2377"]


def test_check_mode_touches_nothing() -> None:
    gateway = FakeGateway()
    work = membership(gateway, check=True)
    work.present(Joining())
    assert (gateway.calls, len(work.lines)) == ([], 1)


def test_a_manager_leaves_only_by_force() -> None:
    gateway = FakeGateway("a")
    with pytest.raises(SwarmError, match="demote it first"):
        membership(gateway).absent(False)
    membership(gateway).absent(True)
    assert gateway.calls == ["leave True"]
    gone = membership(gateway)
    gone.absent(False)
    assert gone.lines == []


def test_a_wrong_key_is_told_without_it() -> None:
    gateway = FakeGateway("a")
    gateway.state, gateway.key = "locked", "SWMKEY-right"
    with pytest.raises(SwarmError, match="not unlocked: invalid key") as told:
        membership(gateway).unlocked("SWMKEY-wrong")
    assert "SWMKEY" not in str(told.value)
    work = membership(gateway)
    work.unlocked("SWMKEY-right")
    assert work.lines == ["unlock this manager"]


def test_a_recovery_is_marked_and_only_without_a_quorum() -> None:
    gateway = FakeGateway("a", "b")
    with pytest.raises(SwarmError, match="there is nothing to recover"):
        membership(gateway).recovered(5)
    gateway.error = "no leader"
    membership(gateway).recovered(5)
    assert gateway.calls == ["force", "update the Swarm"]
    assert gateway.spec["Labels"] == {RECOVERY_LABEL: "5"}

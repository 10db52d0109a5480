# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import swarm_node

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gateway: FakeGateway, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(swarm_node, "SwarmGateway", lambda: gateway)
    with patch_module_args(options), pytest.raises(SystemExit):
        swarm_node.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_swarm_is_made_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway()
    made = run(monkeypatch, capsys, gateway, settings={"task_history": 2})
    assert (made["changed"], made["node_id"], made["plan"]) == (True, "id-new", ["make a Swarm at 192.0.2.1"])
    assert not run(monkeypatch, capsys, gateway)["changed"]


def test_a_token_comes_back_nowhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    joined = run(monkeypatch, capsys, FakeGateway(), addresses=["192.0.2.9:2377"], token="SWMTKN-secret")
    assert joined["changed"]
    assert "SWMTKN-secret" not in json.dumps(joined)


def test_check_mode_says_what_it_would_do(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway()
    assert run(monkeypatch, capsys, gateway, _ansible_check_mode=True)["changed"]
    assert gateway.calls == []


def test_a_manager_does_not_just_leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway("a")
    assert "demote it first" in run(monkeypatch, capsys, gateway, state="absent")["msg"]
    assert run(monkeypatch, capsys, gateway, state="absent", force=True)["plan"] == ["leave the Swarm"]

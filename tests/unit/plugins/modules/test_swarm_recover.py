# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import swarm_recover

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gateway: FakeGateway, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(swarm_recover, "SwarmGateway", lambda: gateway)
    with patch_module_args(options), pytest.raises(SystemExit):
        swarm_recover.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_manager_becomes_the_quorum(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway("a", "b")
    gateway.error = "no leader"
    done = run(monkeypatch, capsys, gateway)
    assert (done["changed"], done["others"], done["before"]) == (True, ["id-b"], "")
    assert done["found"] == {"services": 0, "configs": 0, "secrets": 0}


def test_a_healthy_swarm_is_left_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway("a", "b")
    assert "there is nothing to recover" in run(monkeypatch, capsys, gateway)["msg"]
    assert "has its quorum" in run(monkeypatch, capsys, gateway, state="set_aside")["msg"]
    assert gateway.calls == []
    assert run(monkeypatch, capsys, gateway, _ansible_check_mode=True)["changed"]

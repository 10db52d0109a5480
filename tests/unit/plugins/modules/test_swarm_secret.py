# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import swarm_secret

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gateway: FakeGateway, kind: str
) -> dict[str, Any]:
    monkeypatch.setattr(swarm_secret, "SwarmGateway", lambda: gateway)
    with patch_module_args({"kind": kind}), pytest.raises(SystemExit):
        swarm_secret.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_tokens_and_the_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway("a")
    gateway.key = "SWMKEY-1"
    tokens = run(monkeypatch, capsys, gateway, "tokens")
    assert (tokens["manager"], tokens["worker"]) == ("SWMTKN-manager", "SWMTKN-worker")
    assert run(monkeypatch, capsys, gateway, "unlock_key")["unlock_key"] == "SWMKEY-1"


def test_without_a_quorum_a_remedy_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway("a")
    gateway.error = "no leader"
    assert "swarm_recover.yml" in run(monkeypatch, capsys, gateway, "tokens")["msg"]

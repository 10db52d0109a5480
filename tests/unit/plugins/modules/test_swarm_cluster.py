# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import swarm_cluster

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway

NODES = [
    {"host": "a", "id": "id-a", "role": "manager", "labels": {"zone": "a"}},
    {"host": "b", "id": "id-b", "role": "worker"},
]


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], gateway: FakeGateway, **options: Any
) -> dict[str, Any]:
    monkeypatch.setattr(swarm_cluster, "SwarmGateway", lambda: gateway)
    with patch_module_args({"_ansible_diff": True, **options}), pytest.raises(SystemExit):
        swarm_cluster.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_changes_what_differs_and_then_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = FakeGateway("a", "b")
    foreseen = run(monkeypatch, capsys, gateway, nodes=NODES, _ansible_check_mode=True)
    assert gateway.calls == []
    done = run(monkeypatch, capsys, gateway, nodes=NODES)
    assert foreseen["plan"] == done["plan"] == ["a: labels zone=a", "b: manager -> worker"]
    assert done["diff"]["after"] == "a: labels zone=a\nb: manager -> worker\n"
    assert not run(monkeypatch, capsys, gateway, nodes=NODES)["changed"]


def test_what_is_not_safe_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    gateway = FakeGateway("a")
    wish = [{"host": "a", "id": "id-a", "role": "worker"}]
    assert "it is the last one" in run(monkeypatch, capsys, gateway, nodes=wish)["msg"]
    assert gateway.calls == []


def test_check_mode_on_a_host_outside(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    wish = [{"host": "a", "role": "manager", "labels": {"zone": "a"}}]
    found = run(monkeypatch, capsys, FakeGateway(), nodes=wish, settings={}, _ansible_check_mode=True)
    assert found["plan"] == ["a: labels zone=a"]

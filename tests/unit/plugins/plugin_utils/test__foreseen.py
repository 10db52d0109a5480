# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants, context
from ansible.module_utils.common.collections import ImmutableDict
from ansible_collections.slipway.ops.plugins.plugin_utils._foreseen import run_foreseeing


@pytest.fixture(autouse=True)
def _one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


class Action:
    def __init__(self, delegate_to: str | None, found: dict[str, Any]) -> None:
        self._task = SimpleNamespace(delegate_to=delegate_to, no_log=False)
        self.found = found
        self.sent: dict[str, Any] = {}

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        self.sent = module_args
        return {"changed": True, "foreseen": self.found}


def call(host: str, found: dict[str, Any], delegate_to: str | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    action: Any = Action(delegate_to, found)
    given = {"packages": [], "foreseen": {"from": "elsewhere"}}
    result = run_foreseeing(action, "slipway.ops.host_state", given, {"inventory_hostname": host})
    return action.sent, result


def test_what_one_task_foresees_the_next_one_gets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(check=True))
    assert call("a", {"packages": {"x": True}}) == ({"packages": []}, {"changed": True})
    assert call("b", {})[0] == {"packages": []}
    assert call("b", {}, delegate_to="a")[0]["foreseen"] == {"packages": {"x": True}}
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.glob("*.json")} == {"0o600"}


def test_a_real_run_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(check=False))
    assert call("a", {"packages": {"x": True}}) == ({"packages": []}, {"changed": True})
    assert list(tmp_path.glob("*.json")) == []

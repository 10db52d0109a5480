# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.gateway import UpgradeError
from ansible_collections.slipway.ops.plugins.modules import host_health


def prove(_machine: Any, _places: Any, limit: int, undrain: list[str]) -> dict[str, Any]:
    if limit == 0:
        raise UpgradeError("unit a.service: ran before, is failed now")
    return {"units": len(undrain), "containers": 2}


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    monkeypatch.setattr(host_health, "prove", prove)
    with patch_module_args(options), pytest.raises(SystemExit):
        host_health.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_says_how_much_runs_again(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, undrain_command=["docker"])
    assert (result["changed"], result["units"], result["containers"]) == (False, 1, 2)


def test_fails_with_what_is_worse(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, timeout_seconds=0)
    assert result["failed"] is True
    assert result["msg"] == "unit a.service: ran before, is failed now"


def test_does_nothing_in_check_mode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, capsys, timeout_seconds=0, _ansible_check_mode=True)["units"] == 0

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
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.upgrade import Outcome, Settings
from ansible_collections.slipway.ops.plugins.modules import host_upgrade


class Upgrade:
    def __init__(self, _machine: Any, settings: Settings, _places: Any) -> None:
        self.settings = settings

    def check(self) -> Outcome:
        return Outcome(lines=["upgrade a 1 -> 2"])

    def run(self) -> Outcome:
        if self.settings.free_mib == 1:
            raise UpgradeError("no room")
        return Outcome(lines=[], warnings=["kept back: b"], reboot=True, reasons=["a newer kernel"], prove=True)


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    monkeypatch.setattr(host_upgrade, "Upgrade", Upgrade)
    with patch_module_args(options), pytest.raises(SystemExit):
        host_upgrade.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_reports_what_was_done_and_whether_to_reboot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(monkeypatch, capsys)
    assert (result["changed"], result["reboot"], result["prove"]) == (True, True, True)
    assert result["plan"] == ["reboot: a newer kernel"]


def test_check_mode_only_plans(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, _ansible_check_mode=True)
    assert (result["plan"], result["reboot"]) == (["upgrade a 1 -> 2"], False)


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, capsys, free_mib=1)["msg"] == "no room"

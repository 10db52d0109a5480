# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import audit_facts


def test_wires_the_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(audit_facts.gateway, "observe", lambda *options: asked.append(options) or {"time": 1})
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    arguments = {"stack_name": "fleet", "users": ["deploy"], "_ansible_check_mode": True}
    with patch_module_args(arguments), pytest.raises(SystemExit):
        audit_facts.main()
    result = json.loads(capsys.readouterr().out)
    assert not result["changed"]
    assert result["audit"] == {"time": 1}
    assert asked == [("fleet", [], [], ["deploy"], "/etc/slipway/certificates")]

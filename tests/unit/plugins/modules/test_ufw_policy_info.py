# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import RULES, Observed
from ansible_collections.slipway.ops.plugins.modules import ufw_policy_info

RECORDED = Path(__file__).parents[1] / "module_utils/_ufw/recorded"


def test_says_what_there_is(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    files = {RULES[V4]: (RECORDED / "user.rules").read_text(), RULES[V6]: (RECORDED / "user6.rules").read_text()}
    monkeypatch.setattr(ufw_policy_info.gateway.Firewall, "observe", lambda _firewall: Observed(True, files))
    monkeypatch.setattr(ufw_policy_info.gateway, "package_files", dict)
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    with patch_module_args({}), pytest.raises(SystemExit):
        ufw_policy_info.main()
    result = json.loads(capsys.readouterr().out)
    assert not result["changed"]
    assert (result["installed"], result["active"]) == (True, False)
    assert {"action": "limit", "protocol": "tcp", "port": [2222], "comment": "SSH: operators"} in result["policy"][
        "rules"
    ]
    assert result["left_out"] == []

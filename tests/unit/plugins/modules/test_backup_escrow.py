# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.action import backup_escrow as action
from ansible_collections.slipway.ops.plugins.modules import backup_escrow


def test_says_that_the_action_does_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    with patch_module_args({"path": "/x", "repositories": []}), pytest.raises(SystemExit):
        backup_escrow.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert result["failed"]
    assert "runs on the controller" in result["msg"]


def test_documents_what_the_action_takes() -> None:
    documented = yaml.safe_load(backup_escrow.DOCUMENTATION)["options"]
    assert {name: (option["type"], option.get("default")) for name, option in documented.items()} == {
        name: (option["type"], option.get("default")) for name, option in action.ARGUMENT_SPEC.items()
    }

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.vault import VaultLib, VaultSecret
from ansible_collections.slipway.ops.plugins.action import backup_repository
from ansible_collections.slipway.ops.plugins.plugin_utils import _escrow

REPOSITORIES = [{"name": "main", "url": "/r", "password": "secret"}]
VAULT = VaultLib([("lab", VaultSecret(b"x"))])


def run(monkeypatch: pytest.MonkeyPatch, path: str, repositories: list[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    given: dict[str, Any] = {}
    arguments = {"stack": "fleet", "escrow_file": path, "repositories": repositories}
    task = MagicMock(args=arguments, async_val=0, check_mode=False, diff=False)
    loader = MagicMock(_vault=VAULT)
    action = backup_repository.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())

    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        given.update(module_args, module=module_name)
        return {"changed": False}

    monkeypatch.setattr(action, "_execute_module", execute)
    return action.run(task_vars={}), given


def test_the_module_gets_what_the_copy_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "escrow.yml")
    _escrow.make(VAULT, path, REPOSITORIES)
    result, given = run(monkeypatch, path, REPOSITORIES)
    assert (given["module"], given["stack"]) == ("slipway.ops.backup_repository_open", "fleet")
    assert [(entry["url"], entry["password"]) for entry in given["escrow"]] == [("/r", "secret")]
    assert result == {"changed": False}


def test_nothing_is_asked_of_the_host_without_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(tmp_path / "escrow.yml")
    _escrow.make(VAULT, path, REPOSITORIES)
    with pytest.raises(AnsibleActionFail, match="has another password"):
        run(monkeypatch, path, [{"url": "/r", "password": "new"}])

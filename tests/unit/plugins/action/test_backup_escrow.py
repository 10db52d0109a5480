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
from ansible_collections.slipway.ops.plugins.action import backup_escrow

REPOSITORIES = [{"name": "main", "url": "/r", "password": "secret"}]


def run(check: bool = False, **arguments: Any) -> dict[str, Any]:
    loader = MagicMock(_vault=VaultLib([("lab", VaultSecret(b"x"))]))
    task = MagicMock(args={"repositories": REPOSITORIES, **arguments}, async_val=0, check_mode=check, diff=False)
    action = backup_escrow.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
    return action.run(task_vars={})


def test_it_is_made_once(tmp_path: Path) -> None:
    path = str(tmp_path / "escrow.yml")
    assert run(check=True, path=path, state="present")["changed"] is True
    assert not Path(path).exists()
    result = run(path=path, state="present")
    assert result["changed"] is True
    assert "secret" not in str(result)
    assert run(path=path, state="present")["changed"] is False
    assert run(path=path) == {"changed": False, "path": path}


def test_no_copy_stops_the_play(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match="there is no escrow copy"):
        run(path=str(tmp_path / "escrow.yml"))
    with pytest.raises(AnsibleActionFail, match="backup_escrow_file: is empty"):
        run(path="")

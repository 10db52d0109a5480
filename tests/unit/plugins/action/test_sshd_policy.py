# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants, context
from ansible.module_utils.common.collections import ImmutableDict
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.slipway.ops.plugins.action import sshd_policy


class Action(sshd_policy.ActionModule):
    sent: dict[str, Any]

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        assert module_name == "slipway.ops.sshd_policy"
        self.sent = module_args
        return {"changed": True, "moving": True, "foreseen": {"ssh_ports": [2222, 22]}}

    def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
        return


def action() -> Action:
    loader = DataLoader()
    task = Task()
    task.action = "slipway.ops.sshd_policy"
    task.args = {"port": 2222}
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    return Action(task, connection, PlayContext(), loader, Templar(loader=loader), None)


def test_the_second_task_in_check_mode_knows_of_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(context, "CLIARGS", ImmutableDict(check=True))
    first, second = action(), action()
    assert first.run(task_vars={"inventory_hostname": "a"})["moving"] is True
    assert first.sent == {"port": 2222}
    assert "foreseen" not in second.run(task_vars={"inventory_hostname": "a"})
    assert second.sent == {"port": 2222, "foreseen": {"ssh_ports": [2222, 22]}}

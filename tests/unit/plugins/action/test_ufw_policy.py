# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.slipway.ops.plugins.action import ufw_policy


class Action(ufw_policy.ActionModule):
    sent: dict[str, Any]

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        assert module_name == "slipway.ops.ufw_policy"
        assert self._task.no_log is True
        self.sent = module_args
        return {"changed": True, "plan": [], "invocation": {"module_args": module_args}}

    def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
        return


def action(folder: Path, **arguments: Any) -> Action:
    loader = DataLoader()
    loader.set_basedir(str(folder))
    task = Task()
    task.action = "slipway.ops.ufw_policy"
    task.args = arguments
    task.get_search_path = lambda: [str(folder)]
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    return Action(task, connection, PlayContext(), loader, Templar(loader=loader), None)


def test_renders_what_the_policy_needs(tmp_path: Path) -> None:
    (tmp_path / "templates/etc").mkdir(parents=True)
    (tmp_path / "templates/etc/x.j2").write_text("{{ greeting }}\n")
    found = action(tmp_path, rules=[{"port": 22}], host={"packages": ["ufw"], "files": [{"path": "/etc/x"}]})
    result = found.run(task_vars={"greeting": "hello"})
    assert found.sent["host"]["files"] == [{"path": "/etc/x", "content": "hello\n"}]
    assert found.sent["host"]["packages"] == ["ufw"]
    assert found.sent["rules"] == [{"port": 22}]
    assert "invocation" not in result


def test_sends_a_policy_alone_as_it_is(tmp_path: Path) -> None:
    found = action(tmp_path, state="absent")
    found.run(task_vars={})
    assert found.sent == {"state": "absent"}


def test_refuses_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=r"host\.files\[0\]\.path"):
        action(tmp_path, host={"files": [{"path": "etc/x"}]}).run(task_vars={})

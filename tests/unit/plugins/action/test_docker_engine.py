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
from ansible_collections.slipway.ops.plugins.action import docker_engine


class Action(docker_engine.ActionModule):
    sent: dict[str, Any]

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        assert module_name == "slipway.ops.docker_engine"
        assert self._task.no_log is True
        self.sent = module_args
        return {"changed": False, "plan": [], "invocation": {"module_args": module_args}}

    def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
        return


def action(folder: Path, **arguments: Any) -> Action:
    loader = DataLoader()
    loader.set_basedir(str(folder))
    task = Task()
    task.action = "slipway.ops.docker_engine"
    task.args = arguments
    task.get_search_path = lambda: [str(folder)]
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    return Action(task, connection, PlayContext(), loader, Templar(loader=loader), None)


def test_renders_the_templates_of_every_state(tmp_path: Path) -> None:
    (tmp_path / "templates/etc").mkdir(parents=True)
    (tmp_path / "templates/etc/a.j2").write_text("{{ word }}\n")
    found = action(tmp_path, states=[{"packages": ["nginx"]}, {"files": [{"path": "/etc/a"}]}])
    result = found.run(task_vars={"word": "hello"})
    assert "invocation" not in result
    assert found.sent["states"][1]["files"] == [{"path": "/etc/a", "content": "hello\n"}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "docker_engine.states: must be a list"),
        ({"states": [{"unit": []}]}, "did you mean units"),
        ({"states": [], "logins": [{"registry": "a/b", "username": "u", "password": "p"}]}, "is no registry"),
    ],
)
def test_refuses_before_the_host_is_asked(tmp_path: Path, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(AnsibleActionFail, match=told.replace("[", r"\[")):
        action(tmp_path, **arguments).run(task_vars={})

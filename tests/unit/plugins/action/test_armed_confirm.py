# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible_collections.slipway.ops.plugins.action import armed_confirm


class Connection:
    ansible_name = "ansible.builtin.ssh"

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        self.name = name
        self.options = dict(options or {})
        self._shell = SimpleNamespace(tmpdir=None)
        self.become: Any = None

    def get_options(self) -> dict[str, Any]:
        return dict(self.options)

    def get_option(self, option: str) -> Any:
        return self.options[option]

    def has_option(self, option: str) -> bool:
        return option in self.options

    def set_option(self, option: str, value: Any) -> None:
        self.options[option] = value

    def set_become_plugin(self, plugin: Any) -> None:
        self.become = plugin


class Action(armed_confirm.ActionModule):
    answers: list[Any]
    calls: list[tuple[str, dict[str, Any]]]

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        connection: Any = self._connection
        self.calls.append((connection.name, {**module_args, "via": dict(connection.options)}))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


OPTIONS = {"port": 22, "ssh_args": "-o ControlMaster=auto -o ControlPersist=60s", "reconnection_retries": 3}


def action(answers: list[Any], check: bool = False, **arguments: Any) -> Action:
    task = Task()
    task.action = "slipway.ops.armed_confirm"
    task.args = {"name": "ssh", "timeout_seconds": 0, **arguments}
    task.check_mode = check
    loader = DataLoader()
    ours: Any = Connection("ours", OPTIONS)
    ours.become = "sudo"
    plugins = SimpleNamespace(connection_loader=SimpleNamespace(get=lambda *args, **kwargs: Connection("new")))
    found = Action(task, ours, PlayContext(), loader, Templar(loader=loader), plugins)
    found._shared_loader_obj = plugins
    found.answers = answers
    found.calls = []
    return found


def test_confirms_over_a_connection_of_its_own() -> None:
    found = action([{"state": "confirmed", "changed": False, "invocation": {}}], port=2222)
    assert found.run(task_vars={})["state"] == "confirmed"
    name, call = found.calls[0]
    assert name == "new"
    assert call["via"]["port"] == 2222
    assert call["via"]["ssh_args"].startswith("-o ControlMaster=no -o ControlPath=none -o ControlMaster=auto")
    connection: Any = found._connection
    assert connection.name == "ours"


def test_a_login_that_fails_puts_back_over_the_old_connection() -> None:
    status = "ssh: put back at 1970-01-01 00:00:07 UTC, no new login on port 2222 was possible within 0 seconds"
    found = action([AnsibleConnectionFailure("refused"), {"state": "reverted", "status": status}], port=2222)
    result = found.run(task_vars={})
    assert result["failed"]
    assert "no new login on port 2222 was possible within 0 seconds (refused); it was put back at once" in result["msg"]
    assert [name for name, _call in found.calls] == ["new", "ours"]
    assert found.calls[1][1]["state"] == "reverted"


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (
            "ssh: put back at some time, it was not confirmed within 30 seconds",
            "the host had put it back by itself by then",
        ),
        (
            "ssh: put back at some time, no new login on the port of the play was possible within 0 seconds;"
            " could not put back: /etc/x",
            "it was put back at once, but not everything: /etc/x; look at the host now",
        ),
    ],
)
def test_tells_what_became_of_it(status: str, told: str) -> None:
    result = action([AnsibleConnectionFailure("refused"), {"state": "reverted", "status": status}]).run(task_vars={})
    assert result["msg"].endswith(told)


@pytest.mark.parametrize(
    "answer", [AnsibleConnectionFailure("refused"), {"failed": True, "msg": "sudo: a password is required"}]
)
def test_when_the_old_connection_is_lost_too_the_host_does_it(answer: Any) -> None:
    result = action([answer, AnsibleConnectionFailure("gone")]).run(task_vars={})
    assert result["failed"]
    assert result["state"] == "armed"
    assert "the host puts it back by itself" in result["msg"]


def test_the_word_of_the_host_is_final() -> None:
    found = action([{"failed": True, "state": "reverted", "msg": "put back"}])
    assert found.run(task_vars={})["msg"] == "put back"
    assert len(found.calls) == 1


def test_check_mode_and_reverting_use_the_connection_there_is() -> None:
    for found in (action([{"state": "armed"}], check=True), action([{"state": "reverted"}], state="reverted")):
        found.run(task_vars={})
        assert [name for name, _call in found.calls] == ["ours"]

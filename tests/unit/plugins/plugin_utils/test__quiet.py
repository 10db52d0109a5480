# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.plugin_utils._quiet import run_quietly


class Action:
    def __init__(self, fails: bool = False) -> None:
        self._task = SimpleNamespace(no_log=False)
        self.fails = fails
        self.seen: list[Any] = []

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
        self.seen.append((module_name, self._task.no_log))
        module_args["_ansible_added"] = True
        if self.fails:
            raise RuntimeError
        return {"changed": True, "invocation": {"module_args": module_args}}


def test_arguments_are_logged_nowhere_and_the_result_is_readable() -> None:
    action = Action()
    arguments = {"files": ["s3cret"]}
    assert run_quietly(action, "slipway.ops.host_state", arguments, {}) == {"changed": True}
    assert action.seen == [("slipway.ops.host_state", True)]
    assert action._task.no_log is False
    assert arguments == {"files": ["s3cret"]}


def test_the_task_is_as_before_also_after_a_failure() -> None:
    action = Action(fails=True)
    with pytest.raises(RuntimeError):
        run_quietly(action, "x", {}, {})
    assert action._task.no_log is False

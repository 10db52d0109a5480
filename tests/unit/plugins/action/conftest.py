"""An action plugin with a module that never runs: what would be sent to the host is kept instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.play_context import PlayContext
from ansible.playbook.task import Task
from ansible.template import Templar

Make = Callable[..., Any]


@pytest.fixture
def recording() -> Callable[[Any, dict[str, Any]], Make]:
    """From a plugin and the module's answer: what makes an action that looks for templates in a folder."""

    def of(plugin: Any, answer: dict[str, Any]) -> Make:
        name = f"slipway.ops.{plugin.__name__.rpartition('.')[2]}"

        class Action(plugin.ActionModule):  # type: ignore[misc]
            sent: dict[str, Any]

            def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: dict[str, Any]) -> Any:
                assert module_name == name
                assert self._task.no_log is True
                self.sent = module_args
                return {**answer, "invocation": {"module_args": module_args}}

            def _remove_tmp_path(self, tmp_path: Any, force: bool = False) -> None:
                return

        def make(folder: Path, **arguments: Any) -> Action:
            loader = DataLoader()
            loader.set_basedir(str(folder))
            task = Task()
            task.action = name
            task.args = arguments
            task.get_search_path = lambda: [str(folder)]
            connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
            return Action(task, connection, PlayContext(), loader, Templar(loader=loader), None)

        return make

    return of

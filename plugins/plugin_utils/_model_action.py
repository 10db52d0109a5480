# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An action that hands the model of a stack to a module on the host as one secret text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain
from ansible_collections.slipway.ops.plugins.plugin_utils._quiet import run_quietly


class ModelAction(ActionBase):
    """Serialize the model and the environment, then run the module in one call to the host."""

    _supports_check_mode = True
    _supports_diff = True
    MODULE = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = dict(task_vars or {})
        result: dict[str, Any] = super().run(tmp, variables)
        arguments = dict(self._task.args)
        arguments["model"] = self._json("model", arguments.get("model"))
        if "services" not in json.loads(arguments["model"]):
            raise AnsibleActionFail(
                f"{self.MODULE}.model: is no model of a stack; give it what lookup('slipway.ops.stack', file) returns"
            )
        environment = json.loads(self._json("environment", arguments.get("environment") or {}))
        arguments["environment"] = json.dumps({key: _text(value) for key, value in environment.items()})
        self.prepare(arguments)
        result.update(run_quietly(self, f"slipway.ops.{self.MODULE}", arguments, variables))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def prepare(self, arguments: dict[str, Any]) -> None:
        """What a module needs beside the model."""

    def _json(self, name: str, value: Any) -> str:
        if isinstance(value, Mapping):
            return json.dumps(plain(value))
        try:
            if isinstance(value, str) and isinstance(json.loads(value), dict):
                return str(value)
        except ValueError:
            pass
        raise AnsibleActionFail(
            f"{self.MODULE}.{name}: is not a dictionary; give it the value itself, not a text of it"
        )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)

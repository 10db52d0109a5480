# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render the templates of all states on the controller; documented in plugins/modules/docker_engine.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.action.host_state import ActionModule as HostStateAction
from ansible_collections.slipway.ops.plugins.module_utils._docker.logins import parse as parse_logins
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse
from ansible_collections.slipway.ops.plugins.plugin_utils._foreseen import run_foreseeing
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


class ActionModule(HostStateAction):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = dict(task_vars or {})
        result: dict[str, Any] = super(HostStateAction, self).run(tmp, variables)
        arguments = dict(self._task.args)
        states = arguments.get("states")
        if not isinstance(states, (list, tuple)) or not all(isinstance(state, Mapping) for state in states):
            raise AnsibleActionFail("docker_engine.states: must be a list of arguments for slipway.ops.host_state")
        problems = [line for state in states for line in parse(dict(state), rendered=False)[1]]
        problems += parse_logins(arguments.get("logins") or [])[1]
        if problems:
            raise AnsibleActionFail("\n".join(problems))
        arguments["states"] = [
            plain({**state, "files": self._rendered(state.get("files") or [], variables)}) for state in states
        ]
        result.update(run_foreseeing(self, "slipway.ops.docker_engine", arguments, variables))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Render what a policy needs of the host on the controller, then do all of it in one module call."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.action import host_state
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse
from ansible_collections.slipway.ops.plugins.plugin_utils._foreseen import run_foreseeing


class ActionModule(host_state.ActionModule):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = dict(task_vars or {})
        result: dict[str, Any] = super(host_state.ActionModule, self).run(tmp, variables)
        arguments = dict(self._task.args)
        if arguments.get("host"):
            wish = dict(arguments["host"])
            _wish, problems = parse(wish, rendered=False)
            if problems:
                raise AnsibleActionFail("\n".join(f"host.{line}" for line in problems))
            wish["files"] = self._rendered(wish.get("files") or [], variables)
            arguments["host"] = wish
        result.update(run_foreseeing(self, "slipway.ops.ufw_policy", arguments, variables))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Let check mode know what earlier tasks would leave; documented in plugins/modules/sshd_policy.py."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.plugin_utils._foreseen import run_foreseeing


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        variables = dict(task_vars or {})
        result: dict[str, Any] = super().run(tmp, variables)
        result.update(run_foreseeing(self, "slipway.ops.sshd_policy", self._task.args, variables))
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hand the module of the same name what the escrow copy on the controller says, through no variable."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.plugin_utils import _escrow

ARGUMENT_SPEC: dict[str, Any] = {
    "stack": {"type": "str", "required": True},
    "escrow_file": {"type": "str", "required": True},
    "repositories": {"type": "list", "elements": "dict", "required": True},
}


class ActionModule(ActionBase):
    """Read the copy here, prove it there."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        try:
            path = _escrow.find(arguments["escrow_file"])
            entries = _escrow.check(self._loader._vault, path, arguments["repositories"])
        except BackupError as error:
            raise AnsibleActionFail(str(error)) from None
        given = {"stack": arguments["stack"], "escrow": [entry.as_dict() for entry in entries]}
        result.update(
            self._execute_module(
                module_name="slipway.ops.backup_repository_open", module_args=given, task_vars=task_vars
            )
        )
        return result

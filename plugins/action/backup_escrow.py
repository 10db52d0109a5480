# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a copy of what opens the repositories on the controller; documented in plugins/modules/backup_escrow.py."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.plugin_utils import _escrow

ARGUMENT_SPEC: dict[str, Any] = {
    "path": {"type": "str", "required": True},
    "repositories": {"type": "list", "elements": "dict", "required": True},
    "state": {"type": "str", "choices": ["checked", "present"], "default": "checked"},
    "vault_id": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    """Check the escrow copy, or make it."""

    _supports_check_mode = True
    _requires_connection = False
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENT_SPEC)
        vault, repositories = self._loader._vault, arguments["repositories"]
        changed = False
        try:
            path = _escrow.find(arguments["path"])
            if arguments["state"] == "present":
                changed = _escrow.make(vault, path, repositories, arguments["vault_id"], self._task.check_mode)
            else:
                _escrow.check(vault, path, repositories)
        except BackupError as error:
            raise AnsibleActionFail(str(error)) from None
        result.update(changed=changed, path=path)
        return result

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_run
short_description: Make a recovery point of a stack now
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Dumps the stack's databases, stores the dumps with the volumes and files as one recovery point in its repository,
    reads the point back from there and compares it, and only then lets old points go.
  - A point that cannot be read back, a dump that was cut off, a full disk or a database that lost its rows since the
    last point fails the task, and no old point is removed.
  - It is the same as C(slipway backup run) on the host. The progress is in the host's journal.
attributes:
  check_mode:
    description: Can run in check mode; a point would always be made.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  stack:
    description: Name of the stack, whose backup the role P(slipway.ops.backup#role) has set up.
    type: str
    required: true
  kind:
    description: What the point is tagged with.
    type: str
    choices: [manual, scheduled]
    default: manual
  accept_smaller:
    description: Accept that the data has become much less than in the last good point.
    type: bool
    default: false
requirements:
  - restic 0.14 or newer and the Docker client on the host
seealso:
  - module: slipway.ops.backup_info
  - module: slipway.ops.backup_restore
"""

EXAMPLES = r"""
- name: Back the stack up
  slipway.ops.backup_run:
    stack: fleet
"""

RETURN = r"""
point:
  description: Name of the point, which is the UTC time at which it was begun. Empty in check mode.
  type: str
  returned: success
  sample: 20260102T020000Z
summary:
  description: What was stored, with sizes in bytes and times in seconds.
  type: dict
  returned: when not in check mode
  sample:
    {point: 20260102T020000Z, kind: manual, rows: 1200, files: 40, size_bytes: 5242880, added_bytes: 4096,
     duration_seconds: 7.5, points: 30, removed: [20251202T020000Z], warnings: []}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.cli import run_backup
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_MANUAL,
    KIND_SCHEDULED,
    BackupError,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "kind": {"type": "str", "choices": [KIND_MANUAL, KIND_SCHEDULED], "default": KIND_MANUAL},
            "accept_smaller": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True, point="")
    try:
        tools = tools_for(module.params["stack"], module.log)
        summary = run_backup(tools, module.params["kind"], module.params["accept_smaller"])
    except BackupError as error:
        module.fail_json(msg=str(error))
    for warning in summary["warnings"]:
        module.warn(warning)
    module.exit_json(changed=True, point=summary["point"], summary=summary)


if __name__ == "__main__":
    main()

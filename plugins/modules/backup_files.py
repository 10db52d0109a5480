#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_files
short_description: Put a new host's own files back from a recovery point
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Puts the files and directories of kind C(file) that a point holds back into their places where the host has nothing
    there, with owner and mode. What is there stays as it is.
  - It is for a host that was lost, before the roles that would make those files anew, such as
    P(slipway.ops.certificate#role) by an order at the authority.
  - The files under C(/etc/slipway/stacks) are not placed; a release writes those.
attributes:
  check_mode:
    description: Can run in check mode; says what would be placed, and nothing where the backup is not set up yet.
    support: full
  diff_mode:
    description: Shows the paths that are placed.
    support: full
options:
  stack:
    description: Name of the stack, whose backup the role P(slipway.ops.backup#role) has set up.
    type: str
    required: true
  point:
    description: Name of the point, or V(latest) for the newest one that was read back.
    type: str
    default: latest
  repository:
    description: The repository to take them from, by its name, where that is not the first one.
    type: str
    default: ""
requirements:
  - restic 0.14 or newer on the host
seealso:
  - module: slipway.ops.backup_restore
"""

EXAMPLES = r"""
- name: Put certificates and their account back
  slipway.ops.backup_files:
    stack: fleet
"""

RETURN = r"""
point:
  description: Name of the point. Empty in check mode on a host where nothing is set up yet.
  type: str
  returned: success
  sample: 20260102T020000Z
placed:
  description: The paths that were put back.
  type: list
  elements: str
  returned: success
  sample: [/etc/slipway/certbot]
kept:
  description: The paths at which the host had something.
  type: list
  elements: str
  returned: success
"""

import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.placing import place_files
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import LATEST
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "point": {"type": "str", "default": LATEST},
            "repository": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        if module.check_mode and not shutil.which("restic"):
            module.exit_json(changed=True, point="", placed=[], kept=[])
        try:
            tools = tools_for(module.params["stack"], module.log, module.params["repository"], hurry=True)
        except RefusedError:
            if not module.check_mode:
                raise
            module.exit_json(changed=True, point="", placed=[], kept=[])
        found = place_files(tools, module.params["point"], dry_run=module.check_mode)
    except BackupError as error:
        module.fail_json(msg=str(error))
    for warning in found["warnings"]:
        module.warn(warning)
    diff = {"before": "", "after": "".join(f"{path}\n" for path in found["placed"])}
    module.exit_json(
        changed=bool(found["placed"]), point=found["point"], placed=found["placed"], kept=found["kept"], diff=diff
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository
short_description: Initialise a stack's backup repository
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Opens the repository that the role P(slipway.ops.backup#role) has set up for a stack, and initialises it when there
    is none yet.
  - An address, password or key that is wrong fails with one line that says which, before the first backup needs it.
  - Address, password and keys are read from C(/etc/slipway/backup/<stack>/) on the host; none is a parameter.
attributes:
  check_mode:
    description:
      - Says whether a repository would be initialised. Without restic on the host this is assumed.
    support: full
  diff_mode:
    description: Shows the repository's address before and after.
    support: full
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
requirements:
  - restic 0.14 or newer on the host
seealso:
  - module: slipway.ops.backup_run
"""

EXAMPLES = r"""
- name: Initialise the repository
  slipway.ops.backup_repository:
    stack: fleet
"""

RETURN = r"""
repository:
  description: Address of the repository, without a password.
  type: str
  returned: success
  sample: s3:https://s3.example.com/fleet-backup
"""

import shutil

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import ensure_repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError, public_url
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


def main() -> None:
    module = AnsibleModule(argument_spec={"stack": {"type": "str", "required": True}}, supports_check_mode=True)
    address = ""
    try:
        try:
            tools = tools_for(module.params["stack"], module.log)
            address = public_url(tools.settings.url)
        except RefusedError:
            if not module.check_mode:
                raise
            changed = True
        else:
            changed = True
            if not module.check_mode or shutil.which("restic"):
                changed = ensure_repository(tools, dry_run=module.check_mode)
    except BackupError as error:
        module.fail_json(msg=str(error))
    diff = {"before": "" if changed else f"{address}\n", "after": f"{address or 'a new repository'}\n"}
    module.exit_json(changed=changed, repository=address, diff=diff)


if __name__ == "__main__":
    main()

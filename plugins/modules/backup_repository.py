#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_repository
short_description: Initialise a stack's backup repositories, and prove that their passwords are kept elsewhere
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Opens the repositories that the role P(slipway.ops.backup#role) has set up for a stack, and initialises those that
    are not there yet.
  - Reads a test object back from each with the address and password of the escrow copy, and compares it.
  - An address, password or key that is wrong fails with one line that says which, before the first backup needs it.
  - Addresses, passwords and keys are read from C(/etc/slipway/backup/<stack>/) on the host. Secrets of repositories
    that the settings do not name any more are removed there.
attributes:
  check_mode:
    description:
      - Says whether a repository would be initialised. Without restic on the host this is assumed.
    support: full
  diff_mode:
    description: Shows the repositories' addresses before and after.
    support: full
options:
  stack:
    description: Name of the stack.
    type: str
    required: true
  escrow_file:
    description: The escrow copy on the controller, as M(slipway.ops.backup_escrow) made it.
    type: str
    required: true
  repositories:
    description:
      - The repositories, as O(ignore:backup_repositories) of the role P(slipway.ops.backup#role) lists them. Only their
        addresses and passwords are compared with the escrow copy; the host has its own.
    type: list
    elements: dict
    required: true
requirements:
  - restic 0.14 or newer on the host
seealso:
  - module: slipway.ops.backup_escrow
  - module: slipway.ops.backup_run
"""

EXAMPLES = r"""
- name: Initialise the repositories
  slipway.ops.backup_repository:
    stack: fleet
    escrow_file: "{{ backup_escrow_file }}"
    repositories: "{{ backup_repositories }}"
"""

RETURN = r"""
repositories:
  description: The repositories by their names, with their addresses (without passwords), and whether they are new.
  type: dict
  returned: success
  sample: {main: {url: "s3:https://s3.example.com/fleet-backup", initialised: false}}
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that the action plugin of the same name comes first."""
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "escrow_file": {"type": "str", "required": True},
            "repositories": {"type": "list", "elements": "dict", "required": True},
        },
        supports_check_mode=True,
    )
    module.fail_json(
        msg="slipway.ops.backup_repository begins on the controller, which has the escrow copy: call it from a playbook"
    )


if __name__ == "__main__":
    main()

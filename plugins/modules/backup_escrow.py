#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_escrow
short_description: Keep a copy of what opens the backup repositories on the controller
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Runs on the controller alone and makes no connection to the host.
  - The escrow copy is a file that is encrypted with Ansible's vault. It holds the address and password of each
    repository, and the text of a test object by which M(slipway.ops.backup_repository) proves that they open it.
  - O(state=checked) fails when there is no copy, when it cannot be decrypted, or when it holds another password than
    the inventory; it changes nothing.
  - O(state=present) makes the copy, and puts right what it says of these repositories. Others in it stay.
attributes:
  check_mode:
    description: Can run in check mode, and then writes nothing.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  path:
    description:
      - The file, on the controller. Keep it where neither the host nor the repositories are.
    type: str
    required: true
  repositories:
    description: The repositories, as O(ignore:backup_repositories) of the role P(slipway.ops.backup#role) lists them.
    type: list
    elements: dict
    required: true
  state:
    description: What is wanted.
    type: str
    choices: [checked, present]
    default: checked
  vault_id:
    description:
      - Which of the vault's identities encrypts the copy. By default the first one that Ansible was given.
    type: str
    default: ""
seealso:
  - module: slipway.ops.backup_repository
"""

EXAMPLES = r"""
- name: Make the escrow copy
  slipway.ops.backup_escrow:
    path: ~/escrow/fleet.yml
    repositories: "{{ backup_repositories }}"
    state: present
"""

RETURN = r"""
path:
  description: The file.
  type: str
  returned: success
  sample: /home/operator/escrow/fleet.yml
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that the work is done by the action plugin of the same name."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "str", "required": True},
            "repositories": {"type": "list", "elements": "dict", "required": True, "no_log": True},
            "state": {"type": "str", "choices": ["checked", "present"], "default": "checked"},
            "vault_id": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="slipway.ops.backup_escrow runs on the controller: call it from a playbook as an action")


if __name__ == "__main__":
    main()

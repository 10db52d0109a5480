#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: reach
short_description: Find the port that a host's SSH server answers on
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Connects from the controller to each candidate port and reads the SSH server's banner. The first candidate in the
    list that answers is returned.
  - A host whose SSH port is about to change, or has changed already, is found either way.
  - When the play goes to the host by a jump host (C(ProxyJump) or C(ProxyCommand), in the play's SSH arguments or in
    the user's own SSH configuration), the probe is a connection with the play's own arguments.
  - Fails with one line that names host, address, ports and the reason when no port answers.
options:
  ports:
    description:
      - Candidate ports, in order of preference.
    type: list
    elements: int
    default: [22]
  timeout_seconds:
    description:
      - Longest time to wait for one port, in seconds. All ports are probed at once, and
        a port that comes after the one that answers is not waited for.
    type: float
    default: 5
  login:
    description:
      - Also log in by that port and, when the play uses C(become), become the other user. Fails with one line that says
        whether the key, C(sudo) or Python is at fault.
    type: bool
    default: false
notes:
  - Connection variables cannot be set by facts. Register the result and set C(ansible_port) from its C(port), as in the
    example.
  - Hosts that are not reached by the C(ssh) connection are left alone.
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
"""

EXAMPLES = r"""
- name: Find the port that SSH answers on
  slipway.ops.reach:
    ports: [2222, 22]
  register: reached

- name: Use that port
  ansible.builtin.set_fact:
    ansible_port: "{{ reached.port }}"
"""

RETURN = r"""
port:
  description: The port that answered.
  returned: success
  type: int
  sample: 2222
banner:
  description: What the SSH server said first.
  returned: success, when the host is reached by SSH
  type: str
  sample: SSH-2.0-OpenSSH_10.0p2
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that the work is done by the action plugin of the same name."""
    module = AnsibleModule(
        argument_spec={
            "ports": {"type": "list", "elements": "int", "default": [22]},
            "timeout_seconds": {"type": "float", "default": 5},
            "login": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="slipway.ops.reach runs on the controller: call it from a playbook as an action")


if __name__ == "__main__":
    main()

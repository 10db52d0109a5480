#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: armed_confirm
short_description: Keep a change that would undo itself, proven by a new connection
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Confirms a change that M(slipway.ops.host_state) made with O(slipway.ops.host_state#module:armed).
  - The confirmation travels over a connection of its own, opened anew with the connection settings of the play and
    not through a multiplexed one. Where no new login with privileges is possible, the change is not confirmed.
  - When the new connection fails, the change is put back at once over the connection that is still there. If that one
    is lost too, the host puts the change back by itself when its time is over.
options:
  name:
    description: Name of the change.
    type: str
    required: true
  port:
    description: Port for the new connection. Left out, the port of the play's connection.
    type: int
  timeout_seconds:
    description: Seconds to try the new connection for. Keep it below the time limit of the change.
    type: int
    default: 30
  state:
    description: Whether to keep the change or to put it back at once.
    type: str
    choices: [confirmed, reverted]
    default: confirmed
  reason:
    description: Why it is put back, for the next run to tell.
    type: str
    default: it was put back on request
attributes:
  check_mode:
    description: Opens no connection and confirms nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
requirements:
  - Debian or Ubuntu with systemd
"""

EXAMPLES = r"""
- name: Move the SSH port, so that it moves back unless a login on the new one works
  slipway.ops.host_state:
    armed: {name: ssh, limit_seconds: 120}
    files: [{path: /etc/ssh/sshd_config.d/00-port.conf, content: "Port 2222\n", validate: sshd -t -f %s}]
    units: [{name: ssh.service, restart_on: [/etc/ssh/]}]
  register: moved

- name: Log in on the new port and keep it
  slipway.ops.armed_confirm:
    name: ssh
    port: 2222
  when: moved.armed is defined
"""

RETURN = r"""
state:
  description: What became of the change (V(confirmed), V(reverted), V(armed) or V(nothing)).
  returned: always
  type: str
  sample: confirmed
status:
  description: The same in a line for people.
  returned: always
  type: str
  sample: "ssh: confirmed"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import CONFIRMED, Store
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "port": {"type": "int"},
            "timeout_seconds": {"type": "int", "default": 30},
            "state": {"type": "str", "choices": ["confirmed", "reverted"], "default": "confirmed"},
            "reason": {"type": "str", "default": "it was put back on request"},
        },
        supports_check_mode=True,
    )
    store = Store(Host())
    name, wanted = module.params["name"], module.params["state"]
    try:
        if module.check_mode:
            status = store.status(name)
        elif wanted == CONFIRMED:
            status = store.confirm(name)
        else:
            status = store.revert(name, module.params["reason"])
    except HostError as error:
        module.fail_json(msg=str(error))
    result = {"changed": False, "state": status.state, "status": status.line}
    if not module.check_mode and status.state != wanted:
        module.fail_json(msg=f"{status.line}; the change is not {wanted}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()

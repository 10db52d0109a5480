#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: preflight
short_description: Check variables, Compose file and host names before a host is touched
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Runs on the controller alone and makes no connection to the host.
  - Checks everything that it is asked to and fails once, with one line for each problem that names the variable,
    key or host name, what is wrong and what to do. The values of variables that may hold secrets are never shown.
  - Arguments are resolved part by part, so that an undefined variable deep inside a value is reported with its path
    beside all other problems.
options:
  roles:
    description:
      - Roles whose variables are checked against the entry point C(main) of their C(meta/argument_specs.yml).
      - A role of this collection may be given by its short name. Roles beside the playbook are found as well.
      - Reported are required variables that are missing, values that use undefined variables or cannot be decrypted,
        wrong types and choices, and variables that start with the role's name but that no role knows.
    type: list
    elements: str
    default: []
  provided_variables:
    description:
      - Names of role variables that the play itself hands to the roles later.
      - They are not looked for, and their names are accepted.
    type: list
    elements: str
    default: []
  compose_file:
    description:
      - Path of the Compose file on the controller, read by the lookup P(slipway.ops.stack#lookup).
      - Without it, no Compose file is checked.
    type: path
  stack_name:
    description:
      - Name of the stack. The Compose file's own C(name) by default.
    type: str
  engine:
    description:
      - What the stack runs on, which decides what of the Compose file can be honoured.
    type: str
    choices: [compose, swarm]
    default: compose
  environment:
    description:
      - Variables for the Compose file. A part that cannot be resolved is reported and replaced by a placeholder, so
        that the rest of the file is still checked.
    type: dict
    default: {}
  host_names:
    description:
      - Host names that must resolve. By default those in the routes of O(compose_file).
    type: list
    elements: str
  addresses:
    description:
      - IPv4 and IPv6 addresses, or names that resolve to them, that each of the O(host_names) may resolve to.
      - Every A and AAAA record of a name must lead to one of them. Without any, it is enough that a name resolves.
      - The playbooks of this collection take them from the variable C(site_addresses), which the message names.
    type: list
    elements: str
    default: []
  dns_servers:
    description:
      - DNS servers to ask, as C(address), C(address:port) or C([address]:port). By default the controller's own.
    type: list
    elements: str
    default: []
  dns_timeout_seconds:
    description:
      - Longest time to wait for the answer to one question, in seconds.
    type: float
    default: 5
requirements:
  - dnspython on the controller, when host names are checked
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
"""

EXAMPLES = r"""
- name: Check everything before anything is touched
  slipway.ops.preflight:
    roles: [slipway.ops.base, slipway.ops.ssh, slipway.ops.backup]
    compose_file: "{{ inventory_dir }}/compose.yaml"
    stack_name: "{{ stack_name }}"
    environment: "{{ stack_environment }}"
    addresses: ["{{ ansible_host }}"]
"""

RETURN = r"""
host_names:
  description: The host names that were checked.
  returned: success
  type: list
  elements: str
  sample: [fleet.marinemaroc.com]
msg:
  description: That all is in order, or one line for each problem.
  returned: always
  type: str
  sample: "variable backup_repositories: is required by role backup: set it in group_vars or host_vars"
"""

from ansible.module_utils.basic import AnsibleModule


def main() -> None:
    """Say that the work is done by the action plugin of the same name."""
    module = AnsibleModule(
        argument_spec={
            "roles": {"type": "list", "elements": "str", "default": []},
            "provided_variables": {"type": "list", "elements": "str", "default": []},
            "compose_file": {"type": "path"},
            "stack_name": {"type": "str"},
            "engine": {"type": "str", "choices": ["compose", "swarm"], "default": "compose"},
            "environment": {"type": "dict", "default": {}},
            "host_names": {"type": "list", "elements": "str"},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "dns_servers": {"type": "list", "elements": "str", "default": []},
            "dns_timeout_seconds": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    module.fail_json(msg="slipway.ops.preflight runs on the controller: call it from a playbook as an action")


if __name__ == "__main__":
    main()

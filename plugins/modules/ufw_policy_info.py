#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_policy_info
short_description: Read the firewall of a host as options of ufw_policy
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Reads ufw's files and the rules that guard Docker and says them in the words of M(slipway.ops.ufw_policy), so that a
    firewall made by hand can be taken over as it is. Changes nothing.
  - What these words cannot say is named by file and line, and so is what the policy would be refused for.
options: {}
attributes:
  check_mode:
    description: Reads only.
    support: full
  diff_mode:
    description: Changes nothing.
    support: none
seealso:
  - module: slipway.ops.ufw_policy
"""

EXAMPLES = r"""
- name: Read the firewall that somebody made by hand
  slipway.ops.ufw_policy_info:
  register: firewall

- name: Show it as variables of the role slipway.ops.firewall
  ansible.builtin.debug:
    msg: "{{ {'firewall_rules': firewall.policy.rules} }}"

- name: Keep these rules, and add one
  slipway.ops.ufw_policy:
    rules: "{{ firewall.policy.rules + [{'port': [9100], 'protocol': 'tcp', 'from': '10.0.0.0/8'}] }}"
    default_outgoing: "{{ firewall.policy.default_outgoing }}"
"""

RETURN = r"""
policy:
  description:
    - Options of M(slipway.ops.ufw_policy) that make the firewall as it is. Without ufw, what its package brings.
  returned: always
  type: dict
  sample: {state: present, default_incoming: deny, rules: [{action: limit, protocol: tcp, port: [22], comment: SSH}]}
left_out:
  description:
    - What the policy does not say, each with file and line and the reason. These are rules that cannot be read,
      application profiles, edits in files of ufw itself, and rules loaded by hand.
  returned: always
  type: list
  elements: str
  sample:
    - "/etc/ufw/before.rules:31: -A ufw-before-input -p icmp -j DROP: is in a file of ufw itself, which stays as it is"
problems:
  description: What M(slipway.ops.ufw_policy) would refuse about the rules, such as one that an earlier one covers.
  returned: always
  type: list
  elements: str
  sample: ["rules[3]: allow 22/tcp is covered by rules[0] (allow 22) and can never match; remove it"]
installed:
  description: Whether ufw is installed.
  returned: always
  type: bool
  sample: true
active:
  description: Whether ufw filters traffic.
  returned: always
  type: bool
  sample: true
"""

from typing import Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._ufw import gateway, importing


def main() -> None:
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)

    def run(command: list[str], text: Optional[str]) -> tuple[int, str, str]:
        code, output, error = module.run_command(command, data=text, path_prefix="/usr/sbin:/sbin")
        return code, output, error

    seen = gateway.Firewall(run).observe()
    found = importing.read(seen, gateway.package_files())
    module.exit_json(
        changed=False,
        policy=found.policy,
        left_out=found.left_out,
        problems=found.problems,
        installed=seen.installed,
        active=seen.active,
    )


if __name__ == "__main__":
    main()

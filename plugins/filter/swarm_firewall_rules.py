# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the firewall rules by which the nodes of a Swarm reach each other."""

from __future__ import annotations

DOCUMENTATION = r"""
name: swarm_firewall_rules
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: List the firewall rules by which the nodes of a Swarm reach each other
description:
  - Returns rules for P(slipway.ops.firewall#role), for the nodes' addresses alone. 2377/tcp for managers, 7946 for
    telling each other what runs where, the data path, and ESP where overlay networks are encrypted.
  - Ports that tasks publish go past these rules; C(firewall_docker_trusted_sources) opens them to the same addresses.
    Over IPv6 dockerd's own proxy may take them, and a rule for the range of random ports is added for such an address.
options:
  _input:
    description: The addresses of all nodes, of this host too.
    type: list
    elements: str
    required: true
  data_path_port:
    description: UDP port for the traffic of containers.
    type: int
    default: 4789
  encrypted:
    description: Whether overlay networks are encrypted.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Let the nodes of a Swarm reach each other
  ansible.builtin.import_role:
    name: slipway.ops.firewall
  vars:
    firewall_rules: "{{ [{'port': 22, 'protocol': 'tcp'}] + (addresses | slipway.ops.swarm_firewall_rules) }}"
    firewall_docker_trusted_sources: "{{ addresses }}"
    addresses: [192.0.2.11, 192.0.2.12, 192.0.2.13]
"""

RETURN = r"""
_value:
  description: Rules as C(firewall_rules) takes them.
  type: list
  elements: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.ports import rules
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


def swarm_firewall_rules(addresses: Any, data_path_port: int = 4789, encrypted: bool = True) -> list[dict[str, Any]]:
    """Rules for the addresses of a Swarm's nodes."""
    if isinstance(addresses, str) or not isinstance(addresses, Sequence):
        raise AnsibleFilterError(f"swarm_firewall_rules: needs a list of addresses, not {type(addresses).__name__}")
    try:
        return rules(plain(list(addresses)), int(data_path_port), bool(encrypted))
    except ValueError as error:
        raise AnsibleFilterError(f"swarm_firewall_rules: {error}") from error


class FilterModule:
    """The filter swarm_firewall_rules."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"swarm_firewall_rules": swarm_firewall_rules}

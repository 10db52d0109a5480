# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_scan_ports
short_description: List the TCP ports to try from outside
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Returns the declared ports, the usual ones, and all that listen on the host on more than the loopback addresses.
positional: declared, common
options:
  _input:
    description: Observations by M(slipway.ops.audit_facts).
    type: dict
    required: true
  declared:
    description: Ports that may be open.
    type: list
    elements: int
    required: true
  common:
    description: Ports to try whether or not anything is seen to listen there.
    type: list
    elements: int
    default: []
"""

EXAMPLES = r"""
- name: List the ports to try
  ansible.builtin.set_fact:
    ports: "{{ observed.audit | slipway.ops.audit_scan_ports([22, 80, 443], [3306, 6379]) }}"
"""

RETURN = r"""
_value:
  description: Port numbers in ascending order, each once.
  type: list
  elements: int
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._audit.parse import scan_ports


def audit_scan_ports(observations: Any, declared: Sequence[int], common: Sequence[int] = ()) -> list[int]:
    """Check the input's type and list the ports."""
    if not isinstance(observations, Mapping) or "listening" not in observations:
        raise AnsibleFilterError("audit_scan_ports: needs what audit_facts returns as audit")
    return scan_ports(observations["listening"], declared, common)


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filter by its name."""
        return {"audit_scan_ports": audit_scan_ports}

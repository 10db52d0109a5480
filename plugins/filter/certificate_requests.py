# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_requests
short_description: Turn host names into wanted certificates
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Gives one certificate a host name, so that a name whose DNS is wrong does not hold up the others.
  - Fails with every name for which no certificate can be had by an HTTP challenge.
options:
  _input:
    description: Host names, as the filter P(slipway.ops.stack_host_names#filter) gives them.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the wanted certificates
  ansible.builtin.debug:
    msg: "{{ ['shop.example', 'api.shop.example'] | slipway.ops.certificate_requests }}"
"""

RETURN = r"""
_value:
  description: Mappings of V(name) and V(domains), sorted by name.
  type: list
  elements: dict
"""

from collections.abc import Callable, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import parse_requests, requests_for_hosts


def certificate_requests(host_names: Any) -> list[dict[str, Any]]:
    if isinstance(host_names, str) or not isinstance(host_names, Sequence):
        raise AnsibleFilterError(f"certificate_requests: needs a list of host names, not {type(host_names).__name__}")
    wanted = requests_for_hosts(host_names)
    _requests, problems = parse_requests(wanted)
    if problems:
        raise AnsibleFilterError(
            "\n".join(f"certificate_requests: {problem.split(': ', 1)[1]}" for problem in problems)
        )
    return wanted


class FilterModule:
    """The filter under its name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"certificate_requests": certificate_requests}

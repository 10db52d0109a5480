# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the host ports that a stack publishes."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_ports
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: List the host ports that a stack publishes
description:
  - Returns one entry for each port under C(ports), for the firewall.
options:
  _input:
    description: The model of a stack, as given by P(slipway.ops.stack#lookup).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the published ports
  ansible.builtin.debug:
    msg: "{{ stack_model | slipway.ops.stack_ports }}"
"""

RETURN = r"""
_value:
  description: C(port) (int), C(protocol) (tcp, udp, sctp), C(host_ip) (empty is every address) and C(service).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import derived
from ansible_collections.slipway.ops.plugins.plugin_utils._model_filter import derive


def stack_ports(model: Any) -> list[dict[str, Any]]:
    """List the host ports that a stack publishes."""
    return derive("stack_ports", derived.published_ports, model)


class FilterModule:
    """The filter stack_ports."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_ports": stack_ports}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the routes of a stack."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_routes
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: List the routes of a stack
description:
  - Returns one entry for each route under C(x-slipway.routes), host by host, within a host the longest path first.
options:
  _input:
    description: The model of a stack, as given by P(slipway.ops.stack#lookup).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the routes
  ansible.builtin.debug:
    msg: "{{ stack_model | slipway.ops.stack_routes }}"
"""

RETURN = r"""
_value:
  description:
    - C(host), C(path), C(service), C(port), C(upstream), C(upstream_file), C(websocket) (bool), C(timeout_seconds)
      (int), C(requests_per_minute) (int, 0 is no limit), C(access_log) (bool) and C(max_body_mib) (int).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import derived
from ansible_collections.slipway.ops.plugins.plugin_utils._model_filter import derive


def stack_routes(model: Any) -> list[dict[str, Any]]:
    """List the routes of a stack."""
    return derive("stack_routes", derived.routes, model)


class FilterModule:
    """The filter stack_routes."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_routes": stack_routes}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the host names of a stack."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_host_names
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: List the host names of a stack
description:
  - Returns the host names of all routes, each once, in the order of the file.
options:
  _input:
    description: The model of a stack, as given by P(slipway.ops.stack#lookup).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the host names
  ansible.builtin.debug:
    msg: "{{ stack_model | slipway.ops.stack_host_names }}"
"""

RETURN = r"""
_value:
  description: The host names.
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import derived
from ansible_collections.slipway.ops.plugins.plugin_utils._model_filter import derive


def stack_host_names(model: Any) -> list[str]:
    """List the host names of a stack."""
    return derive("stack_host_names", derived.host_names, model)


class FilterModule:
    """The filter stack_host_names."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_host_names": stack_host_names}

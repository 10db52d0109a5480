# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""List the databases of a stack."""

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_databases
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: List the databases of a stack
description:
  - Returns one entry for each service with C(x-slipway.database).
  - Holds no password, only the name of the variable of the service's environment that has it.
options:
  _input:
    description: The model of a stack, as given by P(slipway.ops.stack#lookup).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the databases
  ansible.builtin.debug:
    msg: "{{ stack_model | slipway.ops.stack_databases }}"
"""

RETURN = r"""
_value:
  description:
    - C(stack), C(service), C(kind), C(database), C(user), C(password_variable), C(dump), C(image), C(volumes),
      C(tables), C(indexes) (a list of C(table), C(name), C(columns)) and C(backup) (bool).
  type: list
  elements: dict
"""

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import derived
from ansible_collections.slipway.ops.plugins.plugin_utils._model_filter import derive


def stack_databases(model: Any) -> list[dict[str, Any]]:
    """List the databases of a stack."""
    return derive("stack_databases", derived.databases, model)


class FilterModule:
    """The filter stack_databases."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_databases": stack_databases}

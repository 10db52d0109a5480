# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_plan_unpack
short_description: The plans of the hosts in a plan file
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Reads the text of a plan file and gives the document of each host. A file of another format, for another stack or
    other hosts, or one that was changed after it was written, is refused with one line.
options:
  _input:
    description: The text of the file.
    type: str
    required: true
  stack:
    description: The stack that it must be for.
    type: str
    required: true
  hosts:
    description: The hosts of the play. The plan must be for these and no others.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Read a plan
  ansible.builtin.set_fact:
    documents: "{{ text | slipway.ops.stack_plan_unpack('fleet', ansible_play_batch) }}"
  vars:
    text: "{{ lookup('ansible.builtin.file', 'plan.json') }}"
"""

RETURN = r"""
_value:
  description: The documents by host.
  type: dict
"""

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._release.plan_document import PlanFileError, unpack


def stack_plan_unpack(text: Any, stack: Any, hosts: Any) -> dict[str, Any]:
    if not isinstance(text, str) or not isinstance(hosts, list):
        raise AnsibleFilterError(
            "stack_plan_unpack: the text of a plan file, the stack's name and a list of hosts are needed"
        )
    try:
        return unpack(text, str(stack), [str(host) for host in hosts])
    except PlanFileError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_plan_unpack": stack_plan_unpack}

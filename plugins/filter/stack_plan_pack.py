# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_plan_pack
short_description: The plans of several hosts as the text of one file
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Takes RV(slipway.ops.stack_plan#module:document) of each host and gives the text of a plan
    file, as P(slipway.ops.stack_plan_unpack#filter) reads it.
options:
  _input:
    description: The documents by host.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Write the plan
  ansible.builtin.copy:
    content: "{{ documents | slipway.ops.stack_plan_pack }}"
    dest: /root/plan.json
    mode: "0600"
"""

RETURN = r"""
_value:
  description: JSON text.
  type: str
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._release.plan_document import pack
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


def stack_plan_pack(documents: Any) -> str:
    if not isinstance(documents, Mapping) or not all(isinstance(each, Mapping) for each in documents.values()):
        raise AnsibleFilterError("stack_plan_pack: the documents of slipway.ops.stack_plan by host are needed")
    return pack(plain(documents))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_plan_pack": stack_plan_pack}

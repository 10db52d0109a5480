# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_singles
short_description: Where services that run exactly once are to run
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - A service with C(x-slipway.single) runs on one host of a stack that several Compose hosts run. It stays on the host
    that runs it now; when none does, it goes to the first host of the play; O(pins) move it.
  - A host outside the play, or one that cannot be reached, is taken to run it still when the others remember so. The
    service is started nowhere else then, unless that host is among O(gone) or no host of the stack any more.
options:
  _input:
    description: What M(slipway.ops.stack_info) returned as RV(slipway.ops.stack_info#module:stack), by host.
    type: dict
    required: true
  model:
    description: The model of the stack.
    type: dict
    required: true
  hosts:
    description: All hosts that the stack has, in the play or not.
    type: list
    elements: str
    required: true
  pins:
    description: Services that shall run on a certain host, by name.
    type: dict
    default: {}
  gone:
    description: Hosts that are certainly off, so that what ran there may start elsewhere.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Say where the scheduler runs
  ansible.builtin.debug:
    msg: "{{ infos | slipway.ops.stack_singles(stack_model, groups['servers']) }}"
"""

RETURN = r"""
_value:
  description: The host of each such service. A service that no host of the play may start has the one that is taken to
    run it.
  type: dict
  sample: {scheduler: web1}
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._release.singles import SinglesError, place
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


def stack_singles(infos: Any, model: Any, hosts: Any, pins: Any = None, gone: Any = None) -> dict[str, str]:
    if not isinstance(infos, Mapping) or not isinstance(model, Mapping):
        raise AnsibleFilterError("stack_singles: what slipway.ops.stack_info returned by host, and a model, are needed")
    try:
        return place(Stack(plain(model)), plain(infos), list(hosts), dict(pins or {}), list(gone or []))
    except SinglesError as error:
        raise AnsibleFilterError(str(error)) from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_singles": stack_singles}

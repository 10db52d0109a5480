# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: stack_failures
short_description: Why the hosts of one release cannot go on together
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Takes what M(slipway.ops.stack_release) returned on each host for the same step, and gives one line for each host
    that cannot go on; an empty list when all can.
  - A host that was not reached, and one whose image of a service has another digest than the first host's, count too.
options:
  _input:
    description: The results by host, in the order of the play.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Require that every host has come so far
  ansible.builtin.assert:
    that: steps | slipway.ops.stack_failures | length == 0
"""

RETURN = r"""
_value:
  description: One line for each host that cannot go on.
  type: list
  elements: str
  sample: ["web2: release 5 of shop failed in phase start: disk full; the old version serves on"]
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._release.report import failures_of_hosts


def stack_failures(results: Any) -> list[str]:
    if not isinstance(results, Mapping) or not all(isinstance(result, Mapping) for result in results.values()):
        raise AnsibleFilterError("stack_failures: the results of slipway.ops.stack_release by host are needed")
    return failures_of_hosts(results)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"stack_failures": stack_failures}

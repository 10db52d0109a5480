# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_concerns
short_description: Join the concerns that are switched on into one request for host_state
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Takes a mapping of concerns. Each has sections of M(slipway.ops.host_state) and a switch C(enabled).
  - Gives one mapping with every section of the concerns that are switched on, so that all are done in one call.
options:
  _input:
    description:
      - The concerns by name. C(enabled) is true when it is left out.
      - An item that two concerns give in the same words is kept once.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Time and journal in one call
  vars:
    concerns:
      time: {enabled: true, packages: [systemd-timesyncd]}
      journal: {enabled: false, files: [{path: /etc/systemd/journald.conf.d/60-example.conf}]}
    wanted: "{{ concerns | slipway.ops.host_concerns }}"
  slipway.ops.host_state:
    packages: "{{ wanted.packages }}"
    files: "{{ wanted.files }}"
"""

RETURN = r"""
_value:
  description: Every list section of M(slipway.ops.host_state) and C(sysctls), empty where no concern fills it.
  type: dict
  sample: {packages: [systemd-timesyncd], files: [], sysctls: {}}
"""

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._host.concerns import merge


def host_concerns(concerns: Any) -> dict[str, Any]:
    if not isinstance(concerns, Mapping) or not all(isinstance(item, Mapping) for item in concerns.values()):
        raise AnsibleFilterError("host_concerns: a mapping of concerns, each a mapping, is needed")
    try:
        return merge(concerns)
    except ValueError as error:
        raise AnsibleFilterError(f"host_concerns: {error}") from error


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_concerns": host_concerns}

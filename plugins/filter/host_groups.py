# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_groups
short_description: The groups that users are to be members of
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Takes users as M(slipway.ops.host_state) does and gives the groups they name, each once, as system groups.
  - Declared together with the users, a group exists before the package that uses it is installed.
options:
  _input:
    description: Users, each with C(name) and perhaps C(groups).
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Make a member of the group docker before Docker is installed
  slipway.ops.host_state:
    groups: "{{ people | slipway.ops.host_groups }}"
    users: "{{ people }}"
  vars:
    people: [{name: deploy, groups: [docker]}]
"""

RETURN = r"""
_value:
  description: Groups for option C(groups) of M(slipway.ops.host_state).
  type: list
  elements: dict
  sample: [{name: docker, system: true}]
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._host.concerns import groups_of


def host_groups(users: Any) -> list[dict[str, Any]]:
    if (
        not isinstance(users, Sequence)
        or isinstance(users, str)
        or not all(isinstance(user, Mapping) for user in users)
    ):
        raise AnsibleFilterError("host_groups: a list of users, each a mapping, is needed")
    return groups_of(users)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_groups": host_groups}

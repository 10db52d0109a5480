#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_info
short_description: Tell what of a stack runs on a host
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Reads the deployed stack, its containers and its history. Changes nothing.
options:
  name:
    description: The name of the stack.
    type: str
    required: true
requirements:
  - docker (Python package, from the distribution as python3-docker)
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: slipway.ops.stack_release
"""

EXAMPLES = r"""
- name: Read what runs
  slipway.ops.stack_info:
    name: fleet
  register: fleet

- name: Stop when a service is not as deployed
  ansible.builtin.assert:
    that: fleet.stack.services.values() | rejectattr('ok') | length == 0
"""

RETURN = r"""
stack:
  description: The state of the stack.
  returned: always
  type: dict
  contains:
    name:
      description: Its name.
      type: str
    deployed:
      description: Whether a release of it was made on this host and not removed.
      type: bool
    release:
      description: The number of the last release that succeeded, 0 without one.
      type: int
    released:
      description: When that was, in UTC.
      type: str
    last_outcome:
      description: How the last release ended, V(succeeded), V(failed), V(interrupted) or V(removed).
      type: str
    unfinished:
      description: The phase in which a release was interrupted; empty without one.
      type: str
    lease:
      description: Who works on the stack now; empty when nobody does.
      type: str
    pull:
      description: How far the pull of an image is; empty when none is under way.
      type: str
    engine_problem:
      description: Why the engine could not be asked; empty when it answered.
      type: str
    services:
      description:
        - By name, C(image), C(replicas), C(ready) (int), C(ok) (bool) and C(containers), a list with C(id), C(name),
          C(image), C(image_id), C(state), C(health), C(restarts), C(started), C(release), C(addresses), C(node) and
          C(standing) (true of the old colour that a blue-green release keeps for a time).
      type: dict
    elsewhere:
      description: Services that run exactly once and not on this host, with the host that runs them.
      type: dict
    history:
      description: The records of the last 20 releases, oldest first.
      type: list
      elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._release.status import status
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places


def main() -> None:
    module = AnsibleModule(argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True)
    try:
        found = status(module.params["name"], Places())
    except ValueError as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(changed=False, stack=found)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_rollback
short_description: Bring an earlier good release of a stack back, as it was
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Each release that succeeded is kept on its host with its model, variables and the digests of its images, the last 10
    of them. This module runs such a release again, through the same phases as M(slipway.ops.stack_release).
  - Images are the very ones of that release, whatever their tags mean by now. One that is no longer on the host is
    fetched by its digest.
  - Nothing is migrated and no data is changed. The result names the migrations that stay, and the recovery point that
    would undo them as well.
  - The inventory is not changed. The next M(slipway.ops.stack_release) brings what it says.
  - Refused where the earlier release has other routes, since nginx's sites come from the inventory.
options:
  name:
    description: Name of the stack.
    type: str
    required: true
  to_release:
    description: Number of the release to go back to. Without it the last good one that differs from what serves now.
    type: int
  actor:
    description: Who goes back, for the history. Without it the user who became root, or root.
    type: str
  confirmed_volumes:
    description: As in M(slipway.ops.stack_release).
    type: list
    elements: str
    default: []
  health_timeout_seconds:
    description: How long the replicas may take to become healthy.
    type: int
    default: 300
  drain_seconds:
    description: How long requests and websockets of the present replicas may last after the switch.
    type: int
    default: 30
  lease_wait_seconds:
    description: How long to wait for another job on the stack, such as a backup.
    type: int
    default: 300
requirements:
  - Docker Engine 20.10 or newer
  - docker (Python package, from the distribution as python3-docker)
attributes:
  check_mode:
    support: full
    description: Says where it would go and what it would do.
  diff_mode:
    support: full
    description: Shows services, images and key names, without values.
seealso:
  - module: slipway.ops.stack_release
  - module: slipway.ops.stack_info
"""

EXAMPLES = r"""
- name: Bring the last good release back
  slipway.ops.stack_rollback:
    name: fleet

- name: Bring release 4 back
  slipway.ops.stack_rollback:
    name: fleet
    to_release: 4
"""

RETURN = r"""
from_release:
  description: The number of the release that served before.
  returned: success
  type: int
  sample: 7
to_release:
  description: The number of the release that was brought back.
  returned: success
  type: int
  sample: 6
release:
  description: The number that this rollback has itself in the history.
  returned: success
  type: int
  sample: 8
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["web: roll (image shop/web:2.1 -> shop/web:2.0): new 3 4, remove 1 2"]
notes:
  description: What going back does not undo, and how that could be undone.
  returned: success
  type: list
  elements: str
  sample: ["release 7 migrated the data of web, and that stays"]
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import Limits
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Policy
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import FAILURES, Settings, rolling_back


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "to_release": {"type": "int"},
            "actor": {"type": "str"},
            "confirmed_volumes": {"type": "list", "elements": "str", "default": []},
            "health_timeout_seconds": {"type": "int", "default": 300},
            "drain_seconds": {"type": "int", "default": 30},
            "lease_wait_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    given = module.params
    settings = Settings(
        actor=given["actor"] or os.environ.get("SUDO_USER") or "root",
        lease_wait_seconds=given["lease_wait_seconds"],
        limits=Limits(health=given["health_timeout_seconds"], drain=given["drain_seconds"]),
        policy=Policy(confirmed_volumes=tuple(given["confirmed_volumes"])),
    )
    try:
        work, target = rolling_back(given["name"], given["to_release"], settings)
        outcome = work.present(module.check_mode)
    except FAILURES as error:
        module.fail_json(msg=str(error))
        return
    result = {
        "changed": outcome.changed,
        "from_release": target.current,
        "to_release": target.kept.release,
        "release": outcome.release,
        "plan": outcome.plan,
        "notes": list(target.notes),
    }
    if module._diff:
        plan = "".join(f"# {line}\n" for line in outcome.plan)
        result["diff"] = {"before": outcome.before, "after": plan + outcome.after}
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_health
short_description: Prove that after an upgrade everything runs that ran before
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Compares the host with what M(slipway.ops.host_upgrade) remembered before its first change.
  - >-
    Every unit that ran runs, no other has failed, every container that ran runs and is not unhealthy, every service of
    every stack has its replicas, and every page that the watch looks at answers well. What was wrong before does not
    count.
  - It waits for that, and it must hold for five seconds on end. Fails with all that is worse.
  - Without an upgrade to prove there is nothing to do.
options:
  timeout_seconds:
    description: How long to wait.
    type: int
    default: 300
  undrain_command:
    description: Command, without a shell, that gives the host its work back. It runs when all is well.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Does nothing.
  diff_mode:
    support: none
    description: It changes no file.
seealso:
  - module: slipway.ops.host_upgrade
"""

EXAMPLES = r"""
- name: Prove that what ran before runs again
  slipway.ops.host_health:
    timeout_seconds: 120
"""

RETURN = r"""
units:
  description: Units that ran before and run again.
  returned: success
  type: int
containers:
  description: Containers that ran before and run again.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.gateway import Machine, UpgradeError
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.upgrade import prove


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "timeout_seconds": {"type": "int", "default": 300},
            "undrain_command": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=False, units=0, containers=0)
    given = module.params
    try:
        found = prove(Machine(Host(), False), Places(), given["timeout_seconds"], given["undrain_command"])
    except UpgradeError as error:
        module.fail_json(msg=str(error))
        return
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()

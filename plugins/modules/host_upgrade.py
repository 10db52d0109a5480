#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_upgrade
short_description: Upgrade a host's packages, its engine and its kernel, and restart what runs replaced files
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - >-
    Works while no release, backup or restore of a stack is under way, and keeps them waiting meanwhile (lease); where a
    reboot is due, up to that, for 10 minutes at most.
  - >-
    Waits for whoever has locked the packages, such as unattended upgrades, finishes a run of dpkg that was interrupted,
    fetches the package lists, plans, and checks that there is room on the disks, before anything is changed.
  - >-
    Before the first change it remembers which units and containers run and what is wrong already;
    M(slipway.ops.host_health) compares with that. After an upgrade that was not proved good, the older memory stays.
  - >-
    Packages are upgraded without removing any. The engine's packages are held otherwise; they are let go for this,
    within a pinned version. Containers run on, because of live restore.
  - Services that run files which are not there any more are restarted. It does not reboot; RV(reboot) says whether to.
options:
  engine:
    description: Upgrade the Docker engine too.
    type: bool
    default: true
  reboot:
    description:
      - V(auto) asks for a reboot when one is due, V(always) after every upgrade, V(never) warns instead.
    type: str
    choices: [auto, never, always]
    default: auto
  free_mib:
    description: What must be left free on the disks, in MiB, beside what the upgrade needs.
    type: int
    default: 512
  lock_wait_seconds:
    description: How long to wait for another job on the packages.
    type: int
    default: 900
  lease_wait_seconds:
    description: How long to wait for a job on a stack.
    type: int
    default: 300
  drain_command:
    description: Command, without a shell, that takes work off this host before the first change.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Prints the plan. Package lists are fetched aside, so that the host's own stay as they are.
  diff_mode:
    support: none
    description: RV(plan) says what changes.
requirements:
  - Debian or Ubuntu with systemd
seealso:
  - module: slipway.ops.host_health
"""

EXAMPLES = r"""
- name: Upgrade the host
  slipway.ops.host_upgrade:
    reboot: auto
  register: upgrade

- name: Reboot it when that is due
  ansible.builtin.reboot:
  when: upgrade.reboot

- name: Prove that what ran before runs again
  slipway.ops.host_health:
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["upgrade openssl 3.5.1-1 -> 3.5.4-1", "restart nginx.service, which ran replaced files"]
reboot:
  description: Whether the host is to be rebooted now.
  returned: success
  type: bool
reboot_reasons:
  description: Why a reboot is due.
  returned: success
  type: list
  elements: str
  sample: ["kernel 6.12.57+deb13-amd64 is installed and 6.12.48+deb13-amd64 runs"]
prove:
  description: Whether there is something to prove, from this upgrade or an earlier one.
  returned: success
  type: bool
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseError
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.gateway import Machine, UpgradeError
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.plan import REBOOT_CHOICES
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.upgrade import Settings, Upgrade


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "engine": {"type": "bool", "default": True},
            "reboot": {"type": "str", "choices": list(REBOOT_CHOICES), "default": "auto"},
            "free_mib": {"type": "int", "default": 512},
            "lock_wait_seconds": {"type": "int", "default": 900},
            "lease_wait_seconds": {"type": "int", "default": 300},
            "drain_command": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    settings = Settings(**module.params, actor=os.environ.get("SUDO_USER") or "root")
    upgrade = Upgrade(Machine(Host(), module.check_mode), settings, Places())
    try:
        outcome = upgrade.check() if module.check_mode else upgrade.run()
    except (UpgradeError, LeaseError) as error:
        module.fail_json(msg=str(error))
        return
    for warning in outcome.warnings:
        module.warn(warning)
    module.exit_json(
        changed=bool(outcome.plan),
        plan=outcome.plan,
        reboot=outcome.reboot,
        reboot_reasons=outcome.reasons,
        prove=outcome.prove,
    )


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_restore
short_description: Bring a stack's data back from a recovery point
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Looks at everything first (repository, point, space, containers, volumes), fetches the point's dumps and compares
    them, puts PostgreSQL together beside the live server and recovers it to the target in an isolated container, saves
    what will be overwritten as a point of its own, stops the services that work with the data, replaces databases and
    volumes, checks them, and starts the services again until they are healthy.
  - Refuses to overwrite anything unless O(confirm) names the stack.
  - What is replaced is kept until it is discarded by hand. A restore that was interrupted goes on when it is run again.
  - Makes a point of what was restored, when the log of a database begins anew.
  - It is the same as C(slipway restore) on the host. The progress is in the host's journal.
attributes:
  check_mode:
    description: Can run in check mode and then returns the plan.
    support: full
  diff_mode:
    description: The diff is the plan.
    support: full
options:
  stack:
    description: Name of the stack, whose backup the role P(slipway.ops.backup#role) has set up.
    type: str
    required: true
  point:
    description: Name of the point, or V(latest) for the newest one that was read back, and the log from there.
    type: str
    default: latest
  target:
    description:
      - Where to restore to, in the place of O(point). A moment such as V(2026-11-22 10:00:00) (UTC, unless it names a
        zone or an offset) or V(now-15min), a position in PostgreSQL's log such as V(0/16B3748), or a transaction such
        as V(xid:4711).
      - It needs the log of the stack's databases. What keeps no log comes back as it was at the point before.
    type: str
    default: ""
  just_before:
    description: Restore to just before O(target), and not with it.
    type: bool
    default: false
  timeline:
    description: The timeline of PostgreSQL to follow, when earlier restores made several; V(latest), or a number.
    type: str
    default: latest
  repository:
    description: The repository to restore from, by its name, where that is not the first one.
    type: str
    default: ""
  confirm:
    description: The stack's name again. Anything else is refused, except in check mode.
    type: str
    default: ""
  safety_point:
    description: Save the present data as a point of its own before it is replaced.
    type: bool
    default: true
requirements:
  - restic 0.14 or newer and the Docker client on the host
seealso:
  - module: slipway.ops.backup_info
  - module: slipway.ops.backup_run
"""

EXAMPLES = r"""
- name: Restore the newest good point
  slipway.ops.backup_restore:
    stack: fleet
    confirm: fleet
"""

RETURN = r"""
point:
  description: Name of the point. Empty in check mode on a host where nothing is set up yet.
  type: str
  returned: success
  sample: 20260102T020000Z
plan:
  description: What is done, in order.
  type: list
  elements: str
  returned: success
summary:
  description:
    - What was done; C(saved) names the point with the data that was there before, C(reached) says for each database
      that was recovered how far, C(point_after) names the point that was made of it.
  type: dict
  returned: when not in check mode
  sample:
    {point: 20260102T020000Z, saved: 20260102T113000Z, previous: [], duration_seconds: 21.5, point_after: "",
     reached: {}, restored: [{label: "database fleetbase (mysql, service database)", tables: 12, rows: 1200}]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.cli import run_restore, wanted_target
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import check_confirmed, make_plan
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import LATEST, Target
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


def target_of(module: AnsibleModule, tools: Tools) -> Target:
    """What the module's options name."""
    params = module.params
    return wanted_target(tools, params["point"], params["target"], params["just_before"], params["timeline"])


def show_plan(module: AnsibleModule) -> None:
    """Leave the module with the plan."""
    try:
        tools = tools_for(module.params["stack"], module.log, module.params["repository"], hurry=True)
    except RefusedError as error:
        module.exit_json(changed=True, point="", plan=[f"nothing can be planned yet: {error}"])
    plan = make_plan(tools, target_of(module, tools), module.params["safety_point"])
    if plan.problems:
        raise RefusedError("; ".join(plan.problems))
    diff = {"before": "", "after": "".join(f"{line}\n" for line in plan.lines)}
    module.exit_json(changed=True, point=plan.point.name, plan=plan.lines, diff=diff)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "point": {"type": "str", "default": LATEST},
            "target": {"type": "str", "default": ""},
            "just_before": {"type": "bool", "default": False},
            "timeline": {"type": "str", "default": "latest"},
            "repository": {"type": "str", "default": ""},
            "confirm": {"type": "str", "default": ""},
            "safety_point": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        module.log(line)

    try:
        if module.check_mode:
            show_plan(module)
        check_confirmed(module.params["stack"], module.params["confirm"])
        tools = tools_for(module.params["stack"], progress, module.params["repository"], hurry=True)
        target = target_of(module, tools)
        summary = run_restore(tools, target, module.params["confirm"], module.params["safety_point"])
    except BackupError as error:
        module.fail_json(msg=str(error), plan=lines)
    for warning in summary["warnings"]:
        module.warn(warning)
    diff = {"before": "", "after": "".join(f"{line}\n" for line in lines)}
    module.exit_json(changed=True, point=summary["point"], plan=lines, summary=summary, diff=diff)


if __name__ == "__main__":
    main()

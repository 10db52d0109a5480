#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_drill
short_description: Try a restore without touching anything live
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Puts the newest good point of a stack together beside the live data, follows the log from there, checks every table
    and index, starts the stack's own servers on it in a network that leads nowhere, runs the application's own check,
    measures how long that took and how much would have been lost, and throws all of it away. Then it tries a random
    second within the log.
  - A point that cannot be restored fails the task. Older ones are tried meanwhile, and the message says which point is
    the newest good one.
  - It is the same as C(slipway drill) on the host. The progress is in the host's journal.
attributes:
  check_mode:
    description: Can run in check mode and then returns the plan.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  stack:
    description: Name of the stack, whose backup the role P(slipway.ops.backup#role) has set up.
    type: str
    required: true
  point:
    description: Only this point; V(latest) tries the newest ones until one is good.
    type: str
    default: latest
  target:
    description: Only this moment or place in the log, as M(slipway.ops.backup_restore) takes it.
    type: str
    default: ""
  random:
    description: Only a random second within the log.
    type: bool
    default: false
requirements:
  - restic 0.14 or newer and the Docker client on the host
seealso:
  - module: slipway.ops.backup_restore
  - module: slipway.ops.backup_info
"""

EXAMPLES = r"""
- name: Try a restore
  slipway.ops.backup_drill:
    stack: fleet
"""

RETURN = r"""
plan:
  description: What is tried, in order, or how it went.
  type: list
  elements: str
  returned: success
lines:
  description: What was found, for people.
  type: list
  elements: str
  returned: when not in check mode
report:
  description:
    - What was found, with times in seconds. C(point) is the point that was restored, C(newest_good) the newest one that
      can be; C(tried) says of each point that was tried what came of it. C(rto) and C(rpo) are by source.
  type: dict
  returned: when not in check mode
  sample:
    {ok: true, error: "", point: 20260102T020000Z, newest_good: 20260102T020000Z, rto_seconds: 41.2,
     rpo_seconds: 3600.0, tried: [{point: 20260102T020000Z, age_seconds: 3600, result: good, error: ""}],
     duration_seconds: 78.4}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.cli import run_drill, wanted_drill
from ansible_collections.slipway.ops.plugins.module_utils._backup.drill import plan, summary
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import LATEST
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


def show_plan(module: AnsibleModule) -> None:
    """Leave the module with the plan."""
    params = module.params
    try:
        tools = tools_for(params["stack"], module.log)
    except RefusedError as error:
        module.exit_json(changed=False, plan=[f"nothing can be planned yet: {error}"])
    found = plan(tools, wanted_drill(tools, params["point"], params["target"], params["random"]))
    if found["problems"]:
        raise RefusedError("; ".join(found["problems"]))
    module.exit_json(changed=False, plan=[*found["warnings"], *found["plan"]])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "stack": {"type": "str", "required": True},
            "point": {"type": "str", "default": LATEST},
            "target": {"type": "str", "default": ""},
            "random": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        module.log(line)

    params = module.params
    try:
        if module.check_mode:
            show_plan(module)
        tools = tools_for(params["stack"], progress)
        report = run_drill(tools, wanted_drill(tools, params["point"], params["target"], params["random"]))
    except BackupError as error:
        module.fail_json(msg=str(error), plan=lines)
    if not report["ok"]:
        module.fail_json(msg=f"{params['stack']}: {report['error']}", plan=lines, lines=summary(report), report=report)
    # It leaves nothing behind but its record.
    module.exit_json(changed=False, plan=lines, lines=summary(report), report=report)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: List a stack's recovery points
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Lists the recovery points in a stack's repository and says how its backups stand.
  - How fresh they are is taken from the repository, not from what the last job said of itself.
attributes:
  check_mode:
    description: Can run in check mode; it never changes anything.
    support: full
  diff_mode:
    description: Has no diff.
    support: none
options:
  stack:
    description: Name of the stack, whose backup the role P(slipway.ops.backup#role) has set up.
    type: str
    required: true
requirements:
  - restic 0.14 or newer on the host
seealso:
  - module: slipway.ops.backup_run
  - module: slipway.ops.backup_restore
"""

EXAMPLES = r"""
- name: Look at the backups
  slipway.ops.backup_info:
    stack: fleet
  register: backups

- name: Fail when the newest good point is too old
  ansible.builtin.assert:
    that: not backups.status.overdue
"""

RETURN = r"""
points:
  description: The points, oldest first.
  type: list
  elements: dict
  returned: success
  sample:
    - {point: 20260102T020000Z, time: "2026-01-02T02:00:00+00:00", kind: scheduled, verified: true, snapshot: 4bba301e}
needed:
  description: The points that the stack's releases name for the way back, which no retention lets go.
  type: list
  elements: str
  returned: success
  sample: [20260101T113000Z]
status:
  description:
    - How the backups stand, with ages and intervals in seconds and sizes in bytes.
    - C(promises) has C(rpo) and C(rto), each with C(promised_seconds) beside the real C(seconds) and whether it is
      C(broken), and C(drill), whether the drills are C(late) or C(failed); C(why) says what is wrong, or nothing.
  type: dict
  returned: success
  sample:
    {newest_good: 20260102T020000Z, newest_good_age_seconds: 3600, overdue: false, ok: true, error: "", points: 30,
     interval_seconds: 86400, interrupted_restore: null, previous: []}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import needed_points
from ansible_collections.slipway.ops.plugins.module_utils._backup.cli import full_status
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


def main() -> None:
    module = AnsibleModule(argument_spec={"stack": {"type": "str", "required": True}}, supports_check_mode=True)
    try:
        tools = tools_for(module.params["stack"], module.log)
        points = tools.repository.points()
        status = full_status(tools, points)
        needed = sorted(needed_points(tools.place))
    except BackupError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, points=[point.as_dict() for point in points], status=status, needed=needed)


if __name__ == "__main__":
    main()

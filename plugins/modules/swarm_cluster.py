#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_cluster
short_description: Give a Docker Swarm its settings, and its nodes their roles, labels and availability
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Runs on one manager. Compares, and changes what differs, in a safe order. New managers come first, managers that go
    are demoted one at a time and only while more than half of those left are reachable, a drain waits until the tasks
    have moved.
  - Labels that this module did not set are left alone.
options:
  nodes:
    description: What nodes are to be. Nodes that are not named stay as they are.
    type: list
    elements: dict
    default: []
    suboptions:
      host:
        description: What the node is called in plans.
        type: str
        required: true
      id:
        description: Id of the node. Empty in check mode for one that would have joined by then.
        type: str
        default: ""
      hostname:
        description: The hostname of one that would have joined by then.
        type: str
        default: ""
      role:
        description: Its role.
        type: str
        choices: [manager, worker]
        default: worker
      availability:
        description: Whether it takes tasks (V(active)), only keeps those it has (V(pause)), or runs none (V(drain)).
        type: str
        choices: [active, pause, drain]
        default: active
      labels:
        description: Its labels. One that was set by this module before and is not named any more is removed.
        type: dict
        default: {}
      state:
        description: With V(absent), it is drained and demoted, so that it can leave.
        type: str
        choices: [present, absent]
        default: present
  settings:
    description: Settings of the whole Swarm. Without them they stay as they are.
    type: dict
    suboptions:
      task_history:
        description: How many tasks that have ended are kept for each slot.
        type: int
        default: 5
      snapshot_interval:
        description: Entries of the raft between two snapshots.
        type: int
        default: 10000
      old_snapshots:
        description: How many snapshots are kept beside the last one.
        type: int
        default: 0
      log_entries_for_slow_followers:
        description: Entries that are kept after a snapshot for managers that lag behind.
        type: int
        default: 500
      heartbeat_seconds:
        description: How often a node tells that it is there.
        type: int
        default: 5
      certificate_days:
        description: How long a node's certificate lasts; it is renewed by itself.
        type: int
        default: 90
      autolock:
        description: Whether a manager needs a key when its dockerd starts.
        type: bool
        default: false
  forget:
    description: Ids or hostnames of nodes that are gone. They are removed once they are down.
    type: list
    elements: str
    default: []
  drain_timeout_seconds:
    description: How long a drain may take. A node whose tasks have not moved by then stays drained, and the task fails.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Also on a host that is in no Swarm yet.
  diff_mode:
    support: full
    description: The plan, one line a step.
seealso:
  - module: slipway.ops.swarm_node
  - module: slipway.ops.swarm_info
"""

EXAMPLES = r"""
- name: Label two nodes and make one a manager
  slipway.ops.swarm_cluster:
    nodes:
      - {host: web1, id: uvgoq4weebn9x3bdy15fopuii, role: manager, labels: {zone: a}}
      - {host: web2, id: xfecqbd65l3prtp5ujfkzxiwd, labels: {zone: b}}
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["web1: worker -> manager", "web2: labels zone=b"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.apply import Applier
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import observe_local, read_cluster
from ansible_collections.slipway.ops.plugins.module_utils._swarm.plan import (
    NodeWish,
    foresee,
    plan_cluster,
    with_foreseen_ids,
)
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import AVAILABILITIES, ROLES, Settings

SETTINGS = {
    "task_history": {"type": "int", "default": 5},
    "snapshot_interval": {"type": "int", "default": 10000},
    "old_snapshots": {"type": "int", "default": 0},
    "log_entries_for_slow_followers": {"type": "int", "default": 500},
    "heartbeat_seconds": {"type": "int", "default": 5},
    "certificate_days": {"type": "int", "default": 90},
    "autolock": {"type": "bool", "default": False},
}
NODE = {
    "host": {"type": "str", "required": True},
    "id": {"type": "str", "default": ""},
    "hostname": {"type": "str", "default": ""},
    "role": {"type": "str", "choices": list(ROLES), "default": "worker"},
    "availability": {"type": "str", "choices": list(AVAILABILITIES), "default": "active"},
    "labels": {"type": "dict", "default": {}},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "nodes": {"type": "list", "elements": "dict", "default": [], "options": NODE},
            "settings": {"type": "dict", "options": SETTINGS},
            "forget": {"type": "list", "elements": "str", "default": []},
            "drain_timeout_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    given = module.params
    settings = Settings(**given["settings"]) if given["settings"] is not None else None
    wishes = [NodeWish.of_plain(node) for node in given["nodes"]]
    gateway = SwarmGateway()
    local, _root = observe_local(gateway)
    try:
        cluster = None if module.check_mode and not local.manager else read_cluster(gateway)
        if module.check_mode or cluster is None:
            cluster = foresee(cluster, settings or Settings(), wishes)
            wishes = with_foreseen_ids(wishes)
        plan = plan_cluster(cluster, settings, wishes, given["forget"], local.node_id)
        for warning in plan.warnings:
            module.warn(warning)
        if plan.problems:
            raise SwarmError("\n".join(plan.problems))
        if not module.check_mode:
            Applier(gateway, given["drain_timeout_seconds"]).apply(plan)
    except (SwarmError, ApiError) as error:
        module.fail_json(msg=str(error if isinstance(error, SwarmError) else translate("the Swarm", error)))
        return
    result = {"changed": bool(plan.steps), "plan": plan.lines}
    if module._diff and plan.steps:
        result["diff"] = {"before": "", "after": "".join(f"{line}\n" for line in plan.lines)}
    module.exit_json(**result)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_info
short_description: Tell what a host is in a Docker Swarm
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Reads what dockerd says of its own part and, on a manager, the Swarm's settings and nodes. Changes nothing, and
    returns no token and no key.
options:
  encryption:
    description: Try whether the kernel can encrypt overlay networks, in a network namespace that ends at once.
    type: bool
    default: false
  services:
    description: Count the services of the Swarm too.
    type: bool
    default: false
  raft:
    description: Read from disk how far this manager's raft has come. Works without a quorum.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: slipway.ops.swarm_node
  - module: slipway.ops.swarm_cluster
"""

EXAMPLES = r"""
- name: Look at the Swarm
  slipway.ops.swarm_info:
  register: look

- name: Show its nodes
  ansible.builtin.debug:
    msg: "{{ look.swarm.cluster.nodes | map(attribute='hostname') }}"
  when: look.swarm.cluster is not none
"""

RETURN = r"""
swarm:
  description: What was found.
  returned: always
  type: dict
  contains:
    local:
      description:
        - C(hostname), C(state) (V(inactive), V(pending), V(active), V(error), V(locked), or empty where dockerd does
          not answer), C(node_id), C(address), C(manager), C(error), C(cluster_id), C(listen_address),
          C(data_path_address), C(data_path_port), C(address_pools), C(subnet_size), C(live_restore),
          C(default_address), C(encrypts).
      type: dict
    cluster:
      description:
        - On a manager, while more than half of the managers are reachable, C(id), C(settings), C(nodes), C(recovery),
          C(unlock_key_sha256) and C(services). A node has C(id), C(hostname), C(role), C(availability), C(labels),
          C(state), C(address), C(reachability), C(manager_address) and C(leader).
      type: dict
    raft:
      description: With O(raft), C(term), C(index) and C(committed) of this manager's log, zero where it has none.
      type: dict
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmGateway
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import observe_cluster, observe_local


def main() -> None:
    flag = {"type": "bool", "default": False}
    module = AnsibleModule(argument_spec={"encryption": flag, "services": flag, "raft": flag}, supports_check_mode=True)
    gateway = SwarmGateway()
    local, root = observe_local(gateway, module.params["encryption"])
    cluster = observe_cluster(gateway, local, module.params["services"])
    found: dict[str, Any] = {"local": local.plain(), "cluster": cluster.plain() if cluster else None}
    if module.params["raft"]:
        found["raft"] = asdict(gateway.raft_position(root))
    module.exit_json(changed=False, swarm=found)


if __name__ == "__main__":
    main()

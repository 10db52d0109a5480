#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_node
short_description: Make a host a member of a Docker Swarm, or let it leave
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Makes a Swarm, joins one, unlocks a manager that has started, or leaves. What a node is in its Swarm (role, labels,
    availability) is said by a manager, with M(slipway.ops.swarm_cluster).
  - A host that is in a Swarm stays in it as it is.
options:
  state:
    description:
      - V(present) joins by O(token), or makes a new Swarm without it. V(unlocked) opens a locked manager by
        O(unlock_key). V(absent) leaves; a manager leaves only with O(force).
    type: str
    choices: [present, unlocked, absent]
    default: present
  addresses:
    description: Managers to join by, as C(address:port).
    type: list
    elements: str
    default: []
  token:
    description: The token of the role to join in, as M(slipway.ops.swarm_secret) reads it.
    type: str
  unlock_key:
    description: The key of a Swarm whose managers are locked when they start.
    type: str
  advertise_address:
    description: Address by which the others reach this host. The one on the default route when empty.
    type: str
    default: ""
  listen_address:
    description: Address that a manager listens on.
    type: str
    default: 0.0.0.0
  data_path_address:
    description: Address for the traffic of containers, where it is another one than O(advertise_address).
    type: str
    default: ""
  data_path_port:
    description: UDP port for the traffic of containers. Belongs to a new Swarm.
    type: int
    default: 4789
  address_pools:
    description: Networks that overlay networks are cut from, such as V(10.64.0.0/12). Belongs to a new Swarm.
    type: list
    elements: str
    default: []
  subnet_size:
    description: Length of the mask of each overlay network. Belongs to a new Swarm.
    type: int
    default: 24
  availability:
    description: What a host joins as, so that no task comes to one that is to be drained.
    type: str
    choices: [active, pause, drain]
    default: active
  settings:
    description: Settings of a new Swarm, as in M(slipway.ops.swarm_cluster).
    type: dict
    default: {}
  force:
    description:
      - Leave although this is a manager. The others are not asked, and the last manager takes the whole Swarm with it.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: none
    description: What is done is one line.
seealso:
  - module: slipway.ops.swarm_cluster
  - module: slipway.ops.swarm_info
"""

EXAMPLES = r"""
- name: Make a Swarm
  slipway.ops.swarm_node:
    advertise_address: 192.0.2.11

- name: Join it
  slipway.ops.swarm_node:
    addresses: [192.0.2.11:2377]
    token: "{{ secret.worker }}"

- name: Leave it
  slipway.ops.swarm_node:
    state: absent
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done.
  returned: success
  type: list
  elements: str
  sample: [join a Swarm by 192.0.2.11:2377]
node_id:
  description: The id of this node; empty where it is in no Swarm.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.member import Joining, Membership
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import observe_local
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import AVAILABILITIES, Settings


def main() -> None:
    text = {"type": "str", "default": ""}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["present", "unlocked", "absent"], "default": "present"},
            "addresses": {"type": "list", "elements": "str", "default": []},
            "token": {"type": "str", "no_log": True},
            "unlock_key": {"type": "str", "no_log": True},
            "advertise_address": text,
            "listen_address": {"type": "str", "default": "0.0.0.0"},  # noqa: S104 - as dockerd's own
            "data_path_address": text,
            "data_path_port": {"type": "int", "default": 4789},
            "address_pools": {"type": "list", "elements": "str", "default": []},
            "subnet_size": {"type": "int", "default": 24},
            "availability": {"type": "str", "choices": list(AVAILABILITIES), "default": "active"},
            "settings": {"type": "dict", "default": {}},
            "force": {"type": "bool", "default": False},
        },
        required_by={"token": ["addresses"]},
        required_if=[("state", "unlocked", ["unlock_key"])],
        supports_check_mode=True,
    )
    given = module.params
    gateway = SwarmGateway()
    local, _root = observe_local(gateway)
    joining = Joining(
        advertise_address=given["advertise_address"],
        listen_address=given["listen_address"],
        data_path_address=given["data_path_address"],
        data_path_port=given["data_path_port"],
        address_pools=tuple(given["address_pools"]),
        subnet_size=given["subnet_size"],
        availability=given["availability"],
        addresses=tuple(given["addresses"]),
        token=given["token"] or "",
        settings=Settings(**given["settings"]),
    )
    work = Membership(gateway, local, module.check_mode)
    try:
        if given["state"] == "present":
            work.present(joining)
        elif given["state"] == "unlocked":
            work.unlocked(given["unlock_key"])
        else:
            work.absent(given["force"])
    except (SwarmError, ApiError) as error:
        module.fail_json(msg=str(error if isinstance(error, SwarmError) else translate("this host", error)))
        return
    module.exit_json(changed=bool(work.lines), plan=work.lines, node_id=work.node_id)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_recover
short_description: Make one manager the whole quorum of a Docker Swarm that lost it
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Forces a new Swarm of this one manager with all that its raft, or the raft in an archive, knows. Services, configs,
    secrets and nodes stay; the tasks of this host start anew.
  - Refuses while the managers have their quorum, and where managers are locked, which Docker cannot recover. Which
    manager it should be is said by P(slipway.ops.swarm_recovery#filter); use the playbook C(swarm_recover.yml).
options:
  state:
    description:
      - V(recovered) makes this manager the quorum. V(set_aside) puts the state of another survivor beside, so that it
        cannot interfere and nothing is lost. It is in no Swarm then.
    type: str
    choices: [recovered, set_aside]
    default: recovered
  archive:
    description: Path on this host of a backup that C(slipway swarm backup) made. Its own state is kept beside.
    type: path
  advertise_address:
    description: Address by which the others reach this host. The one on the default route when empty.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Says what would be done.
  diff_mode:
    support: none
    description: What is done is one line.
seealso:
  - module: slipway.ops.swarm_info
"""

EXAMPLES = r"""
- name: Make this manager the quorum
  slipway.ops.swarm_recover:

- name: Bring the Swarm back from a backup
  slipway.ops.swarm_recover:
    archive: /var/lib/slipway/swarm/latest.tar.gz
"""

RETURN = r"""
found:
  description: How many services, configs and secrets the recovered Swarm has.
  returned: when not in check mode
  type: dict
others:
  description: Ids of the other nodes that were managers.
  returned: when not in check mode
  type: list
  elements: str
before:
  description: Where the state that an archive took the place of is kept.
  returned: when not in check mode
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.engine import Dockerd
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.keep import Keeper
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import read_cluster


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["recovered", "set_aside"], "default": "recovered"},
            "archive": {"type": "path"},
            "advertise_address": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    gateway = SwarmGateway()
    keeper = Keeper(gateway, Dockerd())
    number, address = int(time.time()), module.params["advertise_address"]
    try:
        if module.params["state"] == "set_aside":
            before = keeper.set_aside()
            module.exit_json(changed=bool(before), before=before)
        if module.params["archive"]:
            done = keeper.restore(module.params["archive"], number, address)
        else:
            done = keeper.recover(number, address)
        own = (gateway.information().get("Swarm") or {}).get("NodeID")
        others = [node.id for node in read_cluster(gateway).nodes if node.role == "manager" and node.id != own]
    except (SwarmError, ApiError) as error:
        module.fail_json(msg=str(error if isinstance(error, SwarmError) else translate("the recovery", error)))
        return
    module.exit_json(changed=True, found=done["found"], before=done.get("before", ""), others=others)


if __name__ == "__main__":
    main()

#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_secret
short_description: Read a join token or the unlock key of a Docker Swarm
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Runs on a manager. Changes nothing.
  - Always give the task C(no_log), since what is returned lets a host into the Swarm, or opens its state.
options:
  kind:
    description: V(tokens) for the tokens by which managers and workers join, V(unlock_key) for what unlocks a manager.
    type: str
    choices: [tokens, unlock_key]
    required: true
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: none
    description: Changes nothing.
seealso:
  - module: slipway.ops.swarm_node
"""

EXAMPLES = r"""
- name: Fetch the tokens
  slipway.ops.swarm_secret:
    kind: tokens
  register: secret
  no_log: true
"""

RETURN = r"""
manager:
  description: The token by which managers join.
  returned: when O(kind=tokens)
  type: str
worker:
  description: The token by which workers join.
  returned: when O(kind=tokens)
  type: str
unlock_key:
  description: The key that unlocks a manager; empty where managers are not locked.
  returned: when O(kind=unlock_key)
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmGateway, translate


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "choices": ["tokens", "unlock_key"], "required": True, "no_log": False},
        },
        supports_check_mode=True,
    )
    gateway = SwarmGateway()
    try:
        if module.params["kind"] == "unlock_key":
            found = {"unlock_key": gateway.unlock_key()}
        else:
            tokens = gateway.swarm()["JoinTokens"]
            found = {"manager": tokens["Manager"], "worker": tokens["Worker"]}
    except ApiError as error:
        module.fail_json(msg=str(translate("the Swarm's secrets", error)))
        return
    module.exit_json(changed=False, **found)


if __name__ == "__main__":
    main()

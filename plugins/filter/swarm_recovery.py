# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say from which manager a Swarm without a quorum is recovered."""

from __future__ import annotations

DOCUMENTATION = r"""
name: swarm_recovery
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: Say from which manager a Swarm without a quorum is recovered
description:
  - Takes what the hosts that are left said of themselves, and chooses the manager with the newest raft. Touches
    nothing.
options:
  _input:
    description:
      - One mapping a host that answered. C(host) is its name, C(seen) what M(slipway.ops.swarm_info) returned with its
        option C(raft).
    type: list
    elements: dict
    required: true
  lost:
    description: Names of the hosts that did not answer.
    type: list
    elements: str
    default: []
  archive:
    description: Path of a backup on the seed, where no manager is left.
    type: str
    default: ""
  seed:
    description: The host to recover on. Needed with an archive.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the plan
  ansible.builtin.debug:
    msg: "{{ (hosts | slipway.ops.swarm_recovery(lost=['web2', 'web3'])).lines }}"
  vars:
    hosts:
      - {host: web1, seen: "{{ look.swarm }}"}
"""

RETURN = r"""
_value:
  description: C(seed), C(aside) (hosts that join anew), C(lines) and C(problems).
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.raft import Position
from ansible_collections.slipway.ops.plugins.module_utils._swarm.recovery import Survivor, plan_recovery
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Local
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


def swarm_recovery(hosts: Any, lost: Sequence[str] = (), archive: str = "", seed: str = "") -> dict[str, Any]:
    """The plan, as plain values."""
    if isinstance(hosts, str) or not isinstance(hosts, Sequence):
        raise AnsibleFilterError(f"swarm_recovery: needs a list of hosts, not {type(hosts).__name__}")
    try:
        survivors = [_survivor(plain(item)) for item in hosts]
    except (KeyError, TypeError) as error:
        raise AnsibleFilterError(f"swarm_recovery: a host cannot be read ({error})") from error
    return plan_recovery(survivors, plain(list(lost)), plain(archive), plain(seed)).plain()


def _survivor(raw: Mapping[str, Any]) -> Survivor:
    seen = raw["seen"]
    return Survivor(raw["host"], Local.of_plain(seen["local"]), Position(**seen["raft"]), bool(seen.get("cluster")))


class FilterModule:
    """The filter swarm_recovery."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"swarm_recovery": swarm_recovery}

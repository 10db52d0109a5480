# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Say which host of a play makes a Swarm, which ones join or leave it, and which one speaks for it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: swarm_members
author: Slipway contributors (@slipway)
version_added: 0.1.0
short_description: Say which host of a play makes a Swarm, which ones join or leave it, and which one speaks for it
description:
  - Compares what every host is to be with what every host said of itself. Touches nothing.
options:
  _input:
    description:
      - One mapping a host. C(host) is its name, C(wish) is what role P(slipway.ops.swarm#role) makes of its variables,
        and C(seen) is what M(slipway.ops.swarm_info) returned.
    type: list
    elements: dict
    required: true
  settings:
    description: Settings of the whole Swarm, as in M(slipway.ops.swarm_cluster).
    type: dict
    default: {}
  expected:
    description: Names of all hosts that belong to the Swarm, those that the run left out included.
    type: list
    elements: str
    default: []
  forget:
    description: Ids or hostnames of nodes that are gone.
    type: list
    elements: str
    default: []
  check:
    description: Whether this is for check mode, where a host may have no Docker yet.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Show what would be done
  ansible.builtin.debug:
    msg: "{{ hosts | slipway.ops.swarm_members }}"
  vars:
    hosts:
      - host: web1
        wish: {role: manager}
        seen: "{{ look.swarm }}"
"""

RETURN = r"""
_value:
  description:
    - C(acting) is the host that speaks for the Swarm, C(init) the one that makes it, C(unlock), C(rejoin), C(join) and
      C(leave) are lists of hosts, C(addresses) is where to join, C(nodes) and C(lines) are for
      M(slipway.ops.swarm_cluster), C(leaving_ids) the nodes of those that leave, C(dismantle) the host that ends the
      Swarm, C(unlock_key_sha256) the digest of its key, C(problems) and C(warnings) are texts.
  type: dict
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.members import Member, plan_members
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import Cluster, Local, Settings, Wish
from ansible_collections.slipway.ops.plugins.plugin_utils._plain import plain


def swarm_members(
    hosts: Any,
    settings: Mapping[str, Any] | None = None,
    expected: Sequence[str] = (),
    forget: Sequence[str] = (),
    check: bool = False,
) -> dict[str, Any]:
    """The steps of every host, as plain values."""
    if isinstance(hosts, str) or not isinstance(hosts, Sequence):
        raise AnsibleFilterError(f"swarm_members: needs a list of hosts, not {type(hosts).__name__}")
    try:
        members = [_member(plain(item)) for item in hosts]
        wanted = Settings(**plain(settings or {}))
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"swarm_members: a host or the settings cannot be read ({error})") from error
    return plan_members(members, wanted, plain(list(expected)), plain(list(forget)), check).plain()


def _member(raw: Mapping[str, Any]) -> Member:
    seen = raw["seen"]
    cluster = Cluster.of_plain(seen["cluster"]) if seen.get("cluster") else None
    return Member(raw["host"], Wish.of_plain(raw["wish"]), Local.of_plain(seen["local"]), cluster)


class FilterModule:
    """The filter swarm_members."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"swarm_members": swarm_members}

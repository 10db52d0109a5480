#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: audit_probe
short_description: Look at a system from outside, as its users do
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Runs on another machine than the one that is audited, and asks the system only what any client may ask.
  - For each host name it resolves the name, makes a handshake with a verified chain, tries every version of TLS, notes
    the redirect from HTTP, asks for the start page, the health page and each route, and times some requests.
  - Needs nothing but Python on the machine that it runs on, and no other user's rights.
options:
  host_names:
    description:
      - Host names of the system.
    type: list
    elements: str
    default: []
  ca_file:
    description:
      - File on this machine with the authorities to trust, for a private authority. By default those of the machine.
    type: path
  health_path:
    description:
      - Path of the health page. A JSON answer is returned with the observation.
    type: str
    default: /health
  routes:
    description:
      - Routes to ask, each with C(host), C(path) and C(websocket); other keys are ignored.
    type: list
    elements: dict
    default: []
  requests:
    description:
      - How many requests for the health page are timed, one after the other.
    type: int
    default: 20
  load:
    description:
      - Also time O(load_requests) requests by O(load_concurrency) users at once.
    type: bool
    default: false
  load_requests:
    description:
      - How many requests the load consists of; at most 10000.
    type: int
    default: 500
  load_concurrency:
    description:
      - How many users ask at once; at most 200.
    type: int
    default: 50
  timeout_seconds:
    description:
      - Longest time to wait for one handshake or answer, in seconds.
    type: float
    default: 10
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
"""

EXAMPLES = r"""
- name: Look at the system from outside
  slipway.ops.audit_probe:
    host_names: [fleet.marinemaroc.com]
  delegate_to: probe
  register: seen
"""

RETURN = r"""
outside:
  description:
    - What was seen, for P(slipway.ops.audit_verdicts#filter).
  returned: always
  type: dict
  contains:
    names:
      description: Addresses, handshake, redirect, versions of TLS, pages and times of each host name.
      type: dict
    load_asked:
      description: Whether a load was asked for.
      type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._exposure import gateway

MAXIMUM_LOAD_REQUESTS = 10000
MAXIMUM_LOAD_CONCURRENCY = 200

ARGUMENT_SPEC: dict[str, Any] = {
    "host_names": {"type": "list", "elements": "str", "default": []},
    "ca_file": {"type": "path"},
    "health_path": {"type": "str", "default": "/health"},
    "routes": {"type": "list", "elements": "dict", "default": []},
    "requests": {"type": "int", "default": 20},
    "load": {"type": "bool", "default": False},
    "load_requests": {"type": "int", "default": 500},
    "load_concurrency": {"type": "int", "default": 50},
    "timeout_seconds": {"type": "float", "default": 10},
}


def problems(options: dict[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    found = []
    for name, limit in (("load_requests", MAXIMUM_LOAD_REQUESTS), ("load_concurrency", MAXIMUM_LOAD_CONCURRENCY)):
        if not 0 < options[name] <= limit:
            found.append(f"{name}: must be 1 to {limit}")
    if not 0 < options["requests"] <= MAXIMUM_LOAD_REQUESTS:
        found.append(f"requests: must be 1 to {MAXIMUM_LOAD_REQUESTS}")
    found.extend(
        f"routes[{index}].path: is missing" for index, route in enumerate(options["routes"]) if "path" not in route
    )
    return found


def main() -> None:
    """Look and report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    options = module.params
    wrong = problems(options)
    if wrong:
        module.fail_json(msg="; ".join(wrong))
    try:
        context = gateway.trusting_context(options["ca_file"] or "")
    except OSError as error:
        module.fail_json(msg=f"ca_file: {options['ca_file']} cannot be used on this machine: {error}")
    load = (options["load_requests"], options["load_concurrency"]) if options["load"] else None
    names = {}
    for name in options["host_names"]:
        client = gateway.Client(name, 443, context, options["timeout_seconds"])
        routes = [route for route in options["routes"] if route.get("host", name) == name]
        names[name] = gateway.observe_name(client, options["health_path"], routes, options["requests"], load)
    module.exit_json(changed=False, outside={"names": names, "load_asked": options["load"]})


if __name__ == "__main__":
    main()

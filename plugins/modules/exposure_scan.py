#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: exposure_scan
short_description: Prove from another machine that a host has only its declared ports open
version_added: 0.2.0
author: Slipway contributors (@slipway)
description:
  - Runs on another machine than the one in question, tries every TCP port of each of its addresses and the UDP ports
    that matter, and compares what answers with what is declared.
  - An open port that is not declared fails the task, which names the container or process behind it as far as
    O(owners) tells. A declared port that does not answer is returned and warned about.
  - Only connects, as any user may. Needs nothing but Python, and no other user's rights. A port that is silent is tried
    twice (the kernel repeats its first packet after a second), a declared one three times.
  - When nothing answers at all, or a host stops answering in the middle as one does that bans whoever scans it, the
    silence proves nothing, and the task fails.
options:
  addresses:
    description:
      - Addresses or names to scan. A name is scanned at all of its addresses.
    type: list
    elements: str
    required: true
  own_addresses:
    description:
      - Addresses that the host says it has. Those that O(names) resolve to, or that are unique in the world, are
        scanned as well. Private ones may belong to another machine from here; they are returned as
        RV(exposure.left_out).
    type: list
    elements: str
    default: []
  names:
    description:
      - Names whose addresses are scanned when they are among O(own_addresses).
    type: list
    elements: str
    default: []
  declared:
    description:
      - What may be open. Each is a port (V(443)), a range (V(6000-6007) or V(6000:6007)), either with a protocol
        (V(53/udp)), or a rule with keys as in O(slipway.ops.ufw_policy#module:rules).
      - A rule for some sources only permits its ports; that they do not answer is not told.
    type: list
    elements: raw
    required: true
  tcp_ports:
    description:
      - TCP ports to try beside the declared ones.
    type: list
    elements: str
    default: ["1-65535"]
  udp_ports:
    description:
      - UDP ports to try beside the declared ones, as ports or ranges.
    type: list
    elements: str
    default: []
  owners:
    description:
      - Who uses the ports of the host, as M(slipway.ops.audit_facts) returns it as C(owners). UDP ports in it are tried
        too.
    type: list
    elements: dict
    default: []
  timeout_seconds:
    description:
      - Longest time to wait for a port, at least 1.2 so that the second packet has its chance.
    type: float
    default: 1.5
  at_once:
    description:
      - How many ports are tried at once. Fewer when this machine has not enough open files for it.
    type: int
    default: 6000
  per_second:
    description:
      - How many ports are tried in a second, at most.
    type: int
    default: 5000
  fail:
    description:
      - Fail when a port is open and not declared, or when nothing can be concluded.
    type: bool
    default: true
attributes:
  check_mode:
    description: Can run in check mode and does the same there.
    support: full
notes:
  - With every port dropped by a firewall, one address takes about 20 seconds with the default pace.
seealso:
  - module: slipway.ops.audit_facts
"""

EXAMPLES = r"""
- name: See who uses which port
  slipway.ops.audit_facts:
  register: facts

- name: Prove that only these ports are open
  slipway.ops.exposure_scan:
    addresses: [203.0.113.10, "2001:db8::10"]
    declared: [22, 80, 443, 53/udp]
    owners: "{{ facts.audit.owners }}"
  delegate_to: probe
  become: false
"""

RETURN = r"""
exposure:
  description: What was seen and what is wrong with it.
  returned: always
  type: dict
  contains:
    addresses:
      description:
        - For each address the TCP ports that are open, how many are closed (refused) and silent, and the state of each
          UDP port that was tried (open, closed, or silent, which may be open or filtered).
      type: dict
    undeclared:
      description:
        - Ports that are open and not declared, each with C(address), C(protocol), C(port) and who is C(behind) it.
      type: list
      elements: dict
    unreachable:
      description: Declared ports that do not answer, each with C(address), C(protocol), C(port) and C(state).
      type: list
      elements: dict
    inconclusive:
      description: Why nothing can be concluded about an address.
      type: list
      elements: str
    left_out:
      description: Addresses of the host that were not scanned because they may belong to another machine from here.
      type: list
      elements: str
    tcp_ports:
      description: How many TCP ports of each address were tried.
      type: int
    seconds:
      description: How long it took.
      type: float
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._exposure import findings, gateway, ports, scan

SHORTEST_TIMEOUT = 1.2
LIMITS = {"at_once": 20000, "per_second": 50000}

ARGUMENT_SPEC: dict[str, Any] = {
    "addresses": {"type": "list", "elements": "str", "required": True},
    "own_addresses": {"type": "list", "elements": "str", "default": []},
    "names": {"type": "list", "elements": "str", "default": []},
    "declared": {"type": "list", "elements": "raw", "required": True},
    "tcp_ports": {"type": "list", "elements": "str", "default": [ports.ALL_PORTS]},
    "udp_ports": {"type": "list", "elements": "str", "default": []},
    "owners": {"type": "list", "elements": "dict", "default": []},
    "timeout_seconds": {"type": "float", "default": 1.5},
    "at_once": {"type": "int", "default": 6000},
    "per_second": {"type": "int", "default": 5000},
    "fail": {"type": "bool", "default": True},
}


def problems(options: dict[str, Any]) -> list[str]:
    """Return what is wrong with the options beyond their types."""
    found = []
    if options["timeout_seconds"] < SHORTEST_TIMEOUT:
        found.append(f"timeout_seconds: must be at least {SHORTEST_TIMEOUT}, or a lost packet makes a port look closed")
    found += [f"{name}: must be 1 to {limit}" for name, limit in LIMITS.items() if not 0 < options[name] <= limit]
    for name in ("tcp_ports", "udp_ports"):
        try:
            ports.numbers(options[name])
        except ports.UnreadablePort as error:
            found.append(f"{name}: {error}")
    try:
        ports.read_declared(options["declared"])
    except ports.UnreadablePort as error:
        found.append(str(error))
    return found


def look(options: dict[str, Any]) -> dict[str, Any]:
    """Scan each address, one after the other, and compare."""
    begun = time.monotonic()
    pace = scan.Pace(options["timeout_seconds"], options["at_once"], options["per_second"])
    missing = [name for name in options["addresses"] if not gateway.resolve(name)]
    declared_addresses = [address for name in options["addresses"] for address in gateway.resolve(name)]
    resolved = [address for name in options["names"] for address in gateway.resolve(name)]
    addresses, left_out = findings.targets(declared_addresses, options["own_addresses"], resolved)
    result: dict[str, Any] = {
        "addresses": {},
        "undeclared": [],
        "unreachable": [],
        "inconclusive": [f"{name} does not resolve" for name in missing],
        "left_out": left_out,
        "tcp_ports": 0,
    }
    if not addresses:
        result["inconclusive"].append("this host: there is no address to scan")
    tcp = ports.numbers(options["tcp_ports"])
    udp = ports.numbers(options["udp_ports"])
    udp |= findings.udp_ports(options["owners"])
    for address in addresses:
        declared = ports.read_declared(options["declared"], scan.source_for(address))
        first = sorted(declared.required[ports.TCP])
        seen = scan.look(address, first, tcp, sorted(udp | declared.required[ports.UDP]), pace)
        if seen.problem:
            result["inconclusive"].append(f"{address}: {seen.problem}")
        else:
            result["unreachable"] += findings.unreachable(seen, declared)
        result["undeclared"] += findings.undeclared(seen, declared, options["owners"])
        result["addresses"][address] = {
            "tcp_open": sorted(port for port, state in seen.tcp.items() if state == findings.OPEN),
            "tcp_closed": sum(state == findings.CLOSED for state in seen.tcp.values()),
            "tcp_silent": sum(state == findings.SILENT for state in seen.tcp.values()),
            "udp": {str(port): state for port, state in sorted(seen.udp.items())},
        }
        result["tcp_ports"] = len(seen.tcp)
    result["seconds"] = round(time.monotonic() - begun, 1)
    return result


def main() -> None:
    """Look and report."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    wrong = problems(module.params)
    if wrong:
        module.fail_json(msg="; ".join(wrong))
    exposure = look(module.params)
    bad = [findings.sentence(one) for one in exposure["undeclared"]]
    bad += [f"nothing is proved about {reason}" for reason in exposure["inconclusive"]]
    if bad and module.params["fail"]:
        module.fail_json(msg="; ".join(bad), exposure=exposure)
    for one in exposure["unreachable"]:
        module.warn(findings.sentence(one))
    module.exit_json(changed=False, exposure=exposure)


if __name__ == "__main__":
    main()

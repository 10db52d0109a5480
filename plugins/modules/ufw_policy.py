#!/usr/bin/python
# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: ufw_policy
short_description: Give a host its whole UFW policy in one call
version_added: 0.1.0
author: Slipway contributors (@slipway)
description:
  - Defaults, log level and all rules are one policy. It is compared with ufw's files and with the live rules, written
    in the very form that ufw writes, and loaded once, however many rules there are. C(ufw status) and later ufw
    commands go on working on it.
  - New rules alone are loaded in one step for each IP version, while the rest of the firewall stays in force. Existing
    connections survive.
  - All problems of a policy are reported at once, and a policy that would shut out new connections the way the
    current SSH connection came is refused, before anything is touched.
  - After loading, the live rules are compared with the policy. When loading or that comparison fails, the old files are
    put back and loaded, and the task fails.
  - With O(docker_ports), ports that Docker publishes obey the same policy. Docker accepts forwarded packets before ufw
    sees them, so its own chain C(DOCKER-USER) gets one jump to the chain C(SLIPWAY-DOCKER). Other chains are never
    flushed and containers are never restarted.
options:
  state:
    description:
      - With V(present), ufw is active, now and at boot, with this policy.
      - With V(absent), ufw is disabled, now and at boot, and Docker's ports are no longer guarded. The package and its
        rules stay.
    type: str
    choices: [present, absent]
    default: present
  default_incoming:
    description: What happens to incoming connections that no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: deny
  default_outgoing:
    description: What happens to outgoing connections that no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: allow
  default_routed:
    description: What happens to forwarded connections that no rule matches.
    type: str
    choices: [allow, deny, reject]
    default: deny
  logging:
    description: ufw's log level.
    type: str
    choices: ["off", low, medium, high, full]
    default: low
  ipv6:
    description:
      - Whether ufw handles IPv6. With V(false), ufw drops all IPv6 traffic but that on the loopback interface, and
        flushes the chains of others, such as Docker's, from the IPv6 filter table.
    type: bool
    default: true
  rules:
    description:
      - Rules in the order in which they are asked; the first that matches decides.
      - A rule without addresses is for IPv4 and IPv6.
    type: list
    elements: dict
    default: []
    suboptions:
      action:
        description:
          - V(allow), V(deny), V(reject), or V(limit).
          - V(limit) allows, but stops an address with 6 connections within 30 seconds.
        type: str
        default: allow
      direction:
        description: V(in), V(out), or V(route) for forwarded traffic.
        type: str
        default: in
      protocol:
        description: V(any), V(tcp), V(udp), V(esp), V(ah), V(gre), V(igmp), V(ipv6) or V(vrrp).
        type: str
        default: any
      port:
        description:
          - Destination ports. Numbers from 1 to 65535 or ranges such as V(6000:6007).
          - At most 15 in a rule, where a range counts as two.
        type: list
        elements: str
        default: []
      from:
        description: Address or network that the traffic comes from.
        type: str
        default: any
      from_port:
        description: Source ports, written as in O(rules[].port).
        type: list
        elements: str
        default: []
      to:
        description: Address or network that the traffic goes to.
        type: str
        default: any
      interface:
        description: Interface by which the traffic comes in, or for direction V(out), goes out.
        type: str
      interface_out:
        description: Interface by which forwarded traffic goes out; for direction V(route) only.
        type: str
      log:
        description: V(log) new connections, or V(log-all) packets, that match.
        type: str
      comment:
        description: Shown by C(ufw status). May not hold a single quote or a line break.
        type: str
  purge:
    description:
      - Remove rules that are not declared.
      - With V(false) they stay. Those that stand before the first declared rule stay before it, the others follow.
    type: bool
    default: true
  protect_ports:
    description:
      - TCP ports that must stay open to the address that the current SSH connection comes from.
      - Without them, it is the port of the current connection. Give them while SSH moves to another port.
    type: list
    elements: int
    default: []
  docker_ports:
    description:
      - Published ports, as numbers on the host, that public interfaces may reach. All other published ports and the
        containers' own addresses are closed to these interfaces. An empty list closes all.
      - Left out, Docker's rules are not touched.
      - Needs the program C(/usr/local/sbin/slipway-docker-firewall) of role P(slipway.ops.firewall#role), which also
        applies the rules again when Docker or ufw starts. Its rules lie in C(/etc/slipway/docker-firewall).
      - Traffic that comes in on a public interface and is forwarded elsewhere, such as to a VPN, is closed too.
    type: list
    elements: dict
    suboptions:
      port:
        description: Port or range such as V(6000:6007) on the host.
        type: str
        required: true
      protocol:
        description: V(tcp), V(udp) or V(sctp).
        type: str
        default: tcp
      host_ip:
        description:
          - Address of the host that the port is published on. All of them when left out.
          - A port on a loopback address is not for public interfaces, and is left out.
        type: str
      service:
        description: Service that publishes the port, as P(slipway.ops.stack_ports#filter) gives it. Not used.
        type: str
  docker_interfaces:
    description:
      - Public interfaces for O(docker_ports). Others are trusted.
      - When empty, those that a default route leaves by, and no interface is trusted. What comes in by another one may
        go to O(docker_ports) and, unlike on a public one, be forwarded elsewhere than to containers. This holds for
        interfaces that come later too, except that only Docker's usual bridges (C(docker0), C(br-...)) are known then.
    type: list
    elements: str
    default: []
  docker_trusted_sources:
    description:
      - Addresses and networks, IPv4 or IPv6, that may reach every port that a container publishes, whatever its
        number and by whichever interface they come. Meant for the other nodes of a Swarm, where ports are random.
      - The containers' own addresses stay closed to them, and ports of the host itself are a matter of O(rules).
      - Used together with O(docker_ports).
    type: list
    elements: str
    default: []
  host:
    description:
      - What the policy needs of the host, with the options of M(slipway.ops.host_state) such as packages, files and
        units, except C(armed). It is made first, in the same call.
      - Files without C(content) are rendered from templates as M(slipway.ops.host_state) does.
    type: dict
  armed:
    description:
      - Make the change one that undoes itself unless it is confirmed in time with M(slipway.ops.armed_confirm).
      - The files of ufw and of the Docker rules that change, and the rules that are loaded, are put back as they were,
        also after a reboot. So is what O(host) changes, except packages and accounts.
      - What was put back is told by the next run as a warning.
    type: dict
    suboptions:
      name:
        description: Name of the change, for the confirmation.
        type: str
        required: true
      limit_seconds:
        description: Seconds to confirm within.
        type: int
        default: 60
  foreseen:
    description:
      - In check mode, what earlier tasks of the run would have left behind, as RV(foreseen) of the last of them.
        The action plugin hands it on from task to task by itself.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Complete, also on a host where ufw is not installed yet.
    support: full
  diff_mode:
    description: The plan, as ufw commands that are added, deleted or set.
    support: full
requirements:
  - ufw 0.36 or later on Debian or Ubuntu
seealso:
  - module: community.general.ufw
    description: Single rules, one call each.
"""

EXAMPLES = r"""
- name: Open SSH, HTTP and HTTPS, and nothing else
  slipway.ops.ufw_policy:
    rules:
      - {action: limit, port: [2222], protocol: tcp, comment: SSH}
      - {port: [80, 443], protocol: tcp, comment: HTTP and HTTPS}
      - {port: [9100], protocol: tcp, from: 10.0.0.0/8, interface: eth1, comment: Node metrics}
    docker_ports: []

- name: Move SSH while the old port is still in use
  slipway.ops.ufw_policy:
    rules:
      - {action: limit, port: [2222], protocol: tcp}
    protect_ports: [2222]

- name: Change the firewall so that it changes back unless a new login works
  slipway.ops.ufw_policy:
    rules:
      - {action: limit, port: [22], protocol: tcp, from: 198.51.100.0/24}
    armed: {name: firewall, limit_seconds: 60}
  register: firewall_change

- name: Log in anew and keep it
  slipway.ops.armed_confirm:
    name: firewall
  when: firewall_change.armed is defined

- name: Switch the firewall off
  slipway.ops.ufw_policy:
    state: absent
"""

RETURN = r"""
plan:
  description: What was done, or in check mode would be done, one line a step.
  returned: success
  type: list
  elements: str
  sample: ["set: ufw enable", "delete: ufw allow 9000", "add: ufw limit 2222/tcp comment 'SSH'"]
active:
  description: Whether ufw filters traffic after the task (in check mode, before it).
  returned: success
  type: bool
  sample: true
armed:
  description: Name of the armed change that waits for its confirmation, if there is one.
  returned: when armed
  type: str
  sample: firewall
foreseen:
  description: What this and earlier tasks of the run would leave behind, for O(foreseen). The action plugin keeps it.
  returned: in check mode, by the module alone
  type: dict
"""

from collections.abc import Callable
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import Store
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse
from ansible_collections.slipway.ops.plugins.module_utils._ufw import gateway, protect
from ansible_collections.slipway.ops.plugins.module_utils._ufw.converge import Job
from ansible_collections.slipway.ops.plugins.module_utils._ufw.docker import Interfaces
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import (
    Policy,
    read_docker_ports,
    read_trusted_sources,
)
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import Observed, Plan, plan_absent, plan_present
from ansible_collections.slipway.ops.plugins.module_utils._ufw.reading import read_rules, unknown_interfaces

POLICIES = ["allow", "deny", "reject"]
TEXTS: dict[str, Any] = {"type": "list", "elements": "str", "default": []}
RULE: dict[str, Any] = {
    "action": {"type": "str", "default": "allow"},
    "direction": {"type": "str", "default": "in"},
    "protocol": {"type": "str", "default": "any"},
    "port": TEXTS,
    "from": {"type": "str", "default": "any"},
    "from_port": TEXTS,
    "to": {"type": "str", "default": "any"},
    "interface": {"type": "str"},
    "interface_out": {"type": "str"},
    "log": {"type": "str"},
    "comment": {"type": "str"},
}
ARGUMENTS: dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "default_incoming": {"type": "str", "choices": POLICIES, "default": "deny"},
    "default_outgoing": {"type": "str", "choices": POLICIES, "default": "allow"},
    "default_routed": {"type": "str", "choices": POLICIES, "default": "deny"},
    "logging": {"type": "str", "choices": ["off", "low", "medium", "high", "full"], "default": "low"},
    "ipv6": {"type": "bool", "default": True},
    "rules": {"type": "list", "elements": "dict", "default": [], "options": RULE},
    "purge": {"type": "bool", "default": True},
    "protect_ports": {"type": "list", "elements": "int", "default": []},
    "docker_ports": {
        "type": "list",
        "elements": "dict",
        "options": {
            "port": {"type": "str", "required": True},
            "protocol": {"type": "str", "default": "tcp"},
            "host_ip": {"type": "str"},
            "service": {"type": "str"},
        },
    },
    "docker_interfaces": TEXTS,
    "docker_trusted_sources": TEXTS,
    "host": {"type": "dict"},
    "foreseen": {"type": "dict", "default": {}},
    "armed": {
        "type": "dict",
        "options": {"name": {"type": "str", "required": True}, "limit_seconds": {"type": "int", "default": 60}},
    },
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    options = module.params
    host = Host()

    def run(command: list[str], text: Optional[str]) -> tuple[int, str, str]:
        code, output, error = module.run_command(command, data=text, path_prefix="/usr/sbin:/sbin")
        return code, output, error

    wish, problems = parse({**(options["host"] or {}), "armed": options["armed"]})
    problems = [line if line.startswith("armed") else f"host.{line}" for line in problems]
    planner: Callable[[Observed], Plan] = plan_absent
    if options["state"] == "present":
        planner = wanted(options, problems)
    if problems:
        module.fail_json(msg="\n".join(problems))
    job = Job(
        gateway.Firewall(run), host, Store(host), wish, planner, module.warn, module.check_mode, options["foreseen"]
    )
    try:
        done = job.run()
    except HostError as error:
        module.fail_json(msg=str(error))
    result: dict[str, Any] = {"changed": bool(done.steps), "plan": done.steps, "active": done.active}
    if done.armed is not None:
        result["armed"] = done.armed
    if module.check_mode:
        result["foreseen"] = done.foreseen
    if module._diff and done.diff:
        result["diff"] = done.diff
    module.exit_json(**result)


def wanted(options: dict[str, Any], problems: list[str]) -> Callable[[Observed], Plan]:
    """The planner of the declared policy; what is wrong with it is added to the problems."""
    rules, found = read_rules(options["rules"], options["ipv6"])
    policy = Policy(
        rules=tuple(rules),
        incoming=options["default_incoming"],
        outgoing=options["default_outgoing"],
        routed=options["default_routed"],
        logging=options["logging"],
        ipv6=options["ipv6"],
    )
    for index, port in enumerate(options["protect_ports"]):
        if not 1 <= port <= 65535:
            found.append(f"protect_ports[{index}]: port {port} does not exist; use 1 to 65535")
    guard = None
    if options["docker_ports"] is not None:
        ports, more = read_docker_ports(options["docker_ports"])
        found += more
        public = options["docker_interfaces"] or gateway.public_interfaces()
        if not public:
            found.append("docker_interfaces: the host has no default route to find its public interface by; name it")
        other = None if options["docker_interfaces"] else gateway.other_interfaces(public)
        trusted, more = read_trusted_sources(options["docker_trusted_sources"])
        found += more
        guard = (ports, Interfaces(public, other, trusted))
    elif options["docker_trusted_sources"]:
        found.append("docker_trusted_sources: belongs to docker_ports; give that too, even empty")
    found += unknown_interfaces(options["rules"], options["docker_interfaces"], gateway.interfaces())
    if not found:
        # A rule that could not be read may be the one that lets us in, so this question comes last.
        found += protect.problems(policy, gateway.connection(), options["protect_ports"])
    problems += found

    def planner(seen: Observed) -> Plan:
        return plan_present(policy, seen, options["purge"], guard)

    return planner


if __name__ == "__main__":
    main()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would a new connection get in under a policy? Asked before anything is touched, for the way we came in."""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import (
    ALLOW,
    ANY,
    BOTH,
    IN,
    LIMIT,
    TCP,
    V4,
    V6,
    Policy,
    Rule,
)


@dataclass(frozen=True)
class Connection:
    """The SSH connection that we are on, as the host sees it."""

    client: str
    server: str
    port: int
    interface: str = ""

    @property
    def family(self) -> str:
        return V4 if ipaddress.ip_address(self.client).version == 4 else V6


def read_connection(text: str) -> Optional[Connection]:
    """SSH_CONNECTION: client address and port, server address and port."""
    words = text.split()
    if len(words) != 4 or not words[3].isdigit():
        return None
    try:
        client, server = (_plain(word) for word in (words[0], words[2]))
    except ValueError:
        return None
    return Connection(client, server, int(words[3]))


def _plain(text: str) -> str:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(address)


def problems(policy: Policy, connection: Optional[Connection], ports: Sequence[int]) -> list[str]:
    """Why a new connection would not get in: to these ports, or to the one that we came by."""
    found: list[str] = []
    if connection is not None and ipaddress.ip_address(connection.client).is_loopback:
        return found
    wanted = list(ports) or ([connection.port] if connection else [])
    if connection is not None and connection.family == V6 and not policy.ipv6:
        return [
            f"ipv6: new connections from {connection.client} would be shut out, for ufw then drops all of IPv6; "
            "leave it true, or connect by IPv4"
        ]
    for port in wanted:
        deciding = decide(policy, connection, port)
        if deciding is True:
            continue
        source = f"from {connection.client} " if connection else ""
        reason = f"rule '{deciding.command()}' denies them" if isinstance(deciding, Rule) else "no rule allows them"
        remedy = f"add {{action: limit, port: {port}, protocol: tcp}}"
        if isinstance(deciding, Rule):
            remedy += " before it"
        if not ports:
            remedy += ", or name the port that SSH moves to in protect_ports"
        found.append(f"rules: new connections {source}to the SSH port {port} would be shut out, {reason}; {remedy}")
    return found


def decide(policy: Policy, connection: Optional[Connection], port: int) -> object:
    """True when a new connection gets in, else the rule that stops it, or None for the default."""
    for rule in policy.rules:
        if rule.direction == IN and rule.protocol in (TCP, ANY) and _covers(rule, connection, port):
            return True if rule.action in (ALLOW, LIMIT) else rule
    return True if policy.incoming == ALLOW else None


def _covers(rule: Rule, connection: Optional[Connection], port: int) -> bool:
    # The port that a client comes from changes with each connection.
    if rule.source_ports or any(rule.applications):
        return False
    if rule.ports and not any(_in_range(port, text) for text in rule.ports):
        return False
    if connection is None:
        # From where we come is unknown: a rule for some addresses may or may not be ours. Do not refuse for that.
        return rule.action in (ALLOW, LIMIT) or rule.source == rule.destination == ANY
    if rule.family not in (BOTH, connection.family):
        return False
    if rule.interface_in and connection.interface:
        pattern = rule.interface_in[:-1] + "*" if rule.interface_in.endswith("+") else rule.interface_in
        if not fnmatch.fnmatchcase(connection.interface, pattern):
            return False
    return _within(connection.client, rule.source) and _within(connection.server, rule.destination)


def _in_range(port: int, text: str) -> bool:
    first, _colon, last = text.partition(":")
    return int(first) <= port <= int(last or first)


def _within(address: str, network: str) -> bool:
    return network == ANY or ipaddress.ip_address(address) in ipaddress.ip_network(network)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what answered with what is declared, and name who is behind a port."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._exposure.ports import TCP, UDP, Declared

OPEN = "open"
CLOSED = "closed"
SILENT = "silent"
UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Seen:
    """What one address of a host answered. ``problem`` says why nothing can be concluded from silence."""

    address: str
    source: str
    tcp: Mapping[int, str]
    udp: Mapping[int, str]
    problem: str = ""

    def states(self, protocol: str) -> Mapping[int, str]:
        """Return the ports of one protocol."""
        return self.tcp if protocol == TCP else self.udp


def undeclared(seen: Seen, declared: Declared, owners: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the ports that answered and may not."""
    return [
        {"address": seen.address, "protocol": protocol, "port": port, "behind": behind(owners, protocol, port)}
        for protocol in (TCP, UDP)
        for port, state in sorted(seen.states(protocol).items())
        if state == OPEN and port not in declared.permitted[protocol]
    ]


def unreachable(seen: Seen, declared: Declared) -> list[dict[str, Any]]:
    """Return the ports that should answer and do not. UDP that is silent may well be open."""
    wrong = {TCP: (CLOSED, SILENT, UNREACHABLE), UDP: (CLOSED, UNREACHABLE)}
    return [
        {"address": seen.address, "protocol": protocol, "port": port, "state": state}
        for protocol in (TCP, UDP)
        for port, state in sorted(seen.states(protocol).items())
        if port in declared.required[protocol] and state in wrong[protocol]
    ]


def behind(owners: Iterable[Mapping[str, Any]], protocol: str, port: int) -> str:
    """Name the container that publishes the port, and else the process that listens on it.

    Which address they are bound to is asked only for the loopback: behind NAT a host does not know its own.
    """
    own = [
        owner
        for owner in owners
        if owner.get("port") == port
        and owner.get("protocol", TCP) == protocol
        and not _is_loopback(str(owner.get("address", "")))
    ]
    published = [_container(owner) for owner in own if owner.get("container_port")]
    listening = [_process(owner) for owner in own if not owner.get("container_port")]
    return ", ".join(sorted(set(published or listening)))


def _container(owner: Mapping[str, Any]) -> str:
    return f"container {owner.get('container')}, its port {owner.get('container_port')}"


def _process(owner: Mapping[str, Any]) -> str:
    process = str(owner.get("process") or "a process that cannot be seen")
    return f"{process} in container {owner['container']}" if owner.get("container") else process


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def udp_ports(owners: Iterable[Mapping[str, Any]]) -> frozenset[int]:
    """Return the UDP ports that the host uses on more than its loopback addresses."""
    used = (owner for owner in owners if owner.get("protocol") == UDP)
    return frozenset(int(owner["port"]) for owner in used if not _is_loopback(str(owner.get("address", ""))))


def sentence(finding: Mapping[str, Any]) -> str:
    """Say one finding in one line."""
    port = f"{finding['address']} port {finding['port']}/{finding['protocol']}"
    if "state" in finding:
        return f"{port} is declared and {_STATES[finding['state']]}"
    return f"{port} ({finding['behind'] or 'nothing seen on the host is behind it'}) is open and not declared"


_STATES = {
    CLOSED: "refused: nothing listens behind it, or it is rejected",
    SILENT: "does not answer",
    UNREACHABLE: "cannot be reached",
}


def targets(addresses: Iterable[str], own: Iterable[str], resolved: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which addresses to scan, and which of the host's own are left out because they may be another's from here.

    Scanned are the declared ones, and those of the host's own that names lead to or that are unique in the world.
    """
    wanted = set(addresses)
    left_out = []
    for address in sorted(set(own)):
        if address in wanted:
            continue
        if address in set(resolved) or ipaddress.ip_address(address).is_global:
            wanted.add(address)
        else:
            left_out.append(address)
    return sorted(wanted), left_out

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports are declared: numbers, ranges, and the rules of a firewall, read into sets."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

TCP = "tcp"
UDP = "udp"
ALL_PORTS = "1-65535"
_LAST = 65535
_ANYWHERE = ("", "any", "0.0.0.0/0", "::/0")


class UnreadablePort(ValueError):
    """A port that cannot be read; the message says which."""


@dataclass(frozen=True)
class Declared:
    """What may answer from outside, and what must."""

    permitted: Mapping[str, frozenset[int]]
    required: Mapping[str, frozenset[int]]


def numbers(value: Any) -> frozenset[int]:
    """Read ``22``, ``"6000:6007"``, ``"1-1024"``, ``"80,443"`` or a list of such."""
    if isinstance(value, (list, tuple)):
        return frozenset().union(*map(numbers, value))
    found: set[int] = set()
    for part in str(value).split(","):
        first, dash, last = part.strip().replace(":", "-").partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError as error:
            raise UnreadablePort(
                f"{part.strip()!r} is not a port; write 443, 6000-6007 or, when declared, 53/udp"
            ) from error
        if not 0 < low <= high <= _LAST:
            raise UnreadablePort(f"{part.strip()} is not within 1 to {_LAST}")
        found.update(range(low, high + 1))
    return frozenset(found)


def read_declared(entries: Iterable[Any], source: str = "") -> Declared:
    """Read numbers, ranges (``53/udp`` for UDP), and rules as mappings with the keys of ``ufw_policy``.

    A rule for some sources (``from``) or for one address of the host permits, but need not answer here. One without a
    protocol is about TCP; UDP is permitted as well.
    """
    permitted: dict[str, set[int]] = {TCP: set(), UDP: set()}
    required: dict[str, set[int]] = {TCP: set(), UDP: set()}
    for index, entry in enumerate(entries):
        try:
            if isinstance(entry, Mapping):
                _read_rule(entry, source, permitted, required)
            else:
                text, _slash, protocol = str(entry).partition("/")
                _known(protocol or TCP)
                permitted[protocol or TCP] |= numbers(text)
                required[protocol or TCP] |= numbers(text)
        except UnreadablePort as error:
            raise UnreadablePort(f"declared[{index}]: {error}") from error
    return Declared(
        {protocol: frozenset(ports) for protocol, ports in permitted.items()},
        {protocol: frozenset(ports) for protocol, ports in required.items()},
    )


def _known(protocol: str) -> None:
    if protocol not in (TCP, UDP):
        raise UnreadablePort(f"{protocol!r} is not a protocol whose ports can be tried; use tcp or udp")


def _read_rule(
    rule: Mapping[str, Any], source: str, permitted: dict[str, set[int]], required: dict[str, set[int]]
) -> None:
    if rule.get("action", "allow") not in ("allow", "limit") or rule.get("direction", "in") != "in":
        return
    protocol = str(rule.get("protocol") or "any")
    if protocol not in (TCP, UDP, "any"):
        return
    bound = str(rule.get("host_ip") or "")
    if bound and _is_loopback(bound):
        return
    everyone = (
        not bound
        and str(rule.get("from") or "any") in _ANYWHERE
        and not rule.get("interface")
        and not rule.get("from_port")
    )
    written = rule.get("port")
    if not written:
        if not everyone and not _within(source, str(rule.get("from") or "any")):
            return
        ports = numbers(ALL_PORTS)
        everyone = False
    else:
        ports = numbers(written)
    for name in (TCP, UDP) if protocol == "any" else (protocol,):
        permitted[name] |= ports
    if everyone:
        required[TCP if protocol == "any" else protocol] |= ports


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _within(source: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(source) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False

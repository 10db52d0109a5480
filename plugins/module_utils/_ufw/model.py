# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Firewall rules and policies as frozen values, read from plain mappings with all problems at once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Optional, Union

ALLOW, DENY, REJECT, LIMIT = "allow", "deny", "reject", "limit"
ACTIONS = (ALLOW, DENY, REJECT, LIMIT)
IN, OUT, ROUTE = "in", "out", "route"
DIRECTIONS = (IN, OUT, ROUTE)
TCP, UDP, ANY = "tcp", "udp", "any"
PORTLESS_PROTOCOLS = ("esp", "ah", "gre", "igmp", "ipv6", "vrrp")
IPV4_ONLY_PROTOCOLS = ("ipv6", "igmp")
PROTOCOLS = (ANY, TCP, UDP, *PORTLESS_PROTOCOLS)
LOGS = ("", "log", "log-all")
V4, V6, BOTH = "v4", "v6", "both"
LEVELS = ("off", "low", "medium", "high", "full")
POLICIES = (ALLOW, DENY, REJECT)
INCOMING, OUTGOING, ROUTED = "incoming", "outgoing", "routed"
# iptables' multiport match takes 15 ports; a range counts as two.
MULTIPORT_LIMIT = 15

INTERFACE = re.compile(r"^[A-Za-z0-9_\-.+,=%@]{1,15}$")
_PORT = re.compile(r"^(\d{1,9})(?::(\d{1,9}))?$")


@dataclass(frozen=True)
class Rule:
    """One ufw rule. Addresses are normalized, "any" is every address of the rule's family."""

    action: str = ALLOW
    direction: str = IN
    protocol: str = ANY
    source: str = ANY
    source_ports: tuple[str, ...] = ()
    destination: str = ANY
    ports: tuple[str, ...] = ()
    interface_in: str = ""
    interface_out: str = ""
    log: str = ""
    comment: str = ""
    family: str = BOTH
    # Only read from files that another tool wrote: application profiles (destination, source).
    applications: tuple[str, str] = ("", "")

    @property
    def families(self) -> tuple[str, ...]:
        return (V4, V6) if self.family == BOTH else (self.family,)

    @property
    def several_ports(self) -> bool:
        return any(len(ports) > 1 or ":" in "".join(ports) for ports in (self.ports, self.source_ports))

    def matches(self) -> Rule:
        """The same rule without what ufw ignores when it asks whether two rules are the same."""
        return replace(self, action=ALLOW, log="", comment="")

    def command(self) -> str:
        """The rule as a person would type it behind the word ufw."""
        words = ["route"] if self.direction == ROUTE else []
        words.append(self.action)
        if self.interface_in:
            words += ["in", "on", self.interface_in]
        if self.interface_out:
            words += ["out", "on", self.interface_out]
        if self.direction == OUT and not self.interface_out:
            words.append("out")
        if self.log:
            words.append(self.log)
        simple = (
            not (self.interface_in or self.interface_out or self.source_ports or any(self.applications))
            and self.source == self.destination == ANY
            and bool(self.ports)
            and self.direction != ROUTE
            and self.family == BOTH
        )
        if simple:
            words.append(",".join(self.ports) + (f"/{self.protocol}" if self.protocol != ANY else ""))
        else:
            if self.protocol != ANY:
                words += ["proto", self.protocol]
            words += ["from", self._address(self.source), *self._location(self.source_ports, self.applications[1])]
            words += ["to", self._address(self.destination), *self._location(self.ports, self.applications[0])]
        if self.comment:
            words += ["comment", f"'{self.comment}'"]
        return " ".join(words)

    def _address(self, address: str) -> str:
        if address != ANY or self.family == BOTH:
            return address
        return "0.0.0.0/0" if self.family == V4 else "::/0"

    @staticmethod
    def _location(ports: tuple[str, ...], application: str) -> list[str]:
        if application:
            return ["app", application]
        return ["port", ",".join(ports)] if ports else []


@dataclass(frozen=True)
class DockerPort:
    """A port published by a container that the public interfaces may reach: the number on the host."""

    port: str
    protocol: str = TCP
    address: str = ""

    @property
    def families(self) -> tuple[str, ...]:
        if not self.address:
            return (V4, V6)
        return (V6,) if ":" in self.address else (V4,)


@dataclass(frozen=True)
class Policy:
    """Everything that one apply decides."""

    rules: tuple[Rule, ...] = ()
    incoming: str = DENY
    outgoing: str = ALLOW
    routed: str = DENY
    logging: str = "low"
    ipv6: bool = True


class Invalid(ValueError):
    """One value that cannot be honoured; the message says what would be."""


def read_rule(raw: Mapping[str, Any]) -> tuple[Optional[Rule], list[str]]:
    """One rule; each problem starts with ".option: " when it belongs to one option."""
    problems: list[str] = []

    def choice(option: str, choices: Sequence[str], default: str) -> str:
        value = str(raw.get(option) or default).lower()
        if value not in choices:
            shown = ", ".join(choice for choice in choices if choice)
            problems.append(f".{option}: {value!r} is not known; use one of {shown}")
            return default
        return value

    def attempt(option: str, function: Any, default: Any) -> Any:
        try:
            return function(raw.get(option))
        except Invalid as error:
            problems.append(f".{option}: {error}")
            return default

    action = choice("action", ACTIONS, ALLOW)
    direction = choice("direction", DIRECTIONS, IN)
    protocol = choice("protocol", PROTOCOLS, ANY)
    log = choice("log", LOGS, "")
    ports = attempt("port", read_ports, ())
    source_ports = attempt("from_port", read_ports, ())
    source, source_family = attempt("from", read_address, (ANY, BOTH))
    destination, destination_family = attempt("to", read_address, (ANY, BOTH))
    interface = attempt("interface", read_interface, "")
    interface_out = attempt("interface_out", read_interface, "")
    comment = attempt("comment", read_comment, "")

    if BOTH not in (source_family, destination_family) and source_family != destination_family:
        problems.append(".to: is of another IP version than from; use two addresses of one version")
    family = source_family if source_family != BOTH else destination_family
    if interface_out and direction != ROUTE:
        problems.append(".interface_out: belongs to rules with direction route; use interface")
    if direction == OUT:
        interface, interface_out = "", interface
    several = any(len(found) > 1 or ":" in "".join(found) for found in (ports, source_ports))
    if protocol in PORTLESS_PROTOCOLS and (ports or source_ports):
        problems.append(f".port: protocol {protocol} has no ports; remove port and from_port")
    elif several and protocol == ANY:
        problems.append(".protocol: several ports or a range need tcp or udp; set protocol")
    if protocol in IPV4_ONLY_PROTOCOLS:
        if family == V6:
            problems.append(f".protocol: {protocol} exists for IPv4 only; use IPv4 addresses")
        family = V4
    everything = not (ports or source_ports or interface or interface_out) and source == destination == protocol == ANY
    if everything and not problems:
        problems.append("matches all traffic; give a port, an address, an interface or a protocol, or set the default")
    if problems:
        return None, problems
    return (
        Rule(
            action=action,
            direction=direction,
            protocol=protocol,
            source=source,
            source_ports=source_ports,
            destination=destination,
            ports=ports,
            interface_in=interface,
            interface_out=interface_out,
            log=log,
            comment=comment,
            family=family,
        ),
        [],
    )


def read_ports(value: Any) -> tuple[str, ...]:
    """A port, a range "6000:6007", a comma separated text or a list of them, sorted as ufw sorts."""
    if value is None or value == "" or value == []:
        return ()
    items: Iterable[Any] = value if isinstance(value, (list, tuple)) else [value]
    words = [word.strip() for item in items for word in str(item).split(",")]
    if words == [ANY]:
        return ()
    for word in words:
        found = _PORT.match(word.replace("-", ":"))
        if not found:
            raise Invalid(f"{word!r} is not a port; use a number, a range such as 6000:6007, or a list of them")
        numbers = [int(number) for number in found.groups() if number is not None]
        for number in numbers:
            if not 1 <= number <= 65535:
                raise Invalid(f"port {number} does not exist; use 1 to 65535")
        if len(numbers) == 2 and numbers[0] >= numbers[1]:
            raise Invalid(f"range {word} is empty or backwards; write the lower port first")
    words = [word.replace("-", ":") for word in words]
    if len(words) + sum(":" in word for word in words) > MULTIPORT_LIMIT:
        raise Invalid(f"has more than {MULTIPORT_LIMIT} ports (a range counts twice); split the rule")
    unique = sorted({_plain_port(word) for word in words}, key=lambda word: [int(part) for part in word.split(":")])
    return tuple(unique)


def _plain_port(word: str) -> str:
    return ":".join(str(int(part)) for part in word.split(":"))


def read_address(value: Any) -> tuple[str, str]:
    """A normalized address or network and its family."""
    text = str(value or ANY).strip().lower()
    if text == ANY:
        return ANY, BOTH
    try:
        network: Union[ipaddress.IPv4Network, ipaddress.IPv6Network] = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Invalid(
            f"{text!r} is not an address; use an IP address, a network such as 192.0.2.0/24, or any"
        ) from None
    family = V4 if network.version == 4 else V6
    if network.prefixlen == 0:
        return ANY, family
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address), family
    return str(network), family


def read_interface(value: Any) -> str:
    text = str(value or "")
    if text and (not INTERFACE.match(text) or text in (".", "..")):
        raise Invalid(f"{text!r} is not an interface name; use its name on the host, up to 15 characters, no alias")
    return text


def read_comment(value: Any) -> str:
    text = str(value or "")
    if "'" in text or "\n" in text:
        raise Invalid("may not hold a quote (') or a line break; ufw could not read it back")
    return text


def read_docker_ports(raw: Sequence[Mapping[str, Any]]) -> tuple[tuple[DockerPort, ...], list[str]]:
    """Published ports that the public interfaces may reach, sorted, and every problem with its path."""
    found: set[DockerPort] = set()
    problems: list[str] = []
    for index, item in enumerate(raw):
        path = f"docker_ports[{index}]"
        protocol = str(item.get("protocol") or TCP).lower()
        if protocol not in (TCP, UDP, "sctp"):
            problems.append(f"{path}.protocol: {protocol!r} is not known; use tcp, udp or sctp")
        try:
            ports = read_ports(item.get("port"))
        except Invalid as error:
            problems.append(f"{path}.port: {error}")
            continue
        if not ports:
            problems.append(f"{path}.port: is missing; give the port on the host")
        try:
            address = _host_address(item.get("host_ip"))
        except Invalid as error:
            problems.append(f"{path}.host_ip: {error}")
            continue
        if address is not None:
            found |= {DockerPort(port, protocol, address) for port in ports}
    return tuple(
        sorted(found, key=lambda one: (int(one.port.split(":")[0]), one.port, one.protocol, one.address))
    ), problems


def read_trusted_sources(raw: Sequence[Any]) -> tuple[tuple[str, ...], list[str]]:
    """Addresses and networks that may reach every published port, each once and in order, and every problem."""
    found: set[str] = set()
    problems: list[str] = []
    for index, item in enumerate(raw):
        path = f"docker_trusted_sources[{index}]"
        try:
            address, _family = read_address(item)
        except Invalid as error:
            problems.append(f"{path}: {error}")
            continue
        if address == ANY:
            problems.append(f"{path}: would open every published port to everyone; name addresses or networks")
        else:
            found.add(address)
    return tuple(sorted(found, key=_order)), problems


def _order(address: str) -> tuple[int, int, int]:
    network = ipaddress.ip_network(address)
    return network.version, int(network.network_address), network.prefixlen


def _host_address(value: Any) -> Optional[str]:
    """The address that a port is published on: "" for all, None for one that nobody outside reaches."""
    try:
        address = ipaddress.ip_address(str(value or "0.0.0.0"))  # noqa: S104 - compared, not bound to
    except ValueError:
        raise Invalid(f"{value!r} is not an address of the host; leave it out for all of them") from None
    if address.is_unspecified:
        return ""
    return None if address.is_loopback else str(address)

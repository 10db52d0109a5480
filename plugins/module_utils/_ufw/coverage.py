# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that can never match, because one rule before them takes all their traffic.

Earlier rules lie in a table by what has to be the same or wider; a later rule looks up the few wider forms of itself,
so that a thousand rules are not compared with each other.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Optional

from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import ANY, BOTH, Rule

# IP version, length of the prefix, the prefix as a number; None is every address.
Network = Optional[tuple[int, int, int]]
Key = tuple[str, str, str, Network, Network, str, str]


@dataclass
class _Bucket:
    """Earlier rules that differ in their ports alone."""

    without_ports: list[int] = field(default_factory=list)
    by_port: dict[int, list[int]] = field(default_factory=dict)
    ranges: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, index: int, rule: Rule) -> None:
        if not rule.ports:
            self.without_ports.append(index)
        for first, last in map(_bounds, rule.ports):
            if first == last:
                self.by_port.setdefault(first, []).append(index)
            else:
                self.ranges.append((first, last, index))

    def candidates(self, rule: Rule) -> Iterator[int]:
        yield from self.without_ports
        if rule.ports:
            first, last = _bounds(rule.ports[0])
            if first == last:
                yield from self.by_port.get(first, ())
            for low, high, index in self.ranges:
                if low <= first and last <= high:
                    yield index


def covering(rules: Sequence[Rule]) -> dict[int, int]:
    """For each rule that can never match, the first rule that covers it."""
    lengths: dict[int, set[int]] = {4: set(), 6: set()}
    patterns: set[str] = set()
    table: dict[Key, _Bucket] = {}
    found: dict[int, int] = {}
    for index, rule in enumerate(rules):
        earlier = [
            candidate
            for key in _wider(rule, lengths, patterns)
            if key in table
            for candidate in table[key].candidates(rule)
            if _ports_within(rule.ports, rules[candidate].ports)
            and _ports_within(rule.source_ports, rules[candidate].source_ports)
        ]
        if earlier:
            found[index] = min(earlier)
        source, destination = _network(rule.source), _network(rule.destination)
        for network in (source, destination):
            if network is not None:
                lengths[network[0]].add(network[1])
        patterns.update(name for name in (rule.interface_in, rule.interface_out) if name.endswith("+"))
        own = (rule.direction, rule.family, rule.protocol, source, destination, rule.interface_in, rule.interface_out)
        table.setdefault(own, _Bucket()).add(index, rule)
    return found


def _wider(rule: Rule, lengths: dict[int, set[int]], patterns: set[str]) -> Iterator[Key]:
    """The rule itself, but for its ports, and everything wider that an earlier rule may say."""
    families = dict.fromkeys((rule.family, BOTH))
    protocols = dict.fromkeys((rule.protocol, ANY))
    sources = _networks_around(_network(rule.source), lengths)
    destinations = _networks_around(_network(rule.destination), lengths)
    ins, outs = _interfaces_around(rule.interface_in, patterns), _interfaces_around(rule.interface_out, patterns)
    for family, protocol, source, destination, name_in, name_out in product(
        families, protocols, sources, destinations, ins, outs
    ):
        yield (rule.direction, family, protocol, source, destination, name_in, name_out)


@lru_cache(maxsize=4096)
def _network(text: str) -> Network:
    if text == ANY:
        return None
    network = ipaddress.ip_network(text)
    return (
        network.version,
        network.prefixlen,
        int(network.network_address) >> (network.max_prefixlen - network.prefixlen),
    )


def _networks_around(network: Network, lengths: dict[int, set[int]]) -> list[Network]:
    if network is None:
        return [None]
    version, length, prefix = network
    return [
        None,
        *((version, shorter, prefix >> (length - shorter)) for shorter in lengths[version] if shorter <= length),
    ]


def _interfaces_around(name: str, patterns: set[str]) -> list[str]:
    if not name:
        return [""]
    plain = name[:-1] if name.endswith("+") else name
    return ["", *dict.fromkeys([name, *(pattern for pattern in patterns if plain.startswith(pattern[:-1]))])]


def _ports_within(ports: Sequence[str], wider: Sequence[str]) -> bool:
    if not wider:
        return True
    around = [_bounds(text) for text in wider]
    return bool(ports) and all(
        any(low <= first and last <= high for low, high in around) for first, last in map(_bounds, ports)
    )


@lru_cache(maxsize=4096)
def _bounds(text: str) -> tuple[int, int]:
    first, _colon, last = text.partition(":")
    return int(first), int(last or first)

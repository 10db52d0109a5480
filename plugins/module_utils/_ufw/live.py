# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter table as iptables-save prints it, and where it differs from what the files ask for."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import ALLOW, V4, Policy
from ansible_collections.slipway.ops.plugins.module_utils._ufw.rules_file import prefix

# Printed by iptables-save although nobody wrote them, or as a number where /etc/protocols is missing.
_IMPLIED = {
    ("--name", "DEFAULT"),
    ("--rsource",),
    ("--mask", "255.255.255.255"),
    ("--mask", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("--reject-with", "icmp-port-unreachable"),
    ("--reject-with", "icmp6-port-unreachable"),
}
_NUMBERS = {"2": "igmp", "41": "ipv6", "47": "gre", "50": "esp", "51": "ah", "112": "vrrp"}

Canonical = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Table:
    """A filter table: the policies of the built-in chains and the rules of each chain, canonical."""

    policies: Mapping[str, str] = field(default_factory=dict)
    chains: Mapping[str, Sequence[Canonical]] = field(default_factory=dict)

    def jumps(self, chain: str, target: str) -> bool:
        return (("-j", target),) in self.chains.get(chain, ())


def parse(text: str) -> Table:
    policies: dict[str, str] = {}
    chains: dict[str, list[Canonical]] = {}
    for line in text.splitlines():
        if line.startswith(":"):
            name, default = line[1:].split()[:2]
            chains.setdefault(name, [])
            if default != "-":
                policies[name] = default
        elif line.startswith("-A "):
            chains.setdefault(line.split()[1], []).append(canonical(line))
    return Table(policies, chains)


def canonical(line: str) -> Canonical:
    """One rule as sorted options, the same for what was written and for what the kernel gives back."""
    # shlex is slow, and few lines hold a quoted text.
    words = (shlex.split(line) if '"' in line else line.split())[2:]
    options: list[list[str]] = []
    negated = False
    for word in words:
        if word == "!":
            negated = True
        elif word.startswith("-") and len(word) > 1:
            options.append(["!" + word if negated else word])
            negated = False
        else:
            options[-1].append(word)
    found: list[tuple[str, ...]] = []
    for option in options:
        name = option[0].lstrip("!")
        if name == "-m" or tuple(option) in _IMPLIED:
            continue
        if name in ("-s", "-d", "--ctorigdst"):
            option[1] = str(ipaddress.ip_network(option[1], strict=False))
        if name == "-p":
            option[1] = _NUMBERS.get(option[1], option[1])
        found.append(tuple(option))
    return tuple(sorted(found))


def expected_chains(lines: Iterable[str], names: Iterable[str]) -> dict[str, list[Canonical]]:
    """The chains that these lines of a rules file make."""
    chains: dict[str, list[Canonical]] = {name: [] for name in names}
    for line in lines:
        words = line.split(maxsplit=2)
        if len(words) > 1 and words[0] == "-A" and words[1] in chains:
            chains[words[1]].append(canonical(line))
    return chains


def user_chains(family: str) -> list[str]:
    return [f"{prefix(family)}-user-{suffix}" for suffix in ("input", "output", "forward")]


def is_loaded(table: Table, family: str) -> bool:
    """Whether packets meet ufw's rules at all."""
    start = prefix(family)
    return all(
        table.jumps(chain, f"{start}-before-{suffix}")
        and table.jumps(f"{start}-before-{suffix}", f"{start}-user-{suffix}")
        for chain, suffix in (("INPUT", "input"), ("OUTPUT", "output"), ("FORWARD", "forward"))
    )


def wrong_rules(table: Table, family: str, rules_text: str) -> list[str]:
    """User chains whose live rules are not those of the file, one line each."""
    wrong: list[str] = []
    for name, expected in expected_chains(rules_text.splitlines(), user_chains(family)).items():
        found = list(table.chains.get(name, ()))
        if found != expected:
            told = f"{len(expected)} expected, {len(found)} found" if len(found) != len(expected) else "other rules"
            wrong.append(f"live chain {name} differs from its file ({told})")
    return wrong


def wrong_policies(table: Table, family: str, policy: Policy) -> list[str]:
    """Built-in chains whose live policy is not the declared one."""
    wrong: list[str] = []
    for chain, declared in (("INPUT", policy.incoming), ("OUTPUT", policy.outgoing), ("FORWARD", policy.routed)):
        wanted = "ACCEPT" if declared == ALLOW else "DROP"
        found = table.policies.get(chain, "ACCEPT")
        # Docker itself sets FORWARD to DROP when it turns on forwarding.
        if found != wanted and not (chain == "FORWARD" and wanted == "ACCEPT"):
            wrong.append(f"live policy of {chain} (IPv{'4' if family == V4 else '6'}) is {found}, not {wanted}")
    return wrong

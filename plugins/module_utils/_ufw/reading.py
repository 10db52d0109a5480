# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole list of rules: what is wrong with one of them, and with one behind another, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._ufw.coverage import covering
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import INTERFACE, V6, Rule, read_rule


def read_rules(raw: Sequence[Mapping[str, Any]], ipv6: bool = True) -> tuple[list[Rule], list[str]]:
    """Rules from plain mappings, and every problem with its path."""
    rules: list[Rule] = []
    numbers: list[int] = []
    problems: list[str] = []
    seen: dict[Rule, int] = {}
    for index, item in enumerate(raw):
        rule, found = read_rule(item)
        if rule is not None and rule.family == V6 and not ipv6:
            found.append("uses an IPv6 address while ipv6 is false; set ipv6 to true or remove the rule")
        if rule is not None and not found:
            first = seen.setdefault(rule.matches(), index)
            if first != index:
                found.append(
                    f"matches the same traffic as rules[{first}] ({_command_of(raw, first)}), so ufw keeps only one of"
                    " them; remove one"
                )
            else:
                rules.append(rule)
                numbers.append(index)
        problems += [f"rules[{index}]{'' if line.startswith('.') else ': '}{line}" for line in found]
    for later, earlier in covering(rules).items():
        same = rules[later].action == rules[earlier].action
        problems.append(
            f"rules[{numbers[later]}]: {rules[later].command()} is {'covered' if same else 'shadowed'} by"
            f" rules[{numbers[earlier]}] ({rules[earlier].command()}) and can never match;"
            f" {'remove it' if same else 'put it before that one or remove it'}"
        )
    return rules, problems


def _command_of(raw: Sequence[Mapping[str, Any]], index: int) -> str:
    rule, _problems = read_rule(raw[index])
    return rule.command() if rule else str(raw[index])


def unknown_interfaces(
    raw: Sequence[Mapping[str, Any]], docker_interfaces: Sequence[str], present: Iterable[str]
) -> list[str]:
    """Interfaces that the host does not have, with their paths. A name that ends in + stands for those to come."""
    known = set(present)
    named = [
        (f"rules[{index}].{option}", item.get(option))
        for index, item in enumerate(raw)
        for option in ("interface", "interface_out")
    ]
    named += [(f"docker_interfaces[{index}]", name) for index, name in enumerate(docker_interfaces)]
    found: list[str] = []
    for path, name in named:
        if name and name not in known and not str(name).endswith("+") and INTERFACE.match(str(name)):
            shown = ", ".join(sorted(known))
            found.append(
                f"{path}: interface {name} does not exist on this host (it has {shown}); correct it, or write {name}+"
                " if it comes later"
            )
    return found

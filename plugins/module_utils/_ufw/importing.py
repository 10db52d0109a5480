# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firewall of a host in the words of a policy, and each line that these words cannot say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, rules_file, settings
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import (
    ANY,
    BOTH,
    IN,
    IPV4_ONLY_PROTOCOLS,
    OUT,
    ROUTE,
    V4,
    V6,
    Rule,
    read_rule,
)
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import RULES, Observed
from ansible_collections.slipway.ops.plugins.module_utils._ufw.reading import read_rules
from ansible_collections.slipway.ops.plugins.module_utils._ufw.rules_file import TUPLE

_POLICIES = {"incoming": "INPUT", "outgoing": "OUTPUT", "routed": "FORWARD"}


@dataclass
class Found:
    """A policy as options of ufw_policy; what is not in it; what would be refused about it."""

    policy: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Placed:
    """A rule of one file and where it stands there; no rule when it cannot be read."""

    rule: Optional[Rule]
    place: str
    text: str


def read(seen: Observed, package_files: Mapping[str, tuple[str, str]]) -> Found:
    """`package_files` are ufw's own rules files that may be edited: path, (text, as the package brings it)."""
    found = Found()
    now = seen.settings
    found.policy["state"] = "present" if seen.active else "absent"
    for word, chain in _POLICIES.items():
        found.policy[f"default_{word}"] = settings.default_word(now[f"DEFAULT_{chain}_POLICY"])
    found.policy["logging"] = now["LOGLEVEL"].lower()
    found.policy["ipv6"] = seen.ipv6
    v4, v6 = _placed(seen, V4), _placed(seen, V6)
    if not seen.ipv6:
        found.left_out += [f"{item.place}: {item.text}: is not in effect while IPV6=no" for item in v6]
        v6 = []
    found.policy["rules"] = []
    for item in _joined(v4, v6, seen.ipv6):
        raw = _words(item, found.left_out)
        if raw is not None:
            found.policy["rules"].append(raw)
    _docker(seen, found.policy)
    for path, (text, original) in package_files.items():
        found.left_out += _edited(path, text, original)
    found.left_out += list(_loaded_by_hand(seen))
    _rules, found.problems = read_rules(found.policy["rules"], seen.ipv6)
    return found


def _placed(seen: Observed, family: str) -> list[_Placed]:
    text = seen.text(RULES[family])
    numbers = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith(TUPLE)]
    entries = rules_file.parse(text, family)
    return [
        _Placed(entry.rule, f"{RULES[family]}:{number}", entry.text.splitlines()[0])
        for number, entry in zip(numbers, entries)
    ]


def _joined(v4: Sequence[_Placed], v6: Sequence[_Placed], ipv6: bool) -> Iterator[_Placed]:
    """Both files as one list in which the order of each is kept; a rule of both stands once."""
    next_v6 = 0
    for item in v4:
        if item.rule is None:
            yield item
            continue
        if not ipv6:
            either = item.rule.source == item.rule.destination == ANY and item.rule.protocol not in IPV4_ONLY_PROTOCOLS
            yield replace(item, rule=rules_file.in_family(item.rule, BOTH)) if either else item
            continue
        twin = rules_file.in_family(item.rule, V6)
        places = [number for number in range(next_v6, len(v6)) if v6[number].rule == twin]
        if not places:
            yield item
            continue
        yield from v6[next_v6 : places[0]]
        next_v6 = places[0] + 1
        yield replace(item, rule=rules_file.in_family(item.rule, BOTH))
    yield from v6[next_v6:]


def _words(item: _Placed, left_out: list[str]) -> Optional[dict[str, Any]]:
    """A rule as an item of `rules`, checked by reading it back."""
    if item.rule is None:
        left_out.append(f"{item.place}: {item.text}: is no rule that can be read")
        return None
    plain = item.rule
    if any(plain.applications):
        names = " and ".join(name for name in plain.applications if name)
        left_out.append(f"{item.place}: {item.text}: its ports are taken, not the application profile {names}")
        plain = replace(plain, applications=("", ""))
    raw = raw_rule(plain)
    again, problems = read_rule(raw)
    if problems:
        left_out.append(f"{item.place}: {item.text}: {'; '.join(line.lstrip('.') for line in problems)}")
        return None
    if again != plain:
        left_out.append(f"{item.place}: {item.text}: would become `{again.command() if again else ''}`")
        return None
    return raw


def raw_rule(rule: Rule) -> dict[str, Any]:
    """The mapping that read_rule makes this rule of; what is as by default is left out."""
    raw: dict[str, Any] = {"action": rule.action}
    if rule.direction != IN:
        raw["direction"] = rule.direction
    if rule.protocol != ANY:
        raw["protocol"] = rule.protocol
    for option, ports in (("port", rule.ports), ("from_port", rule.source_ports)):
        if ports:
            raw[option] = [int(port) if port.isdigit() else port for port in ports]
    source = rule.source
    if source == rule.destination == ANY and rule.family != BOTH and rule.protocol not in IPV4_ONLY_PROTOCOLS:
        source = "0.0.0.0/0" if rule.family == V4 else "::/0"
    if source != ANY:
        raw["from"] = source
    if rule.destination != ANY:
        raw["to"] = rule.destination
    names = {"interface": rule.interface_out if rule.direction == OUT else rule.interface_in}
    if rule.direction == ROUTE:
        names["interface_out"] = rule.interface_out
    raw.update({option: name for option, name in names.items() if name})
    raw.update({option: text for option, text in (("log", rule.log), ("comment", rule.comment)) if text})
    return raw


def _docker(seen: Observed, policy: dict[str, Any]) -> None:
    texts = [seen.files.get(path) for path in docker.FILES.values()]
    if all(text is None for text in texts):
        return
    ports, interfaces, trusted = docker.declared("\n".join(text or "" for text in texts))
    policy["docker_ports"], policy["docker_interfaces"] = ports, interfaces
    policy["docker_trusted_sources"] = trusted


def _edited(path: str, text: str, original: str) -> list[str]:
    """Lines of a file of ufw itself that its package did not bring, and lines of the package that are gone."""
    known = Counter(line.strip() for line in original.splitlines())
    found: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        plain = line.strip()
        if known[plain] > 0:
            known[plain] -= 1
        elif plain and not plain.startswith("#"):
            found.append(f"{path}:{number}: {plain}: is in a file of ufw itself, which stays as it is")
    gone = [line for line in known.elements() if line and not line.startswith("#")]
    return found + [f"{path}: {line}: the package has this line, the file does not" for line in gone]


def _loaded_by_hand(seen: Observed) -> Iterator[str]:
    for family, text in seen.saved.items():
        for number, line in enumerate(text.splitlines(), 1):
            if line.startswith(("-A INPUT ", "-A OUTPUT ")) and "-j ufw" not in line:
                tool = "iptables-save" if family == V4 else "ip6tables-save"
                yield f"{tool} -t filter:{number}: {line}: is loaded but no rule of ufw; a reboot takes it away"

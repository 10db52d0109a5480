# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""user.rules and user6.rules, exactly as ufw writes them: its commands go on working on what we wrote."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Optional

from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import (
    ALLOW,
    ANY,
    BOTH,
    IN,
    LEVELS,
    LIMIT,
    OUT,
    REJECT,
    ROUTE,
    TCP,
    UDP,
    V4,
    V6,
    Policy,
    Rule,
)

TUPLE = "### tuple ### "
_ANYWHERE = {V4: "0.0.0.0/0", V6: "::/0"}
_SUFFIX = {IN: "input", OUT: "output", ROUTE: "forward"}
_TARGET = {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT", "limit": "LIMIT"}
_LOGGED_AS = {"allow": "ALLOW", "limit": "LIMIT"}
_RATE = "-m limit --limit 3/min --limit-burst 10"
_NEW = "-m conntrack --ctstate NEW"


@dataclass(frozen=True)
class Entry:
    """One rule of a file: its text, and its value when it is one that we understand."""

    text: str
    rule: Optional[Rule]


def prefix(family: str) -> str:
    return "ufw" if family == V4 else "ufw6"


def render(policy: Policy, family: str, entries: Sequence[Entry]) -> str:
    """A complete rules file."""
    start = prefix(family)
    chains = [f"user-{suffix}" for suffix in ("input", "output", "forward")]
    chains += [f"{place}-logging-{suffix}" for place in ("before", "user", "after") for suffix in _SUFFIX_ORDER]
    chains += ["logging-deny", "logging-allow", "user-limit", "user-limit-accept"]
    lines = ["*filter", *(f":{start}-{chain} - [0:0]" for chain in chains), "### RULES ###"]
    for entry in entries:
        lines += ["", entry.text]
    lines += ["", "### END RULES ###", "", "### LOGGING ###", *logging_lines(policy, family), "### END LOGGING ###"]
    lines += ["", "### RATE LIMITING ###"]
    if policy.logging != "off":
        lines.append(f'-A {start}-user-limit -m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "')
    lines += [f"-A {start}-user-limit -j REJECT", f"-A {start}-user-limit-accept -j ACCEPT"]
    lines += ["### END RATE LIMITING ###", "COMMIT", ""]
    return "\n".join(lines)


_SUFFIX_ORDER = ("input", "output", "forward")


def entry(rule: Rule, family: str) -> Entry:
    """A rule as it stands in the file of one family."""
    return Entry("\n".join([TUPLE + tuple_text(rule, family), *iptables_lines(rule, family)]), in_family(rule, family))


def in_family(rule: Rule, family: str) -> Rule:
    return Rule(**{**rule.__dict__, "family": family})


def tuple_text(rule: Rule, family: str) -> str:
    action = ("route:" if rule.direction == ROUTE else "") + rule.action + (f"_{rule.log}" if rule.log else "")
    anywhere = _ANYWHERE[family]
    if rule.interface_in and rule.interface_out:
        interfaces = f"in_{rule.interface_in}!out_{rule.interface_out}"
    elif rule.interface_in:
        interfaces = f"in_{rule.interface_in}"
    elif rule.interface_out:
        interfaces = f"out_{rule.interface_out}"
    else:
        interfaces = IN if rule.direction == ROUTE else rule.direction
    words = [
        action,
        rule.protocol,
        ",".join(rule.ports) or ANY,
        anywhere if rule.destination == ANY else rule.destination,
        ",".join(rule.source_ports) or ANY,
        anywhere if rule.source == ANY else rule.source,
        interfaces,
    ]
    if rule.comment:
        words.append("comment=" + rule.comment.encode("utf-8", errors="ignore").hex())
    return " ".join(words)


def iptables_lines(rule: Rule, family: str) -> list[str]:
    """The lines of iptables-restore that carry out one rule."""
    start = prefix(family)
    suffix = _SUFFIX[rule.direction]
    chain = f"{start}-user-{suffix}"
    log_chain = f"{start}-user-logging-{suffix}"
    has_ports = bool(rule.ports or rule.source_ports)
    protocols = [TCP, UDP] if rule.protocol == ANY and has_ports else [rule.protocol]
    lines: list[str] = []
    for protocol in protocols:
        match = _match(rule, protocol)
        if rule.log:
            new = f"{_NEW} " if rule.log == "log" else ""
            word = _LOGGED_AS.get(rule.action, "BLOCK")
            lines.append(f'-A {log_chain} {match}{new}{_RATE} -j LOG --log-prefix "[UFW {word}] "')
            lines.append(f"-A {log_chain} {match}-j RETURN")
            lines.append(f"-A {chain} {match}-j {log_chain}")
        if rule.action == LIMIT:
            lines.append(f"-A {chain} {match}{_NEW} -m recent --set")
            update = "-m recent --update --seconds 30 --hitcount 6"
            lines.append(f"-A {chain} {match}{_NEW} {update} -j {start}-user-limit")
            lines.append(f"-A {chain} {match}-j {start}-user-limit-accept")
        else:
            reset = " --reject-with tcp-reset" if rule.action == REJECT and protocol == TCP else ""
            lines.append(f"-A {chain} {match}-j {_TARGET[rule.action]}{reset}")
    return lines


def _match(rule: Rule, protocol: str) -> str:
    words: list[str] = []
    if rule.interface_in:
        words += ["-i", rule.interface_in]
    if rule.interface_out:
        words += ["-o", rule.interface_out]
    if protocol != ANY:
        words += ["-p", protocol]
    ports, source_ports = ",".join(rule.ports), ",".join(rule.source_ports)
    if rule.several_ports:
        if ports:
            words += ["-m", "multiport", "--dports", ports]
        if source_ports:
            words += ["-m", "multiport", "--sports", source_ports]
    if rule.destination != ANY:
        words += ["-d", rule.destination]
    if ports and not rule.several_ports:
        words += ["--dport", ports]
    if rule.source != ANY:
        words += ["-s", rule.source]
    if source_ports and not rule.several_ports:
        words += ["--sport", source_ports]
    return "".join(word + " " for word in words)


def logging_lines(policy: Policy, family: str) -> list[str]:
    """The log level's lines, in ufw's order."""
    start = prefix(family)
    level = LEVELS.index(policy.logging)
    low, medium, high, full = (LEVELS.index(name) for name in ("low", "medium", "high", "full"))
    if level < low:
        return [f"-I {start}-user-logging-{suffix} -j RETURN" for suffix in _SUFFIX_ORDER]
    rate = f" {_RATE}" if level < high else ""
    lines: list[str] = []
    for suffix, default in zip(_SUFFIX_ORDER, (policy.incoming, policy.outgoing, policy.routed)):
        if default != ALLOW:
            lines.append(f'-A {start}-after-logging-{suffix} -j LOG --log-prefix "[UFW BLOCK] "{rate}')
        elif level >= medium:
            lines.append(f'-A {start}-after-logging-{suffix} -j LOG --log-prefix "[UFW ALLOW] "{rate}')
    deny = f"{start}-logging-deny"
    invalid = "-m conntrack --ctstate INVALID"
    if level < medium:
        lines.append(f"-I {deny} {invalid} -j RETURN{rate}")
    else:
        lines.append(f'-A {deny} {invalid} -j LOG --log-prefix "[UFW AUDIT INVALID] "{rate}')
    lines.append(f'-A {deny} -j LOG --log-prefix "[UFW BLOCK] "{rate}')
    lines.append(f'-A {start}-logging-allow -j LOG --log-prefix "[UFW ALLOW] "{rate}')
    if level >= medium:
        audit = f" {_RATE}" if level < full else ""
        if level < high:
            audit = f" {_NEW}{audit}"
        for suffix in _SUFFIX_ORDER:
            lines.append(f'-I {start}-before-logging-{suffix} -j LOG --log-prefix "[UFW AUDIT] "{audit}')
    return lines


@lru_cache(maxsize=8)
def parse(text: str, family: str) -> tuple[Entry, ...]:
    """The rules of a file, in order, whoever wrote them."""
    entries: list[Entry] = []
    block: list[str] = []

    def close() -> None:
        if block:
            entries.append(Entry("\n".join(block), parse_tuple(block[0][len(TUPLE) :], family)))
            block.clear()

    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith(TUPLE):
            close()
            block.append(stripped)
        elif block and stripped.startswith("-A "):
            block.append(stripped)
        elif stripped:
            close()
    close()
    return tuple(entries)


def parse_tuple(text: str, family: str) -> Optional[Rule]:
    """The value behind a tuple line, or None when it says something that we do not understand."""
    head, _word, comment = text.partition(" comment=")
    words = head.split()
    if len(words) not in (7, 9):
        return None
    action, protocol, ports, destination, source_ports, source = words[:6]
    applications = ("", "")
    if len(words) == 9:
        found = ["" if word == "-" else word.replace("%20", " ") for word in words[6:8]]
        applications = (found[0], found[1])
    routed, _colon, action = action.rpartition(":")
    action, _underscore, log = action.partition("_")
    interfaces = re.match(r"^(?:(in|out)|in_([^!]+)!out_(.+)|(in|out)_(.+))$", words[-1])
    if action not in _TARGET or log not in ("", "log", "log-all") or routed not in ("", "route") or not interfaces:
        return None
    plain, both_in, both_out, one, name = interfaces.groups()
    direction = ROUTE if routed else (plain or one or IN)
    try:
        return Rule(
            action=action,
            direction=direction,
            protocol=protocol,
            source=_parse_address(source),
            source_ports=() if source_ports == ANY else tuple(source_ports.split(",")),
            destination=_parse_address(destination),
            ports=() if ports == ANY else tuple(ports.split(",")),
            interface_in=both_in or (name if one == IN else "") or "",
            interface_out=both_out or (name if one == OUT else "") or "",
            log=log,
            comment=bytes.fromhex(comment.strip()).decode("utf-8", errors="replace"),
            family=family,
            applications=applications,
        )
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _parse_address(text: str) -> str:
    network = ipaddress.ip_network(text, strict=False)
    if network.prefixlen == 0:
        return ANY
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def commands(v4: Sequence[Entry], v6: Sequence[Entry], ipv6: bool = True) -> list[str]:
    """What the two files say, as ufw commands: one line for a rule that both hold."""
    sixth = Counter(found.rule for found in v6 if found.rule is not None)
    lines: list[str] = []
    for found in v4:
        if found.rule is None:
            lines.append(found.text.splitlines()[0])
            continue
        twin = in_family(found.rule, V6)
        if not ipv6 and ANY == found.rule.source == found.rule.destination:
            lines.append(in_family(found.rule, BOTH).command())
        elif sixth[twin] > 0:
            sixth[twin] -= 1
            lines.append(in_family(found.rule, BOTH).command())
        else:
            lines.append(found.rule.command())
    # Of several that are equal, the first have their twin.
    left = sixth.copy()
    alone: list[str] = []
    for other in reversed(v6):
        if other.rule is None:
            alone.append(other.text.splitlines()[0])
        elif left[other.rule] > 0:
            left[other.rule] -= 1
            alone.append(other.rule.command())
    return lines + alone[::-1]

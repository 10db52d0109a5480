# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files we write are the files that ufw 0.36.2 wrote on a Debian host for the same rules, byte for byte.

recorded/commands.txt holds the ufw commands that were typed; recorded/user.rules and user6.rules what ufw wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import rules_file
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, Policy, Rule, read_rule

RECORDED = Path(__file__).parent / "recorded"

# The same rules as recorded/commands.txt, in its order.
RULES: list[dict[str, Any]] = [
    {"port": 22},
    {"port": 22, "protocol": "tcp", "comment": "SSH"},
    {"action": "limit", "port": ["2222"], "protocol": "tcp", "comment": "SSH: operators"},
    {"action": "deny", "port": 53, "protocol": "udp"},
    {"action": "reject", "port": 25, "protocol": "tcp"},
    {"action": "reject", "port": 113},
    {"port": "6000:6007", "protocol": "tcp"},
    {"port": "80,443", "protocol": "tcp"},
    {"port": ["443", "80", "8000:8010"], "protocol": "udp"},
    {"from": "192.0.2.7"},
    {"from": "192.0.2.0/24", "port": 5432, "protocol": "tcp"},
    {"action": "deny", "from": "198.51.100.0/24"},
    {"from": "2001:db8::/32", "port": 443, "protocol": "tcp"},
    {"interface": "eth0", "port": 9100, "protocol": "tcp"},
    {"interface": "eth0", "from": "10.0.0.0/8"},
    {"action": "deny", "direction": "out", "port": 25, "protocol": "tcp"},
    {"direction": "out", "interface": "eth0", "to": "203.0.113.9", "port": 53, "protocol": "udp"},
    {"action": "reject", "direction": "out", "to": "203.0.113.0/24"},
    {
        "direction": "route",
        "interface": "eth0",
        "interface_out": "eth1",
        "to": "10.1.0.0/16",
        "port": 80,
        "protocol": "tcp",
    },
    {"action": "deny", "direction": "route", "interface": "eth0"},
    {"direction": "route", "interface": "eth0", "from": "10.9.0.0/24"},
    {"log": "log", "port": 8443, "protocol": "tcp"},
    {"log": "log-all", "port": 8444, "protocol": "tcp"},
    {"action": "limit", "log": "log", "port": 8022, "protocol": "tcp"},
    {"action": "deny", "log": "log", "from": "203.0.113.66"},
    {"action": "reject", "log": "log", "port": 8025},
    {"protocol": "esp", "from": "192.0.2.1"},
    {"protocol": "tcp", "from_port": "1024:65535", "port": 8081},
    {"protocol": "tcp", "from_port": "20,21", "port": "8082,8083"},
    {"protocol": "tcp", "to": "192.0.2.50", "port": 9000, "comment": "é ü \u2013 unicode"},
    {"from": "0.0.0.0/0", "port": 7001, "protocol": "tcp"},
    {"action": "limit", "port": 7002},
    {"action": "deny", "protocol": "udp", "to": "2001:db8::5"},
    {"action": "reject", "protocol": "udp", "port": 7003},
]


def typed() -> list[Rule]:
    """One by one: some of them cover others, which a policy may not."""
    rules = [read_rule(raw)[0] for raw in RULES]
    return [rule for rule in rules if rule is not None]


def entries(rules: list[Rule], family: str) -> list[rules_file.Entry]:
    return [rules_file.entry(rule, family) for rule in rules if family in rule.families]


def text(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def test_the_table_is_as_long_as_what_was_typed() -> None:
    assert len(RULES) == len(text("commands.txt").splitlines())


@pytest.mark.parametrize(("family", "name"), [(V4, "user.rules"), (V6, "user6.rules")])
def test_renders_what_ufw_writes(family: str, name: str) -> None:
    assert rules_file.render(Policy(), family, entries(typed(), family)) == text(name)


@pytest.mark.parametrize("level", ["off", "low", "medium", "high", "full"])
@pytest.mark.parametrize("defaults", [("deny", "allow", "deny"), ("allow", "deny", "reject")], ids="-".join)
@pytest.mark.parametrize(("family", "name"), [(V4, "user.rules"), (V6, "user6.rules")])
def test_renders_every_log_level_as_ufw_does(
    level: str, defaults: tuple[str, str, str], family: str, name: str
) -> None:
    incoming, outgoing, routed = defaults
    rule, _problems = read_rule({"action": "limit", "port": 22, "protocol": "tcp"})
    assert rule is not None
    policy = Policy(incoming=incoming, outgoing=outgoing, routed=routed, logging=level)
    recorded = text(f"level-{level}-{incoming}-{outgoing}-{routed}.{name}")
    assert rules_file.render(policy, family, entries([rule], family)) == recorded


@pytest.mark.parametrize(("family", "name"), [(V4, "user.rules"), (V6, "user6.rules")])
def test_parses_what_ufw_writes(family: str, name: str) -> None:
    expected = [rules_file.in_family(rule, family) for rule in typed() if family in rule.families]
    assert [found.rule for found in rules_file.parse(text(name), family)] == expected


@pytest.mark.parametrize("rule", typed(), ids=lambda rule: rule.command())
def test_parse_undoes_render(rule: Rule) -> None:
    for family in rule.families:
        rendered = rules_file.render(Policy(), family, [rules_file.entry(rule, family)])
        assert rules_file.parse(rendered, family) == (rules_file.entry(rule, family),)


def test_keeps_a_rule_of_an_application_profile_whole() -> None:
    line = "allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 WWW%20Full - in"
    body = "-A ufw-user-input -p tcp -m multiport --dports 80,443 -j ACCEPT -m comment --comment 'dapp_WWW%20Full'"
    found = rules_file.parse(f"### RULES ###\n\n{rules_file.TUPLE}{line}\n{body}\n\n### END RULES ###\n", V4)
    assert [entry.text for entry in found] == [f"{rules_file.TUPLE}{line}\n{body}"]
    assert found[0].rule is not None
    assert found[0].rule.command() == "allow proto tcp from 0.0.0.0/0 to 0.0.0.0/0 app WWW Full"


@pytest.mark.parametrize(
    "line",
    ["allow tcp 80", "permit tcp 80 0.0.0.0/0 any 0.0.0.0/0 in", "allow tcp 80 nowhere any 0.0.0.0/0 in"],
)
def test_a_line_that_is_not_understood_has_no_value(line: str) -> None:
    assert rules_file.parse_tuple(line, V4) is None


def test_shows_one_command_for_a_rule_of_both_families() -> None:
    rules = typed()
    shown = rules_file.commands(entries(rules, V4), entries(rules, V6))
    assert len(shown) == len(rules)
    assert sorted(shown) == sorted(rule.command() for rule in rules)

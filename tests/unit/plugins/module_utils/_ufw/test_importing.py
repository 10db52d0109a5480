# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is read of a host makes the same host again, and nothing is passed over in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, importing, plan, rules_file
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, DockerPort, Policy, Rule, read_rule

RECORDED = Path(__file__).parent / "recorded"
DEFAULTS = 'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="REJECT"\nDEFAULT_FORWARD_POLICY="ACCEPT"\n'


def host(v4: str = "", v6: str = "", **files: str) -> plan.Observed:
    return plan.Observed(
        True,
        {
            plan.RULES[V4]: v4,
            plan.RULES[V6]: v6,
            plan.DEFAULTS: DEFAULTS,
            plan.CONFIGURATION: "ENABLED=yes\nLOGLEVEL=medium\n",
            **files,
        },
    )


def written(*raw: dict[str, Any], family: str) -> str:
    rules = [read_rule(item)[0] for item in raw]
    entries = [rules_file.entry(rule, family) for rule in rules if rule is not None and family in rule.families]
    return rules_file.render(Policy(), family, entries)


def read(*raw: dict[str, Any]) -> importing.Found:
    return importing.read(host(written(*raw, family=V4), written(*raw, family=V6)), {})


@pytest.mark.parametrize(
    "raw",
    [
        {"action": "limit", "protocol": "tcp", "port": [22], "comment": "SSH: operators"},
        {"action": "allow", "protocol": "udp", "port": [53, "6000:6007"]},
        {"action": "deny", "from": "203.0.113.0/24"},
        {"action": "allow", "protocol": "tcp", "port": [443], "from": "2001:db8::/32"},
        {"action": "allow", "port": [22], "from": "0.0.0.0/0"},
        {"action": "allow", "port": [22], "from": "::/0"},
        {"action": "reject", "direction": "out", "port": [25], "protocol": "tcp", "interface": "eth0"},
        {"action": "allow", "direction": "route", "interface": "eth0", "interface_out": "wg0", "to": "10.0.0.0/8"},
        {"action": "allow", "protocol": "tcp", "from_port": ["1024:65535"], "port": [8081], "log": "log-all"},
        {"action": "allow", "protocol": "igmp", "from": "192.0.2.1"},
        {"action": "allow", "protocol": "igmp"},
    ],
)
def test_a_rule_comes_back_as_it_was_written(raw: dict[str, Any]) -> None:
    found = read(raw)
    assert found.policy["rules"] == [raw]
    assert (found.left_out, found.problems) == ([], [])


def test_the_settings_come_back() -> None:
    policy = importing.read(host(), {}).policy
    assert {name: policy[name] for name in policy if name.startswith("default_")} == {
        "default_incoming": "deny",
        "default_outgoing": "reject",
        "default_routed": "allow",
    }
    assert (policy["logging"], policy["ipv6"], policy["state"], policy["rules"]) == ("medium", True, "absent", [])
    assert "docker_ports" not in policy


def test_both_files_become_one_list_in_which_the_order_of_each_is_kept() -> None:
    a, b = {"action": "allow", "port": [1]}, {"action": "allow", "port": [2]}
    only_v4, only_v6 = {"action": "deny", "from": "192.0.2.1"}, {"action": "deny", "from": "2001:db8::1"}
    assert read(a, only_v4, only_v6, b).policy["rules"] == [a, only_v4, only_v6, b]
    assert read(only_v6, a, b, only_v4).policy["rules"] == [only_v6, a, b, only_v4]


def test_another_order_in_each_file_is_kept_as_rules_of_one_version() -> None:
    a, b = {"action": "allow", "port": [1]}, {"action": "deny", "from_port": [2]}
    found = importing.read(host(written(a, b, family=V4), written(b, a, family=V6)), {}).policy["rules"]
    rules = [rule for rule, _problems in map(read_rule, found) if rule is not None]
    for family, order in ((V4, [a, b]), (V6, [b, a])):
        wanted = [rules_file.in_family(rule, family) for rule, _problems in map(read_rule, order) if rule is not None]
        assert [rules_file.in_family(rule, family) for rule in rules if family in rule.families] == wanted


def test_the_recorded_host_is_taken_over_rule_by_rule() -> None:
    texts = {family: (RECORDED / name).read_text() for family, name in ((V4, "user.rules"), (V6, "user6.rules"))}
    found = importing.read(host(texts[V4], texts[V6]), {})
    rules = [rule for rule, _problems in map(read_rule, found.policy["rules"]) if rule is not None]
    for family, text in texts.items():
        entries = [rules_file.entry(rule, family).text for rule in rules if family in rule.families]
        assert entries == [entry.text for entry in rules_file.parse(text, family)]
    assert found.left_out == []
    assert any("is covered by" in problem for problem in found.problems)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("allow tcp 80 0.0.0.0/0 any 0.0.0.0/0 Nginx%20HTTP - in", "not the application profile Nginx HTTP"),
        ("allow any any 0.0.0.0/0 any 0.0.0.0/0 in", "matches all traffic"),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=6974277320", "comment: may not hold a quote"),
        ("whatever", "is no rule that can be read"),
    ],
)
def test_what_cannot_be_said_is_named_by_line(line: str, reason: str) -> None:
    found = importing.read(host(f"*filter\n### RULES ###\n\n### tuple ### {line}\n-A ufw-user-input -j ACCEPT\n"), {})
    (told,) = found.left_out
    assert told.startswith(f"/etc/ufw/user.rules:4: ### tuple ### {line}: ")
    assert reason in told


def test_rules_that_are_not_in_effect_are_named() -> None:
    rule = {"action": "allow", "port": [22]}
    off = host(written(rule, family=V4), written(rule, family=V6), **{plan.DEFAULTS: DEFAULTS.replace("=yes", "=no")})
    found = importing.read(off, {})
    assert found.policy["rules"] == [rule]
    assert len(found.left_out) == 1
    assert "is not in effect while IPV6=no" in found.left_out[0]


def test_edits_in_files_of_ufw_itself_are_named() -> None:
    original = "*filter\n# a comment\n-A x -j ACCEPT\n-A y -j DROP\nCOMMIT\n"
    edited = "*filter\n-A x -j ACCEPT\n# mine\n-A x -p icmp -j DROP\nCOMMIT\n"
    assert importing.read(host(), {"/etc/ufw/before.rules": (edited, original)}).left_out == [
        "/etc/ufw/before.rules:4: -A x -p icmp -j DROP: is in a file of ufw itself, which stays as it is",
        "/etc/ufw/before.rules: -A y -j DROP: the package has this line, the file does not",
    ]


def test_rules_loaded_by_hand_are_named() -> None:
    saved = ":INPUT DROP [0:0]\n-A INPUT -p tcp -m tcp --dport 8000 -j ACCEPT\n-A INPUT -j ufw-before-input\n"
    seen = plan.Observed(True, host().files, saved={V4: saved})
    (told,) = importing.read(seen, {}).left_out
    assert told.startswith("iptables-save -t filter:2: -A INPUT -p tcp -m tcp --dport 8000 -j ACCEPT: is loaded but")


@pytest.mark.parametrize("other", [None, (), ("eth1", "wg0")])
def test_the_docker_rules_come_back(other: tuple[str, ...] | None) -> None:
    ports = [DockerPort("8080"), DockerPort("53", "udp"), DockerPort("81", address="192.0.2.1")]
    interfaces = docker.Interfaces(["eth0"], other, ["192.0.2.7", "2001:db8::/64"])
    files = {path: docker.render(ports, interfaces, family) for family, path in docker.FILES.items()}
    policy = importing.read(host(**files), {}).policy
    assert policy["docker_interfaces"] == (["eth0"] if other is None else []), "else they were found, not named"
    assert policy["docker_trusted_sources"] == ["192.0.2.7", "2001:db8::/64"]
    assert policy["docker_ports"] == [
        {"port": "8080", "protocol": "tcp"},
        {"port": "53", "protocol": "udp"},
        {"port": "81", "protocol": "tcp", "host_ip": "192.0.2.1"},
    ]


def test_a_rule_without_anything_special_is_short() -> None:
    assert importing.raw_rule(Rule(ports=("22",))) == {"action": "allow", "port": [22]}

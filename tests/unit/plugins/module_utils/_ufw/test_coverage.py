# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that can never match, in every way in which one rule covers another, and rules that only look so."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw.coverage import covering
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import read_rule
from ansible_collections.slipway.ops.plugins.module_utils._ufw.reading import read_rules

TCP = {"protocol": "tcp"}
UDP = {"protocol": "udp"}


def covers(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    rules = []
    for raw in (earlier, later):
        rule, problems = read_rule(raw)
        assert rule is not None, problems
        rules.append(rule)
    return covering(rules) == {1: 0}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"port": 22}, {"port": 22, **TCP}, id="any-protocol-over-tcp"),
        pytest.param({"port": 22}, {"port": 22, "from": "192.0.2.1"}, id="any-source-over-one"),
        pytest.param({"port": 22}, {"port": 22, "from": "2001:db8::1"}, id="any-source-over-one-v6"),
        pytest.param({"port": 22}, {"port": 22, "to": "192.0.2.1"}, id="any-destination-over-one"),
        pytest.param({"port": 22}, {"port": 22, "interface": "eth0"}, id="every-interface-over-one"),
        pytest.param({"port": 22}, {"port": 22, "from_port": 1024}, id="any-source-port-over-one"),
        pytest.param({"port": 22, "interface": "eth+"}, {"port": 22, "interface": "eth0"}, id="pattern-over-name"),
        pytest.param({"port": 22, "interface": "eth+"}, {"port": 22, "interface": "eth1+"}, id="pattern-over-pattern"),
        pytest.param({"from": "10.0.0.0/8"}, {"from": "10.1.0.0/16", "port": 80}, id="network-over-network"),
        pytest.param({"from": "10.0.0.0/8"}, {"from": "10.1.2.3"}, id="network-over-address"),
        pytest.param({"from": "2001:db8::/32"}, {"from": "2001:db8:1::/48", **UDP}, id="network-over-network-v6"),
        pytest.param({"to": "10.0.0.0/8"}, {"to": "10.1.2.3", "from": "192.0.2.0/24"}, id="destination-network"),
        pytest.param({"port": "6000:6010", **TCP}, {"port": "6003", **TCP}, id="range-over-port"),
        pytest.param({"port": "6000:6010", **TCP}, {"port": "6003:6010", **TCP}, id="range-over-range"),
        pytest.param({"port": [80, 443, 8080], **TCP}, {"port": [80, 8080], **TCP}, id="list-over-list"),
        pytest.param({"port": [80, "8000:8010"], **TCP}, {"port": [80, 8005], **TCP}, id="mixed-over-mixed"),
        pytest.param({"from_port": "1000:2000", **TCP}, {"from_port": 1500, "port": 80, **TCP}, id="source-ports"),
        pytest.param(TCP, {"port": 22, **TCP}, id="protocol-over-port"),
        pytest.param({"from": "10.0.0.0/8"}, {"from": "10.0.0.1", "protocol": "esp"}, id="network-over-esp"),
        pytest.param({"direction": "out", "port": 25}, {"direction": "out", "port": 25, **TCP}, id="outgoing"),
        pytest.param({"direction": "route", "interface": "eth0"},
                     {"direction": "route", "interface": "eth0", "interface_out": "wg0", "port": 80}, id="routed"),
        pytest.param({"from": "0.0.0.0/0", "port": 22}, {"from": "192.0.2.1", "port": 22}, id="all-of-v4"),
        pytest.param({"port": 22, "action": "deny"}, {"port": 22, **TCP, "action": "allow"}, id="other-action"),
        pytest.param({"port": 22, "action": "limit"}, {"port": 22, "from": "192.0.2.1"}, id="limit-decides-too"),
        pytest.param({"port": 22, "log": "log"}, {"port": 22, **TCP}, id="a-rule-that-logs"),
    ],
)  # fmt: skip
def test_covers(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert covers(first, second)
    assert not covers(second, first), "the narrower one first is an exception, not a mistake"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"port": 22, **TCP}, {"port": 22, **UDP}, id="protocols"),
        pytest.param({"port": 22, **TCP}, {"port": 22}, id="tcp-and-both"),
        pytest.param({"port": 22}, {"port": 23}, id="ports"),
        pytest.param({"port": [80, 443], **TCP}, {"port": [80, 8080], **TCP}, id="lists-that-overlap"),
        pytest.param({"port": "6000:6010", **TCP}, {"port": "6005:6015", **TCP}, id="ranges-that-overlap"),
        pytest.param({"from": "10.0.0.0/8"}, {"from": "192.168.0.0/16"}, id="networks"),
        pytest.param({"from": "10.1.0.0/16"}, {"from": "10.0.0.0/8"}, id="narrow-then-wide"),
        pytest.param({"from": "0.0.0.0/0", "port": 22}, {"port": 22}, id="v4-and-both"),
        pytest.param({"from": "0.0.0.0/0", "port": 22}, {"from": "::/0", "port": 22}, id="v4-and-v6"),
        pytest.param({"from": "10.0.0.0/8"}, {"to": "10.0.0.1"}, id="from-and-to"),
        pytest.param({"port": 22, "interface": "eth0"}, {"port": 22, "interface": "eth1"}, id="interfaces"),
        pytest.param({"port": 22, "interface": "eth0"}, {"port": 22}, id="one-interface-and-all"),
        pytest.param({"port": 22, "interface": "eth0+"}, {"port": 22, "interface": "eth1"}, id="pattern-of-others"),
        pytest.param({"port": 22}, {"direction": "out", "port": 22}, id="directions"),
        pytest.param({"from_port": 1, "port": 22}, {"port": 22}, id="source-port-and-any"),
        pytest.param({"port": 22}, {"protocol": "esp", "from": "10.0.0.1"}, id="ports-and-a-protocol-without"),
    ],
)
def test_does_not_cover(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert not covers(first, second)


def test_the_message_names_both_rules_and_a_remedy() -> None:
    _rules, problems = read_rules(
        [
            {"port": [22]},
            {"port": [80], "from": "10.0.0.0/8"},
            {"port": [22], "protocol": "tcp"},
            {"action": "deny", "port": [80], "from": "10.1.0.0/16"},
            {"port": [70000]},
        ]
    )
    assert problems == [
        "rules[4].port: port 70000 does not exist; use 1 to 65535",
        "rules[2]: allow 22/tcp is covered by rules[0] (allow 22) and can never match; remove it",
        "rules[3]: deny from 10.1.0.0/16 to 0.0.0.0/0 port 80 is shadowed by rules[1]"
        " (allow from 10.0.0.0/8 to 0.0.0.0/0 port 80) and can never match; put it before that one or remove it",
    ]


def test_a_rule_twice_is_told_once() -> None:
    _rules, problems = read_rules([{"port": 22}, {"port": 22, "action": "deny"}])
    assert len(problems) == 1
    assert "matches the same traffic as rules[0]" in problems[0]


def test_a_thousand_rules_are_checked_at_once() -> None:
    raw = [{"port": 1024 + number, "protocol": "tcp", "from": f"10.{number % 200}.0.0/16"} for number in range(400)]
    raw += [{"port": f"{10000 + 2 * n}:{10001 + 2 * n}", "protocol": "tcp"} for n in range(300)]
    raw += [{"from": f"2001:db8:{n:x}::/48", "interface": "eth0"} for n in range(300)]
    rules, problems = read_rules(raw)
    assert problems == []
    began = time.process_time()
    assert covering(rules) == {}
    assert time.process_time() - began < 1

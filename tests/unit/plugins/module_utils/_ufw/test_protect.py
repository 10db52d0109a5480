# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A policy that shuts us out is refused, one that lets us in is not."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import protect
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import Policy
from ansible_collections.slipway.ops.plugins.module_utils._ufw.reading import read_rules

V4 = protect.Connection("203.0.113.7", "192.0.2.1", 22, "eth0")
V6 = protect.Connection("2001:db8::7", "2001:db8::1", 22, "eth0")


def policy(*raw: dict[str, Any], **options: Any) -> Policy:
    rules, problems = read_rules(raw)
    assert problems == []
    return Policy(rules=tuple(rules), **options)


@pytest.mark.parametrize(
    ("rules", "connection"),
    [
        ([{"port": 22}], V4),
        ([{"port": 22, "protocol": "tcp", "action": "limit"}], V6),
        ([{"port": "20:30", "protocol": "tcp"}], V4),
        ([{"port": 22, "from": "203.0.113.0/24"}], V4),
        ([{"port": 22, "to": "192.0.2.1"}], V4),
        ([{"port": 22, "interface": "eth0"}], V4),
        ([{"port": 22, "interface": "eth+"}], V4),
        ([{"from": "203.0.113.7"}], V4),
        ([{"port": 22}, {"action": "deny", "from": "203.0.113.0/24"}], V4),
        ([{"action": "deny", "from": "198.51.100.0/24"}, {"port": 22}], V4),
        ([{"action": "deny", "direction": "out", "port": 22}, {"port": 22}], V4),
        ([{"action": "deny", "port": 22, "protocol": "udp"}, {"port": 22}], V4),
        ([], protect.Connection("127.0.0.1", "127.0.0.1", 22)),
        ([], None),
    ],
)
def test_lets_pass(rules: list[dict[str, Any]], connection: protect.Connection | None) -> None:
    assert protect.problems(policy(*rules), connection, []) == []


@pytest.mark.parametrize(
    ("rules", "connection", "reason"),
    [
        ([], V4, "no rule allows them"),
        ([{"port": 2222}], V4, "no rule allows them"),
        ([{"port": 22, "protocol": "udp"}], V4, "no rule allows them"),
        ([{"port": 22, "from": "198.51.100.0/24"}], V4, "no rule allows them"),
        ([{"port": 22, "from": "203.0.113.0/24"}], V6, "no rule allows them"),
        ([{"port": 22, "interface": "eth1"}], V4, "no rule allows them"),
        ([{"port": 22, "to": "192.0.2.2"}], V4, "no rule allows them"),
        ([{"port": 22, "from_port": "1024:65535", "protocol": "tcp"}], V4, "no rule allows them"),
        ([{"direction": "out", "port": 22}], V4, "no rule allows them"),
        ([{"action": "deny", "from": "203.0.113.0/24"}, {"port": 22}], V4, "rule 'deny from 203.0.113.0/24"),
        ([{"action": "reject", "port": 22, "protocol": "tcp"}], V4, "rule 'reject 22/tcp' denies them"),
    ],
)
def test_refuses(rules: list[dict[str, Any]], connection: protect.Connection, reason: str) -> None:
    problems = protect.problems(policy(*rules), connection, [])
    assert len(problems) == 1
    assert reason in problems[0]
    assert "port: 22" in problems[0]


def test_an_open_default_needs_no_rule() -> None:
    assert protect.problems(policy(incoming="allow"), V4, []) == []


def test_named_ports_stand_for_that_of_the_connection() -> None:
    assert protect.problems(policy({"port": 2222}), V4, [2222]) == []
    assert len(protect.problems(policy({"port": 2222}), V4, [2222, 22])) == 1
    assert len(protect.problems(policy({"port": 22}), None, [2222])) == 1
    assert protect.problems(policy({"port": 2222, "from": "10.0.0.0/8"}), None, [2222]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("203.0.113.7 51234 192.0.2.1 22", protect.Connection("203.0.113.7", "192.0.2.1", 22)),
        ("::ffff:203.0.113.7 1 ::ffff:192.0.2.1 22", protect.Connection("203.0.113.7", "192.0.2.1", 22)),
        ("fe80::1%eth0 1 fe80::2%eth0 22", protect.Connection("fe80::1", "fe80::2", 22)),
        ("", None),
        ("UNKNOWN 65535 UNKNOWN 65535", None),
    ],
)
def test_reads_ssh_connection(text: str, expected: protect.Connection | None) -> None:
    assert protect.read_connection(text) == expected


def test_ipv6_is_not_switched_off_under_who_comes_by_it() -> None:
    only_v4 = policy({"port": 22}, ipv6=False)
    assert protect.problems(only_v4, V4, []) == []
    (said,) = protect.problems(only_v4, V6, [2222])
    assert said.startswith("ipv6: new connections from 2001:db8::7 would be shut out")

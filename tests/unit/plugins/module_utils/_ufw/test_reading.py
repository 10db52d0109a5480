# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw.reading import read_rules, unknown_interfaces


def test_tells_all_problems_with_their_paths() -> None:
    _rules, problems = read_rules([{"port": 22}, {"port": 70000, "from": "nowhere"}, {"port": 22, "action": "deny"}])
    assert [problem.split(" ")[0] for problem in problems] == ["rules[1].port:", "rules[1].from:", "rules[2]:"]
    assert "rules[0] (allow 22)" in problems[2]


def test_an_ipv6_rule_needs_ipv6() -> None:
    assert read_rules([{"from": "2001:db8::1"}], ipv6=False)[1][0].startswith("rules[0]: uses an IPv6 address")


@pytest.mark.parametrize(
    ("rule", "option"),
    [
        ({"interface": "wg0"}, "interface"),
        ({"interface": "eth0", "interface_out": "tun0", "direction": "route"}, "interface_out"),
    ],
)
def test_an_interface_that_the_host_does_not_have(rule: dict[str, Any], option: str) -> None:
    (problem,) = unknown_interfaces([{"port": 22}, rule], [], ["lo", "eth0"])
    assert problem.startswith(f"rules[1].{option}: interface ")
    assert "does not exist on this host (it has eth0, lo); correct it, or write " in problem


def test_interfaces_that_are_there_or_may_come() -> None:
    assert unknown_interfaces([{"interface": "eth0"}, {"interface": "wg0+"}, {}], ["eth0", "ppp+"], ["eth0"]) == []
    (problem,) = unknown_interfaces([], ["eth1"], ["eth0"])
    assert problem.startswith("docker_interfaces[0]: interface eth1 does not exist")

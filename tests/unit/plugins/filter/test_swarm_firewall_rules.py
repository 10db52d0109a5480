# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.swarm_firewall_rules import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import read_rule

swarm_firewall_rules = FilterModule().filters()["swarm_firewall_rules"]


def test_the_firewall_can_read_each_rule() -> None:
    found = swarm_firewall_rules(["192.0.2.11", "2001:db8::1"])
    commands = []
    for raw in found:
        rule, problems = read_rule(raw)
        assert problems == []
        assert rule is not None
        commands.append(rule.command())
    assert commands[:3] == [
        "allow proto tcp from 192.0.2.11 to 0.0.0.0/0 port 2377,7946 comment 'Swarm'",
        "allow proto udp from 192.0.2.11 to 0.0.0.0/0 port 4789,7946 comment 'Swarm'",
        "allow proto esp from 192.0.2.11 to 0.0.0.0/0 comment 'Swarm, encrypted overlay networks'",
    ]


@pytest.mark.parametrize("wrong", ["192.0.2.1", 5, ["host.example"]])
def test_what_is_no_address_is_said(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="swarm_firewall_rules: "):
        swarm_firewall_rules(wrong)

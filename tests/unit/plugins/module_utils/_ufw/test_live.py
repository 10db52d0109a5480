# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What iptables-save printed on the host that wrote recorded/user.rules is what those files ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import live
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, Policy

RECORDED = Path(__file__).parent / "recorded"
FAMILIES = [(V4, "save4", "user.rules"), (V6, "save6", "user6.rules")]


def text(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(("family", "saved", "rules"), FAMILIES)
def test_the_recorded_host_is_as_its_files_say(family: str, saved: str, rules: str) -> None:
    table = live.parse(text(saved))
    assert live.is_loaded(table, family)
    assert live.wrong_rules(table, family, text(rules)) == []
    assert live.wrong_policies(table, family, Policy()) == []


@pytest.mark.parametrize(
    ("drop", "told"),
    [
        ("-A ufw-user-input -p udp -m udp --dport 53 -j DROP\n", "live chain ufw-user-input differs"),
        ("-A ufw-user-forward -i eth0 -j DROP\n", "live chain ufw-user-forward differs"),
    ],
)
def test_sees_a_rule_that_is_gone(drop: str, told: str) -> None:
    saved = text("save4")
    assert drop in saved
    wrong = live.wrong_rules(live.parse(saved.replace(drop, "", 1)), V4, text("user.rules"))
    assert len(wrong) == 1
    assert wrong[0].startswith(told)


def test_sees_rules_in_another_order() -> None:
    lines = text("save4").splitlines()
    first, second = [index for index, line in enumerate(lines) if line.startswith("-A ufw-user-forward")][:2]
    lines[first], lines[second] = lines[second], lines[first]
    wrong = live.wrong_rules(live.parse("\n".join(lines)), V4, text("user.rules"))
    assert wrong == ["live chain ufw-user-forward differs from its file (other rules)"]


def test_sees_that_packets_do_not_meet_the_rules() -> None:
    saved = text("save4").replace("-A INPUT -j ufw-before-input\n", "")
    assert not live.is_loaded(live.parse(saved), V4)
    assert not live.is_loaded(live.parse(""), V4)


def test_sees_another_policy_but_leaves_docker_its_own() -> None:
    saved = text("save4")
    assert live.wrong_policies(live.parse(saved), V4, Policy(outgoing="deny")) == [
        "live policy of OUTPUT (IPv4) is ACCEPT, not DROP"
    ]
    assert live.wrong_policies(live.parse(saved), V4, Policy(routed="allow")) == []


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("-A c -p tcp --dport 22 -s 10.0.0.1 -j ACCEPT", "-A c -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT"),
        ("-A c -j REJECT", "-A c -j REJECT --reject-with icmp-port-unreachable"),
        ("-A c -p gre -j DROP", "-A c -p 47 -j DROP"),
        (
            "-A c -m recent --set",
            "-A c -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource",
        ),
    ],
)
def test_what_is_written_and_what_is_printed_are_one(written: str, printed: str) -> None:
    assert live.canonical(written) == live.canonical(printed)


def test_a_negation_counts() -> None:
    assert live.canonical("-A c ! -i eth0 -j DROP") != live.canonical("-A c -i eth0 -j DROP")

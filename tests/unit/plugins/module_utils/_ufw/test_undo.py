# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an armed change of the firewall would put back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, live, plan, undo
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import Observed, Plan

RECORDED = Path(__file__).parent / "recorded"
SAVED = {V4: (RECORDED / "save4").read_text(), V6: (RECORDED / "save6").read_text()}


def seen(loaded: bool = True, guarded: bool = False, ipv6: str = "yes") -> Observed:
    saved = SAVED if loaded else dict.fromkeys((V4, V6), "*filter\n:INPUT ACCEPT [1:2]\n:FORWARD DROP [0:0]\nCOMMIT\n")
    files = {plan.DEFAULTS: f"IPV6={ipv6}\n", plan.CONFIGURATION: f"ENABLED={'yes' if loaded else 'no'}\n"}
    if guarded:
        files.update(dict.fromkeys(docker.FILES.values(), "old"))
    return Observed(True, files, {family: live.parse(text) for family, text in saved.items()}, saved)


def lines(found: Plan, before: Observed, what: str = undo.UFW) -> list[str]:
    return list(dict(undo.snapshot(found, before, (), "firewall", 60).live).get(what, ()))


def test_loaded_rules_come_back_in_one_load_for_each_version() -> None:
    found = undo.snapshot(Plan(load=plan.RESTORE), seen(), (), "firewall", 60)
    assert dict(found.live)[undo.UFW] == (
        'iptables-restore --wait 10 --noflush < "$state/data/ufw.v4"',
        'ip6tables-restore --wait 10 --noflush < "$state/data/ufw.v6"',
    )
    assert (found.lock, found.limit_seconds) == ("/run/ufw.lock", 60)
    text = dict(found.data)["ufw.v4"]
    table = live.parse(text)
    assert table.chains["ufw-user-input"] == live.parse(SAVED[V4]).chains["ufw-user-input"]
    assert table.policies == live.parse(SAVED[V4]).policies


def test_chains_of_others_are_not_in_it() -> None:
    saved = SAVED[V4].replace("COMMIT", "-A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT")
    saved = saved.replace(":ufw-user-input", ":DOCKER-USER - [0:0]\n:ufw-user-input")
    text = undo.own_rules(saved, True)
    assert "DOCKER" not in text
    assert [line for line in text.splitlines() if line.startswith("-A") and not line.startswith("-A ufw")] == []
    assert text.splitlines()[0] == "*filter"
    assert text.endswith("COMMIT\n")


def test_a_firewall_that_was_off_is_stopped_and_keeps_its_policies() -> None:
    before = seen(loaded=False)
    assert lines(Plan(load=plan.ENABLE), before)[0] == "/lib/ufw/ufw-init force-stop > /dev/null"
    found = dict(undo.snapshot(Plan(load=plan.ENABLE), before, (), "firewall", 60).data)
    assert found["ufw.v4"] == "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\nCOMMIT\n"


def test_a_table_that_nobody_had_used_is_open_again() -> None:
    unused = Observed(True, {}, dict.fromkeys((V4, V6), live.parse("")), {V4: "", V6: ""})
    found = undo.snapshot(Plan(load=plan.ENABLE), unused, (), "firewall", 60)
    for family in (V4, V6):
        assert live.parse(dict(found.data)[f"ufw.{family}"]).policies == dict.fromkeys(
            ("INPUT", "FORWARD", "OUTPUT"), "ACCEPT"
        )


def test_chains_that_were_not_there_go_and_those_of_others_stay(tmp_path: Path) -> None:
    now = SAVED[V4].replace("COMMIT", ":DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT")
    (tmp_path / "now").write_text(now)
    line = lines(Plan(load=plan.ENABLE), seen(loaded=False))[3]
    line = line.replace("iptables-save -t filter", f"cat {tmp_path}/now").replace("iptables-restore --wait 10", "cat")
    left = subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
    table = live.parse(left)
    assert sorted(table.chains) == ["DOCKER-USER", "FORWARD", "INPUT", "OUTPUT"]
    assert table.jumps("FORWARD", "DOCKER-USER")
    assert "\nCOMMIT\n" in left
    stopped = Observed(True, {}, {V4: live.parse(":ufw-before-input - [0:0]\n")}, {V4: ":ufw-before-input - [0:0]\n"})
    assert len(lines(Plan(load=plan.ENABLE), stopped)) == 2, "left by an earlier stop, they stay"


def test_the_table_that_ufw_flushes_comes_back_whole() -> None:
    """Switching IPv6 off takes the chains of others away too."""
    off = Plan({plan.DEFAULTS: "IPV6=no\n"}, plan.RELOAD)
    assert lines(off, seen())[1] == 'ip6tables-restore --wait 10 < "$state/data/ufw.v6"'
    assert dict(undo.snapshot(off, seen(), (), "firewall", 60).data)["ufw.v6"] == SAVED[V6]
    assert "--noflush" in lines(off, seen(ipv6="no"))[1]


def test_a_kernel_without_ipv6_is_left_out() -> None:
    before = seen()
    alone = Observed(True, before.files, {V4: before.table(V4), V6: None}, {V4: SAVED[V4]})
    assert len(lines(Plan(load=plan.RESTORE), alone)) == 1


def test_docker_rules_alone_leave_ufw_as_it_is() -> None:
    found = Plan(dict.fromkeys(docker.FILES.values(), "new"), guard=True)
    assert lines(found, seen()) == []
    assert lines(found, seen(guarded=True), undo.DOCKER) == [f"[ ! -x {docker.PROGRAM} ] || {docker.PROGRAM}"]
    assert undo.touched(found) == ["/etc/slipway", docker.DIRECTORY, *docker.FILES.values()]


@pytest.mark.parametrize("there", [True, False])
def test_a_guard_that_was_not_there_goes_again(there: bool, tmp_path: Path) -> None:
    """The lines, run by a shell with a stand-in that says what it was asked."""
    for tool in undo.TABLES.values():
        program = tmp_path / tool
        program.write_text(
            f'#!/bin/sh\necho "{tool} $*" >> {tmp_path}/asked\n'
            f'case "$*" in *" -L "*) exit {0 if there else 1};; *"-t mangle -D "*) ;;'
            f' *" -D "*) [ ! -e {tmp_path}/gone.{tool} ] || exit 1;'
            f" touch {tmp_path}/gone.{tool};; esac\n"
        )
        program.chmod(0o755)
    for line in lines(Plan(dict.fromkeys(docker.FILES.values(), "new"), guard=True), seen(), undo.DOCKER):
        subprocess.run(["sh", "-c", line], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    asked = (tmp_path / "asked").read_text().splitlines()
    removed = [line for line in asked if " -X " in line]
    options = ("iptables -w 10", "ip6tables -w 10", "ip6tables -w 10 -t mangle")
    assert removed == ([f"{words} -X SLIPWAY-DOCKER" for words in options] if there else [])
    assert not [line for line in asked if "-F DOCKER-USER" in line]


def test_what_ufw_itself_may_write_is_remembered_too() -> None:
    assert undo.touched(Plan({plan.RULES[V4]: "x"}, plan.RESTORE)) == [plan.RULES[V4]]
    assert undo.touched(Plan({plan.RULES[V4]: "x"}, plan.ENABLE)) == list(plan.UFW_FILES)


def test_a_unit_that_was_not_enabled_is_disabled_again() -> None:
    found = undo.snapshot(Plan(enable_unit=True), seen(), (), "firewall", 60)
    assert found.commands == (("systemctl", "disable", "ufw.service"),)

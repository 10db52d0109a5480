# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a host has to what is wanted: files, one load, words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, live, plan, rules_file
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, DockerPort, Policy
from ansible_collections.slipway.ops.plugins.module_utils._ufw.reading import read_rules

RECORDED = Path(__file__).parent / "recorded"
DEFAULTS = (
    'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\nDEFAULT_FORWARD_POLICY="DROP"\n'
    "MANAGE_BUILTINS=no\n"
)
SSH = {"port": 22, "protocol": "tcp"}
WEB = {"port": [80, 443], "protocol": "tcp", "comment": "web"}


def policy(*raw: dict[str, Any], **options: Any) -> Policy:
    rules, problems = read_rules(raw)
    assert problems == []
    return Policy(rules=tuple(rules), **options)


def table(wanted: Policy, family: str) -> live.Table:
    """The live table of a host that has loaded this policy."""
    start = rules_file.prefix(family)
    lines = [":INPUT DROP [0:0]", ":FORWARD DROP [0:0]", ":OUTPUT ACCEPT [0:0]"]
    for chain, suffix in (("INPUT", "input"), ("FORWARD", "forward"), ("OUTPUT", "output")):
        lines += [f"-A {chain} -j {start}-before-{suffix}", f"-A {start}-before-{suffix} -j {start}-user-{suffix}"]
    return live.parse("\n".join(lines) + "\n" + text(wanted, family))


def text(wanted: Policy, family: str) -> str:
    found = [rules_file.entry(rule, family) for rule in wanted.rules if family in rule.families]
    return rules_file.render(wanted, family, found)


def host(
    wanted: Policy, loaded: bool = True, enabled: bool = True, files: dict[str, str] | None = None
) -> plan.Observed:
    return plan.Observed(
        installed=True,
        files={
            plan.RULES[V4]: text(wanted, V4),
            plan.RULES[V6]: text(wanted, V6),
            plan.DEFAULTS: DEFAULTS,
            plan.CONFIGURATION: f"ENABLED={'yes' if enabled else 'no'}\nLOGLEVEL=low\n",
            **(files or {}),
        },
        tables={family: table(wanted, family) if loaded else live.parse("") for family in (V4, V6)},
    )


def test_nothing_to_do() -> None:
    found = plan.plan_present(policy(SSH, WEB), host(policy(SSH, WEB)))
    assert not found.changed
    assert (found.files, found.load) == ({}, plan.NOTHING)


def test_new_rules_are_restored_without_a_reload() -> None:
    found = plan.plan_present(policy(SSH, WEB), host(policy(SSH)))
    assert found.load == plan.RESTORE
    assert set(found.files) == {plan.RULES[V4], plan.RULES[V6]}
    assert found.steps == ["add: ufw allow 80,443/tcp comment 'web'"]


def test_undeclared_rules_are_removed() -> None:
    found = plan.plan_present(policy(SSH), host(policy(SSH, WEB)))
    assert found.steps == ["delete: ufw allow 80,443/tcp comment 'web'"]
    assert "80,443" not in found.files[plan.RULES[V4]]


def test_an_ipv4_rule_changes_the_ipv4_file_alone() -> None:
    found = plan.plan_present(policy(SSH, {"from": "192.0.2.1"}), host(policy(SSH)))
    assert set(found.files) == {plan.RULES[V4]}


def test_another_order_is_a_change() -> None:
    found = plan.plan_present(policy(WEB, SSH), host(policy(SSH, WEB)))
    assert found.steps == ["put the rules into the declared order"]
    assert found.load == plan.RESTORE


@pytest.mark.parametrize(
    ("options", "path", "line"),
    [
        ({"outgoing": "reject"}, plan.DEFAULTS, 'DEFAULT_OUTPUT_POLICY="REJECT"'),
        ({"routed": "allow"}, plan.DEFAULTS, 'DEFAULT_FORWARD_POLICY="ACCEPT"'),
        ({"ipv6": False}, plan.DEFAULTS, "IPV6=no"),
    ],
)
def test_new_defaults_need_a_reload(options: dict[str, Any], path: str, line: str) -> None:
    found = plan.plan_present(policy(SSH, **options), host(policy(SSH)))
    assert found.load == plan.RELOAD
    assert line in found.files[path].splitlines()
    assert "MANAGE_BUILTINS=no" in found.files[path]


def test_a_new_log_level_is_written_and_restored() -> None:
    found = plan.plan_present(policy(SSH, logging="high"), host(policy(SSH)))
    assert found.load == plan.RESTORE
    assert found.files[plan.CONFIGURATION] == "ENABLED=yes\nLOGLEVEL=high\n"
    assert found.steps == ["set: ufw logging high"]


def test_a_fresh_host_is_enabled() -> None:
    found = plan.plan_present(policy(SSH), host(policy(), loaded=False, enabled=False))
    assert found.load == plan.ENABLE
    assert "ENABLED=yes\n" in (found.files[plan.CONFIGURATION] or "")
    assert found.steps == ["set: ufw enable", "add: ufw allow 22/tcp"]


def test_what_is_loaded_in_part_is_loaded_anew() -> None:
    seen = host(policy(SSH), loaded=False)
    part = plan.Observed(True, seen.files, {V4: live.parse(":ufw-user-input - [0:0]\n"), V6: None})
    assert plan.plan_present(policy(SSH), part).load == plan.RELOAD
    stopped = plan.Observed(True, seen.files, {V4: live.parse(":ufw-before-input - [0:0]\n"), V6: None})
    assert plan.plan_present(policy(SSH), stopped).load == plan.ENABLE


def test_loaded_but_not_enabled_is_both_enabled_and_reloaded() -> None:
    found = plan.plan_present(policy(SSH), host(policy(SSH), enabled=False))
    assert found.load == plan.RELOAD
    assert found.files == {plan.CONFIGURATION: "ENABLED=yes\nLOGLEVEL=low\n"}


def test_a_bare_host_is_predicted() -> None:
    found = plan.plan_present(policy(SSH), plan.Observed(), guard=([DockerPort("8080")], docker.Interfaces(["eth0"])))
    assert found.steps == [
        "set: ufw enable",
        "add: ufw allow 22/tcp",
        "add: docker allow 8080/tcp on eth0",
        "add: docker deny everything else on eth0",
    ]


@pytest.mark.parametrize("purge", [True, False])
@pytest.mark.parametrize(
    "options", [{}, {"outgoing": "reject", "logging": "high"}, {"ipv6": False}, {"routed": "allow", "logging": "off"}]
)
def test_without_ufw_the_plan_is_that_with_the_package(options: dict[str, Any], purge: bool) -> None:
    """What check mode says on a bare host is what the real run does behind the installation."""
    wanted = policy(SSH, WEB, {"from": "192.0.2.0/24", "action": "deny"}, **options)
    fresh = plan.Observed(
        installed=True,
        files={
            plan.RULES[V4]: (RECORDED / "fresh.user.rules").read_text(),
            plan.RULES[V6]: (RECORDED / "fresh.user6.rules").read_text(),
            plan.DEFAULTS: (RECORDED / "fresh.default").read_text(),
            plan.CONFIGURATION: (RECORDED / "fresh.ufw.conf").read_text(),
        },
        tables=dict.fromkeys((V4, V6), live.parse(":INPUT ACCEPT [0:0]\n")),
    )
    guard = ([DockerPort("8080")], docker.Interfaces(["eth0"]))
    predicted = plan.plan_present(wanted, plan.Observed(), purge, guard)
    assert predicted.steps == plan.plan_present(wanted, fresh, purge, guard).steps
    assert predicted.load == plan.ENABLE


def test_a_unit_that_does_not_start_at_boot_is_enabled() -> None:
    seen = host(policy(SSH))
    off = plan.Observed(True, seen.files, seen.tables, starts_at_boot=False)
    found = plan.plan_present(policy(SSH), off)
    assert (found.enable_unit, found.load, found.steps) == (True, plan.NOTHING, ["set: systemctl enable ufw.service"])


def test_live_rules_that_differ_from_the_files_are_loaded_again() -> None:
    seen = host(policy(SSH, WEB))
    flushed = plan.Observed(True, seen.files, {V4: table(policy(SSH), V4), V6: seen.table(V6)})
    found = plan.plan_present(policy(SSH, WEB), flushed)
    assert (found.files, found.load) == ({}, plan.RESTORE)
    assert found.steps == [
        "load the rules again: live chain ufw-user-input differs from its file (2 expected, 1 found)"
    ]


def test_lines_that_someone_edited_behind_a_rule_are_written_again() -> None:
    """The file says ### tuple ### allow ..., but what is loaded at the next start is the line below it."""
    edited = text(policy(SSH, WEB), V4).replace(
        "-A ufw-user-input -p tcp --dport 22 -j ACCEPT", "-A ufw-user-input -j ACCEPT"
    )
    found = plan.plan_present(policy(SSH, WEB), host(policy(SSH, WEB), files={plan.RULES[V4]: edited}))
    assert found.files == {plan.RULES[V4]: text(policy(SSH, WEB), V4)}
    assert found.load == plan.RESTORE
    assert found.steps == ["write /etc/ufw/user.rules again: its lines are not those that its rules make"]


def test_rules_added_by_hand_are_shown_as_deleted() -> None:
    """`ufw allow 9000` on the host, then a run of the play."""
    found = plan.plan_present(policy(SSH), host(policy(SSH, {"port": 9000}, {"action": "deny", "from": "203.0.113.9"})))
    assert found.steps == ["delete: ufw allow 9000", "delete: ufw deny from 203.0.113.9 to 0.0.0.0/0"]
    assert not plan.plan_present(policy(SSH), host(policy(SSH, {"port": 9000})), purge=False).changed


def test_a_kernel_without_ipv6_is_left_out() -> None:
    seen = host(policy(SSH))
    assert not plan.plan_present(policy(SSH), plan.Observed(True, seen.files, {V4: seen.table(V4), V6: None})).changed


def test_without_purge_foreign_rules_keep_their_place() -> None:
    before, after = {"action": "deny", "from": "203.0.113.9"}, {"port": 9000}
    seen = host(policy(before, SSH, after))
    assert not plan.plan_present(policy(SSH), seen, purge=False).changed
    found = plan.plan_present(policy(SSH, WEB), seen, purge=False)
    shown = [line for line in found.after if "ufw allow" in line or "ufw deny" in line]
    assert shown == [
        "ufw deny from 203.0.113.9 to 0.0.0.0/0",
        "ufw allow 22/tcp",
        "ufw allow 80,443/tcp comment 'web'",
        "ufw allow 9000",
    ]


def test_a_new_comment_replaces_the_rule() -> None:
    found = plan.plan_present(policy({**SSH, "comment": "SSH"}), host(policy(SSH)), purge=False)
    assert found.steps == ["delete: ufw allow 22/tcp", "add: ufw allow 22/tcp comment 'SSH'"]


def test_absent_disables_and_keeps_the_rules() -> None:
    found = plan.plan_absent(host(policy(SSH)))
    assert (found.load, found.files, found.steps) == (plan.DISABLE, {}, ["disable ufw"])
    assert "ufw allow 22/tcp" in found.after
    assert not plan.plan_absent(host(policy(SSH), loaded=False, enabled=False)).changed
    assert not plan.plan_absent(plan.Observed()).changed


def test_absent_takes_the_guard_away_too() -> None:
    seen = guarded_host(":DOCKER-USER - [0:0]\n-A DOCKER-USER -j SLIPWAY-DOCKER\n" + GUARD_TEXT)
    found = plan.plan_absent(seen)
    assert found.files == dict.fromkeys(docker.FILES.values())
    assert (found.load, found.guard, found.guard_gone) == (plan.DISABLE, True, True)
    assert found.forward_dropped == [V4], "there is no Docker in the other table"
    assert plan.plan_absent(host(policy(SSH))).forward_dropped == []
    assert found.steps == [
        "disable ufw",
        "delete: docker allow 8080/tcp on eth0",
        "delete: docker deny everything else on eth0",
    ]


GUARD = ([DockerPort("8080")], docker.Interfaces(["eth0"]))
GUARD_TEXT = docker.render(*GUARD, V4)
GUARDED = dict.fromkeys(docker.FILES.values(), GUARD_TEXT)


def guarded_host(rules: str) -> plan.Observed:
    seen = host(policy(SSH), files=GUARDED)
    chains = {**seen.tables[V4].chains, **live.parse(rules).chains}  # type: ignore[union-attr]
    tables = {V4: live.Table(seen.tables[V4].policies, chains), V6: seen.tables[V6]}  # type: ignore[union-attr]
    return plan.Observed(True, seen.files, tables)


def test_docker_ports_are_written_for_both_families_and_applied() -> None:
    found = plan.plan_present(policy(SSH), host(policy(SSH)), guard=GUARD)
    assert found.files == GUARDED
    assert (found.load, found.guard) == (plan.NOTHING, True)
    assert found.steps == ["add: docker allow 8080/tcp on eth0", "add: docker deny everything else on eth0"]


def test_docker_rules_that_stand_are_left() -> None:
    assert not plan.plan_present(policy(SSH), host(policy(SSH), files=GUARDED), guard=GUARD).changed
    seen = guarded_host(":DOCKER-USER - [0:0]\n-A DOCKER-USER -j SLIPWAY-DOCKER\n" + GUARD_TEXT)
    assert not plan.plan_present(policy(SSH), seen, guard=GUARD).changed


def test_docker_rules_that_someone_flushed_are_applied_again() -> None:
    found = plan.plan_present(policy(SSH), guarded_host(":DOCKER-USER - [0:0]\n" + GUARD_TEXT), guard=GUARD)
    assert (found.files, found.guard) == ({}, True)
    assert found.steps == ["apply the Docker rules again: DOCKER-USER does not begin with SLIPWAY-DOCKER (IPv4)"]


def test_docker_is_left_alone_unless_asked() -> None:
    assert not plan.plan_present(policy(SSH), guarded_host(":DOCKER-USER - [0:0]\n")).changed


def test_describes_a_recorded_host() -> None:
    files = {
        plan.RULES[V4]: (RECORDED / "user.rules").read_text(),
        plan.RULES[V6]: (RECORDED / "user6.rules").read_text(),
    }
    shown = plan.describe(plan.Observed(True, {**files, plan.DEFAULTS: DEFAULTS}))
    assert shown[0] == "ufw disable"
    assert "ufw limit 2222/tcp comment 'SSH: operators'" in shown


def test_in_check_mode_a_second_policy_builds_on_the_first() -> None:
    guard = ((), docker.Interfaces(("eth0",)))
    bare = plan.Observed()
    first = plan.plan_present(policy(SSH, WEB), bare, guard=guard)
    seen = plan.overlay(bare, plan.after(first, bare))
    assert not plan.plan_present(policy(SSH, WEB), seen, guard=guard).changed
    assert plan.plan_present(policy(WEB), seen, guard=guard).steps == ["delete: ufw allow 22/tcp"]
    assert plan.plan_absent(seen).steps[0] == "disable ufw"

"""All host roles on one bare host: bad input, check mode, the real run, a second run: one story, in order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests.integration.hosts.conftest import Machine, Run

MAX_CALLS = 8
REFUSED = re.compile(r"unit (\S+): not started, a condition in its unit file does not hold on this host")

FINGERPRINT = r"""
kept='-xdev -not -path /home/*/.ansible* -not -path /var/lib/systemd/*'
set -f
find /etc /usr/local /opt /var/lib $kept -type f -exec sha256sum {} + 2>/dev/null | sort -k2
find /etc /usr/local /opt /var/lib /home $kept -printf '%p %m %u %g %l\n' | sort
sysctl -a 2>/dev/null | grep -E '^net\.ipv[46]\.conf\.(all|default)|^net\.core'
systemctl list-unit-files --no-legend | grep -v transient
iptables-save 2>/dev/null; ip6tables-save 2>/dev/null; true
"""


BAD_INPUT = [
    pytest.param(
        "firewall",
        {"site_extra_rules": [{"port": 70000, "protocol": "tcp"}]},
        "rules[3].port: port 70000 does not exist; use 1 to 65535",
        id="a-port-that-does-not-exist",
    ),
    pytest.param(
        "firewall",
        {"site_extra_rules": [{"port": 9100, "protocol": "tcp", "interface": "eth9"}]},
        "rules[3].interface: interface eth9 does not exist on this host (it has eth0, lo)",
        id="an-interface-that-is-not-there",
    ),
    pytest.param(
        "firewall",
        {"site_extra_rules": [{"action": "deny", "port": 443, "protocol": "tcp", "from": "192.0.2.0/24"}]},
        "is shadowed by rules[2] (allow 443/tcp comment 'HTTPS') and can never match",
        id="a-rule-that-another-shadows",
    ),
    pytest.param(
        "firewall",
        {"firewall_rules": [{"port": 443, "protocol": "tcp"}], "firewall_protect_ports": []},
        "to the SSH port 22 would be shut out, no rule allows them; add {action: limit, port: 22, protocol: tcp}",
        id="a-policy-that-drops-this-connection",
    ),
    pytest.param(
        "base",
        {"base_users": [{"name": "deploy", "sudo": "passwordless"}]},
        "users[0].authorized_keys: deploy gets sudo but has no key and no password: nobody could log in; add one",
        id="a-user-without-a-key",
    ),
    pytest.param(
        "ssh",
        {"ssh_allow_users": ["operater"]},
        "ssh_allow_users (operater) leaves out operator, who this play connects as: add it",
        id="an-allow-list-without-the-login",
    ),
]


@pytest.fixture(scope="module")
def bare(machine: Machine) -> set[str]:
    """All that a run could have changed, as it is on the bare host."""
    return set(machine.shell(FINGERPRINT).splitlines())


@pytest.mark.parametrize(("role", "variables", "says"), BAD_INPUT)
def test_bad_input_is_refused(
    machine: Machine, bare: set[str], role: str, variables: dict[str, Any], says: str
) -> None:
    run = machine.play("--tags", role, variables=variables)
    assert run.code != 0, run.output
    assert run.changed == []
    assert says in run.tasks[-1].msg, run.tasks[-1].msg


def test_check_mode_on_the_bare_host_changes_nothing(machine: Machine, bare: set[str]) -> None:
    run = machine.play("--check", "--diff")
    assert run.code == 0, run.output
    assert len(run.changed) >= 6, run.changed
    assert set(machine.shell(FINGERPRINT).splitlines()) ^ bare == set()


def test_the_real_run_changes_exactly_what_check_mode_said(machine: Machine) -> None:
    run = machine.play("--diff")
    assert run.code == 0, run.output
    foreseen, done = machine.history[-2:]
    refused = {unit for task in done.tasks for unit in REFUSED.findall("\n".join(task.warnings))}
    # Whether a unit that a package is yet to bring may start here is for its own conditions to say.
    wanted = [line for line in told(foreseen) if not any(line.endswith(f" unit {unit}: start") for unit in refused)]
    assert list(difflib.unified_diff(wanted, told(done), "check mode", "the real run", lineterm="", n=0)) == []


def told(run: Run) -> list[str]:
    """What changed, or would: task by task, with every line of its plan and of its diff."""
    return [
        f"{task.name}: {line}"
        for task in run.tasks
        if task.changed
        for line in ("changed", *task.plan, *(line for entry in task.diff for line in shown(entry)))
    ]


def shown(entry: Mapping[str, str]) -> list[str]:
    """An entry of a diff as lines; the one for all steps that are no files is the plan again."""
    if entry.get("before_header") == "host" or "prepared" in entry:
        return []
    keys = ("before_header", "before", "after_header", "after")
    return [f"{key}: {line}" for key in keys for line in entry.get(key, "").splitlines()]


def test_a_second_run_changes_nothing_and_asks_little_of_the_host(machine: Machine) -> None:
    run = machine.play("--diff")
    assert run.code == 0, run.output
    assert run.changed == []
    assert len(run.calls) <= MAX_CALLS, "\n".join(run.calls)

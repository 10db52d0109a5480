"""All host roles on one bare host: check mode, the real run, and a second run. The tests tell one story, in order."""

from __future__ import annotations

from tests.integration.hosts.conftest import Machine

MAX_CALLS = 8

FINGERPRINT = r"""
kept='-xdev -not -path /home/*/.ansible* -not -path /var/lib/systemd/*'
set -f
find /etc /usr/local /opt /var/lib $kept -type f -exec sha256sum {} + 2>/dev/null | sort -k2
find /etc /usr/local /opt /var/lib /home $kept -printf '%p %m %u %g %l\n' | sort
sysctl -a 2>/dev/null | grep -E '^net\.ipv[46]\.conf\.(all|default)|^net\.core'
systemctl list-unit-files --no-legend | grep -v transient
iptables-save 2>/dev/null; ip6tables-save 2>/dev/null; true
"""


def test_check_mode_on_the_bare_host_changes_nothing(machine: Machine) -> None:
    before = machine.shell(FINGERPRINT).splitlines()
    run = machine.play("--check", "--diff")
    assert run.code == 0, run.output
    assert len(run.changed) >= 6, run.changed
    assert set(machine.shell(FINGERPRINT).splitlines()) ^ set(before) == set()


def test_the_real_run(machine: Machine) -> None:
    run = machine.play("--diff")
    assert run.code == 0, run.output


def test_a_second_run_changes_nothing_and_asks_little_of_the_host(machine: Machine) -> None:
    run = machine.play("--diff")
    assert run.code == 0, run.output
    assert run.changed == []
    assert len(run.calls) <= MAX_CALLS, "\n".join(run.calls)

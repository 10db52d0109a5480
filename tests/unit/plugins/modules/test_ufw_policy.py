# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._armed import gateway
from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import Snapshot
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import HostError
from ansible_collections.slipway.ops.plugins.module_utils._ufw import converge
from ansible_collections.slipway.ops.plugins.module_utils._ufw.gateway import FirewallError
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import Observed, Plan
from ansible_collections.slipway.ops.plugins.module_utils._ufw.protect import Connection
from ansible_collections.slipway.ops.plugins.modules import ufw_policy

SSH = {"port": [22], "protocol": "tcp"}


class FakeFirewall:
    seen = Observed()
    applied: Optional[Plan] = None
    fails = ""
    told: list[str]

    def __init__(self, run: Any) -> None:
        pass

    def observe(self) -> Observed:
        return self.seen

    def remember(self, plan: Plan, seen: Observed, name: str, limit_seconds: int) -> Snapshot:
        return Snapshot(name, limit_seconds)

    def apply(self, plan: Plan, verify: Any) -> Observed:
        type(self).applied = plan
        type(self).told = verify(self.seen)
        if self.fails:
            raise FirewallError(self.fails)
        return self.seen


class FakeStore:
    state = gateway.NOTHING
    armed: list[str] = []
    fails = ""

    def __init__(self, host: Any) -> None:
        pass

    def arm(self, snapshot: Snapshot) -> None:
        if self.fails:
            raise HostError(self.fails)
        type(self).state = gateway.ARMED
        self.armed.append(f"{snapshot.name} {snapshot.limit_seconds}")

    def status(self, name: str) -> gateway.Status:
        return gateway.Status(name, self.state, why="nobody confirmed it")

    def told(self, name: str) -> gateway.Status:
        found = self.status(name)
        if found.state == gateway.REVERTED:
            type(self).state = gateway.NOTHING
        return found

    settled = status

    def revert(self, name: str, why: str) -> gateway.Status:
        type(self).state = gateway.REVERTED
        return gateway.Status(name, self.state, why=why)


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeFirewall.seen, FakeFirewall.applied, FakeFirewall.fails = Observed(), None, ""
    FakeStore.state, FakeStore.armed, FakeStore.fails = gateway.NOTHING, [], ""
    monkeypatch.setattr(ufw_policy.gateway, "Firewall", FakeFirewall)
    monkeypatch.setattr(ufw_policy, "Store", FakeStore)
    monkeypatch.setattr(ufw_policy.gateway, "connection", lambda: Connection("203.0.113.7", "192.0.2.1", 22, "eth0"))
    monkeypatch.setattr(ufw_policy.gateway, "public_interfaces", lambda: ["eth0"])
    monkeypatch.setattr(ufw_policy.gateway, "other_interfaces", lambda _public: ["eth1"])
    monkeypatch.setattr(ufw_policy.gateway, "interfaces", lambda: ["eth0", "lo"])
    monkeypatch.setattr(converge, "has_guard_program", lambda: True)
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)


def run(capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    with patch_module_args({"_ansible_diff": True, **options}), pytest.raises(SystemExit):
        ufw_policy.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_predicts_on_a_bare_host(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, rules=[SSH], docker_ports=[], _ansible_check_mode=True)
    assert result["changed"]
    assert not result["active"]
    assert "add: ufw allow 22/tcp" in result["plan"]
    assert result["diff"] == [{"prepared": "".join(f"{line}\n" for line in result["plan"])}]
    assert "add: docker deny everything else on eth0\n" in result["diff"][0]["prepared"]
    assert FakeFirewall.applied is None


def test_without_ufw_nothing_can_be_applied(capsys: pytest.CaptureFixture[str]) -> None:
    result = run(capsys, rules=[SSH])
    assert result["failed"]
    assert "install the package ufw" in result["msg"]


def test_applies(capsys: pytest.CaptureFixture[str]) -> None:
    FakeFirewall.seen = Observed(installed=True)
    assert run(capsys, rules=[SSH])["changed"]
    assert FakeFirewall.applied is not None
    assert FakeFirewall.applied.load == "enable"


def test_absent_on_a_bare_host_is_no_change(capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(capsys, state="absent")["changed"]


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        ({}, ["port 22 would be shut out"]),
        ({"rules": [{"port": ["70000"]}, {"from": "nowhere"}], "docker_ports": [{"port": "0"}], "protect_ports": [0]},
         ["rules[0].port:", "rules[1].from:", "docker_ports[0].port:", "protect_ports[0]:"]),
        ({"rules": [SSH], "protect_ports": [2222]}, ["port 2222 would be shut out"]),
        ({"rules": [SSH], "docker_ports": [], "docker_trusted_sources": ["everyone", "0.0.0.0/0"]},
         ["docker_trusted_sources[0]:", "docker_trusted_sources[1]: would open every published port to everyone"]),
        ({"rules": [SSH], "docker_trusted_sources": ["192.0.2.7"]}, ["docker_trusted_sources: belongs to"]),
        ({"rules": [SSH, {"interface": "wg0"}, {"port": ["70000"]}], "host": {"package": ["ufw"]},
          "armed": {"name": "a", "limit_seconds": 1}},
         ["rules[1].interface: interface wg0 does not exist", "rules[2].port:", "host.package", "armed.limit_seconds"]),
    ],
)  # fmt: skip
def test_refuses(capsys: pytest.CaptureFixture[str], options: dict[str, Any], messages: list[str]) -> None:
    FakeFirewall.seen = Observed(installed=True)
    result = run(capsys, **options)
    assert result["failed"]
    assert all(message in result["msg"] for message in messages), result["msg"]
    assert FakeFirewall.applied is None


def test_needs_to_know_the_public_interface(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ufw_policy.gateway, "public_interfaces", list)
    assert "docker_interfaces: the host has no default route" in run(capsys, rules=[SSH], docker_ports=[])["msg"]


def test_needs_the_program_for_docker(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    FakeFirewall.seen = Observed(installed=True)
    monkeypatch.setattr(converge, "has_guard_program", lambda: False)
    assert "use the role slipway.ops.firewall" in run(capsys, rules=[SSH], docker_ports=[])["msg"]


ARMED = {"name": "firewall", "limit_seconds": 60}


def test_is_armed_before_it_is_applied(capsys: pytest.CaptureFixture[str]) -> None:
    FakeFirewall.seen = Observed(installed=True)
    result = run(capsys, rules=[SSH], armed=ARMED)
    assert result["armed"] == "firewall"
    assert FakeStore.armed == ["firewall 60"]
    assert FakeFirewall.applied is not None


def test_what_cannot_be_armed_is_not_applied(capsys: pytest.CaptureFixture[str]) -> None:
    FakeFirewall.seen, FakeStore.fails = Observed(installed=True), "armed change firewall: No space left"
    assert run(capsys, rules=[SSH], armed=ARMED)["msg"] == "armed change firewall: No space left"
    assert FakeFirewall.applied is None


def test_what_fails_is_put_back_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    FakeFirewall.seen, FakeFirewall.fails = Observed(installed=True), "ufw reload failed"
    result = run(capsys, rules=[SSH], armed=ARMED)
    assert result["failed"]
    assert result["msg"].startswith("ufw reload failed\narmed change firewall: put back at")
    assert FakeStore.state == gateway.REVERTED


def test_a_change_that_waits_for_its_confirmation_is_told_again(capsys: pytest.CaptureFixture[str]) -> None:
    """The next run of a controller that was killed in between finds nothing to change, and confirms."""
    FakeStore.state = gateway.ARMED
    result = run(capsys, state="absent", armed=ARMED)
    assert (result["changed"], result["armed"]) == (False, "firewall")


def test_what_was_put_back_is_told_to_one_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, warning, **_more: warned.append(warning))
    FakeStore.state = gateway.REVERTED
    run(capsys, state="absent", armed=ARMED, _ansible_check_mode=True)
    run(capsys, state="absent", armed=ARMED)
    run(capsys, state="absent", armed=ARMED)
    assert len(warned) == 2, "check mode tells it and leaves it for the real run"
    assert "nobody confirmed it" in warned[0]


def test_a_change_that_was_put_back_meanwhile_does_not_count(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeFirewall.seen = Observed(installed=True)
    monkeypatch.setattr(FakeStore, "arm", lambda _store, _snapshot: None)
    run(capsys, rules=[SSH], armed=ARMED)
    assert FakeFirewall.told[0] == "the time to confirm it was over before it was applied"

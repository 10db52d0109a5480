# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import Observed, Plan
from ansible_collections.slipway.ops.plugins.module_utils._ufw.protect import Connection
from ansible_collections.slipway.ops.plugins.modules import ufw_policy

SSH = {"port": [22], "protocol": "tcp"}


class FakeFirewall:
    seen = Observed()
    applied: Optional[Plan] = None

    def __init__(self, run: Any) -> None:
        pass

    def observe(self) -> Observed:
        return self.seen

    def apply(self, plan: Plan, verify: Any) -> Observed:
        type(self).applied = plan
        return self.seen


@pytest.fixture(autouse=True)
def _host(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeFirewall.seen, FakeFirewall.applied = Observed(), None
    monkeypatch.setattr(ufw_policy.gateway, "Firewall", FakeFirewall)
    monkeypatch.setattr(ufw_policy.gateway, "connection", lambda: Connection("203.0.113.7", "192.0.2.1", 22, "eth0"))
    monkeypatch.setattr(ufw_policy.gateway, "public_interfaces", lambda: ["eth0"])
    monkeypatch.setattr(ufw_policy.gateway, "interfaces", lambda: ["eth0", "lo"])
    monkeypatch.setattr(ufw_policy.gateway, "has_guard_program", lambda: True)
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
    assert result["diff"]["before"] == "ufw is not installed\n"
    assert "docker deny everything else on eth0\n" in result["diff"]["after"]
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


def test_warns_of_an_interface_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "warn", lambda _module, warning, **_more: warned.append(warning))
    run(capsys, rules=[SSH, {"interface": "wg0"}], _ansible_check_mode=True)
    assert warned == ["rules[1].interface: wg0 does not exist on this host at present"]


def test_needs_the_program_for_docker(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    FakeFirewall.seen = Observed(installed=True)
    monkeypatch.setattr(ufw_policy.gateway, "has_guard_program", lambda: False)
    assert "use the role slipway.ops.firewall" in run(capsys, rules=[SSH], docker_ports=[])["msg"]

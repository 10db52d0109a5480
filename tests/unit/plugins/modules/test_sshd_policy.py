# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import ActOnUnit
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy
from ansible_collections.slipway.ops.plugins.module_utils._sshd.server import Outcome
from ansible_collections.slipway.ops.plugins.modules import sshd_policy


class Server:
    policy = Policy()
    refuses = ""

    def __init__(
        self, host: object, sshd: object, store: object, policy: Policy, warn: object, earlier: object
    ) -> None:
        Server.policy = policy

    def run(self, check_mode: bool) -> Outcome:
        if self.refuses:
            raise HostError(self.refuses)
        return Outcome([ActOnUnit("restart", "ssh.service")], [2222, 22], True, "ssh", "operator", 22, "a policy")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sshd_policy, "Server", Server)

    def call(**arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            sshd_policy.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


def test_result(run: Any) -> None:
    result = run(port=2222, fail2ban_max_retry=3)
    assert result["changed"]
    assert result["plan"] == ["unit ssh.service: restart"]
    assert result["armed"] == "ssh"
    assert result["moving"]
    assert result["ports"] == [2222, 22]
    assert result["audit_policy"] == "a policy"
    assert Server.policy.jail is not None
    assert Server.policy.jail.max_retry == 3


def test_bad_input_is_told_at_once(run: Any) -> None:
    result = run(port=70000, admin_networks=["x"])
    assert result["failed"]
    assert "ssh_port: 70000 is not between 1 and 65535" in result["msg"]
    assert "ssh_admin_networks[0]" in result["msg"]


def test_what_the_host_refuses_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "refuses", "no")
    assert run()["msg"] == "no"


def test_options_are_documented_as_they_are() -> None:
    options = yaml.safe_load(sshd_policy.DOCUMENTATION)["options"]
    assert list(options) == list(sshd_policy.ARGUMENTS)
    for name, option in options.items():
        assert option["type"] == sshd_policy.ARGUMENTS[name]["type"]
        assert option["default"] == sshd_policy.ARGUMENTS[name]["default"]

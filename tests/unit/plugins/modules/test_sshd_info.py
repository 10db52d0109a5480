# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._host.connection import Connection
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import HostError
from ansible_collections.slipway.ops.plugins.module_utils._sshd.access import Listener, Login
from ansible_collections.slipway.ops.plugins.modules import sshd_info

TEXTS = {
    "/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n",
    "/etc/ssh/sshd_config.d/50-cloud-init.conf": "PasswordAuthentication yes\n",
}


class Sshd:
    installed = True
    keys = 1

    def __init__(self, host: object) -> None:
        self.host = self

    def text(self, name: str) -> str:
        return TEXTS.get(name, "")

    def files(self, pattern: str) -> list[tuple[str, str]]:
        start = pattern.partition("*")[0]
        return [(name, text) for name, text in TEXTS.items() if name == pattern or ("*" in pattern and start in name)]

    def effective(self, user: str, address: str) -> dict[str, list[str]]:
        return {"permitrootlogin": ["yes"]}

    def listeners(self) -> tuple[Listener, ...]:
        return (Listener(22, "sshd"), Listener(80, "nginx"))

    def login(self, user: str, effective: dict[str, list[str]], address: str) -> Login:
        return Login(user, keys=self.keys, key_files=("k",))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sshd_info, "Sshd", Sshd)
    monkeypatch.setattr(sshd_info, "connected_user", lambda: "operator")
    monkeypatch.setattr(sshd_info, "connection", lambda: Connection("192.0.2.1", 50000, 22))

    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: warned.append(text))

    def call(**arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            sshd_info.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {**result, "warnings": warned}

    return call


def test_survey(run: Any) -> None:
    result = run(port=2222, wanted={"permitrootlogin": ["no"], "passwordauthentication": ["no"]})
    assert not result["changed"]
    assert result["ports"] == [22]
    assert result["connected_port"] == 22
    assert result["problems"] == []
    assert "permitrootlogin is yes, not no" in result["differing"]
    assert "50-cloud-init.conf:1 says passwordauthentication yes, which" in str(result["warnings"])


def test_lockouts_are_problems(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sshd, "keys", 0)
    assert "no usable key" in run()["problems"][0]
    monkeypatch.setattr(sshd_info, "connection", Connection)
    assert run()["problems"] == [], "this connection is not SSH's to lose"


def test_a_host_without_sshd(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sshd, "installed", False)
    result = run()
    assert result["ports"] == []
    assert not result["installed"]


def test_a_broken_configuration_is_told(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Sshd, user: str, address: str) -> dict[str, list[str]]:
        raise HostError("sshd -T: bad")

    monkeypatch.setattr(Sshd, "effective", broken)
    assert run()["msg"] == "sshd -T: bad"

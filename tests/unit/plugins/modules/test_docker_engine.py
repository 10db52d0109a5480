# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._docker.converge import Outcome, Request
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import HostError
from ansible_collections.slipway.ops.plugins.modules import docker_engine

LOGIN = {"registry": "registry.test", "username": "deploy", "password": "hidden-word"}


class Engine:
    asked: Request

    def __init__(self, _host: Any, _api: Any, check: bool) -> None:
        assert check is False

    def converge(self, request: Request) -> Outcome:
        Engine.asked = request
        if request.version == "bad":
            raise HostError("docker_version: bad is not to be had")
        return Outcome(["unit docker.service: reload"], ["a warning"])


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    monkeypatch.setattr(docker_engine, "EngineHost", Engine)
    with patch_module_args(options), pytest.raises(SystemExit):
        docker_engine.main()
    said = capsys.readouterr().out
    assert "hidden-word" not in said
    result: dict[str, Any] = json.loads(said)
    return result


def test_reports_what_was_done(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, states=[{"packages": ["nginx"]}, {"absent": ["/etc/b"]}], logins=[LOGIN])
    assert result["changed"] is True
    assert result["plan"] == ["unit docker.service: reload"]
    assert [wish.packages for wish in Engine.asked.states] == [("nginx",), ()]
    assert Engine.asked.logins[0].password == LOGIN["password"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"states": [{"packagse": []}]}, "did you mean packages?"),
        ({"states": [], "logins": [{**LOGIN, "registry": "http://x"}]}, "docker_registry_logins[0].registry"),
        ({"states": [], "version": "bad"}, "is not to be had"),
    ],
)
def test_tells_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: dict[str, Any], told: str
) -> None:
    result = run(monkeypatch, capsys, **options)
    assert result["failed"] is True
    assert told in result["msg"]

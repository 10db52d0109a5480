# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import audit_probe


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **options: Any) -> dict[str, Any]:
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
    with patch_module_args(options), pytest.raises(SystemExit):
        audit_probe.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_looks_at_each_name_with_its_own_routes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: dict[str, Any] = {}

    def observe(client: Any, health_path: str, routes: Any, requests: int, load: Any) -> dict[str, Any]:
        asked[client.name] = ([route["path"] for route in routes], load)
        return {"addresses": ["203.0.113.10"]}

    monkeypatch.setattr(audit_probe.gateway, "observe_name", observe)
    routes = [{"host": "a.example", "path": "/"}, {"host": "b.example", "path": "/b"}]
    result = run(
        monkeypatch,
        capsys,
        host_names=["a.example", "b.example"],
        routes=routes,
        load=True,
    )
    assert asked == {"a.example": (["/"], (500, 50)), "b.example": (["/b"], (500, 50))}
    assert result["outside"]["load_asked"]
    assert not result["changed"]


def test_everything_that_is_wrong_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, load_concurrency=1000, requests=0, routes=[{"host": "x"}])
    assert result["failed"]
    assert result["msg"] == (
        "load_concurrency: must be 1 to 200; requests: must be 1 to 10000; routes[0].path: is missing"
    )


def test_a_missing_authority_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, ca_file="/nonexistent/ca.pem")
    assert "ca_file: /nonexistent/ca.pem cannot be used on this machine" in result["msg"]

"""The door: what is built, and what only would be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._release.builder import BuildError
from ansible_collections.slipway.ops.plugins.modules import stack_build

BUILD = {"context": ".", "dockerfile": "Dockerfile", "args": {}, "labels": {}}
MODEL = json.dumps({"services": {"web": {"image": "r.example/web:1", "build": BUILD}, "db": {"image": "db:1"}}})


class Builder:
    error = ""

    def __init__(self, _known: Any, _secrets: list[str]) -> None:
        pass

    def plan(self, wanted: list[Any]) -> list[str]:
        return [f"{each.service}: build and push {each.content}" for each in wanted]

    def build(self, wanted: list[Any]) -> dict[str, str]:
        if self.error:
            raise BuildError(self.error)
        return {each.image: "sha256:1" for each in wanted}


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], check: bool = False, **arguments: Any
) -> dict[str, Any]:
    monkeypatch.setattr(stack_build, "Builder", Builder)
    monkeypatch.setattr(stack_build.Api, "information", lambda self: {})
    given = {"model": MODEL, "directory": "/x", **arguments, "_ansible_check_mode": check}
    with patch_module_args(given), pytest.raises(SystemExit):
        stack_build.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


ARCHIVES = {"web": {"content": "c1", "path": "/tmp/c1"}}


def test_build(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, archives=ARCHIVES)
    assert (result["changed"], result["digests"]) == (True, {"r.example/web:1": "sha256:1"})
    assert result["plan"] == ["web: build and push c1"]


def test_check_mode(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, check=True, archives=ARCHIVES)
    assert (result["changed"], result["digests"]) == (True, {})


def test_nothing_to_build(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, capsys)["changed"] is False


def test_a_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Builder, "error", "services.web.build: docker push ended with 1: denied")
    assert run(monkeypatch, capsys, archives=ARCHIVES)["msg"] == Builder.error

"""Contexts are packed on the controller, sent once each, and named by their content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.action import stack_build
from ansible_collections.slipway.ops.plugins.plugin_utils import _model_action

BUILD = {"context": "app", "dockerfile": "Dockerfile", "args": {}, "labels": {}}


def run(monkeypatch: pytest.MonkeyPatch, directory: Path, services: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    sent: dict[str, Any] = {}
    files: list[str] = []
    monkeypatch.setattr(
        _model_action, "run_quietly", lambda _action, _name, given, _variables: sent.update(given) or {}
    )
    task = MagicMock(args={"model": {"services": services}, "directory": str(directory)}, async_val=0)
    connection = MagicMock()
    connection._shell.tmpdir = "/tmp/x"
    connection._shell.join_path = lambda *parts: "/".join(parts)
    action = stack_build.ActionModule(task, connection, MagicMock(), MagicMock(), MagicMock(), MagicMock())
    monkeypatch.setattr(action, "_remove_tmp_path", lambda path: None)
    monkeypatch.setattr(action, "_transfer_file", lambda local, remote: files.append(remote))
    action.run(task_vars={})
    return sent, files


def test_a_context_is_sent_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/Dockerfile").write_text("FROM scratch\n")
    services = {"web": {"build": BUILD}, "worker": {"build": BUILD}, "db": {}}
    sent, files = run(monkeypatch, tmp_path, services)
    assert sorted(sent["archives"]) == ["web", "worker"]
    assert sent["archives"]["web"] == sent["archives"]["worker"]
    assert files == [sent["archives"]["web"]["path"]]
    assert "environment" not in sent
    assert json.loads(sent["model"])["services"]["db"] == {}


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=r"services\.web\.build: .*/app: is no directory"):
        run(monkeypatch, tmp_path, {"web": {"build": BUILD}})
    (tmp_path / "app").mkdir()
    with pytest.raises(AnsibleActionFail, match=r"has no Dockerfile; name the file in build\.dockerfile"):
        run(monkeypatch, tmp_path, {"web": {"build": BUILD}})

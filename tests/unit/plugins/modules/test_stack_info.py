from __future__ import annotations

import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.modules import stack_info


def test_it_reads_and_changes_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(stack_info, "status", lambda name, places: {"name": name, "deployed": False})
    with patch_module_args({"name": "fleet"}), pytest.raises(SystemExit):
        stack_info.main()
    result = json.loads(capsys.readouterr().out)
    assert (result["changed"], result["stack"]) == (False, {"name": "fleet", "deployed": False})


def test_a_broken_record_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_arguments: object) -> None:
        raise ValueError("stack.json is not JSON")

    monkeypatch.setattr(stack_info, "status", broken)
    with patch_module_args({"name": "fleet"}), pytest.raises(SystemExit):
        stack_info.main()
    assert json.loads(capsys.readouterr().out)["msg"] == "stack.json is not JSON"

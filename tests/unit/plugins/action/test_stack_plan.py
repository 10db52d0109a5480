"""The plan is printed in one piece for a host, and not when nobody wants it."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible_collections.slipway.ops.plugins.action import stack_plan
from ansible_collections.slipway.ops.plugins.plugin_utils import _model_action


def run(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> tuple[dict[str, Any], list[str]]:
    answer = {"changed": False, "text": ["t: release 2", "  web  roll"], "styles": ["head", "change"]}
    monkeypatch.setattr(_model_action, "run_quietly", lambda *_arguments: dict(answer))
    task = MagicMock(args={"model": {"services": {}}, **arguments}, async_val=0, check_mode=False, diff=False)
    action = stack_plan.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    monkeypatch.setattr(action, "_remove_tmp_path", lambda path: None)
    shown: list[str] = []
    monkeypatch.setattr(action, "_display", MagicMock(display=shown.append))
    return action.run(task_vars={"inventory_hostname": "web1"}), shown


def test_it_is_printed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    result, (shown,) = run(monkeypatch)
    assert result == {"changed": False, "text": ["t: release 2", "  web  roll"]}
    assert [line for line in ("[web1]", "t: release 2", "  web  roll") if line not in shown] == []


def test_it_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, show=False)[1] == []

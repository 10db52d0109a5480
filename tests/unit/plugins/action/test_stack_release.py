from __future__ import annotations

import json
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible_collections.slipway.ops.plugins.action import stack_release
from ansible_collections.slipway.ops.plugins.plugin_utils import _model_action


def run(monkeypatch: pytest.MonkeyPatch, **arguments: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {}

    def quietly(_action: Any, name: str, module_args: dict[str, Any], _variables: Any) -> dict[str, Any]:
        sent.update(module_args, module=name)
        return {"changed": True}

    monkeypatch.setattr(_model_action, "run_quietly", quietly)
    task = MagicMock(args=arguments, async_val=0, check_mode=False, diff=False)
    action = stack_release.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    monkeypatch.setattr(action, "_remove_tmp_path", lambda path: None)
    assert action.run(task_vars={})["changed"] is True
    return sent


def test_model_and_environment_travel_as_one_text_each(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = run(monkeypatch, model={"services": {}}, environment={"A": True, "B": 1, "C": "x"}, drain_seconds=3)
    assert sent["module"] == "slipway.ops.stack_release"
    assert json.loads(sent["model"]) == {"services": {}}
    assert json.loads(sent["environment"]) == {"A": "true", "B": "1", "C": "x"}
    assert sent["drain_seconds"] == 3


def test_a_text_of_json_is_taken_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(run(monkeypatch, model='{"services": {}}')["model"]) == {"services": {}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "stack_release.model: is not a dictionary"),
        ({"model": "compose.yaml"}, "stack_release.model: is not a dictionary"),
        ({"model": {"name": "x"}}, "stack_release.model: is no model of a stack"),
        ({"model": {"services": {}}, "environment": "A=1"}, "stack_release.environment: is not a dictionary"),
    ],
)
def test_wrong_arguments(monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(AnsibleActionFail, match=message):
        run(monkeypatch, **arguments)

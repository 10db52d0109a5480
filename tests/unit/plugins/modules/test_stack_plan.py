"""The door: the document and its lines out, or one clear line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError
from ansible_collections.slipway.ops.plugins.modules import stack_plan

MODEL = json.dumps({"name": "t", "services": {}, "slipway": {}})
DOCUMENT = {
    "stack": "t",
    "release": 4,
    "changed": False,
    "services": [],
    "predicted": {"seconds": 0, "gap_seconds": 0, "from": ""},
}


class Work:
    def __init__(self, given: dict[str, Any]) -> None:
        self.given = given

    def require_unmoved(self) -> None:
        if self.given["expected"].get("moved"):
            raise PlanError("the plan does not fit any more")

    def document(self) -> dict[str, Any]:
        return DOCUMENT


def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    monkeypatch.setattr(stack_plan, "release", lambda *_given, **given: Work(given))
    with patch_module_args({"model": MODEL, **arguments}), pytest.raises(SystemExit):
        stack_plan.main()
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_document_and_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys)
    assert (result["changed"], result["document"]) == (False, DOCUMENT)
    assert result["text"] == ["t: nothing to do, release 3 runs as asked"]
    assert result["styles"] == ["head"]


def test_an_earlier_plan_is_compared(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, capsys, expected={"salt": "x"})["document"] == DOCUMENT
    assert run(monkeypatch, capsys, expected={"moved": True})["msg"] == "the plan does not fit any more"


def test_hooks_that_cannot_be_meant(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(monkeypatch, capsys, hooks={"before_lunch": [["/bin/true"]]})
    assert result["msg"].startswith("stack_hooks.before_lunch: there is no such moment")

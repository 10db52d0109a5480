"""The module's wiring: where to, the outcome, or one clear line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._release.rollback import RollbackRefused, Target
from ansible_collections.slipway.ops.plugins.modules import stack_rollback


class Work:
    def __init__(self) -> None:
        self.checked: list[bool] = []

    def present(self, check: bool) -> Outcome:
        self.checked.append(check)
        return Outcome(True, 8, ["web: roll"], "before\n", "after\n")


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> dict[str, Any]:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        stack_rollback.main()
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_outcome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    work, asked = Work(), []

    def rolling_back(name: str, wanted: int | None, settings: Any) -> tuple[Work, Target]:
        asked.append((name, wanted, settings.actor, settings.policy.confirmed_volumes))
        return work, Target(Kept(6, {}, {}, {}), 7, ("release 7 migrated the data of web, and that stays",))

    monkeypatch.setattr(stack_rollback, "rolling_back", rolling_back)
    result = run(capsys, name="t", to_release=6, actor="me", confirmed_volumes=["t_data"], _ansible_check_mode=True)
    assert asked == [("t", 6, "me", ("t_data",))]
    assert work.checked == [True]
    assert (result["from_release"], result["to_release"], result["release"]) == (7, 6, 8)
    assert result["plan"] == ["web: roll"]
    assert result["notes"] == ["release 7 migrated the data of web, and that stays"]


def test_a_refusal_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def rolling_back(*_arguments: Any) -> None:
        raise RollbackRefused("stack t: there is no release 9; see: slipway status t")

    monkeypatch.setattr(stack_rollback, "rolling_back", rolling_back)
    result = run(capsys, name="t")
    assert (result["failed"], result["msg"]) == (True, "stack t: there is no release 9; see: slipway status t")

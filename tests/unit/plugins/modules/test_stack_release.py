"""The module's wiring: arguments in, outcome or one clear line out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Outcome, ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._release.together import State, TogetherError
from ansible_collections.slipway.ops.plugins.modules import stack_release

MODEL = json.dumps({"name": "t", "services": {}})


class Work:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.asked: list[tuple[str, bool]] = []

    def _outcome(self, what: str, check: bool) -> Outcome:
        self.asked.append((what, check))
        if self.error:
            raise self.error
        return Outcome(True, 7, ["web: create"], "before\n", "after\n", {"web": "web@sha256:1"})

    def present(self, check: bool) -> Outcome:
        return self._outcome("present", check)

    def absent(self, check: bool) -> Outcome:
        return self._outcome("absent", check)


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], work: Work, **arguments: Any
) -> tuple[dict[str, Any], list[Any]]:
    given: list[Any] = []

    def release(*values: Any, migrate: bool, expected: Any) -> Work:
        given.extend(values)
        return work

    monkeypatch.setattr(stack_release, "release", release)
    with patch_module_args({"model": MODEL, **arguments}), pytest.raises(SystemExit):
        stack_release.main()
    return json.loads(capsys.readouterr().out), given


def test_outcome(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    work = Work()
    result, given = run(
        monkeypatch, capsys, work, environment='{"A": "1"}', drain_seconds=3, actor="me", _ansible_diff=True
    )
    assert work.asked == [("present", False)]
    assert (result["changed"], result["release"], result["plan"]) == (True, 7, ["web: create"])
    assert result["images"] == {"web": "web@sha256:1"}
    assert result["diff"] == {"before": "before\n", "after": "# web: create\nafter\n"}
    stack, variables, settings = given
    assert (stack.name, variables) == ("t", {"A": "1"})
    assert (settings.actor, settings.limits.drain, settings.limits.health) == ("me", 3, 300)


def test_check_mode_and_absent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    work = Work()
    result, _given = run(monkeypatch, capsys, work, state="absent", _ansible_check_mode=True)
    assert work.asked == [("absent", True)]
    assert "diff" not in result


def test_failure_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    result, _given = run(monkeypatch, capsys, Work(ReleaseFailed("release 2 of t failed in phase start: x")))
    assert result["failed"] is True
    assert result["msg"] == "release 2 of t failed in phase start: x"


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ({"step": "begin", "barrier_wait_seconds": 9, "migrate": False}, ("begin", 9, False)),
        ({"step": "switch", "token": "x"}, ("go_on", "x", "switch")),
        ({"step": "give_up", "token": "x", "give_up_reason": "web2: no"}, ("give_up", "x", "web2: no")),
    ],
)
def test_steps(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: dict[str, Any],
    asked: tuple[Any, ...],
) -> None:
    said: list[Any] = []
    state = State("x", waiting_for="switch", release=3, plan=["web: roll"])

    def begin(_board: Any, request: dict[str, Any]) -> State:
        said.append(("begin", request["wait_seconds"], request["migrate"]))
        return state

    monkeypatch.setattr(stack_release, "begin", begin)
    for name in ("go_on", "give_up"):
        monkeypatch.setattr(
            stack_release, name, lambda _board, *values, name=name: said.append((name, *values)) or state
        )
    result, _given = run(monkeypatch, capsys, Work(), **arguments)
    assert said == [asked]
    assert (result["changed"], result["token"], result["ended"], result["release"]) == (False, "x", False, 3)


def test_a_step_that_is_impossible_is_a_reason_and_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def go_on(*_values: Any) -> State:
        raise TogetherError("stack t: run again")

    monkeypatch.setattr(stack_release, "go_on", go_on)
    result, _given = run(monkeypatch, capsys, Work(), step="finish", token="x")
    assert "failed" not in result
    assert (result["ended"], result["reason"]) == (True, "stack t: run again")


def test_the_last_step_has_changed_the_host(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    state = State("x", ended=True, changed=True, release=3, plan=["web: roll"], before="old\n", after="new\n")
    monkeypatch.setattr(stack_release, "go_on", lambda *_values: state)
    result, _given = run(monkeypatch, capsys, Work(), step="finish", token="x", _ansible_diff=True)
    assert result["changed"]
    assert result["diff"] == {"before": "old\n", "after": "# web: roll\nnew\n"}

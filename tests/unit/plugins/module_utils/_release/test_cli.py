"""The verbs' words: what they need, and what their exit status is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import cli, once
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError


class Work:
    def document(self) -> dict[str, Any]:
        return {
            "stack": "t",
            "release": 3,
            "changed": False,
            "services": [],
            "predicted": {"seconds": 0, "gap_seconds": 0, "from": ""},
        }


def test_plan(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "deployed_again", lambda name, settings: Work())
    assert cli.plan(["t"]) == 0
    assert capsys.readouterr().out == "t: nothing to do, release 2 runs as asked\n"
    assert cli.plan(["t", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["release"] == 3


def test_plan_of_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def none(name: str, settings: Any) -> None:
        raise PlanError(f"stack {name}: no good release of it is deployed on this host")

    monkeypatch.setattr(cli, "deployed_again", none)
    assert cli.plan(["t"]) == 1
    assert capsys.readouterr().err.startswith("slipway plan: stack t: no good release")


@pytest.mark.parametrize(
    ("words", "exclusive"),
    [(["t", "web", "--", "ls", "--", "-l"], False), (["--exclusive", "t", "web", "--", "ls", "--", "-l"], True)],
)
def test_run(monkeypatch: pytest.MonkeyPatch, words: list[str], exclusive: bool) -> None:
    taken: list[str] = []
    asked: list[Any] = []

    class On:
        def take(self, owner: str) -> Any:
            taken.append(owner)
            return cli.contextlib.nullcontext()

    def one_command(stack: str, service: str, command: list[str], number: int, settings: Any) -> Any:
        asked.append((stack, service, command))
        return On(), None, None

    monkeypatch.setattr(cli, "one_command", one_command)
    monkeypatch.setattr(once, "guarded", lambda remove: cli.contextlib.nullcontext())
    monkeypatch.setattr(once, "streams", lambda: (None, None))
    monkeypatch.setattr(once, "run", lambda *_arguments: 9)
    assert cli.run(words) == 9
    assert asked == [("t", "web", ["ls", "--", "-l"])]
    assert bool(taken) is exclusive


def test_run_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.run(["t", "web"])
    assert "the command is missing; write it after --" in capsys.readouterr().err


def test_run_that_fails_by_itself(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def none(*_arguments: Any) -> None:
        raise once.OnceError("stack t: is not deployed on this host")

    monkeypatch.setattr(cli, "one_command", none)
    assert cli.run(["t", "web", "--", "ls"]) == 125
    assert "slipway run: stack t: is not deployed" in capsys.readouterr().err

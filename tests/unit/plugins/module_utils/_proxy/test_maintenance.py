"""Switching host names in and out of maintenance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy import maintenance as page
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load

Say = Callable[..., tuple[int, Any]]
NAMES = ["a.example", "b.example"]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    places = Places(stacks=str(tmp_path / "etc"), state=str(tmp_path / "var"))
    document = {
        "services": {"web": {"image": "w:1", "x-slipway": {"routes": [{"host": name, "port": 80} for name in NAMES]}}}
    }
    Records("t", places.stacks, places.state).write_deployed(load(document, "t", {}, lambda path: b""), {})
    (tmp_path / "flags").mkdir()
    monkeypatch.setattr(page, "Places", lambda: places)
    monkeypatch.setattr(page.switch, "__defaults__", (str(tmp_path / "flags"),))
    monkeypatch.setattr(page.maintained, "__defaults__", (str(tmp_path / "flags"),))

    def run(*words: str) -> tuple[int, Any]:
        code = page.maintenance([*words, "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else None

    return run


def test_on_and_off_and_twice(say: Say) -> None:
    assert say("on", "t") == (0, {"stack": "t", "changed": NAMES, "in_maintenance": NAMES})
    assert say("on") == (0, {"stack": "t", "changed": [], "in_maintenance": NAMES})
    assert say("status")[1]["in_maintenance"] == NAMES
    assert say("off") == (0, {"stack": "t", "changed": NAMES, "in_maintenance": []})
    assert say("off")[1]["changed"] == []


def test_without_the_proxy_it_says_so(say: Say, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "flags").rmdir()
    assert page.maintenance(["on", "t"]) == 1
    assert "is missing, so nginx would not look there; run the play with role proxy" in capsys.readouterr().err


def test_an_unknown_stack_is_named(say: Say, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        page.maintenance(["on", "shop"])
    assert "name the stack, one of: t" in capsys.readouterr().err

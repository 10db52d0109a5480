from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import cli
from ansible_collections.slipway.ops.plugins.module_utils._release import status as module
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places

Document = Callable[..., dict[str, Any]]


def status(host: Any) -> dict[str, Any]:
    places = Places(
        stacks=str(host.directory / "etc"), state=str(host.directory / "var"), leases=str(host.directory / "lease")
    )
    return module.status("t", places, lambda name, settings: host.parts(name))


def test_before_the_first_release(host: Any) -> None:
    found = status(host)
    assert (found["deployed"], found["release"], found["services"]) == (False, 0, {})


def test_after_a_release(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    found = status(host)
    assert (found["release"], found["last_outcome"]) == (1, "succeeded")
    assert {name: service["ok"] for name, service in found["services"].items()} == dict.fromkeys(
        ("web", "worker", "db"), True
    )
    assert "hunter2" not in str(found)


def test_a_missing_replica_is_not_ok(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.stop_all([("id-001", "t-db-1", 1)])
    assert status(host)["services"]["db"]["ok"] is False


def test_the_colour_that_stands_is_told(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for version in ("1", "2"):
        found = document(version)
        found["services"]["web"]["x-slipway"]["strategy"] = "blue-green"
        host.release(found).present(check=False)
    assert (status(host)["services"]["web"]["ready"], status(host)["services"]["web"]["ok"]) == (2, True)
    monkeypatch.setattr(cli, "read_status", lambda name, places: status(host))
    assert cli.status(["t"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines if "stands for the way back" in line] == ["t-web-1", "t-web-2"]


def test_without_an_engine(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.connected = False
    assert "install python3-docker" in status(host)["engine_problem"]


def test_lines_for_people(
    host: Any, document: Document, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.release(document()).present(check=False)
    monkeypatch.setattr(cli, "read_status", lambda name, places: status(host))
    assert cli.status(["t"]) == 0
    assert "web: ok, 2 of 2 ready, web:1" in capsys.readouterr().out
    host.docker.stop_all([("id-001", "t-db-1", 1)])
    assert cli.status(["t", "--json"]) == 1
    assert '"last_outcome": "succeeded"' in capsys.readouterr().out

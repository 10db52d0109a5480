# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb `slipway swarm`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm import cli
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> FakeGateway:
    found = FakeGateway("a", "b")
    monkeypatch.setattr(cli, "SwarmGateway", lambda: found)
    return found


def said(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.swarm([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_a_manager_drains_and_activates_itself(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "drain") == {"node": "host", "changed": True, "availability": "drain"}
    assert not said(capsys, "drain")["changed"]
    assert said(capsys, "activate")["changed"]
    assert gateway.calls == ["id-a: Availability drain", "id-a: Availability active"]


def test_a_worker_cannot(gateway: FakeGateway) -> None:
    del gateway.found["id-a"]["ManagerStatus"]
    with pytest.raises(SwarmError, match="whose availability a manager says"):
        cli.swarm(["drain"])


def test_outside_of_a_swarm_there_is_nothing_to_drain(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    gateway.own = ""
    assert not said(capsys, "drain")["changed"]


def test_the_status_page_names_the_nodes(gateway: FakeGateway, capsys: pytest.CaptureFixture[str]) -> None:
    cli.swarm(["status"])
    page = capsys.readouterr().out
    assert page.startswith("host: active, manager\n  a ")
    assert "reachable" in page


def test_a_restore_asks_for_the_name(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cli.archive, "verify", lambda path: {"hostname": "a", "created": "today"})
    with pytest.raises(SwarmError, match="say --confirm a to do it"):
        cli.swarm(["restore", str(tmp_path / "x.tar.gz")])
    assert gateway.calls == []

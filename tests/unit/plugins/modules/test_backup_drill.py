# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._backup import cli
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.modules import backup_drill
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    cluster = Cluster(World(tmp_path))
    monkeypatch.setattr(backup_drill, "tools_for", lambda stack, say: replace(cluster.tools(), progress=say))

    @contextmanager
    def free(name: str, owner: str, ttl_seconds: float = 300, steers: bool = True) -> Iterator[None]:
        assert name == "fleet.drill"
        yield

    monkeypatch.setattr(cli, "lease", free)
    make_point(cluster.tools(), "scheduled")
    cluster.add("three")
    cluster.world.events.clear()
    return cluster


@pytest.fixture
def run(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def once(check: bool = False, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
        with (
            patch_module_args({"stack": "fleet", "_ansible_check_mode": check, **arguments}),
            pytest.raises(SystemExit),
        ):
            backup_drill.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def test_a_restore_is_tried(cluster: Cluster, run: Run) -> None:
    result = run()
    assert (result["changed"], result["report"]["ok"]) == (False, True)
    assert result["lines"][-1].startswith("the drill is good")
    assert cluster.isolated == {}


def test_what_cannot_be_restored_fails(cluster: Cluster, run: Run) -> None:
    cluster.world.faults["recovery"] = "no luck"
    result = run()
    assert result["failed"] is True
    assert result["msg"].startswith("fleet: none of the 1 newest points can be restored")
    assert result["report"]["tried"][0]["result"] == "cannot be restored"


def test_what_is_impossible_fails(cluster: Cluster, run: Run) -> None:
    cluster.world.free = 0
    assert "make room there" in run()["msg"]
    assert "name one of them" in run(target="now-1min", random=True)["msg"]


def test_check_mode_shows_the_plan(cluster: Cluster, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(check=True)
    assert result["plan"][-1] == "throw all of it away; nothing live is touched"
    assert cluster.world.events == []
    cluster.world.free = 0
    assert "make room there" in run(check=True)["msg"]

    def not_set_up(stack: str, progress: Any) -> None:
        raise RefusedError("backup.json: is missing")

    monkeypatch.setattr(backup_drill, "tools_for", not_set_up)
    assert "nothing can be planned yet" in run(check=True)["plan"][0]

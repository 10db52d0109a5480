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
from ansible_collections.slipway.ops.plugins.modules import backup_run
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr(backup_run, "tools_for", lambda stack, progress: replace(world.tools, progress=progress))

    @contextmanager
    def free(name: str, owner: str, ttl_seconds: float = 300, steers: bool = True) -> Iterator[None]:
        yield

    monkeypatch.setattr(cli, "lease", free)
    return world


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def once(check: bool = False, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
        with (
            patch_module_args({"stack": "fleet", "_ansible_check_mode": check, **arguments}),
            pytest.raises(SystemExit),
        ):
            backup_run.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def not_set_up(stack: str, progress: Any) -> None:
    raise RefusedError("backup.json: is missing; run the play with the role backup")


def test_a_point_is_made(world: World, run: Run) -> None:
    Database(world, "mariadb")
    result = run(kind="scheduled")
    assert result["changed"] is True
    assert world.points[result["point"]].verified
    assert (result["summary"]["rows"], result["summary"]["kind"]) == (4, "scheduled")


def test_check_mode_makes_none_even_on_a_bare_host(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_run, "tools_for", not_set_up)
    assert run(check=True)["changed"] is True
    assert world.events == []


def test_a_failure_is_one_line(world: World, run: Run) -> None:
    Database(world, "mariadb")
    world.faults["backup"] = "dies"
    result = run()
    assert result["failed"] is True
    assert "ended with exit status 137" in result["msg"]


def test_smaller_data_is_accepted_when_told(world: World, run: Run) -> None:
    database = Database(world, "mariadb")
    make_point(world.tools, "scheduled")
    database.empty()
    assert "--accept-smaller" in run()["msg"]
    assert run(accept_smaller=True)["summary"]["rows"] == 0

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
from ansible_collections.slipway.ops.plugins.modules import backup_restore
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr(
        backup_restore, "tools_for", lambda stack, progress, *chosen, **options: replace(world.tools, progress=progress)
    )

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
            backup_restore.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def not_set_up(stack: str, progress: Any, *chosen: Any, **options: Any) -> None:
    raise RefusedError("backup.json: is missing; run the play with the role backup")


def test_the_data_comes_back(world: World, run: Run) -> None:
    database = Database(world, "mariadb")
    name = make_point(world.tools, "scheduled")["point"]
    database.empty()
    result = run(confirm="fleet")
    assert (result["changed"], result["point"]) == (True, name)
    assert database.rows == [1, 2, 3, 4]
    assert result["summary"]["previous"]
    assert "stopping fleet-application-1" in result["plan"]


def test_check_mode_shows_the_plan(world: World, run: Run) -> None:
    Database(world, "mariadb")
    name = make_point(world.tools, "scheduled")["point"]
    world.events.clear()
    result = run(check=True)
    assert (result["changed"], result["point"]) == (True, name)
    assert "stop fleet-application-1" in result["plan"]
    assert result["diff"]["after"].splitlines() == result["plan"]
    assert world.events == []


def test_check_mode_on_a_bare_host(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_restore, "tools_for", not_set_up)
    assert "nothing can be planned yet" in run(check=True)["plan"][0]


def test_the_target_must_be_named(world: World, run: Run) -> None:
    make_point(world.tools, "scheduled")
    world.events.clear()
    assert "say --confirm fleet" in run(confirm="shop")["msg"]
    assert world.events == []


def test_check_mode_fails_where_the_restore_would(world: World, run: Run) -> None:
    make_point(world.tools, "scheduled")
    world.free = 0
    assert "are free and the restore needs" in run(check=True)["msg"]

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
from ansible_collections.slipway.ops.plugins.modules import backup_info
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr(backup_info, "tools_for", lambda stack, progress: replace(world.tools, progress=progress))

    @contextmanager
    def free(name: str, owner: str, ttl_seconds: float = 300) -> Iterator[None]:
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
            backup_info.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def not_set_up(stack: str, progress: Any) -> None:
    raise RefusedError("backup.json: is missing; run the play with the role backup")


def test_points_and_status(world: World, run: Run) -> None:
    assert run()["status"]["overdue"] is True
    name = make_point(world.tools, "scheduled")["point"]
    result = run()
    assert result["changed"] is False
    assert [(point["point"], point["verified"]) for point in result["points"]] == [(name, True)]
    assert (result["status"]["newest_good"], result["status"]["overdue"]) == (name, False)


def test_a_repository_that_cannot_be_opened(world: World, run: Run) -> None:
    world.faults["repository"] = "the repository's password is wrong"
    assert run()["msg"] == "the repository's password is wrong"


def test_a_host_that_is_not_set_up(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_info, "tools_for", not_set_up)
    assert "run the play" in run()["msg"]

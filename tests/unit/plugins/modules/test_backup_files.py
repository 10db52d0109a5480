# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError, Source
from ansible_collections.slipway.ops.plugins.modules import backup_files
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A point with a certificate, on a host that has lost it."""
    world = World(tmp_path)
    certificates = tmp_path / "etc/certificates"
    certificates.mkdir()
    (certificates / "key.pem").write_text("key", encoding="utf-8")
    world.settings = replace(world.settings, sources=(*world.settings.sources, Source("file", path=str(certificates))))
    make_point(world.tools, "scheduled")
    shutil.rmtree(certificates)
    monkeypatch.setattr(backup_files, "tools_for", lambda stack, progress, *chosen, **options: world.tools)
    monkeypatch.setattr(backup_files.shutil, "which", lambda name: "/usr/bin/restic")
    return world


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def once(check: bool = False, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
        with (
            patch_module_args({"stack": "fleet", "_ansible_check_mode": check, **arguments}),
            pytest.raises(SystemExit),
        ):
            backup_files.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def test_they_are_placed_once(world: World, run: Run) -> None:
    path = world.root / "etc/certificates"
    predicted = run(check=True)
    assert (predicted["changed"], predicted["placed"], path.exists()) == (True, [str(path)], False)
    done = run()
    assert (done["changed"], done["placed"], (path / "key.pem").exists()) == (True, [str(path)], True)
    again = run()
    assert (again["changed"], again["placed"], again["kept"]) == (False, [], [str(path)])


def test_a_bare_host_is_predicted(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_files.shutil, "which", lambda name: None)
    assert run(check=True)["changed"] is True

    def not_set_up(stack: str, progress: Any, *chosen: Any, **options: Any) -> None:
        raise RefusedError("backup.json: is missing; run the play with the role backup")

    monkeypatch.setattr(backup_files.shutil, "which", lambda name: "/usr/bin/restic")
    monkeypatch.setattr(backup_files, "tools_for", not_set_up)
    assert run(check=True)["changed"] is True
    assert "run the play" in run()["msg"]


def test_a_point_that_is_not_there_is_one_line(world: World, run: Run) -> None:
    assert run(point="20200101T000000Z")["msg"].startswith("point 20200101T000000Z: there is none of this name")

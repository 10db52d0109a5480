# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Point, point_name
from ansible_collections.slipway.ops.plugins.modules import backup_retention
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeRepository, World

Run = Callable[..., dict[str, Any]]
REPOSITORY = {"name": "far", "url": "s3:https://h/b", "password": "a password"}


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    now = datetime.now(timezone.utc)
    for days in (-4, -3, -2, -1, 400):
        name = point_name(now + timedelta(days=days))
        world.points[name] = Point(name, "scheduled", f"s{days}", True)
    return world


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def door(params: dict[str, Any]) -> FakeRepository:
        repository = FakeRepository(world)
        repository.settings = backup_retention.settings_of(params)
        return repository

    def once(check: bool = False, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
        monkeypatch.setattr(backup_retention, "door", door)
        given = {"stack": "fleet", "repository": REPOSITORY, "credentials": {}, "retention": {"daily": 2}, **arguments}
        with patch_module_args({"_ansible_check_mode": check, **given}), pytest.raises(SystemExit):
            backup_retention.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def test_check_mode_only_says_what_would_go(world: World, run: Run) -> None:
    names = sorted(world.points)
    foreseen = run(check=True)
    assert (foreseen["changed"], foreseen["remove"]) == (True, names[:2])
    assert len(world.points) == 5
    assert run()["remove"] == names[:2]
    # The point of a clock that ran ahead has taken nobody's place.
    assert sorted(world.points) == names[2:]
    assert run()["changed"] is False


def test_what_is_needed_and_its_own_rules(world: World, run: Run) -> None:
    names = sorted(world.points)
    assert run(check=True, needed=[names[0]])["remove"] == [names[1]]
    assert run(check=True, repository={**REPOSITORY, "retention": {"daily": 1}})["remove"] == names[:3]


def test_what_is_wrong_is_one_line(world: World, run: Run) -> None:
    assert "repository.name: '../x' is not a valid name" in run(repository={**REPOSITORY, "name": "../x"})["msg"]
    world.faults["repository"] = "access is denied"
    assert run()["msg"] == "access is denied"
    assert len(world.points) == 5


def test_the_credentials_are_those_that_may_remove() -> None:
    params = {
        "stack": "fleet",
        "repository": {**REPOSITORY, "options": [], "ca_file": "", "s3_region": "r", "retention": {}},
        "credentials": {"url": "", "s3_access_key_id": "pruner", "s3_secret_access_key": "secret"},
        "retention": {"daily": 3},
    }
    repository = backup_retention.door(params)
    environment = repository._environment()
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"]) == ("pruner", "secret")
    assert environment["RESTIC_PASSWORD"] == "a password"
    assert "RESTIC_PASSWORD_FILE" not in environment
    assert (environment["AWS_DEFAULT_REGION"], repository.settings.retention.daily) == ("r", 3)
    elsewhere = backup_retention.settings_of({**params, "credentials": {"url": "sftp:pruner@h:/r"}})
    assert elsewhere.url == "sftp:pruner@h:/r"

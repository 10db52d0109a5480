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
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError, RepositoryMissing
from ansible_collections.slipway.ops.plugins.modules import backup_repository
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeRepository, World

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setattr(backup_repository, "tools_for", lambda stack, progress: replace(world.tools, progress=progress))

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
            backup_repository.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def not_set_up(stack: str, progress: Any) -> None:
    raise RefusedError("backup.json: is missing; run the play with the role backup")


class Initialised(FakeRepository):
    made = True

    def probe(self) -> None:
        if not self.made:
            raise RepositoryMissing("none")

    def initialise(self) -> None:
        self.made = True


@pytest.fixture
def repository(world: World, monkeypatch: pytest.MonkeyPatch) -> Initialised:
    repository = Initialised(world)
    tools = replace(world.tools, repository=repository)  # type: ignore[arg-type]
    monkeypatch.setattr(backup_repository, "tools_for", lambda stack, progress: tools)
    monkeypatch.setattr(backup_repository.shutil, "which", lambda name: "/usr/bin/restic")
    return repository


def test_it_is_initialised_once(repository: Initialised, run: Run) -> None:
    repository.made = False
    assert run(check=True)["changed"] is True
    assert repository.made is False
    first = run()
    assert (first["changed"], first["repository"]) == (True, "/repository")
    assert repository.made is True
    assert run()["changed"] is False


def test_a_bare_host_is_predicted(repository: Initialised, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_repository.shutil, "which", lambda name: None)
    assert run(check=True)["changed"] is True
    monkeypatch.setattr(backup_repository, "tools_for", not_set_up)
    assert run(check=True)["changed"] is True
    assert "run the play" in run()["msg"]


def test_what_is_wrong_is_one_line(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(FakeRepository):
        def probe(self) -> None:
            raise RefusedError("the repository's password is wrong")

    tools = replace(world.tools, repository=Closed(world))  # type: ignore[arg-type]
    monkeypatch.setattr(backup_repository, "tools_for", lambda stack, progress: tools)
    assert run()["msg"] == "the repository's password is wrong"

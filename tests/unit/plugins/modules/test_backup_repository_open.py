# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError, RepositoryMissing
from ansible_collections.slipway.ops.plugins.modules import backup_repository_open
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeRepository, World

ESCROW = [
    {"url": "/repository", "password": "first", "proof": "aa"},
    {"url": "sftp:far:/repository", "password": "second", "proof": "bb"},
]
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    serve(monkeypatch, world, world.tools.repository)
    return world


def serve(monkeypatch: pytest.MonkeyPatch, world: World, *repositories: Any) -> None:
    monkeypatch.setattr(backup_repository_open, "repositories_for", lambda stack: (world.place, list(repositories)))


@pytest.fixture
def run(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def once(check: bool = False, **arguments: Any) -> dict[str, Any]:
        monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None, raising=False)
        with (
            patch_module_args({"stack": "fleet", "escrow": ESCROW, "_ansible_check_mode": check, **arguments}),
            pytest.raises(SystemExit),
        ):
            backup_repository_open.main()
        return dict(json.loads(capsys.readouterr().out))

    return once


def not_set_up(stack: str) -> None:
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
    serve(monkeypatch, world, repository)
    monkeypatch.setattr(backup_repository_open.shutil, "which", lambda name: "/usr/bin/restic")
    monkeypatch.setattr(backup_repository_open, "prove_escrow", lambda *arguments: False)
    return repository


def test_it_is_initialised_once(repository: Initialised, run: Run) -> None:
    repository.made = False
    assert run(check=True)["changed"] is True
    assert repository.made is False
    first = run()
    assert first["changed"] is True
    assert first["repositories"] == {"main": {"url": "/repository", "initialised": True}}
    assert repository.made is True
    assert run()["changed"] is False


def test_the_escrow_copy_is_proved_on_each(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add_repository("far")
    proved: list[tuple[str, int, bool]] = []

    class There(FakeRepository):
        def probe(self) -> None:
            return None

    def prove(repository: FakeRepository, place: Any, entries: list[Any], dry_run: bool) -> bool:
        proved.append((repository.name, len(entries), dry_run))
        return repository.name == "far"

    doors = (There(world), There(world, "far"))
    serve(monkeypatch, world, *doors)
    monkeypatch.setattr(backup_repository_open, "prove_escrow", prove)
    assert run()["changed"] is True
    assert proved == [("main", 2, False), ("far", 2, False)]


def test_secrets_of_repositories_that_are_gone_go(repository: Initialised, world: World, run: Run) -> None:
    old = Path(world.place.repository("old").directory)
    old.mkdir(parents=True)
    assert run(check=True)["changed"] is True
    assert old.exists()
    assert run()["changed"] is True
    assert not old.exists()
    assert run()["changed"] is False


def test_a_bare_host_is_predicted(repository: Initialised, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup_repository_open.shutil, "which", lambda name: None)
    assert run(check=True)["changed"] is True
    monkeypatch.setattr(backup_repository_open, "repositories_for", not_set_up)
    assert run(check=True)["changed"] is True
    assert "run the play" in run()["msg"]


def test_what_is_wrong_is_one_line(world: World, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(FakeRepository):
        def probe(self) -> None:
            raise RefusedError("the repository's password is wrong")

    serve(monkeypatch, world, Closed(world))
    assert run()["msg"] == "the repository's password is wrong"
    assert run(escrow=[{"url": "/r", "password": "", "proof": "x"}])["msg"].startswith("escrow: an entry lacks")

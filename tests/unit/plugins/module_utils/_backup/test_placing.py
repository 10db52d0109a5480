# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.placing import STAGING, place_files
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    path = tmp_path / "etc/certificates"
    (path / "live").mkdir(parents=True)
    (path / "live/key.pem").write_text("key", encoding="utf-8")
    return path


@pytest.fixture
def world(tmp_path: Path, certificates: Path) -> World:
    """A point that holds the certificates and the stack's own file, on a host that has lost them."""
    world = World(tmp_path)
    stack_file = Source("file", path=str(tmp_path / "etc/stacks/fleet/stack.json"))
    sources = (*world.settings.sources, Source("file", path=str(certificates)), stack_file)
    world.settings = replace(world.settings, sources=sources)
    make_point(world.tools, "scheduled")
    shutil.rmtree(certificates)
    (tmp_path / "etc/stacks/fleet/stack.json").unlink()
    world.events.clear()
    return world


def test_what_is_missing_comes_back_and_what_a_release_writes_does_not(world: World, certificates: Path) -> None:
    found = place_files(world.tools)
    assert (found["placed"], found["kept"]) == ([str(certificates)], [])
    assert (certificates / "live/key.pem").read_text(encoding="utf-8") == "key"
    assert not (Path(world.place.stacks_root) / "fleet/stack.json").exists()
    assert [path.name for path in certificates.parent.iterdir() if STAGING in path.name] == []


def test_what_is_there_stays(world: World, certificates: Path) -> None:
    certificates.mkdir()
    (certificates / "newer").write_text("newer", encoding="utf-8")
    found = place_files(world.tools)
    assert (found["placed"], found["kept"]) == ([], [str(certificates)])
    assert [path.name for path in certificates.iterdir()] == ["newer"]
    assert world.events == []


def test_a_dry_run_says_what_would_come_back(world: World, certificates: Path) -> None:
    assert place_files(world.tools, dry_run=True)["placed"] == [str(certificates)]
    assert not certificates.exists()
    assert world.events == []


@pytest.mark.parametrize("step", [1, 2])
def test_a_kill_leaves_all_or_nothing(world: World, certificates: Path, step: int) -> None:
    world.dies_after = step
    with pytest.raises(Killed):
        place_files(world.tools)
    assert certificates.exists() == (step == 2)
    world.dies_after = 0
    place_files(world.tools)
    assert (certificates / "live/key.pem").read_text(encoding="utf-8") == "key"


def test_what_a_killed_try_left_is_not_taken_for_the_point(world: World, certificates: Path) -> None:
    staging = Path(f"{certificates}{STAGING}{certificates}")
    staging.mkdir(parents=True)
    (staging / "half").write_text("half", encoding="utf-8")
    place_files(world.tools)
    assert sorted(path.name for path in certificates.iterdir()) == ["live"]


def test_a_point_that_does_not_hold_what_it_names_is_an_error(world: World, certificates: Path) -> None:
    for content in world.snapshots.values():
        for name in [name for name in content if name.startswith(str(certificates))]:
            del content[name]
    with pytest.raises(BackupError, match="does not hold it"):
        place_files(world.tools)
    assert not certificates.exists()


def test_without_a_good_point_nothing_is_placed(world: World, certificates: Path) -> None:
    world.points = {name: replace(point, verified=False) for name, point in world.points.items()}
    with pytest.raises(RefusedError, match="no point that was read back"):
        place_files(world.tools)
    assert not certificates.exists()

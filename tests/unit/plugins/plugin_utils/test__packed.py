# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible_collections.slipway.ops.plugins.plugin_utils import _packed

MODULE = "slipway.ops.host_state"
NAME = "ansible_collections.slipway.ops.plugins.modules.host_state-ZIP_DEFLATED-none"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants.config, "get_config_value", lambda name: str(tmp_path / "home"))
    monkeypatch.setattr(_packed, "sources", lambda: [str(tmp_path / "source.py")])
    (tmp_path / "source.py").write_text("one")
    return tmp_path / "home"


def run(directory: Path, monkeypatch: pytest.MonkeyPatch, packs: str) -> str:
    """A run that packs the module unless it finds it; what it used."""
    directory.mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(directory))
    packed = directory / "ansiballz_cache" / NAME
    with _packed.kept(MODULE):
        if not packed.exists():
            packed.parent.mkdir(exist_ok=True)
            packed.with_name(f"{NAME}.lock").touch()
            packed.write_text(packs)
    return packed.read_text()


def test_the_next_run_finds_it(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(tmp_path / "first", monkeypatch, "packed once") == "packed once"
    assert run(tmp_path / "second", monkeypatch, "packed again") == "packed once"
    assert [path.name for path in home.rglob("*") if path.is_file()] == [NAME]
    assert {path.stat().st_mode & 0o777 for path in home.rglob("*") if path.is_dir()} == {0o700}


def test_other_sources_do_not(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "first", monkeypatch, "packed once")
    (tmp_path / "source.py").write_text("two")
    assert run(tmp_path / "second", monkeypatch, "packed again") == "packed again"
    assert len(list(home.glob("slipway-packed/*"))) == 2


def test_only_some_are_kept(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for turn in range(6):
        (tmp_path / "source.py").write_text(str(turn))
        run(tmp_path / f"run-{turn}", monkeypatch, str(turn))
    assert len(list(home.glob("slipway-packed/*"))) == _packed.SHELVES


def test_without_a_place_to_keep_it_all_goes_on(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("not a directory")
    assert run(tmp_path / "first", monkeypatch, "packed") == "packed"


def test_the_sources_are_ansibles_and_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[Any] = [path.rpartition("/")[2] for path in _packed.sources()]
    assert {"module_common.py", "basic.py", "foreseen.py", "host_state.py", "runtime.yml"} <= set(found)

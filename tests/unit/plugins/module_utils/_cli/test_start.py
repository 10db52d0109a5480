# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._cli import archive, start

REAL = Path(archive.__file__).resolve().parent.parent


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "bin/slipway"
    path.parent.mkdir()
    path.write_bytes(archive.build(REAL, "9.8.7"))
    return path


def run(program: Path, *words: str, python: str = sys.executable) -> str:
    done = subprocess.run([python, "-I", "-v", str(program), *words], capture_output=True, text=True, check=True)
    # What Python says with -v of where each module comes from.
    origin = "zip" if f"{program.parent.parent}/lib/slipway/" in done.stderr else "sources"
    return f"{done.stdout.strip()} from {origin}"


def kept(program: Path) -> list[Path]:
    return sorted((program.parent.parent / "lib/slipway").iterdir())


def test_the_first_start_compiles_and_the_next_ones_find_it(program: Path) -> None:
    assert run(program, "--version") == "slipway 9.8.7 from zip"
    (made,) = kept(program)
    inode = made.stat().st_ino
    assert made.stat().st_mode & 0o777 == 0o644
    assert run(program, "--version") == "slipway 9.8.7 from zip"
    assert made.stat().st_ino == inode
    assert "usage: slipway" in run(program, "--help")


def test_a_replaced_program_is_another_one_and_the_old_one_stays_a_while(program: Path) -> None:
    run(program, "--version")
    (first,) = kept(program)
    os.utime(first, (1, 1))
    new = program.with_name("new")
    new.write_bytes(archive.build(REAL, "9.8.8"))
    new.rename(program)
    assert run(program, "--version") == "slipway 9.8.8 from zip"
    assert first not in kept(program), "it was replaced long ago"
    (second,) = kept(program)
    os.utime(second, (time.time() - 3600, time.time() - 3600))
    new.write_bytes(archive.build(REAL, "9.8.9"))
    new.rename(program)
    assert run(program, "--version") == "slipway 9.8.9 from zip"
    assert second in kept(program), "a job may run that began with it"
    assert time.time() - second.stat().st_mtime < 60


def test_what_others_could_have_written_is_not_run(program: Path) -> None:
    run(program, "--version")
    (made,) = kept(program)
    made.chmod(0o666)
    assert start.compiled(str(program)) == str(made), "it is made anew"
    assert made.stat().st_mode & 0o777 == 0o644
    made.unlink()
    made.symlink_to(program)
    assert start.compiled(str(program)) == str(made)
    assert not made.is_symlink()


def test_without_room_for_it_the_sources_serve(program: Path) -> None:
    (program.parent.parent / "lib").write_text("no directory", encoding="utf-8")
    assert run(program, "--version") == "slipway 9.8.7 from sources"


def test_half_a_file_is_never_left(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert start.compiled(str(program)) == str(program)
    assert kept(program) == []


def test_who_does_not_own_the_program_writes_nothing(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(program).st_uid + 1)
    assert start.compiled(str(program)) == str(program)
    assert not (program.parent.parent / "lib").exists()

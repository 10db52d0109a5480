# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._cli import archive

REAL = Path(archive.__file__).resolve().parent.parent


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "module_utils" / "_one" / "deep" / "code.py"
    source.parent.mkdir(parents=True)
    source.write_text("x = 1\n", encoding="utf-8")
    first = archive.build(tmp_path / "module_utils", "1.2.3")
    os.utime(source, (1, 1))
    assert archive.build(tmp_path / "module_utils", "1.2.3") == first
    source.write_text("x = 2\n", encoding="utf-8")
    assert archive.build(tmp_path / "module_utils", "1.2.3") != first


def test_only_our_packages_are_taken(tmp_path: Path) -> None:
    for name in ("_one/code.py", "_one/__pycache__/code.pyc", "foreign/code.py", "__pycache__/x.py", "_one/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("", encoding="utf-8")
    names = sorted(archive.entries(tmp_path, "1"))
    prefix = "ansible_collections/slipway/ops/plugins/module_utils"
    assert [name for name in names if name.startswith(f"{prefix}/")] == [
        f"{prefix}/__init__.py",
        f"{prefix}/_cli/VERSION",
        f"{prefix}/_one/__init__.py",
        f"{prefix}/_one/code.py",
    ]


def test_the_real_program_runs(tmp_path: Path) -> None:
    program = tmp_path / "bin/slipway"
    program.parent.mkdir()
    program.write_bytes(archive.build(REAL, "9.8.7"))
    assert program.read_bytes().startswith(b"#!/usr/bin/python3 -I\n")
    command = [sys.executable, "-I", str(program)]
    assert (
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout == "slipway 9.8.7\n"
    )
    assert "usage: slipway" in subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("name", "text", "version"),
    [
        ("galaxy.yml", "namespace: slipway\nversion: 0.4.0\n", "0.4.0"),
        ("galaxy.yml", 'version: "0.4.1"  # next\n', "0.4.1"),
        ("MANIFEST.json", '{"collection_info": {"version": "0.5.0"}}', "0.5.0"),
        ("other", "", "unreleased"),
    ],
)
def test_the_version_comes_from_the_collection(tmp_path: Path, name: str, text: str, version: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert archive.collection_version(tmp_path) == version

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql import NotWhole
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_backup import BaseBackupReader, Unpacker
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import (
    SEGMENT,
    SYSTEM,
    archive,
    base_backup,
    control,
    label,
    manifest,
)

Members = list[tuple[str, "bytes | None"]]


def members() -> Members:
    return base_backup(["a"], 1, 0x3000028, 0x3100128)


def test_a_whole_one_says_what_it_is() -> None:
    reader = BaseBackupReader()
    data = archive(members())
    for start in range(0, len(data), 70_000):
        reader.feed(data[start : start + 70_000])
    found = reader.finish()
    assert (found.major, found.system_identifier, found.timeline) == (17, SYSTEM, 1)
    assert (found.start_lsn, found.end_lsn, found.begun) == ("0/3000028", "0/3100128", "2026-01-01 02:00:00 UTC")
    assert reader.bytes == len(data)


def without(name: str) -> Callable[[Members], Members]:
    return lambda found: [(each, data) for each, data in found if each != name]


def with_content(name: str, content: bytes) -> Callable[[Members], Members]:
    return lambda found: [(each, content if each == name else data) for each, data in found]


def last_first(found: Members) -> Members:
    return [found[-1], *found[:-1]]


def another(name: str, data: bytes = b"x") -> Callable[[Members], Members]:
    return lambda found: [*found[:-1], (name, data), found[-1]]


def of_version(version: bytes) -> Callable[[Members], Members]:
    def change(found: Members) -> Members:
        files = {name: data for name, data in found if data is not None}
        kept = {name: data for name, data in files.items() if not name.startswith("pg_wal/")}
        del kept["backup_manifest"]
        kept["PG_VERSION"] = version
        new = {**kept, "backup_manifest": manifest(kept, 1, "0/3000028", "0/3100128")}
        return [(name, new.get(name, data)) for name, data in found]

    return change


WHOLE = [
    pytest.param(without("backup_label"), "backup_label is missing", id="no label"),
    pytest.param(without("backup_manifest"), "backup_manifest is missing", id="no manifest"),
    pytest.param(without("global/pg_control"), "pg_control is missing", id="no control file"),
    pytest.param(last_first, "is not its last file", id="manifest first"),
    pytest.param(without("base/rows.json"), "base/rows.json is missing", id="a file is missing"),
    pytest.param(with_content("base/rows.json", b"longer!"), "has 7 bytes and should have", id="a file is longer"),
    pytest.param(another("base/more"), "base/more is not in backup_manifest", id="a file too many"),
    pytest.param(without("pg_wal/000000010000000000000031"), "which the backup needs", id="WAL is missing"),
    pytest.param(
        with_content("pg_wal/000000010000000000000030", b"x" * 100), "which the backup needs", id="WAL is short"
    ),
    pytest.param(
        lambda found: [item for item in found if not item[0].startswith("pg_wal/")], "has no WAL", id="no WAL at all"
    ),
    pytest.param(with_content("backup_label", label(1, "0/3000028", "standby")), "", id="from a replica"),
    pytest.param(of_version(b"12\n"), "13 is the oldest", id="too old"),
    pytest.param(another("base/rows.json"), "is in it twice", id="twice"),
    pytest.param(with_content("backup_manifest", b"{}"), "has no last line", id="manifest cut off"),
    pytest.param(
        with_content("backup_manifest", b'{}\n"Manifest-Checksum": "' + b"0" * 64 + b'"}\n'),
        "another checksum than its own",
        id="manifest changed",
    ),
]


@pytest.mark.parametrize(("change", "words"), WHOLE)
def test_one_that_is_not_whole_is_refused(change: Callable[[Members], Members], words: str) -> None:
    def read() -> None:
        reader = BaseBackupReader()
        reader.feed(archive(change(members())))
        reader.finish()

    with pytest.raises(NotWhole) as caught:
        read()
    assert words in str(caught.value)


def test_one_that_is_cut_off() -> None:
    reader = BaseBackupReader()
    reader.feed(archive(members())[: SEGMENT + 10_000])
    with pytest.raises(NotWhole, match="is cut off"):
        reader.finish()


def unpack(directory: Path, found: Members) -> None:
    unpacker = Unpacker(str(directory), os.getuid(), os.getgid())
    try:
        data = archive(found)
        for start in range(0, len(data), 100_000):
            unpacker.feed(data[start : start + 100_000])
        unpacker.finish()
    finally:
        unpacker.close()


def test_it_is_unpacked_as_it_was(tmp_path: Path) -> None:
    unpack(tmp_path, members())
    assert (tmp_path / "global/pg_control").read_bytes() == control(6, 1)
    assert (tmp_path / "pg_wal/000000010000000000000030").stat().st_size == SEGMENT
    assert (tmp_path / "pg_wal/archive_status").is_dir()
    assert not (tmp_path / "backup_manifest").exists()
    assert (tmp_path / "base").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "base/rows.json").stat().st_mode & 0o777 == 0o600


def test_a_file_with_another_content_of_the_same_size(tmp_path: Path) -> None:
    changed = [(name, b'["b"]' if name == "base/rows.json" else data) for name, data in members()]
    with pytest.raises(NotWhole, match=r"base/rows.json has another checksum than when it was saved"):
        unpack(tmp_path, changed)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "base/../../outside", "base//outside", "./"])
def test_nothing_is_written_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(NotWhole):
        unpack(tmp_path / "data", another(name)(members()))
    assert not list(tmp_path.rglob("outside"))

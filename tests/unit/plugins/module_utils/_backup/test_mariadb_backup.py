# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.mariadb_backup import (
    IGNORABLE,
    REWRITE,
    NotWhole,
    StreamReader,
    Unpacker,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace

# As mariadb-backup 11.8 writes them.
INFO = b"""\
uuid = dba635b4-e613-11f1-9590-0242ac110002
tool_version = 11.8.6-MariaDB
server_version = 11.8.6-MariaDB-0+deb13u1 from Debian-log
start_time = 2026-11-22 01:27:13
end_time = 2026-11-22 01:27:18
binlog_pos = filename 'binlog.000002', position '545', GTID of the last change '0-1-4'
partial = N
incremental = N
format = mbstream
"""
CHECKPOINTS = b"backup_type = full-backuped\nfrom_lsn = 0\nto_lsn = 212838485\n"


def chunk(name: str, data: bytes, offset: int = 0, flags: int = 0, kind: bytes = b"P") -> bytes:
    head = struct.pack("<8sBcI", b"XBSTCK01", flags, kind, len(name)) + name.encode()
    return head + struct.pack("<QQI", len(data), offset, zlib.crc32(data)) + data


def end(name: str) -> bytes:
    return struct.pack("<8sBcI", b"XBSTCK01", 0, b"E", len(name)) + name.encode()


def whole(**more: bytes) -> bytes:
    files = {
        "ibdata1": b"i" * 3000,
        "ib_logfile0": b"l" * 500,
        "fleet/big.ibd": b"",
        **{name.replace("__", "/"): data for name, data in more.items()},
        "mariadb_backup_binlog_info": b"binlog.000002\t545\t0-1-4\n",
        "mariadb_backup_checkpoints": CHECKPOINTS,
        "mariadb_backup_info": INFO,
    }
    # The redo log grows while the others are copied.
    found = chunk("ib_logfile0", b"first")
    for name, data in files.items():
        if name == "ib_logfile0":
            continue
        for start in range(0, len(data), 1024):
            found += chunk(name, data[start : start + 1024], start)
        found += end(name)
    return found + chunk("ib_logfile0", b"more", 5) + end("ib_logfile0")


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_a_backup_is_read_in_pieces_of_any_size(size: int) -> None:
    stream, reader = whole(), StreamReader()
    for start in range(0, len(stream), size):
        reader.feed(stream[start : start + size])
    found = reader.finish()
    assert found.place == LogPlace("binlog.000002", 545, "0-1-4")
    assert found.version.startswith("11.8.6-MariaDB")
    assert (found.begun, found.ended, found.files) == ("2026-11-22 01:27:13", "2026-11-22 01:27:18", 6)
    assert reader.bytes == len(stream)


def test_a_server_without_a_log() -> None:
    reader = StreamReader()
    name = "mariadb_backup_binlog_info"
    reader.feed(whole().replace(chunk(name, b"binlog.000002\t545\t0-1-4\n") + end(name), b""))
    assert reader.finish().place is None


def test_the_names_of_before_mariadb_11() -> None:
    reader = StreamReader()
    stream = whole().replace(b"\x1a\x00\x00\x00mariadb_backup_binlog_info", b"\x16\x00\x00\x00xtrabackup_binlog_info")
    stream = stream.replace(b"\x1a\x00\x00\x00mariadb_backup_checkpoints", b"\x16\x00\x00\x00xtrabackup_checkpoints")
    reader.feed(stream.replace(b"\x13\x00\x00\x00mariadb_backup_info", b"\x0f\x00\x00\x00xtrabackup_info"))
    assert reader.finish().place == LogPlace("binlog.000002", 545, "0-1-4")


CUT = whole()


def read(stream: bytes) -> None:
    reader = StreamReader()
    reader.feed(stream)
    reader.finish()


@pytest.mark.parametrize(
    ("stream", "message"),
    [
        (b"", "it is empty"),
        (CUT[:-1], "cut off within a chunk"),
        (CUT[: len(CUT) // 2], "."),
        (CUT[: -len(end("ib_logfile0"))], "ib_logfile0 has no end"),
        (CUT.replace(b"end_time", b"xnd_time"), "mariadb_backup_info is damaged"),
        (CUT.replace(b"i" * 1024, b"i" * 1023 + b"j", 1), "ibdata1 is damaged"),
        (b"x" + CUT, "is not the beginning of a chunk"),
        (CUT.replace(b"full-backuped", b"full-prepared"), "checkpoints is damaged"),
        (chunk("a", b"b") + end("a"), "mariadb_backup_info is missing"),
        (chunk("a", b"b", kind=b"S"), "which is not known"),
    ],
)
def test_what_is_not_whole_is_refused(stream: bytes, message: str) -> None:
    with pytest.raises(NotWhole, match=message):
        read(stream)


def test_a_cut_anywhere_is_noticed() -> None:
    for length in range(0, len(CUT), 97):
        with pytest.raises(NotWhole):
            read(CUT[:length])


def unpack(stream: bytes, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    unpacker = Unpacker(str(directory), -1, -1)
    try:
        for start in range(0, len(stream), 333):
            unpacker.feed(stream[start : start + 333])
        unpacker.finish()
    finally:
        unpacker.close()


def test_it_is_unpacked_as_it_was(tmp_path: Path) -> None:
    unpack(whole(fleet__t=b"abc"), tmp_path)
    assert (tmp_path / "ibdata1").read_bytes() == b"i" * 3000
    assert (tmp_path / "ib_logfile0").read_bytes() == b"firstmore"
    assert (tmp_path / "fleet/t").read_bytes() == b"abc"
    assert (tmp_path / "fleet/big.ibd").read_bytes() == b""


def test_a_file_that_begins_anew(tmp_path: Path) -> None:
    stream = chunk("fleet/t.frm", b"long and old") + end("fleet/t.frm")
    stream += chunk("fleet/t.frm", b"new", flags=REWRITE) + end("fleet/t.frm")
    stream += chunk("fleet/log.CSV", b"one\n") + end("fleet/log.CSV")
    stream += chunk("fleet/log.CSV", b"two\n", 4) + end("fleet/log.CSV")
    unpack(stream + chunk("later", b"?", flags=IGNORABLE, kind=b"Z") + end("later") + whole(), tmp_path)
    assert (tmp_path / "fleet/t.frm").read_bytes() == b"new"
    assert (tmp_path / "fleet/log.CSV").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "later").read_bytes() == b""


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "", "a//b", "./.", "a\0b"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "data"
    with pytest.raises(NotWhole, match="is no name of a file within a data directory"):
        unpack(chunk(name, b"x"), inside)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/x").symlink_to(tmp_path / "outside")
    with pytest.raises(OSError, match="Too many levels"):
        unpack(chunk("x", b"x") + end("x"), tmp_path / "data")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Binary log files for tests, byte by byte as the servers write them."""

import struct
import uuid
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

MAGIC = b"\xfebin"
SERVER = "3e11fa47-71ca-11e1-9e33-c80aa9429562"
BEGIN = int(datetime(2026, 1, 1, 3, 0, tzinfo=timezone.utc).timestamp())


@dataclass(frozen=True)
class Row:
    """One transaction: a row that is inserted, or a statement that changes no row."""

    number: int
    text: str
    seconds: int

    @property
    def mariadb_gtid(self) -> str:
        return f"0-1-{self.number}"

    @property
    def mysql_gtid(self) -> str:
        return f"{SERVER}:{self.number}"


def event(kind: int, body: bytes, start: int, seconds: int, flags: int = 0) -> bytes:
    length = 19 + len(body) + 4
    head = struct.pack("<IBIIIH", seconds, kind, 1, length, start + length, flags)
    return head + body + struct.pack("<I", zlib.crc32(head + body))


def head(version: str) -> bytes:
    """The first bytes of a file: its format."""
    posts = bytearray(200)
    body = struct.pack("<H50sIB", 4, version.encode(), 0, 19) + bytes(posts) + b"\x01"
    return MAGIC + event(15, body, 4, BEGIN)


def query(text: str, database: str = "shop") -> bytes:
    return struct.pack("<IIBHH", 1, 0, len(database), 0, 0) + database.encode() + b"\0" + text.encode()


def transaction(row: Row, start: int, mariadb: bool, length: int = 0) -> bytes:
    if mariadb:
        data = event(162, struct.pack("<QIB", row.number, 0, 0) + bytes(6), start, row.seconds)
    else:
        body = b"\x01" + uuid.UUID(SERVER).bytes + struct.pack("<Q", row.number) + b"\x02" + bytes(16)
        body += (row.seconds * 1_000_000).to_bytes(7, "little") + b"\xfc" + struct.pack("<H", length)
        data = event(33, body, start, row.seconds)
        data += event(2, query("BEGIN"), start + len(data), row.seconds)
    data += event(2, query(row.text), start + len(data), row.seconds)
    data += event(16, struct.pack("<Q", row.number), start + len(data), row.seconds)
    # MySQL says at the beginning how long a transaction is.
    return data if mariadb or length else transaction(row, start, mariadb, len(data))


def write(directory: Path, name: str, rows: Sequence[Row], mariadb: bool, next_name: str = "") -> list[tuple[int, int]]:
    """Write a file; returns where each transaction begins and ends."""
    data = head("11.8.6-MariaDB-log" if mariadb else "8.4.3")
    places = []
    for row in rows:
        found = transaction(row, len(data), mariadb)
        places.append((len(data), len(data) + len(found)))
        data += found
    if next_name:
        data += event(4, struct.pack("<Q", 4) + next_name.encode(), len(data), BEGIN)
    (directory / name).write_bytes(data)
    return places

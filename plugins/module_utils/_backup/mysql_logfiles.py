# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a binary log in a workspace: which are to be replayed, where they end, and what they say of events."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_replay import (
    LogFile,
    follow,
    is_event_statement,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Replay:
    """What is to be replayed; nothing when the data is at the target already."""

    files: tuple[LogFile, ...] = ()
    last: binlog.Transaction | None = None
    bytes: int = 0


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        yield stream


def plan_replay(directory: str, place: LogPlace) -> Replay:
    """Look at the files from a place on, and end the last one behind its last transaction: what stands there (the name
    of the next file, half an event) would keep its reader from ever saying that it is at the end. Raises ValueError
    when the files do not lead on from the place, or one of them is damaged."""
    names = sorted(name for name in os.listdir(directory) if binlog.file_number(name) is not None)
    files = [LogFile(name, os.path.getsize(f"{directory}/{name}"), 1) for name in names]
    last: binlog.Transaction | None = None
    # Only what the last file holds has to be known; one without a transaction is left away.
    while files:
        path = f"{directory}/{files[-1].name}"
        last = _last_transaction(path, place.position if files[-1].name == place.file else 0)
        if last is not None:
            os.truncate(path, last.end)
            files[-1] = LogFile(files[-1].name, last.end, last.end)
            break
        files[-1] = LogFile(files[-1].name, files[-1].size, 0)
        empty = files.pop()
        if not files or empty.name == place.file:
            return Replay()
    found = follow(files, place.file, place.position)
    for file in found:
        _verify(f"{directory}/{file.name}")
    size = sum(file.size for file in found) - (place.position if found else 0)
    return Replay(found, last if found else None, size)


def _last_transaction(path: str, position: int) -> binlog.Transaction | None:
    """The last transaction of a file that begins at the position or behind it."""
    found = None
    with _opened(path) as stream:
        for transaction in binlog.transactions(stream, os.path.basename(path)):
            if transaction.start >= position:
                found = transaction
    return found


def _verify(path: str) -> None:
    """Refuse a file with an event whose checksum is wrong, or with half an event at its end."""
    name = os.path.basename(path)
    with _opened(path) as stream:
        reader = binlog.Reader(stream, name)
        end = 0
        for event in reader.events():
            if not reader.verify(event):
                raise ValueError(f"{name} is damaged at byte {event.start}")
            end = event.end
        if end != os.path.getsize(path):
            raise ValueError(f"{name} is cut off at byte {end}")


def event_statements(directory: str, files: Sequence[LogFile], position: int) -> list[tuple[str, str]]:
    """The statements, each with its database, that may make, change or drop an event, from a position in the first file
    on."""
    found: list[tuple[str, str]] = []
    for index, file in enumerate(files):
        with _opened(f"{directory}/{file.name}") as stream:
            # Most files have none, and reading every event of the others takes its time.
            if not _mentions(stream, b"event"):
                continue
            for event in binlog.Reader(stream, file.name).events():
                if event.kind == binlog.QUERY and (index or event.start >= position):
                    database, statement = _statement(event.body)
                    if is_event_statement(statement):
                        found.append((database, statement))
    return found


def _mentions(stream: BinaryIO, word: bytes) -> bool:
    before = b""
    for chunk in iter(lambda: stream.read(_CHUNK), b""):
        if word in (before + chunk).lower():
            return True
        before = chunk[-len(word) :]
    return False


def _statement(body: bytes) -> tuple[str, str]:
    """The database and the whole text of a statement, as far as it was kept: Query_event's fixed part has the length of
    the name at byte 8 and that of the variables at byte 11."""
    begin = 13 + int.from_bytes(body[11:13], "little")
    end = begin + body[8]
    return body[begin:end].decode("utf-8", "replace"), body[end + 1 :].decode("utf-8", "replace")

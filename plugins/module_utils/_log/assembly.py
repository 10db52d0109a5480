# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the files of a log together again from its objects.

Where two objects overlap they must hold the same bytes; one that does not is found here. An object that cannot be read
(the rest of a transfer that a power cut ended) is left away when others hold its bytes, and is a hole when none does.
"""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog, wal
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    LIMIT_BYTES,
    HoleError,
    Piece,
    UnreadableError,
    by_stream,
    choose,
    closed_size,
    coverage,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

READ_BYTES = 1 << 20


class Fetcher(Protocol):
    """What gives objects: `store.Store`."""

    def fetch(self, pieces: Iterable[Piece], directory: str) -> None: ...


def assemble(root: str, pieces: Sequence[Piece], target: str, end: int | None = None, pad_to: int = 0) -> int:
    """Write a stream's file from objects that lie below a directory under their own paths; returns how many bytes are
    real. Bytes behind the stream's known end, and behind `end`, are left away; up to `pad_to` the file is filled with
    zeros, as a server fills a segment.

    Raises HoleError when a byte before the end is in none of the objects, UnreadableError, with the object, when one
    cannot be read, and BackupError when one holds another content than one before it.
    """
    ends = [item for item in (end, closed_size(pieces)) if item is not None]
    limit = min(ends, default=LIMIT_BYTES)
    wanted = limit if ends else max((piece.end for piece in pieces), default=0)
    reached = 0
    with open(os.open(target, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "r+b") as stream:
        for piece in sorted(pieces, key=lambda item: (item.start, -item.end)):
            if piece.size and piece.start <= reached:
                reached = max(reached, _lay(f"{root}/{piece.path}", piece, stream, reached, limit))
        if reached < wanted:
            where = pieces[0].stream.path if pieces else target
            raise HoleError(f"{where}: the bytes from {reached} on are missing, of {wanted}; choose an earlier target")
        stream.truncate(reached)
        stream.truncate(max(pad_to, reached))
        stream.flush()
        os.fsync(stream.fileno())
    return reached


def _lay(path: str, piece: Piece, stream: BinaryIO, reached: int, limit: int) -> int:
    """Write what an object adds, and compare what it repeats; returns how far the bytes go then."""
    position = piece.start
    for data in _unpack(path, piece):
        kept = data[: max(0, limit - position)]
        known = kept[: max(0, reached - position)]
        stream.seek(position)
        if known and stream.read(len(known)) != known:
            raise BackupError(
                f"{piece.path}: holds other bytes than an object that it overlaps, and which of them is right is not"
                " known; choose an earlier target"
            )
        stream.seek(position + len(known))
        stream.write(kept[len(known) :])
        position += len(data)
    return min(position, limit)


def _unpack(path: str, piece: Piece) -> Iterator[bytes]:
    """What an object holds. Raises UnreadableError at its end when that was not what its name says."""
    size = 0
    try:
        with gzip.open(path, "rb") as packed:
            while True:
                data = packed.read(READ_BYTES)
                if not data:
                    break
                size += len(data)
                yield data
    except (OSError, EOFError, zlib.error) as error:
        raise UnreadableError(f"{piece.path}: cannot be unpacked: {error}", piece) from error
    if size != piece.size:
        raise UnreadableError(f"{piece.path}: holds {size} bytes", piece)


@dataclass(frozen=True)
class Rebuilt:
    """A stream's file that was put together: how many of its bytes are real, and the objects that could not be read."""

    end: int
    unreadable: tuple[Piece, ...] = ()


def rebuild(
    fetcher: Fetcher,
    pieces: Sequence[Piece],
    target: str,
    scratch: str,
    end: int | None = None,
    pad_to: int = 0,
) -> Rebuilt:
    """Fetch as few objects of one stream as it takes, and put its file together up to `end`, or as far as they go.

    What cannot be read is left away when other objects hold its bytes. When it was the last of an open stream, the log
    ends before it: that is said in the result. Anything else is a HoleError. `scratch` is a directory for the objects
    that is made, and removed.
    """
    usable = list(pieces)
    unreadable: list[Piece] = []
    fetched: set[Piece] = set()
    closed = closed_size(pieces)
    wanted = closed if end is None else end if closed is None else min(end, closed)
    files.ensure_directory(scratch)
    try:
        while True:
            held = coverage(usable)
            if wanted is None and held.hole is not None:
                raise HoleError(
                    f"{pieces[0].stream.path}: the bytes from {held.hole} on are in no object that can be read, and"
                    f" there are some from {held.last} on; choose an earlier target"
                )
            chosen = choose(usable, end=wanted)
            try:
                fetcher.fetch([piece for piece in chosen if piece not in fetched], scratch)
                fetched.update(chosen)
                return Rebuilt(assemble(scratch, chosen, target, wanted, pad_to), tuple(unreadable))
            except UnreadableError as error:
                if error.piece is None or error.piece not in usable:
                    raise
                usable.remove(error.piece)
                unreadable.append(error.piece)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


@dataclass(frozen=True)
class Collected:
    """A log that was put together in a directory, in the order of its files: up to a position (PostgreSQL) or up to so
    many bytes of its last file (MySQL, MariaDB). What could not be read was its very end."""

    names: tuple[str, ...]
    end: int
    unreadable: tuple[Piece, ...] = ()


def segment_size(fetcher: Fetcher, pieces: Sequence[Piece], scratch: str) -> int:
    """How large the segments of a PostgreSQL log are: as large as one that is closed, or as the first page says."""
    segments = [piece for piece in pieces if wal.SEGMENT_NAME.match(piece.stream.name)]
    wholes = [piece.end for piece in segments if piece.whole]
    if wholes:
        return max(wholes)
    for piece in [piece for piece in segments if piece.start == 0 and piece.size][:1]:
        target = f"{scratch}.head"
        rebuild(fetcher, [piece], target, scratch)
        try:
            header = wal.read_header(target)
        finally:
            files.remove(target)
        if header is not None:
            return header.segment_size
    return wal.SEGMENT_BYTES


def collect_wal(
    fetcher: Fetcher,
    pieces: Sequence[Piece],
    directory: str,
    begin: int,
    *,
    timeline: int = 0,
    end: int | None = None,
) -> Collected:
    """Put all segments together that a recovery needs from a position on, under the names that `restore_command` asks
    for. `pieces` are those of one lineage; the last segment is filled with zeros, where a server finds the log's end.

    Without a timeline it is the newest one. Without an end it goes as far as the log does; a hole on the way is refused
    then as well, since a server would take it for the end.
    """
    groups = {stream.name: group for stream, group in by_stream(pieces).items()}
    held = {name: coverage(group) for name, group in groups.items()}
    scratch = f"{directory}/.objects"
    files.ensure_directory(directory)
    size = segment_size(fetcher, pieces, scratch)
    timelines = wal.ranges(held, size)
    timeline = timeline or max(timelines, default=0)
    # A timeline that was just begun has a history and nothing more; a server would follow it all the same.
    if timeline not in timelines and f"{timeline:08X}.history" not in groups:
        raise HoleError(f"the log holds nothing of timeline {timeline or 1}; choose another recovery point")
    for name in [name for name in groups if wal.HISTORY_NAME.match(name)]:
        rebuild(fetcher, groups[name], f"{directory}/{name}", scratch)
    history = wal.History(timeline)
    if timeline > 1:
        text = files.read_text(f"{directory}/{timeline:08X}.history")
        if text is None:
            raise HoleError(f"the log does not hold {timeline:08X}.history, the way to timeline {timeline}")
        history = wal.parse_history(text, timeline)
    way = wal.along(timelines, history, size)
    reached = wal.reach(way, begin)
    wanted = end if end is not None else max((high for _low, high in way), default=0)
    if reached < wanted or reached < begin or not any(low <= begin <= high for low, high in way):
        raise HoleError(
            f"the log from {wal.print_lsn(begin)} on goes without a hole to {wal.print_lsn(reached)} only, and"
            f" {wal.print_lsn(wanted)} is wanted; choose an earlier target"
        )
    names: list[str] = []
    unreadable: list[Piece] = []
    for part, low, high in history.path:
        for name in sorted(groups):
            segment = wal.Segment.parse(name, size)
            if segment is None or segment.timeline != part or segment.end <= max(begin, low // size * size):
                continue
            if segment.start >= wanted or (high is not None and segment.start >= high):
                continue
            result = rebuild(fetcher, groups[name], f"{directory}/{name}", scratch, pad_to=size)
            names.append(name)
            unreadable += result.unreadable
            if result.end < held[name].end:
                reached = min(reached, segment.start + result.end)
    if end is not None and reached < end:
        raise HoleError(f"the log can be read up to {wal.print_lsn(reached)} only; choose an earlier target")
    return Collected(tuple(names), min(reached, wanted), tuple(unreadable))


def collect_binlogs(fetcher: Fetcher, pieces: Sequence[Piece], directory: str, first: str) -> Collected:
    """Put all files of a binary log together from one on, as far as they follow each other. `pieces` are those of one
    lineage. A file that has a successor must be whole: it says itself that it was closed, or a closing record does."""
    groups = {stream.name: group for stream, group in by_stream(pieces).items()}
    numbers = {
        number: name for number, name in ((binlog.file_number(name), name) for name in groups) if number is not None
    }
    files.ensure_directory(directory)
    names: list[str] = []
    begin, last = binlog.file_number(first), max(numbers, default=-1)
    if begin is None or first not in groups:
        raise HoleError(f"the log does not hold {first}; choose another recovery point")
    result = Rebuilt(0)
    for number in range(begin, last + 1):
        name = numbers.get(number)
        if name is None:
            raise HoleError(f"file {number:06d} of the log is missing behind {names[-1]}; choose an earlier target")
        path = f"{directory}/{name}"
        result = rebuild(fetcher, groups[name], path, f"{directory}/.objects")
        names.append(name)
        if number < last and not coverage(groups[name]).complete:
            with open(path, "rb") as stream:
                found = binlog.summarize(stream, name)
            if not found.closed or found.events_end != result.end:
                raise HoleError(f"{name} has no known end, and a file follows it; choose an earlier target")
    return Collected(tuple(names), result.end, result.unreadable)

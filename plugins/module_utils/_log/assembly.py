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
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    LIMIT_BYTES,
    HoleError,
    Piece,
    UnreadableError,
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
    ends before it: that is said in the result. Anything else is a HoleError. `scratch` is a directory for the objects,
    on which nothing is left.
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
        for piece in fetched:
            files.remove(f"{scratch}/{piece.path}")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a log is made of, as values: lineages, streams, the objects that hold their bytes, and what these cover.

Below `slipway-log/` in a repository an object is named

    <stack>/<source>/<lineage>/<stream>/<start>-<end>.gz     a chunk: the bytes [start, end) of the stream
    <stack>/<source>/<lineage>/<stream>/<size>-<size>.gz     an empty chunk: the stream is closed and has `size` bytes
    <stack>/<source>/<lineage>/<stream>/whole-<size>.gz      the whole stream, which is closed

with decimal offsets of twelve digits; each is the gzip of the raw bytes. A stream only ever grows, so two objects that
overlap hold the same bytes there, an object never has to be overwritten, and one that lies within another is
superfluous. What a server's log would have to say twice (a RESET, a data directory that went back in time) begins a
lineage of its own: the same identity with the next epoch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SERVICE_NAME,
    STACK_NAME,
    BackupError,
    RefusedError,
)

DIRECTORY = "slipway-log"
SOURCE_KEY = SERVICE_NAME
LINEAGE_NAME = re.compile(r"(?P<identity>[A-Za-z0-9][A-Za-z0-9-]*)(?:\.(?P<epoch>[1-9][0-9]*))?\Z")
STREAM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}\Z")
REPOSITORY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*\Z")
CHUNK_NAME = re.compile(r"(\d{12})-(\d{12})\.gz\Z")
WHOLE_NAME = re.compile(r"whole-(\d{12})\.gz\Z")
LIMIT_BYTES = 10**12


class HoleError(BackupError):
    """Bytes of a log that are asked for are not there."""


class UnreadableError(BackupError):
    """An object is there and does not hold what its name says."""

    def __init__(self, message: str, piece: Piece | None = None) -> None:
        super().__init__(message)
        self.piece = piece


@dataclass(frozen=True, order=True)
class Lineage:
    """What a log belongs to: one server's data, of one stack's source, since its log last began anew."""

    stack: str
    source: str
    identity: str
    epoch: int = 1

    def __post_init__(self) -> None:
        if not STACK_NAME.match(self.stack):
            raise ValueError(f"{self.stack!r}: is not a name of a stack")
        if not SOURCE_KEY.match(self.source):
            raise ValueError(f"{self.source!r}: is not a name of a log's source")
        if not LINEAGE_NAME.match(self.name):
            raise ValueError(f"{self.name!r}: is not a name of a lineage")

    @property
    def name(self) -> str:
        return self.identity if self.epoch == 1 else f"{self.identity}.{self.epoch}"

    @property
    def path(self) -> str:
        return f"{self.stack}/{self.source}/{self.name}"

    @property
    def next(self) -> Lineage:
        """The lineage that begins when this one's log began anew."""
        return Lineage(self.stack, self.source, self.identity, self.epoch + 1)

    @classmethod
    def named(cls, stack: str, source: str, name: str) -> Lineage:
        """The lineage of a directory's name."""
        found = LINEAGE_NAME.match(name)
        if not found or found["epoch"] == "1":
            raise ValueError(f"{name!r}: is not a name of a lineage")
        return cls(stack, source, found["identity"], int(found["epoch"] or 1))


@dataclass(frozen=True, order=True)
class Stream:
    """One file of a log, by its own name."""

    lineage: Lineage
    name: str

    def __post_init__(self) -> None:
        if not STREAM_NAME.match(self.name):
            raise ValueError(f"{self.name!r}: is not a name of a file of a log")

    @property
    def path(self) -> str:
        return f"{self.lineage.path}/{self.name}"


@dataclass(frozen=True, order=True)
class Piece:
    """One object: some or all bytes of a stream. `stored` is how many bytes the repository says it has."""

    stream: Stream
    start: int
    end: int
    whole: bool = False
    stored: int = field(default=-1, compare=False)

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end < LIMIT_BYTES or (self.whole and self.start):
            raise ValueError(f"{self.start}-{self.end}: is not a range of bytes of a stream")

    @property
    def name(self) -> str:
        return f"whole-{self.end:012d}.gz" if self.whole else f"{self.start:012d}-{self.end:012d}.gz"

    @property
    def path(self) -> str:
        return f"{self.stream.path}/{self.name}"

    @property
    def size(self) -> int:
        """How many raw bytes it holds."""
        return self.end - self.start

    @property
    def closing(self) -> bool:
        """Whether it says where the stream ends."""
        return self.whole or self.start == self.end


def parse_piece(path: str, stored: int = -1) -> Piece | None:
    """The object of a path below `slipway-log/`; None when it is none of ours."""
    parts = path.split("/")
    if len(parts) != 5:
        return None
    chunk, whole = CHUNK_NAME.match(parts[4]), WHOLE_NAME.match(parts[4])
    try:
        stream = Stream(Lineage.named(parts[0], parts[1], parts[2]), parts[3])
        if chunk:
            return Piece(stream, int(chunk[1]), int(chunk[2]), stored=stored)
        if whole:
            return Piece(stream, 0, int(whole[1]), True, stored)
    except ValueError:
        return None
    return None


@dataclass(frozen=True)
class Coverage:
    """Which bytes of a stream are held, and how many it has once that is known."""

    ranges: tuple[tuple[int, int], ...] = ()
    closed: int | None = None

    @property
    def end(self) -> int:
        """How far the bytes go from the stream's first one without a hole."""
        return self.ranges[0][1] if self.ranges and self.ranges[0][0] == 0 else 0

    @property
    def complete(self) -> bool:
        return self.closed is not None and self.end >= self.closed

    @property
    def hole(self) -> int | None:
        """Where the first hole begins: bytes that are known to exist and are not held. None when there is none."""
        if self.complete or (self.closed is None and len(self.ranges) <= 1 and self.end == self.last):
            return None
        return self.end

    @property
    def last(self) -> int:
        """The last byte that is held at all."""
        return self.ranges[-1][1] if self.ranges else 0


def merge(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges put together where they touch or overlap, in order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(item for item in ranges if item[1] > item[0]):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return tuple(found)


def closed_size(pieces: Iterable[Piece]) -> int | None:
    """How many bytes a closed stream has. A server that died and came back shortens the file that it wrote last: what
    was taken from behind its new end was never committed, so the closing record rules, and the shortest of several."""
    return min((piece.end for piece in pieces if piece.closing), default=None)


def coverage(pieces: Iterable[Piece]) -> Coverage:
    """What the objects of one stream hold."""
    found = list(pieces)
    closed = closed_size(found)
    limit = LIMIT_BYTES if closed is None else closed
    return Coverage(merge((piece.start, min(piece.end, limit)) for piece in found), closed)


def by_stream(pieces: Iterable[Piece]) -> dict[Stream, list[Piece]]:
    """The objects of each stream, the streams in the order of their names."""
    found: dict[Stream, list[Piece]] = {}
    for piece in sorted(pieces):
        found.setdefault(piece.stream, []).append(piece)
    return found


def choose(pieces: Iterable[Piece], begin: int = 0, end: int | None = None) -> list[Piece]:
    """The fewest objects of one stream that hold its bytes from `begin` up to `end` (or as far as they go)."""
    found = list(pieces)
    held = coverage(found)
    reach = next((stop for start, stop in held.ranges if start <= begin <= stop), begin)
    wanted = reach if end is None else end
    if wanted > reach:
        where = found[0].stream.path if found else "the stream"
        raise HoleError(
            f"{where}: the bytes from {reach} on are in no object of the repository, and {wanted} bytes are needed;"
            " choose an earlier target"
        )
    chosen: list[Piece] = []
    while begin < wanted:
        # The one that reaches furthest; among these a whole one, and then the one with the least bytes before.
        best = max(
            (piece for piece in found if piece.start <= begin < piece.end),
            key=lambda piece: (min(piece.end, wanted), piece.whole, piece.start),
        )
        chosen.append(best)
        begin = best.end
    return chosen


def superfluous(pieces: Iterable[Piece]) -> list[Piece]:
    """The objects whose bytes another single object holds as well: nothing is lost with them. A closing record goes
    only when a whole says the same."""
    found: list[Piece] = []
    for group in by_stream(pieces).values():
        size = closed_size(group)
        whole = next((piece for piece in group if piece.whole and piece.end == size), None)
        reach = -1
        for piece in sorted(group, key=lambda item: (item.start, -item.end)):
            if whole is not None:
                if piece != whole:
                    found.append(piece)
            elif not piece.closing:
                if piece.end <= reach:
                    found.append(piece)
                reach = max(reach, piece.end)
    return found


@dataclass(frozen=True)
class Run:
    """Streams of a log that follow each other without a hole: from the first one's beginning up to `end` bytes of the
    last one."""

    first: str
    last: str
    end: int
    closed: bool


def runs(streams: Sequence[tuple[str, Coverage]], successor: dict[str, str]) -> list[Run]:
    """Put streams together that are complete and whose successor is held from its beginning. `streams` are in the
    log's order; `successor` says which name comes after which."""
    found: list[Run] = []
    for name, held in streams:
        if not held.end:
            continue
        previous = found[-1] if found else None
        if previous is not None and previous.closed and successor.get(previous.last) == name:
            found[-1] = Run(previous.first, name, held.end, held.complete)
        else:
            found.append(Run(name, name, held.end, held.complete))
    return found


def check_repository_name(name: str) -> str:
    """A repository's name is a directory's name below `outgoing/`."""
    if not REPOSITORY_NAME.match(name):
        raise RefusedError(f"repository {name!r}: is not a name; use letters, digits, - and _")
    return name

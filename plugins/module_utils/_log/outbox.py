# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects that wait to be sent: a directory for each repository, with the repository's own names.

An object is written whole under `outgoing/.new`, flushed, and then linked into the directories; what is there is always
whole, and for several repositories it takes its room once. An object's modification time is the time from which on its
oldest byte may have existed, so that the age of what is not safe yet can be told after a restart as well; for one whose
bytes are in other objects besides it is 0.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import threading
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.binlog import IN_USE, IN_USE_OFFSET
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    Piece,
    Stream,
    check_repository_name,
    parse_piece,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

NEW = ".new"
CONFLICTS = ".conflicts"
READ_BYTES = 1 << 20
# Small objects are packed as well as they can be; large ones are to be ready soon.
LARGE_BYTES = 1 << 20
LEVEL_SMALL, LEVEL_LARGE = 6, 3
# A repository that was not to be reached for long has so many small objects waiting that whole streams do better.
LIMIT_OBJECTS = 20_000


class ShortError(BackupError):
    """A file has less bytes than it had."""


@dataclass(frozen=True)
class Waiting:
    """One object that waits."""

    piece: Piece
    stored: int
    born: float


@dataclass(frozen=True)
class Packed:
    """An object that is ready under a temporary name. `crc` is that of its bytes up to an offset that was asked for."""

    piece: Piece
    path: str
    crc: int


def read_range(path: str, start: int, end: int, clear_flag: bool) -> Iterable[bytes]:
    """The bytes of a file, as a copy has them: with `clear_flag`, without the flag that a binary log's server sets
    while it has the file open. Never follows a link: the file's directory belongs to a container."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb", buffering=0) as stream:
        stream.seek(start)
        position = start
        while position < end:
            data = stream.read(min(READ_BYTES, end - position))
            if not data:
                raise ShortError(f"{path}: ends after {position} bytes, and had {end}")
            if clear_flag and position <= IN_USE_OFFSET < position + len(data):
                at = IN_USE_OFFSET - position
                data = data[:at] + bytes([data[at] & ~IN_USE]) + data[at + 1 :]
            yield data
            position += len(data)


class Outbox:
    """The directory `outgoing` of one source."""

    def __init__(self, root: str, repositories: Sequence[str]) -> None:
        self.root = root
        self.repositories = tuple(check_repository_name(name) for name in repositories)
        self._lock = threading.RLock()
        self._counter = 0
        self._paused: set[str] = set()
        files.ensure_directory(f"{root}/{NEW}")
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(f"{root}/{NEW}"):
                os.unlink(f"{root}/{NEW}/{name}")
        self._index: dict[str, dict[Piece, Waiting]] = {name: self._scan(name) for name in self.repositories}

    def directory(self, repository: str) -> str:
        return f"{self.root}/{repository}"

    def _scan(self, repository: str) -> dict[Piece, Waiting]:
        base = self.directory(repository)
        files.ensure_directory(base)
        found = {}
        for directory, names, entries in os.walk(base):
            names[:] = [name for name in names if not name.startswith(".")]
            for entry in entries:
                path = os.path.join(directory, entry)
                status = os.stat(path)
                piece = parse_piece(os.path.relpath(path, base), status.st_size)
                if piece is not None:
                    found[piece] = Waiting(piece, status.st_size, status.st_mtime)
        return found

    def pack(self, piece: Piece, path: str, clear_flag: bool = False, crc_at: int = -1) -> Packed:
        """Make the object from the stream's file, under a temporary name. The same bytes make the same object."""
        with self._lock:
            self._counter += 1
            target = f"{self.root}/{NEW}/{os.getpid()}-{self._counter}"
        crc, position = 0, piece.start
        try:
            with open(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                level = LEVEL_SMALL if piece.size < LARGE_BYTES else LEVEL_LARGE
                with gzip.GzipFile("", "wb", level, stream, mtime=0) as packer:
                    for data in read_range(path, piece.start, piece.end, clear_flag):
                        packer.write(data)
                        if position < crc_at:
                            crc = zlib.crc32(data[: crc_at - position], crc)
                        position += len(data)
                stream.flush()
                os.fsync(stream.fileno())
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(target)
            raise
        return Packed(piece, target, crc)

    def discard(self, packed: Packed) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(packed.path)

    def publish(
        self, packed: Packed, repositories: Collection[str], born: float, instead: Collection[str] = ()
    ) -> None:
        """Let an object wait for these repositories. For those in `instead` it takes the place of what waits of its
        stream and lies within it."""
        with self._lock:
            piece = packed.piece
            within = {
                name: [item for item in self._index[name] if item != piece and _within(item, piece)] for name in instead
            }
            ages = [self._index[name][item].born for name, items in within.items() for item in items]
            ages = [age for age in ages if age] + ([born] if born else [])
            born = min(ages, default=0.0)
            os.utime(packed.path, (born, born))
            for name in repositories:
                target = f"{self.directory(name)}/{piece.path}"
                _make_directories(os.path.dirname(target), self.directory(name))
                # One that is there already is what a killed process made of the same bytes.
                with contextlib.suppress(FileExistsError):
                    os.link(packed.path, target)
                files.sync_directory(os.path.dirname(target))
                status = os.stat(target)
                self._index[name][piece] = Waiting(piece, status.st_size, status.st_mtime)
            os.unlink(packed.path)
            for name, items in within.items():
                self.remove(name, items)

    def waiting(self, repository: str) -> list[Waiting]:
        """What waits for a repository, the oldest first."""
        with self._lock:
            found = list(self._index[repository].values())
        return sorted(found, key=lambda item: (item.born == 0, item.born, item.piece))

    def remove(self, repository: str, pieces: Iterable[Piece]) -> None:
        """Forget objects: they are in the repository."""
        with self._lock:
            base = self.directory(repository)
            for piece in pieces:
                self._index[repository].pop(piece, None)
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{base}/{piece.path}")
                # Whatever has become empty, up to the repository's own directory.
                directory = os.path.dirname(f"{base}/{piece.path}")
                with contextlib.suppress(OSError):
                    while directory != base:
                        os.rmdir(directory)
                        directory = os.path.dirname(directory)

    def set_aside(self, repository: str, pieces: Iterable[Piece]) -> None:
        """Keep objects that a repository holds with another content, where a person can look at them."""
        with self._lock:
            for piece in pieces:
                source = f"{self.directory(repository)}/{piece.path}"
                target = f"{self.directory(repository)}/{CONFLICTS}/{piece.path}"
                files.ensure_directory(os.path.dirname(target))
                with contextlib.suppress(FileNotFoundError):
                    os.replace(source, target)
                self.remove(repository, [piece])

    def conflicts(self, repository: str) -> int:
        """How many objects were set aside."""
        return sum(len(entries) for _path, _inner, entries in os.walk(f"{self.directory(repository)}/{CONFLICTS}"))

    def totals(self, repository: str) -> tuple[int, int]:
        """How many objects wait, and their bytes."""
        with self._lock:
            found = self._index[repository].values()
            return len(found), sum(item.stored for item in found)

    def oldest(self, repository: str) -> float | None:
        """From when on the oldest byte that waits may have existed; None when none waits."""
        with self._lock:
            return min((item.born for item in self._index[repository].values() if item.born), default=None)

    def waits(self, repository: str, stream: Stream) -> bool:
        """Whether anything of a stream waits."""
        with self._lock:
            return any(piece.stream == stream for piece in self._index[repository])

    def active(self, budget_bytes: int) -> list[str]:
        """The repositories that small objects are made for: not those that have too much waiting. One of these comes
        back when a fifth of its budget is free again."""
        for name in self.repositories:
            objects, size = self.totals(name)
            if size > budget_bytes or objects > LIMIT_OBJECTS:
                self._paused.add(name)
            elif size <= 0.8 * budget_bytes and objects <= 0.8 * LIMIT_OBJECTS:
                self._paused.discard(name)
        return [name for name in self.repositories if name not in self._paused]


def _within(inner: Piece, outer: Piece) -> bool:
    return inner.stream == outer.stream and not inner.closing and outer.start <= inner.start and inner.end <= outer.end


def _make_directories(path: str, base: str) -> None:
    """Make directories so that they outlive a power cut."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        if path != base:
            _make_directories(parent, base)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, 0o700)
        files.sync_directory(parent)

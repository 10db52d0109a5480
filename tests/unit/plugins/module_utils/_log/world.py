# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""A small world: a directory that a server writes its log to, what was cut of it, and repositories for the objects."""

import gzip
import random
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import rebuild
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    Coverage,
    Lineage,
    Piece,
    UnreadableError,
    by_stream,
    coverage,
    parse_piece,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.outbox import Outbox
from ansible_collections.slipway.ops.plugins.module_utils._log.store import Sent
from ansible_collections.slipway.ops.plugins.module_utils._log.tail import Found, State, Tail

LINEAGE = Lineage("fleet", "database", "77")
FORMAT_EVENT = binlog.MAGIC + bytes(17) + bytes([binlog.IN_USE]) + bytes(100)


class Killed(BaseException):
    """The process dies here."""


class FakeRepository:
    """Keeps objects in memory, with faults that a test can switch on."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.fault: BackupError | None = None
        self.kill_after: int | None = None
        self.slow: Callable[[], None] = lambda: None

    def send(self, root: str, pieces: Sequence[Piece]) -> Sent:
        self.slow()
        done, conflicts = [], []
        for piece in pieces:
            if self.kill_after is not None and len(done) == self.kill_after:
                raise Killed
            if self.fault is not None:
                raise self.fault
            content = Path(root, piece.path).read_bytes()
            if self.objects.setdefault(piece.path, content) != content:
                conflicts.append(piece)
            else:
                done.append(piece)
        return Sent(tuple(done), tuple(conflicts))

    def close(self) -> None:
        pass

    def pieces(self, prefix: str = "") -> list[Piece]:
        if self.fault is not None:
            raise self.fault
        found = [parse_piece(path, len(content)) for path, content in sorted(self.objects.items())]
        return [
            piece
            for piece in found
            if piece is not None
            and piece.path.startswith(prefix)
            and (not prefix or prefix.endswith("/") or piece.path[len(prefix)] == "/")
        ]

    def directories(self, prefix: str) -> list[str]:
        if self.fault is not None:
            raise self.fault
        return sorted({path[len(prefix) + 1 :].split("/")[0] for path in self.objects if path.startswith(f"{prefix}/")})

    def fetch(self, pieces: Iterable[Piece], directory: str) -> None:
        for piece in pieces:
            if piece.path not in self.objects:
                raise UnreadableError(f"{piece.path}: is not in the repository any more", piece)
            target = Path(directory, piece.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(self.objects[piece.path])

    def delete(self, pieces: Iterable[Piece]) -> None:
        if self.fault is not None:
            raise self.fault
        for piece in pieces:
            del self.objects[piece.path]

    def check(self, piece: Piece) -> int:
        return len(gzip.decompress(self.objects[piece.path]))


class World:
    """A server's files and the tail of them; `restart` is what a kill leaves."""

    def __init__(self, root: Path, repositories: Sequence[str] = ("main",), is_binlog: bool = True) -> None:
        self.root = root
        self.log = root / "server"
        self.log.mkdir()
        self.names = tuple(repositories)
        self.is_binlog = is_binlog
        self.repositories = {name: FakeRepository() for name in self.names}
        self.random = random.Random(7)
        self.lineage = LINEAGE
        self.clock = 1000.0
        self.restart()

    def restart(self) -> None:
        self.outbox = Outbox(str(self.root / "outgoing"), self.names)
        self.state = State(str(self.root / "state.json"))
        self.tail = Tail(self.lineage, self.outbox, self.state, self.successor, binlog=self.is_binlog)

    def successor(self, name: str) -> str | None:
        return binlog.next_name(name) if binlog.file_number(name) is not None else None

    def write(self, number: int, count: int) -> None:
        """The server writes so many bytes; a new file begins with its head."""
        path = self.path(number)
        with open(path, "ab") as stream:
            if not stream.tell():
                stream.write(FORMAT_EVENT + str(number).encode())
            stream.write(self.random.randbytes(count))

    def path(self, number: int) -> Path:
        return self.log / f"binlog.{number:06d}"

    def raw(self, number: int) -> bytes:
        """What a copy of a file has to hold."""
        content = bytearray(self.path(number).read_bytes())
        if len(content) > binlog.IN_USE_OFFSET:
            content[binlog.IN_USE_OFFSET] &= ~binlog.IN_USE
        return bytes(content)

    def close(self, number: int) -> None:
        """The server clears the flag when it closes a file."""
        content = bytearray(self.path(number).read_bytes())
        content[binlog.IN_USE_OFFSET] &= ~binlog.IN_USE
        self.path(number).write_bytes(content)

    def found(self) -> list[Found]:
        paths = sorted(self.log.iterdir())
        return [Found(path.name, str(path), path.stat().st_size, path != paths[-1]) for path in paths]

    def poll(self, *active: str) -> int:
        self.clock += 1
        return self.tail.poll(self.found(), self.clock - 1, active or self.names)

    def consolidate(self, *active: str) -> int:
        count = 0
        while self.tail.consolidate(active or self.names):
            count += 1
        return count

    def send(self, name: str = "main") -> None:
        pieces = [item.piece for item in self.outbox.waiting(name)]
        sent = self.repositories[name].send(self.outbox.directory(name), pieces)
        self.outbox.remove(name, sent.done)

    def send_all(self) -> None:
        for name in self.names:
            self.send(name)

    def names_of(self, name: str = "main") -> list[str]:
        """The objects in a repository, without their directories."""
        return [path.split("/", 3)[3] for path in sorted(self.repositories[name].objects)]

    def held(self, number: int, name: str = "main") -> Coverage:
        pieces = self.repositories[name].pieces(f"{self.lineage.path}/binlog.{number:06d}/")
        return coverage(pieces)

    def rebuilt(self, name: str = "main") -> dict[str, bytes]:
        """Every stream that the repository holds, put together."""
        found = {}
        repository = self.repositories[name]
        for stream, pieces in by_stream(repository.pieces(f"{self.lineage.path}/")).items():
            target = self.root / "rebuilt"
            rebuild(repository, pieces, str(target), str(self.root / "scratch"))
            found[stream.name] = target.read_bytes()
        shutil.rmtree(self.root / "scratch", ignore_errors=True)
        return found


def die(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, before: bool = True, at: int = 1) -> None:
    """Let the process die at (or right behind) the nth call of a function."""
    real, calls = getattr(owner, name), 0

    def deadly(*words: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at and before:
            raise Killed
        result = real(*words, **options)
        if calls == at:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, deadly)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MariaDB's physical backup as one stream (xbstream): looked at while it is stored, and checked while it is unpacked.

The format is that of extra/mariabackup/xbstream_read.cc: chunks, each with magic, flags, type, the file's name, and for
a payload its length, its offset in the file, a CRC32, and the bytes; an empty chunk of type E ends a file. Chunks of
several files may alternate.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._backup import mariadb
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace

MAGIC = b"XBSTCK01"
PAYLOAD, END = b"P", b"E"
# A chunk of an unknown type that may be passed over; a file that is to begin anew (since 10.11).
IGNORABLE, REWRITE = 0x01, 0x02
_HEAD = struct.Struct("<8sBcI")
_BODY = struct.Struct("<QQI")
# The limit of the format's own reader (FN_REFLEN).
LONGEST_NAME = 4096
_KEPT = (*mariadb.BINLOG_INFO, *mariadb.INFO, *mariadb.CHECKPOINTS)
_KEPT_BYTES = 1 << 20


class NotWhole(ValueError):
    """A backup that is not complete, or damaged."""


@dataclass(frozen=True)
class BaseBackup:
    """What a backup is, by its own files."""

    version: str
    # None when the server writes no log.
    place: LogPlace | None
    begun: str
    ended: str
    files: int


@dataclass
class _File:
    size: int = 0
    ended: bool = False


@dataclass
class _Chunk:
    """The payload that is coming."""

    name: str
    offset: int
    left: int
    checksum: int
    found: int = 0
    ignored: bool = False
    data: bytearray = field(default_factory=bytearray)


class StreamReader:
    """Takes the stream in pieces of any size, and checks every chunk."""

    def __init__(self) -> None:
        self.bytes = 0
        self._rest = b""
        self._chunk: _Chunk | None = None
        self._head: tuple[int, bytes, int] | None = None
        self._name: str | None = None
        self._files: dict[str, _File] = {}
        self._kept: dict[str, bytearray] = {}

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        self.bytes += len(piece)
        rest = memoryview(self._rest + piece if self._rest else piece)
        self._rest = b""
        while True:
            if self._chunk is not None:
                taken = self._payload(self._chunk, rest)
                rest = rest[taken:]
                if self._chunk is not None:
                    return
            used = self._header(rest)
            if not used:
                self._rest = bytes(rest)
                return
            rest = rest[used:]

    def _header(self, rest: memoryview) -> int:
        """Read the next chunk's header; how many bytes it had, 0 when it is not all there yet."""
        if len(rest) < _HEAD.size:
            return 0
        magic, flags, kind, length = _HEAD.unpack_from(rest)
        if magic != MAGIC or length > LONGEST_NAME:
            raise NotWhole(f"byte {self.bytes - len(rest)} is not the beginning of a chunk")
        ends = kind == END
        total = _HEAD.size + length + (0 if ends else _BODY.size)
        if len(rest) < total:
            return 0
        name = bytes(rest[_HEAD.size : _HEAD.size + length]).decode("utf-8", "surrogateescape")
        if not ends and kind != PAYLOAD and not flags & IGNORABLE:
            raise NotWhole(f"{name} has a chunk of the type {kind!r}, which is not known")
        file = self._files.setdefault(name, _File())
        if flags & REWRITE:
            file.size = 0
            file.ended = False
            self._kept.pop(name, None)
        self.begin(name, bool(flags & REWRITE))
        if ends:
            file.ended = True
            self.end(name)
        else:
            size, offset, checksum = _BODY.unpack_from(rest, _HEAD.size + length)
            ignored = kind != PAYLOAD
            if not ignored:
                file.size = max(file.size, offset + size)
                file.ended = False
            self._chunk = _Chunk(name, offset, size, checksum, ignored=ignored)
        return total

    def _payload(self, chunk: _Chunk, rest: memoryview) -> int:
        piece = rest[: chunk.left]
        if piece and not chunk.ignored:
            chunk.found = zlib.crc32(piece, chunk.found)
            self.write(chunk.name, chunk.offset, piece)
            if chunk.name in _KEPT:
                kept = self._kept.setdefault(chunk.name, bytearray())
                if len(kept) + len(piece) > _KEPT_BYTES:
                    raise NotWhole(f"{chunk.name} has more than {_KEPT_BYTES} bytes")
                kept.extend(piece)
        chunk.offset += len(piece)
        chunk.left -= len(piece)
        if not chunk.left:
            if not chunk.ignored and chunk.found != chunk.checksum:
                raise NotWhole(f"{chunk.name} is damaged before its byte {chunk.offset}")
            self._chunk = None
        return len(piece)

    def begin(self, name: str, anew: bool) -> None:
        """A chunk of this file comes; `anew` says that what came of it before does not count."""

    def write(self, name: str, offset: int, data: memoryview) -> None:
        """Bytes of a file."""

    def end(self, name: str) -> None:
        """A file has ended."""

    def finish(self) -> BaseBackup:
        """The stream has ended: what it is, if it is whole."""
        if self._rest or self._chunk is not None:
            raise NotWhole("it is cut off within a chunk")
        if not self._files:
            raise NotWhole("it is empty")
        for name, file in self._files.items():
            if not file.ended:
                raise NotWhole(f"{name} has no end")
        info = mariadb.parse_info(self._text(mariadb.INFO))
        # It is the last file that the tool writes.
        if not info.get("end_time"):
            raise NotWhole(f"{mariadb.INFO[0]} is missing")
        if info.get("incremental", "N") != "N" or info.get("partial", "N") != "N":
            raise NotWhole("it is not of the whole server")
        if "backup_type = full-backuped" not in self._text(mariadb.CHECKPOINTS):
            raise NotWhole(f"{mariadb.CHECKPOINTS[0]} does not call it a full backup")
        if not any(name.endswith("ibdata1") for name in self._files) or "ib_logfile0" not in self._files:
            raise NotWhole("it has no InnoDB data or no redo log")
        return BaseBackup(
            version=info.get("server_version", ""),
            place=mariadb.parse_binlog_info(self._text(mariadb.BINLOG_INFO)),
            begun=info.get("start_time", ""),
            ended=info["end_time"],
            files=len(self._files),
        )

    def _text(self, names: tuple[str, ...]) -> str:
        data = next((self._kept[name] for name in names if name in self._kept), bytearray())
        return data.decode("utf-8", "replace")


class Unpacker(StreamReader):
    """Writes the files below a directory as well, which belongs to the server's user. What stands in the stream cannot
    write outside of the directory."""

    def __init__(self, directory: str, uid: int, gid: int) -> None:
        super().__init__()
        self._directory = directory
        self._user = (uid, gid)
        # Files whose chunks alternate are open at the same time: one for each thread of the tool.
        self._open: dict[str, int] = {}

    def _path(self, name: str) -> str:
        words = name.split("/")
        words = words[1:] if words[0] == "." else words
        if not words or not all(words) or {".", ".."} & set(words) or "\0" in name:
            raise NotWhole(f"{name!r} is no name of a file within a data directory")
        parent = self._directory
        for word in words[:-1]:
            parent = f"{parent}/{word}"
            if not os.path.isdir(parent):
                os.mkdir(parent, 0o700)
                os.chown(parent, *self._user)
        return f"{parent}/{words[-1]}"

    def begin(self, name: str, anew: bool) -> None:
        if name in self._open and not anew:
            return
        self._close(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | (os.O_TRUNC if anew else 0)
        self._open[name] = os.open(self._path(name), flags, 0o660)
        os.fchown(self._open[name], *self._user)

    def write(self, name: str, offset: int, data: memoryview) -> None:
        while data:
            count = os.pwrite(self._open[name], data, offset)
            data = data[count:]
            offset += count

    def end(self, name: str) -> None:
        self._close(name)

    def _close(self, name: str) -> None:
        descriptor = self._open.pop(name, None)
        if descriptor is not None:
            # The server that recovers syncs what it writes itself, and this is all of the rest.
            os.fsync(descriptor)
            os.close(descriptor)

    def close(self) -> None:
        """Leave no file open when the stream was given up."""
        for name in list(self._open):
            self._close(name)

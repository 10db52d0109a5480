# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar archive read as it flows by.

The library's own `tarfile` pulls from a file object; here a pump pushes. What PostgreSQL writes is plain ustar
(src/port/tar.c): files, directories and links with short names, no extended headers. Docker's engine writes such a
header (POSIX.1-2001) before a file whose name or size does not fit. Anything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

BLOCK = 512
FILE = "file"
DIRECTORY = "directory"
LINK = "link"
EXTENDED = "extended"
_KINDS = {b"0": FILE, b"\0": FILE, b"5": DIRECTORY, b"2": LINK, b"x": EXTENDED}
_EXTENDED_BYTES = 1 << 20
_ZEROS = bytes(BLOCK)


class TarError(ValueError):
    """The stream is no such archive."""


@dataclass(frozen=True)
class Entry:
    """One header."""

    name: str
    kind: str
    size: int
    mode: int
    uid: int
    gid: int
    target: str = ""


class TarReader:
    """Takes the archive in pieces of any size. `begin` is called with each entry and returns who takes its bytes, or
    None; `end` is called when they have all come."""

    def __init__(
        self, begin: Callable[[Entry], Callable[[memoryview], object] | None], end: Callable[[Entry], object]
    ) -> None:
        self._begin = begin
        self._end = end
        self._header = b""
        self._entry: Entry | None = None
        self._take: Callable[[memoryview], object] | None = None
        self._left = 0
        self._padding = 0
        self._zeros = 0
        self._extended = bytearray()

    @property
    def complete(self) -> bool:
        """Whether the archive has come to its end: two empty blocks."""
        return self._zeros >= 2

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        rest = memoryview(chunk)
        while rest:
            if self._left:
                piece = rest[: self._left]
                if self._take is not None:
                    self._take(piece)
                self._left -= len(piece)
                rest = rest[len(piece) :]
                if not self._left:
                    self._finish()
            elif self._padding:
                skipped = min(self._padding, len(rest))
                self._padding -= skipped
                rest = rest[skipped:]
            else:
                wanted = BLOCK - len(self._header)
                self._header += rest[:wanted]
                rest = rest[wanted:]
                if len(self._header) == BLOCK:
                    header, self._header = self._header, b""
                    self._block(header)

    def _block(self, header: bytes) -> None:
        if header == _ZEROS:
            self._zeros += 1
            return
        if self._zeros:
            raise TarError("something follows the archive's end")
        entry = parse_header(header)
        if entry.kind == EXTENDED:
            if entry.size > _EXTENDED_BYTES:
                raise TarError(f"an extended header has {entry.size} bytes")
            self._extended = bytearray()
            self._take = self._extended.extend
        else:
            entry, self._extended = extend(entry, bytes(self._extended)), bytearray()
            self._take = self._begin(entry)
        self._entry = entry
        self._left = entry.size
        self._padding = -entry.size % BLOCK
        if not self._left:
            self._finish()

    def _finish(self) -> None:
        entry, self._entry, self._take = self._entry, None, None
        if entry is not None and entry.kind != EXTENDED:
            self._end(entry)


def parse_header(header: bytes) -> Entry:
    """One block of 512 bytes."""
    unsigned = sum(header[:148]) + 8 * 32 + sum(header[156:])
    if _number(header[148:156]) != unsigned:
        raise TarError("a header has another checksum than its own")
    kind = _KINDS.get(header[156:157])
    if kind is None:
        raise TarError(f"an entry is of the type {header[156:157]!r}, which is not known")
    prefix = _text(header[345:500]) if header[257:262] == b"ustar" else ""
    name = _text(header[:100])
    size = _number(header[124:136])
    return Entry(
        name=f"{prefix}/{name}" if prefix else name,
        kind=kind,
        size=size if kind in (FILE, EXTENDED) else 0,
        mode=_number(header[100:108]) & 0o7777,
        uid=_number(header[108:116]),
        gid=_number(header[116:124]),
        target=_text(header[157:257]),
    )


def extend(entry: Entry, records: bytes) -> Entry:
    """An entry with what the extended header before it says: lines `<length> <key>=<value>`."""
    values: dict[str, bytes] = {}
    while records:
        digits, _space, _rest = records.partition(b" ")
        length = int(digits) if digits.isdigit() else 0
        line = records[len(digits) + 1 : length]
        key, equals, value = line.partition(b"=")
        if not equals or len(records) < length or not line.endswith(b"\n"):
            raise TarError("an extended header cannot be read")
        values[key.decode("utf-8", "replace")] = value[:-1]
        records = records[length:]
    changes: dict[str, Any] = {}
    if "path" in values:
        changes["name"] = values["path"].decode("utf-8", "surrogateescape")
    if "size" in values and entry.kind == FILE:
        if not values["size"].isdigit():
            raise TarError("an extended header cannot be read")
        changes["size"] = int(values["size"])
    return replace(entry, **changes)


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        # Too large for octal digits: the rest of the field as one number.
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    digits = field.strip(b"\0 ")
    try:
        return int(digits, 8) if digits else 0
    except ValueError as error:
        raise TarError(f"{field!r} is no number of a header") from error

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's write-ahead log, 13 to 18: positions, names of segments, timelines, pages and records.

Layouts are those of src/include/access/xlog_internal.h, xlogrecord.h and xact.h, on little-endian machines with pages
of 8 KiB. Nothing here runs anything or asks a server.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Coverage, merge

PAGE_BYTES = 8192
SEGMENT_BYTES = 16 << 20
PARTIAL = ".partial"

SEGMENT_NAME = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})\Z")
HISTORY_NAME = re.compile(r"([0-9A-F]{8})\.history\Z")
LSN_TEXT = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})\Z")

# XLogPageHeaderData and what XLogLongPageHeaderData has besides, with the padding that the compiler puts between.
_PAGE = struct.Struct("<HHIQI4x")
_LONG = struct.Struct("<QII")
FIRST_IS_CONTINUED = 0x0001
LONG_HEADER = 0x0002
FIRST_IS_OVERWRITTEN = 0x0008
MAGICS = {0xD106: 13, 0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18}

_RECORD = struct.Struct("<IIQBB2xI")
RECORD_BYTES = _RECORD.size
RM_XLOG, RM_XACT = 0, 1
XLOG_SWITCH = 0x40
XACT_MASK, XACT_COMMIT, XACT_COMMIT_PREPARED = 0x70, 0x00, 0x30
DATA_SHORT, DATA_LONG, DATA_ORIGIN, DATA_TOPLEVEL = 255, 254, 253, 252
# 2000-01-01 in seconds of Unix time.
POSTGRES_EPOCH = 946684800


def parse_lsn(text: str) -> int:
    """A position such as 0/405D838."""
    found = LSN_TEXT.match(text.strip())
    if not found:
        raise RefusedError(f"{text!r}: is not a position in a PostgreSQL log; give one such as 0/405D838")
    return int(found[1], 16) << 32 | int(found[2], 16)


def print_lsn(lsn: int) -> str:
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def check_segment_size(size: int) -> int:
    """A segment has 1 MiB to 1 GiB, a power of two."""
    if not (1 << 20 <= size <= 1 << 30 and size & (size - 1) == 0):
        raise RefusedError(f"{size}: is not a size of a segment of PostgreSQL's log; it has 1 MiB to 1 GiB")
    return size


@dataclass(frozen=True, order=True)
class Segment:
    """One file of the log: a timeline, and the how-manieth segment of that size."""

    timeline: int
    number: int
    size: int = SEGMENT_BYTES

    @property
    def name(self) -> str:
        a_log = (1 << 32) // self.size
        return f"{self.timeline:08X}{self.number // a_log:08X}{self.number % a_log:08X}"

    @property
    def start(self) -> int:
        return self.number * self.size

    @property
    def end(self) -> int:
        return self.start + self.size

    @property
    def next(self) -> Segment:
        return Segment(self.timeline, self.number + 1, self.size)

    @classmethod
    def parse(cls, name: str, size: int = SEGMENT_BYTES) -> Segment | None:
        """The segment of a file's name; None when it is none of this size."""
        found = SEGMENT_NAME.match(name)
        if not found:
            return None
        timeline, log, rest = (int(part, 16) for part in found.groups())
        a_log = (1 << 32) // size
        return cls(timeline, log * a_log + rest, size) if timeline and rest < a_log else None

    @classmethod
    def holding(cls, lsn: int, timeline: int, size: int = SEGMENT_BYTES) -> Segment:
        """The segment that the byte at this position lies in."""
        return cls(timeline, lsn // size, size)


@dataclass(frozen=True)
class History:
    """How a timeline came about: each timeline before it, with the position where the next one left it."""

    timeline: int
    switches: tuple[tuple[int, int], ...] = ()

    @property
    def path(self) -> list[tuple[int, int, int | None]]:
        """(timeline, from, to) for each part of the way; the last one is open."""
        found: list[tuple[int, int, int | None]] = []
        begin = 0
        for timeline, switch in self.switches:
            found.append((timeline, begin, switch))
            begin = switch
        return [*found, (self.timeline, begin, None)]


def parse_history(text: str, timeline: int) -> History:
    """The content of a file such as 00000002.history."""
    switches = []
    for line in text.splitlines():
        words = line.split("#", 1)[0].split()
        if words:
            if len(words) < 2 or not words[0].isdigit():
                raise RefusedError(f"{timeline:08X}.history: {line!r} is not a line of a timeline's history")
            switches.append((int(words[0]), parse_lsn(words[1])))
    if [item[0] for item in switches] != sorted({item[0] for item in switches if item[0] < timeline}):
        raise RefusedError(f"{timeline:08X}.history: its timelines do not ascend to {timeline}")
    return History(timeline, tuple(switches))


@dataclass(frozen=True)
class PageHeader:
    """The header of a page; the last three are in the first page of a segment alone."""

    magic: int
    info: int
    timeline: int
    address: int
    remaining: int
    system: int = 0
    segment_size: int = 0
    page_size: int = 0

    @property
    def bytes(self) -> int:
        return _PAGE.size + _LONG.size if self.info & LONG_HEADER else _PAGE.size

    @property
    def continued(self) -> bool:
        return bool(self.info & FIRST_IS_CONTINUED)

    @property
    def major(self) -> int | None:
        """The PostgreSQL version; None for one that is not known here."""
        return MAGICS.get(self.magic)


def page_header(data: bytes, address: int | None = None) -> PageHeader | None:
    """The header at the beginning of a page. None when there is none, or when it is that of another position: the rest
    of a file that was used before under another name."""
    if len(data) < _PAGE.size:
        return None
    magic, info, timeline, found, remaining = _PAGE.unpack_from(data)
    if magic >> 8 != 0xD1 or not timeline or (address is not None and found != address):
        return None
    if not info & LONG_HEADER:
        return PageHeader(magic, info, timeline, found, remaining)
    if len(data) < _PAGE.size + _LONG.size:
        return None
    return PageHeader(magic, info, timeline, found, remaining, *_LONG.unpack_from(data, _PAGE.size))


def read_header(path: str) -> PageHeader | None:
    """The first header of a segment's file; None when nothing was written to it yet."""
    with open(path, "rb") as stream:
        header = page_header(stream.read(_PAGE.size + _LONG.size))
    if header is None or not header.info & LONG_HEADER:
        return None
    if header.page_size != PAGE_BYTES:
        raise RefusedError(f"{path}: has pages of {header.page_size} bytes; only the usual {PAGE_BYTES} are understood")
    check_segment_size(header.segment_size)
    return header


def _aligned(count: int) -> int:
    return (count + 7) & ~7


def valid_end(stream: BinaryIO, start: int, known: int = 0) -> int:
    """How many bytes of a segment that is being received are real. `start` is the position of its first byte, `known` a
    number of bytes that was found before.

    The receiver fills the file with zeros and then writes into it what the server has flushed, in order, byte by byte;
    a server flushes whole records, which begin and end at multiples of eight, or whole pages. So what was found once
    never changes, and the end is behind the last byte that is not zero, in the last page that bears its own position.
    Where the last record ends in zeros, its length says so and its checksum proves it.
    """
    offset = max(0, known - 1) // PAGE_BYTES * PAGE_BYTES
    stream.seek(offset)
    page, header = b"", None
    while True:
        data = stream.read(PAGE_BYTES)
        found = page_header(data, start + offset)
        if found is None or (header is not None and found.magic != header.magic):
            break
        page, header = data, found
        offset += PAGE_BYTES
    if header is None:
        # Nothing is real from this page on; that page began where `known` lay in it.
        return offset
    filled = _aligned(len(page.rstrip(b"\0")))
    return offset - PAGE_BYTES + max(filled, _last_record(page, header, filled))


def _last_record(page: bytes, header: PageHeader, filled: int) -> int:
    """Where the last record that lies in this page alone ends, when it is whole; else 0."""
    position = header.bytes + (_aligned(header.remaining) if header.continued else 0)
    while position < filled:
        size = int.from_bytes(page[position : position + 4], "little")
        end = position + _aligned(size)
        if size < RECORD_BYTES or end > len(page):
            return 0
        if end > filled:
            return end if record_is_whole(page[position : position + size]) else 0
        position = end
    return 0


_CRC: list[int] = []


def crc32c(data: bytes, value: int = 0) -> int:
    """CRC-32C (Castagnoli), which the standard library has not."""
    if not _CRC:
        for byte in range(256):
            for _bit in range(8):
                byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
            _CRC.append(byte)
    value ^= 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


def record_is_whole(record: bytes) -> bool:
    """Whether a record's checksum, over what follows the header and then the header itself, is right."""
    wanted = int.from_bytes(record[RECORD_BYTES - 4 : RECORD_BYTES], "little")
    return crc32c(record[: RECORD_BYTES - 4], crc32c(record[RECORD_BYTES:])) == wanted


def segment_is_complete(stream: BinaryIO, segment: Segment) -> bool:
    """Whether all pages of a server's segment are its own. Behind a switch to the next segment there are only zeros,
    without headers (CopyXLogRecordToWAL); what the file held under an earlier name is neither."""
    stream.seek(0)
    zeros = False
    for offset in range(0, segment.size, PAGE_BYTES):
        data = stream.read(PAGE_BYTES)
        if len(data) < PAGE_BYTES:
            return False
        own = page_header(data, segment.start + offset) is not None
        if own and zeros:
            return False
        zeros = zeros or not own
        if zeros and (offset == 0 or data.count(0) != PAGE_BYTES):
            return False
    return True


@dataclass(frozen=True)
class Record:
    """One record: where it begins and ends, and its bytes."""

    start: int
    end: int
    data: bytes

    @property
    def transaction(self) -> int:
        return int.from_bytes(self.data[4:8], "little")

    @property
    def info(self) -> int:
        return self.data[16]

    @property
    def manager(self) -> int:
        return self.data[17]


class _Overwritten(Exception):
    """A record that a dying server left unfinished; the page where the log goes on."""


class _EndOfLogError(Exception):
    """No more pages."""


class Reader:
    """Reads records. `read(position, size)` gives the log's bytes, less of them where it ends."""

    def __init__(self, read: Callable[[int, int], bytes], segment_size: int = SEGMENT_BYTES) -> None:
        self._read = read
        self._segment_size = segment_size
        self._page_address = -1
        self._page = b""

    def records(self, begin: int, end: int) -> Iterator[Record]:
        """The whole records from `begin`, which is a page's beginning or a record's, up to `end`."""
        position = begin
        try:
            if position % PAGE_BYTES == 0:
                header = self._header(position)
                if header.continued:
                    position = self._take(position, header.remaining, end)[1]
            while position < end:
                position = _aligned(position)
                if position % PAGE_BYTES == 0:
                    position += self._header(position).bytes
                try:
                    size = int.from_bytes(self._take(position, 4, end)[0], "little")
                    if size < RECORD_BYTES:
                        return
                    data, after = self._take(position, size, end)
                except _Overwritten as error:
                    position = int(error.args[0])
                    continue
                if not record_is_whole(data):
                    return
                record = Record(position, _aligned(after), data)
                yield record
                position = record.end
                if record.manager == RM_XLOG and record.info & 0xF0 == XLOG_SWITCH:
                    position += -position % self._segment_size
        except _EndOfLogError:
            return

    def _load(self, address: int) -> bytes:
        if address != self._page_address:
            self._page, self._page_address = self._read(address, PAGE_BYTES), address
        return self._page

    def _header(self, address: int) -> PageHeader:
        header = page_header(self._load(address), address)
        if header is None:
            raise _EndOfLogError
        return header

    def _take(self, position: int, size: int, end: int) -> tuple[bytes, int]:
        """So many bytes of records from this position, over as many pages as it takes; and the position behind."""
        parts: list[bytes] = []
        while size:
            if position % PAGE_BYTES == 0:
                header = self._header(position)
                if parts and not header.continued:
                    if header.info & FIRST_IS_OVERWRITTEN:
                        raise _Overwritten(position)
                    raise _EndOfLogError
                position += header.bytes
            offset = position % PAGE_BYTES
            data = self._load(position - offset)[offset : offset + size]
            if not data or position + len(data) > end:
                raise _EndOfLogError
            parts.append(data)
            size -= len(data)
            position += len(data)
        return b"".join(parts), position


@dataclass(frozen=True)
class Commit:
    """A committed transaction: where its record begins and ends, its number, and when it was committed."""

    start: int
    end: int
    transaction: int
    microseconds: int


def commits(records: Iterable[Record]) -> Iterator[Commit]:
    """The commits among the records."""
    for record in records:
        if record.manager == RM_XACT and record.info & XACT_MASK in (XACT_COMMIT, XACT_COMMIT_PREPARED):
            time = _main_data(record.data)[:8]
            if len(time) == 8:
                moment = int.from_bytes(time, "little", signed=True) + POSTGRES_EPOCH * 1_000_000
                yield Commit(record.start, record.end, record.transaction, moment)


def _main_data(record: bytes) -> bytes:
    """What a record without blocks carries."""
    position = RECORD_BYTES
    while position < len(record):
        kind = record[position]
        if kind == DATA_SHORT:
            return record[position + 2 :]
        if kind == DATA_LONG:
            return record[position + 5 :]
        if kind == DATA_ORIGIN:
            position += 3
        elif kind == DATA_TOPLEVEL:
            position += 5
        else:
            return b""
    return b""


def directory_reader(directory: str, timeline: int, size: int = SEGMENT_BYTES) -> Callable[[int, int], bytes]:
    """Reads positions from the segments of a directory; of a partial one where there is no whole one."""

    def read(position: int, count: int) -> bytes:
        segment = Segment.holding(position, timeline, size)
        for name in (segment.name, segment.name + PARTIAL):
            try:
                with open(os.path.join(directory, name), "rb") as stream:
                    stream.seek(position - segment.start)
                    return stream.read(count)
            except FileNotFoundError:
                continue
        return b""

    return read


Ranges = tuple[tuple[int, int], ...]


def ranges(held: Mapping[str, Coverage], size: int = SEGMENT_BYTES) -> dict[int, Ranges]:
    """For each timeline: the positions from which to which its segments are held."""
    found: dict[int, list[tuple[int, int]]] = {}
    for name, segment_held in held.items():
        segment = Segment.parse(name, size)
        if segment is not None:
            found.setdefault(segment.timeline, []).extend(
                (segment.start + start, segment.start + end) for start, end in segment_held.ranges
            )
    return {timeline: merge(parts) for timeline, parts in sorted(found.items())}


def along(held: Mapping[int, Ranges], history: History, size: int = SEGMENT_BYTES) -> Ranges:
    """The positions that are held on the way of a timeline. The first segment of a timeline begins with a copy of the
    one that it left, so it counts from its beginning."""
    parts: list[tuple[int, int]] = []
    for timeline, begin, end in history.path:
        first = begin // size * size
        for low, high in held.get(timeline, ()):
            low, high = max(low, first), high if end is None else min(high, end)
            if low < high:
                parts.append((low, high))
    return merge(parts)


def holes(held: Ranges) -> Ranges:
    """What is missing between the first and the last position that is held."""
    return tuple((before[1], after[0]) for before, after in zip(held, held[1:]))


def reach(held: Ranges, begin: int) -> int:
    """How far the log goes on without a hole from this position; the position itself when it is not held."""
    return next((end for start, end in held if start <= begin <= end), begin)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binary log files of MySQL 8.0 to 9 and MariaDB 10.6 to 11: events, transactions, and where to cut.

Layouts are those of MySQL's libs/mysql/binlog/event (control_events.h, statement_events.h, rows_event.h) and of
MariaDB's sql/log_event.h. Files are read as streams: a row event of a gigabyte is passed over, not loaded. Positions in
the headers are not used: MariaDB writes 0 inside of a transaction, and both wrap at 4 GiB.
"""

from __future__ import annotations

import os
import re
import struct
import uuid
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError

MAGIC = b"\xfebin"
MAGIC_ENCRYPTED = b"\xfdbin"
# The flag of a file that its server has open, in the first event's header. It is cleared when the file is closed, in
# MariaDB some time later, and says nothing about the bytes that were copied: copies always have it cleared.
IN_USE_OFFSET = len(MAGIC) + 17
IN_USE = 0x01

_HEADER = struct.Struct("<IBIIIH")
HEADER_BYTES = _HEADER.size
CHECKSUM_BYTES = 4
CHECKSUM_NONE, CHECKSUM_CRC32 = 0, 1
# What is looked at of an event; statements are cut long before, and of rows only the table's number is of use.
KEPT_BYTES = 64 << 10
KEPT_OF_ROWS_BYTES = 8
STATEMENT_CHARACTERS = 200
COMPRESSED = "(compressed transaction)"

QUERY, STOP, ROTATE, INTVAR, RAND, USER_VAR, FORMAT, XID, TABLE_MAP = 2, 3, 4, 5, 13, 14, 15, 16, 19
WRITE_V1, UPDATE_V1, DELETE_V1, ROWS_QUERY, WRITE, UPDATE, DELETE = 23, 24, 25, 29, 30, 31, 32
GTID, ANONYMOUS, PREVIOUS_GTIDS, XA_PREPARE, PARTIAL_UPDATE, PAYLOAD, GTID_TAGGED = 33, 34, 35, 38, 39, 40, 42
MARIA_ANNOTATE, MARIA_CHECKPOINT, MARIA_GTID, MARIA_GTID_LIST, MARIA_ENCRYPTION = 160, 161, 162, 163, 164
MARIA_QUERY_COMPRESSED = 165
BEGINNINGS = (GTID, ANONYMOUS, GTID_TAGGED, MARIA_GTID)
QUERIES = (QUERY, MARIA_QUERY_COMPRESSED)
# What stands between transactions.
OUTSIDE = (STOP, ROTATE, FORMAT, PREVIOUS_GTIDS, MARIA_CHECKPOINT, MARIA_GTID_LIST)
ROWS = {
    **dict.fromkeys((WRITE_V1, WRITE, 166, 169), "insert"),
    **dict.fromkeys((UPDATE_V1, UPDATE, PARTIAL_UPDATE, 167, 170), "update"),
    **dict.fromkeys((DELETE_V1, DELETE, 168, 171), "delete"),
}
MARIA_STANDALONE, MARIA_GROUP_COMMIT, MARIA_PREPARED_XA, MARIA_COMPLETED_XA = 0x01, 0x02, 0x40, 0x80
ENDING_STATEMENTS = re.compile(r"(COMMIT|ROLLBACK|XA COMMIT\b.*|XA ROLLBACK\b.*)\Z", re.DOTALL)
LOSING_STATEMENT = re.compile(
    r"\s*(/\*.*?\*/\s*)*(DROP|TRUNCATE|DELETE|ALTER\s+(TABLE|DATABASE|SCHEMA))\b", re.IGNORECASE | re.DOTALL
)
# Accounts are made with their password or its hash in the text.
SECRET = re.compile(
    r"\b(IDENTIFIED\b.*?\b(?:BY|AS)(?:\s+PASSWORD)?|PASSWORD\s*\(?)\s*(['\"]).*", re.IGNORECASE | re.DOTALL
)

FILE_NAME = re.compile(r"(?P<base>.+)\.(?P<number>\d{6,10})\Z")


class BinlogError(BackupError):
    """A file is not what it should be."""


class EncryptedError(RefusedError):
    """A file can only be read with its server's keys."""


def file_number(name: str) -> int | None:
    """The number of a log's file; None for another file, such as MariaDB's `.000001.idx`."""
    found = FILE_NAME.match(name)
    return int(found["number"]) if found else None


def next_name(name: str) -> str:
    """The name of the file after this one."""
    found = FILE_NAME.match(name)
    if not found:
        raise ValueError(f"{name!r}: is not a name of a binary log file")
    return f"{found['base']}.{int(found['number']) + 1:06d}"


@dataclass(frozen=True)
class Event:
    """One event: where it lies, its header, and the beginning of what it holds."""

    start: int
    end: int
    kind: int
    seconds: int
    server: int
    flags: int
    body: bytes


@dataclass(frozen=True)
class Format:
    """What a file's first event says."""

    version: str
    checksum: int
    post_headers: bytes
    seconds: int

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.version.lower()

    def post_header(self, kind: int) -> int:
        return self.post_headers[kind - 1] if 0 < kind <= len(self.post_headers) else 0


class Reader:
    """The events of one file, in order. A file may end anywhere: what is not whole is not returned."""

    def __init__(self, stream: BinaryIO, name: str = "", size: int | None = None) -> None:
        self.name = name or str(getattr(stream, "name", "the binary log"))
        self._stream = stream
        self._size = stream.seek(0, os.SEEK_END) if size is None else size
        self.format = self._read_format()

    def _read_format(self) -> Format:
        self._stream.seek(0)
        check_magic(self._stream.read(len(MAGIC)), self.name)
        event = self._event(len(MAGIC), 0)
        if event is None:
            raise BinlogError(f"{self.name}: ends before its first event; wait until its server has written more")
        body = event.body
        # Version, server's version, creation time, length of a header; then one number an event kind, and for servers
        # of today always the algorithm and a checksum.
        fixed = 2 + 50 + 4 + 1
        if event.kind != FORMAT or len(body) < fixed + CHECKSUM_BYTES + 1 or body[fixed - 1] != HEADER_BYTES:
            raise BinlogError(f"{self.name}: does not begin with a format description; it is no binary log of today")
        checksum = body[-CHECKSUM_BYTES - 1]
        if checksum not in (CHECKSUM_NONE, CHECKSUM_CRC32):
            raise BinlogError(f"{self.name}: has checksums of kind {checksum}, which are not known")
        version = body[2:52].split(b"\0")[0].decode("ascii", "replace")
        return Format(version, checksum, body[fixed : -CHECKSUM_BYTES - 1], event.seconds)

    def _event(self, start: int, checksum_bytes: int) -> Event | None:
        if start + HEADER_BYTES > self._size:
            return None
        self._stream.seek(start)
        header = self._stream.read(HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return None
        seconds, kind, server, length, _position, flags = _HEADER.unpack(header)
        if length < HEADER_BYTES + checksum_bytes:
            raise BinlogError(f"{self.name}: has no event at byte {start}: its length would be {length}")
        if start + length > self._size:
            return None
        kept = KEPT_OF_ROWS_BYTES if kind in ROWS or kind == PAYLOAD else KEPT_BYTES
        body = self._stream.read(min(length - HEADER_BYTES - checksum_bytes, kept))
        return Event(start, start + length, kind, seconds, server, flags, body)

    def events(self, start: int = len(MAGIC)) -> Iterator[Event]:
        """The whole events from this offset, which is one's beginning."""
        checksum_bytes = CHECKSUM_BYTES if self.format.checksum == CHECKSUM_CRC32 else 0
        while True:
            event = self._event(start, checksum_bytes)
            if event is None:
                return
            if event.kind == MARIA_ENCRYPTION:
                raise _encrypted(self.name)
            yield event
            start = event.end

    def verify(self, event: Event) -> bool:
        """Whether an event's checksum is right."""
        if self.format.checksum != CHECKSUM_CRC32:
            return True
        self._stream.seek(event.start)
        rest, value, first = event.end - event.start - CHECKSUM_BYTES, 0, event.kind == FORMAT
        while rest:
            data = self._stream.read(min(rest, 1 << 20))
            if not data:
                return False
            if first:
                # The checksum was made before the flag was set.
                data = data[:17] + bytes([data[17] & ~IN_USE]) + data[18:]
                first = False
            value = zlib.crc32(data, value)
            rest -= len(data)
        return int.from_bytes(self._stream.read(CHECKSUM_BYTES), "little") == value


def check_magic(data: bytes, name: str) -> None:
    """Refuse what is no binary log, or one that cannot be read without its server."""
    if data == MAGIC_ENCRYPTED:
        raise _encrypted(name)
    if data != MAGIC:
        raise BinlogError(f"{name}: is no binary log: it begins with {data.hex() or 'nothing'}")


def check_readable(path: str) -> None:
    """Refuse an encrypted file, of either server, before anything is made of it."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as stream:
        reader = Reader(stream, os.path.basename(path))
        next(reader.events(next(reader.events()).end), None)


def _encrypted(name: str) -> EncryptedError:
    return EncryptedError(
        f"{name}: is encrypted with keys that only its server has, so it could not be used after a loss; set"
        " binlog_encryption=OFF (MySQL) or encrypt_binlog=OFF (MariaDB): the repository encrypts what it is given"
    )


@dataclass(frozen=True)
class Transaction:
    """One transaction (or statement of its own) in a file. `seconds` is the time of its last event, `microseconds` the
    commit's own time, which MySQL writes and MariaDB does not."""

    stream: str
    start: int
    end: int
    seconds: int
    microseconds: int | None = None
    gtid: str = ""
    database: str = ""
    statement: str = ""
    # "shop.orders: delete" for each table whose rows were changed.
    changes: tuple[str, ...] = ()

    @property
    def time(self) -> float:
        """When it was committed, in seconds of Unix time, as exactly as the file says."""
        return self.seconds if self.microseconds is None else self.microseconds / 1_000_000

    @property
    def latest(self) -> float:
        """The latest that it can have been committed. MariaDB writes whole seconds, and within a second nobody can say
        whether it was before a moment or after it; a restore to that moment must not have what came after it."""
        return self.seconds + 0.999999 if self.microseconds is None else self.time

    @property
    def loses(self) -> bool:
        """Whether it may take data away: what one looks for after a mishap."""
        return bool(LOSING_STATEMENT.match(self.statement)) or any(item.endswith(": delete") for item in self.changes)


@dataclass
class _Open:
    """A transaction whose end has not come yet."""

    start: int
    gtid: str = ""
    microseconds: int | None = None
    length: int = 0
    standalone: bool = False
    ends_with_query: bool = False
    database: str = ""
    statement: str = ""
    changes: list[str] = field(default_factory=list)
    tables: dict[int, str] = field(default_factory=dict)


def transactions(stream: BinaryIO, name: str = "", size: int | None = None) -> Iterator[Transaction]:
    """The whole transactions of a file, in order. One that is not finished at its end is not there: its server had not
    committed it, or its rest was not copied."""
    reader = Reader(stream, name, size)
    maria = reader.format.is_mariadb
    current: _Open | None = None
    for event in reader.events():
        if event.kind in BEGINNINGS:
            current = _begin(event, reader)
            continue
        if current is None or event.kind in OUTSIDE:
            # Without the event that begins it nothing is a transaction; all servers of today write it.
            current = None
            continue
        _look(event, current, reader)
        if _ends(event, current, maria):
            yield Transaction(
                stream=os.path.basename(reader.name),
                start=current.start,
                end=event.end,
                seconds=event.seconds,
                microseconds=current.microseconds,
                gtid=current.gtid,
                database=current.database,
                statement=current.statement,
                changes=tuple(dict.fromkeys(current.changes)),
            )
            current = None


def _begin(event: Event, reader: Reader) -> _Open:
    body = event.body
    found = _Open(event.start)
    if event.kind == MARIA_GTID:
        sequence, domain, flags = struct.unpack_from("<QIB", body)
        found.gtid = f"{domain}-{event.server}-{sequence}"
        found.standalone = bool(flags & MARIA_STANDALONE)
        found.ends_with_query = bool(flags & MARIA_COMPLETED_XA)
    elif event.kind == GTID_TAGGED:
        _read_tagged(body, found)
    else:
        # Flags, UUID, number, kind and two logical timestamps; then the commit's time, whose highest bit says that the
        # original server's follows, and the transaction's length.
        if event.kind == GTID:
            found.gtid = f"{uuid.UUID(bytes=body[1:17])}:{int.from_bytes(body[17:25], 'little')}"
        position = reader.format.post_header(event.kind) or 42
        if len(body) >= position + 7:
            time = int.from_bytes(body[position : position + 7], "little")
            found.microseconds = time & ((1 << 55) - 1)
            position += 14 if time >> 55 else 7
            found.length = _packed(body, position)[0]
    return found


def _packed(data: bytes, position: int) -> tuple[int, int]:
    """A number as the client protocol packs it; and the position behind it."""
    if position >= len(data):
        return 0, position
    first = data[position]
    width = {252: 2, 253: 3, 254: 8}.get(first, 0)
    if not width:
        return (first if first < 251 else 0), position + 1
    return int.from_bytes(data[position + 1 : position + 1 + width], "little"), position + 1 + width


def _varlen(data: bytes, position: int) -> tuple[int, int]:
    """A number of mysql::serialization: the ones at the low end of the first byte count the bytes that follow."""
    first = data[position]
    more = 0
    while more < 8 and first >> more & 1:
        more += 1
    rest = int.from_bytes(data[position + 1 : position + 1 + more], "little")
    low = first >> (more + 1) if more < 8 else 0
    return low | rest << max(0, 7 - more), position + 1 + more


def _signed(data: bytes, position: int) -> tuple[int, int]:
    """A signed one: the lowest bit says that the others are to be turned round."""
    value, position = _varlen(data, position)
    return (~(value >> 1) if value & 1 else value >> 1), position


def _read_tagged(body: bytes, found: _Open) -> None:
    """GTID_TAGGED_LOG_EVENT: fields with identifiers, which their order in Gtid_event::define_fields gives."""
    source, tag, number = bytes(16), "", 0
    position = 0
    for _header in ("format version", "message size", "last field that may not be ignored"):
        _value, position = _varlen(body, position)
    while position < len(body):
        identifier, position = _varlen(body, position)
        if identifier == 1:
            raw = []
            for _index in range(16):
                value, position = _varlen(body, position)
                raw.append(value & 0xFF)
            source = bytes(raw)
        elif identifier == 3:
            size, position = _varlen(body, position)
            tag = body[position : position + size].decode("ascii", "replace")
            position += size
        elif identifier in (2, 4, 5):
            value, position = _signed(body, position)
            if identifier == 2:
                number = value
        else:
            value, position = _varlen(body, position)
            if identifier == 6:
                found.microseconds = value
            elif identifier == 8:
                found.length = value
    found.gtid = ":".join([str(uuid.UUID(bytes=source)), *([tag] if tag else []), str(number)])


def _look(event: Event, current: _Open, reader: Reader) -> None:
    """Note what an event of a transaction says about it."""
    if event.kind in QUERIES:
        database, statement = _query(event, reader.format)
        if not current.statement and statement not in ("BEGIN", "COMMIT", "ROLLBACK"):
            current.database, current.statement = database, statement
        elif not current.database:
            current.database = database
    elif event.kind == PAYLOAD:
        current.statement = current.statement or COMPRESSED
    elif event.kind in (ROWS_QUERY, MARIA_ANNOTATE):
        if not current.statement:
            text = event.body[1:] if event.kind == ROWS_QUERY else event.body
            current.statement = _shortened(text)
    elif event.kind == TABLE_MAP:
        number, database, table = _table(event.body)
        current.tables[number] = f"{database}.{table}"
    elif event.kind in ROWS:
        number = int.from_bytes(event.body[:6], "little")
        if number in current.tables:
            current.changes.append(f"{current.tables[number]}: {ROWS[event.kind]}")


def _ends(event: Event, current: _Open, maria: bool) -> bool:
    if not maria and current.length:
        return event.end >= current.start + current.length
    if event.kind in (XID, XA_PREPARE, PAYLOAD):
        return True
    if event.kind not in QUERIES:
        return False
    if current.standalone or current.ends_with_query:
        return True
    statement = _plain_statement(event)
    if ENDING_STATEMENTS.match(statement):
        return True
    # MySQL writes a statement of its own without BEGIN; servers before 8.0.2 without the length.
    return not maria and statement != "BEGIN" and not statement.startswith("XA ") and current.statement == statement


def _plain_statement(event: Event) -> str:
    """The text of a statement that is written plainly; empty for a compressed one, which ends no transaction."""
    return _query(event, None)[1] if event.kind == QUERY else ""


def _query(event: Event, known: Format | None) -> tuple[str, str]:
    """The database and the beginning of the text of a statement."""
    body = event.body
    if len(body) < 13:
        return "", ""
    # Thread, duration, length of the database's name, error, length of the variables.
    name_length, variables_length = body[8], int.from_bytes(body[11:13], "little")
    begin = 13 + variables_length
    database = body[begin : begin + name_length].decode("utf-8", "replace")
    text = body[begin + name_length + 1 :]
    if event.kind == MARIA_QUERY_COMPRESSED:
        text = _inflated(text)
    return database, _shortened(text)


def _inflated(data: bytes) -> bytes:
    """MariaDB's compressed text: a byte with the algorithm and the width of the length, the length, zlib's stream."""
    if not data or data[0] >> 4 & 7:
        return b""
    try:
        return zlib.decompressobj().decompress(data[1 + (data[0] & 7) :], 4 * STATEMENT_CHARACTERS)
    except zlib.error:
        return b""


def _shortened(text: bytes) -> str:
    # Four bytes a character at most; a character that is cut in two is left away.
    found = text[: 4 * STATEMENT_CHARACTERS].decode("utf-8", "ignore")
    found = " ".join(SECRET.sub(r"\1 ***", found).split())
    return found if len(found) <= STATEMENT_CHARACTERS else found[: STATEMENT_CHARACTERS - 1] + "…"


def _table(body: bytes) -> tuple[int, str, str]:
    number = int.from_bytes(body[:6], "little")
    length = body[8]
    database = body[9 : 9 + length]
    position = 9 + length + 1
    table = body[position + 1 : position + 1 + body[position]]
    return number, database.decode("utf-8", "replace"), table.decode("utf-8", "replace")


@dataclass(frozen=True)
class Summary:
    """What a file says about itself."""

    version: str
    seconds: int
    # What had been executed before its first transaction.
    previous: str
    # The name of the next file, when it says so; closed also when its server was shut down.
    rotates_to: str
    closed: bool
    # Where its last whole transaction ends (or its first events do), and where its last whole event does.
    transactions_end: int
    events_end: int


def summarize(stream: BinaryIO, name: str = "", size: int | None = None) -> Summary:
    """Read a file through once."""
    reader = Reader(stream, name, size)
    previous, rotates_to, closed, head, end = "", "", False, len(MAGIC), len(MAGIC)
    begun = False
    for event in reader.events():
        closed = event.kind in (ROTATE, STOP)
        begun = begun or event.kind in BEGINNINGS
        end = event.end
        if not begun:
            head = event.end
        if event.kind == PREVIOUS_GTIDS:
            previous = parse_gtid_set(event.body)
        elif event.kind == MARIA_GTID_LIST:
            previous = parse_gtid_list(event.body)
        elif event.kind == ROTATE:
            rotates_to = event.body[8:].decode("utf-8", "replace")
    last = head
    for transaction in transactions(stream, name, size):
        last = transaction.end
    return Summary(reader.format.version, reader.format.seconds, previous, rotates_to, closed, last, end)


def parse_gtid_set(body: bytes) -> str:
    """PREVIOUS_GTIDS as MySQL prints a set. The first eight bytes count the sources; since there are tags, the highest
    byte says whether they follow, and the lowest repeats it."""
    count = int.from_bytes(body[:8], "little")
    tagged = count >> 56 == 1
    count = count >> 8 & ((1 << 48) - 1) if tagged else count & ((1 << 56) - 1)
    position, last = 8, ""
    found: list[str] = []
    for _index in range(count):
        source = str(uuid.UUID(bytes=body[position : position + 16]))
        position += 16
        tag = ""
        if tagged:
            size, position = _varlen(body, position)
            tag = body[position : position + size].decode("ascii", "replace")
            position += size
        intervals = int.from_bytes(body[position : position + 8], "little")
        position += 8
        parts = []
        for _interval in range(intervals):
            first, after = struct.unpack_from("<qq", body, position)
            position += 16
            parts.append(f"{first}-{after - 1}" if after - 1 > first else f"{first}")
        text = ":".join([*([tag] if tag else []), *parts])
        if source == last:
            found[-1] += f":{text}"
        else:
            found.append(f"{source}:{text}")
        last = source
    return ",".join(found)


def parse_gtid_list(body: bytes) -> str:
    """MariaDB's GTID_LIST as it prints a position."""
    count = int.from_bytes(body[:4], "little") & ((1 << 28) - 1)
    parts = [struct.unpack_from("<IIQ", body, 4 + 16 * index) for index in range(count)]
    return ",".join(f"{domain}-{server}-{sequence}" for domain, server, sequence in parts)


@dataclass(frozen=True)
class Cut:
    """Where a file is to end: behind `transaction` (None when nothing of it is wanted) and before `next` (None when it
    goes to its end). `matched` says whether what was asked for was met in this file."""

    offset: int
    transaction: Transaction | None
    next: Transaction | None
    matched: bool


def cut(
    stream: BinaryIO,
    name: str = "",
    *,
    gtid: str = "",
    time: float | None = None,
    position: int | None = None,
    inclusive: bool = False,
    size: int | None = None,
) -> Cut:
    """Where to end a file so that it holds what came before a transaction, a time or a position.

    Before a transaction (`gtid`, or with `inclusive` behind it); before the first transaction that was committed later
    than `time` (seconds of Unix time; MariaDB writes whole seconds, so there a transaction counts as committed at its
    second's end); or behind the last one that ends at or before `position`.
    """
    if [bool(gtid), time is not None, position is not None].count(True) != 1:
        raise ValueError("say exactly one of gtid, time, position")
    reader = Reader(stream, name, size)
    offset = len(MAGIC)
    for event in reader.events():
        if event.kind not in (FORMAT, PREVIOUS_GTIDS, MARIA_GTID_LIST, MARIA_CHECKPOINT):
            break
        offset = event.end
    last: Transaction | None = None
    take_one_more = False
    for transaction in transactions(stream, name, size):
        if take_one_more:
            return Cut(offset, last, transaction, True)
        if (
            (gtid and transaction.gtid.lower() == gtid.lower() and not inclusive)
            or (time is not None and transaction.latest > time)
            or (position is not None and transaction.end > position)
        ):
            return Cut(offset, last, transaction, True)
        take_one_more = bool(gtid) and transaction.gtid.lower() == gtid.lower()
        last, offset = transaction, transaction.end
    return Cut(offset, last, None, take_one_more)

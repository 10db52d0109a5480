# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the raft of a manager has come, read from its log on disk: that works without a quorum and without a key.

swarmkit encrypts the data of each entry, but not the frames around them. A frame is its length (8 bytes, of which the
upper ones tell the padding) and a record: type, checksum, data. Entries hold their term and index; states, what is
committed. The format is that of etcd's write-ahead log.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Union

ENTRY, STATE, SNAPSHOT = 2, 3, 5
_LENGTH_MASK = (1 << 56) - 1
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, order=True)
class Position:
    """The end of a raft's log, in raft's own order: the later term first, then the longer log."""

    term: int = 0
    index: int = 0
    committed: int = 0


def position(logs: Iterator[bytes]) -> Position:
    """Where the logs end, given in their order. An entry that was written again counts as the later one."""
    term = index = committed = 0
    for log in logs:
        for kind, data in records(log):
            fields = dict(_fields(data))
            if kind == ENTRY:
                term, index = _number(fields, 2), _number(fields, 3)
            elif kind == STATE:
                committed = max(committed, _number(fields, 3))
            elif kind == SNAPSHOT and _number(fields, 1) > index:
                index, term = _number(fields, 1), max(term, _number(fields, 2))
    return Position(term, index, committed)


def records(log: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and data of each record; the log ends where its file was only reserved, or torn by a crash."""
    offset = 0
    while offset + 8 <= len(log):
        (word,) = struct.unpack_from("<q", log, offset)
        if word == 0:
            return
        length = word & _LENGTH_MASK
        padding = (word >> 56) & 0x7 if word < 0 else 0
        start, offset = offset + 8, offset + 8 + length + padding
        if offset > len(log):
            return
        try:
            fields = dict(_fields(log[start : start + length]))
        except (IndexError, ValueError):
            return
        data = fields.get(3, b"")
        yield _number(fields, 1), data if isinstance(data, bytes) else b""


def _number(fields: dict[int, Union[int, bytes]], key: int) -> int:
    value = fields.get(key, 0)
    return value if isinstance(value, int) else 0


def _fields(message: bytes) -> Iterator[tuple[int, Union[int, bytes]]]:
    """The fields of a protobuf message."""
    offset = 0
    while offset < len(message):
        tag, offset = _varint(message, offset)
        kind = tag & 7
        if kind == _VARINT:
            value, offset = _varint(message, offset)
            yield tag >> 3, value
        elif kind == _BYTES:
            length, offset = _varint(message, offset)
            yield tag >> 3, message[offset : offset + length]
            offset += length
        elif kind in (_FIXED64, _FIXED32):
            offset += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field type {kind} is not known")


def _varint(message: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7

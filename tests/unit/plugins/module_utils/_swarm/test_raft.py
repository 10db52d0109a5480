# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of a raft, as etcd frames it."""

from __future__ import annotations

import struct

from ansible_collections.slipway.ops.plugins.module_utils._swarm.raft import Position, position, records


def varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


def message(**fields: int | bytes) -> bytes:
    found = b""
    for name, value in fields.items():
        number = int(name[1:])
        found += varint(number << 3 | (2 if isinstance(value, bytes) else 0))
        found += (varint(len(value)) + value) if isinstance(value, bytes) else varint(value)
    return found


def frame(kind: int, data: bytes) -> bytes:
    body = message(f1=kind, f2=12345, f3=data)
    padding = (8 - len(body) % 8) % 8
    word = len(body) | ((0x80 | padding) << 56 if padding else 0)
    return struct.pack("<Q", word) + body + b"\0" * padding


def entry(term: int, index: int) -> bytes:
    return frame(2, message(f1=0, f2=term, f3=index, f4=b"secret" * 30))


def state(term: int, committed: int) -> bytes:
    return frame(3, message(f1=term, f2=9, f3=committed))


LOG = frame(4, b"") + frame(1, b"metadata") + entry(1, 1) + entry(2, 300) + state(2, 299)


def test_the_end_of_the_log_is_found_behind_reserved_room() -> None:
    assert position(iter([LOG + b"\0" * 4096])) == Position(2, 300, 299)


def test_an_entry_that_was_written_again_counts() -> None:
    assert position(iter([LOG, entry(3, 300) + entry(3, 301) + entry(4, 301)])) == Position(4, 301, 299)


def test_a_log_after_a_snapshot_starts_there() -> None:
    assert position(iter([frame(5, message(f1=10000, f2=4))])) == Position(4, 10000, 0)


def test_a_torn_end_is_the_end() -> None:
    assert len(list(records(LOG + entry(2, 301)[:-40]))) == len(list(records(LOG)))
    assert position(iter([])) == Position()


def test_the_later_term_is_ahead_of_the_longer_log() -> None:
    assert Position(3, 10) > Position(2, 500) > Position(2, 499)

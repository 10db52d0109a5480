# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which objects of a log no point needs any more: what comes before the oldest point's place in its lineage, and the
lineages that no point is of. Where anything is not known, all stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import SOURCE_POSTGRESQL
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog, wal
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Piece

# What stays before the oldest point's place.
KEPT_BEFORE = 1


def lineage_of(kind: str, record: Mapping[str, Any]) -> str:
    """The name of the lineage that a point's record notes; empty when it does not."""
    return str(record.get("log_lineage" if kind == SOURCE_POSTGRESQL else "lineage") or "")


def oldest_needed(kind: str, records: Sequence[Mapping[str, Any]]) -> int | None:
    """The number of the oldest file that records of one lineage need; None when one of them does not say."""
    numbers = [_number(kind, record) for record in records]
    known = [number for number in numbers if number is not None]
    return min(known) if known and len(known) == len(numbers) else None


def _number(kind: str, record: Mapping[str, Any]) -> int | None:
    if kind != SOURCE_POSTGRESQL:
        return binlog.file_number(str(record.get("binlog_file") or ""))
    try:
        size = wal.check_segment_size(int((record.get("settings") or {})["wal_segment_size"]))
        return wal.parse_lsn(str(record.get("start_lsn") or "")) // size
    except (KeyError, ValueError, TypeError, wal.RefusedError):
        return None


def unneeded(kind: str, pieces: Sequence[Piece], oldest: int, size: int) -> list[Piece]:
    """The objects of one lineage whose file comes before the oldest that is needed, on whatever timeline. The histories
    of timelines stay: by them a server finds one that is still free."""
    found = []
    for piece in pieces:
        if kind == SOURCE_POSTGRESQL:
            segment = wal.Segment.parse(piece.stream.name, size)
            number = segment.number if segment is not None else None
        else:
            number = binlog.file_number(piece.stream.name)
        if number is not None and number < oldest - KEPT_BEFORE:
            found.append(piece)
    return found

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._log import retention
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, Stream

MIB = 1 << 20
LINEAGE = Lineage("fleet", "database", "77")
SIZE = {"settings": {"wal_segment_size": MIB}}


@pytest.mark.parametrize(
    ("kind", "record", "name"),
    [
        ("postgresql", {"lineage": "77", "log_lineage": "77.2"}, "77.2"),
        ("postgresql", {"lineage": "77"}, ""),
        ("mysql", {"lineage": "a-b"}, "a-b"),
        ("mariadb", {}, ""),
    ],
)
def test_which_lineage_a_point_is_of(kind: str, record: dict[str, Any], name: str) -> None:
    assert retention.lineage_of(kind, record) == name


@pytest.mark.parametrize(
    ("kind", "records", "oldest"),
    [
        ("postgresql", [{"start_lsn": "0/500028", **SIZE}, {"start_lsn": "0/300028", **SIZE}], 3),
        ("postgresql", [{"start_lsn": "0/500028", **SIZE}, {"start_lsn": "x", **SIZE}], None),
        ("postgresql", [{"start_lsn": "0/500028"}], None),
        ("postgresql", [{"start_lsn": "0/500028", "settings": {"wal_segment_size": 3}}], None),
        ("mysql", [{"binlog_file": "binlog.000007"}, {"binlog_file": "binlog.000012"}], 7),
        ("mysql", [{"binlog_file": "binlog.000007"}, {"binlog_file": ""}], None),
        ("mysql", [], None),
    ],
)
def test_the_oldest_file_that_is_needed(kind: str, records: list[dict[str, Any]], oldest: int | None) -> None:
    assert retention.oldest_needed(kind, records) == oldest


def test_only_files_of_the_log_that_come_before_it_are_not_needed() -> None:
    names = ["000000010000000000000004", "000000020000000000000004", "000000010000000000000005", "00000002.history"]
    pieces = [Piece(Stream(LINEAGE, name), 0, MIB, True) for name in names]
    assert retention.unneeded("postgresql", pieces, 6, MIB) == pieces[:2]
    assert retention.unneeded("postgresql", pieces, 5, MIB) == []
    files = [Piece(Stream(LINEAGE, name), 0, 9) for name in ("binlog.000009", "binlog.000010", "other")]
    assert retention.unneeded("mysql", files, 11, 0) == files[:1]

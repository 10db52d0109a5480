# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.status import (
    failed,
    overdue,
    render_metrics,
    succeeded,
)

SUMMARY: dict[str, Any] = {
    "point": "p",
    "size_bytes": 10,
    "rows": 2,
    "files": 1,
    "duration_seconds": 1.5,
    "points": 3,
    "started": "2026-01-01T02:00:00+00:00",
    "started_epoch": 1767232800,
}


def test_a_failure_keeps_what_the_last_good_one_left() -> None:
    good = succeeded({"stack": "fleet"}, SUMMARY)
    bad = failed(good, "the disk is full", "2026-01-02T02:00:00+00:00", 1767319200)
    assert bad["last_success"] == SUMMARY["started"]
    assert bad["point"] == "p"
    assert (bad["ok"], bad["error"], bad["last_attempt_epoch"]) == (False, "the disk is full", 1767319200)
    assert succeeded(bad, SUMMARY)["error"] == ""


@pytest.mark.parametrize(
    ("status", "late"),
    [
        ({}, True),
        ({"last_success_epoch": 0, "interval_seconds": 100}, True),
        ({"last_success_epoch": 900, "interval_seconds": 100}, False),
        ({"last_success_epoch": 799, "interval_seconds": 100}, True),
    ],
)
def test_overdue(status: dict[str, Any], late: bool) -> None:
    assert overdue(status, 1000) is late


def test_what_is_not_known_is_no_metric() -> None:
    text = render_metrics({"b": succeeded({}, SUMMARY), "a": failed({}, "x", "", 5)})
    assert 'slipway_backup_last_success_timestamp_seconds{stack="b"} 1767232800\n' in text
    assert 'last_success_timestamp_seconds{stack="a"}' not in text
    assert 'slipway_backup_last_attempt_succeeded{stack="a"} 0\n' in text
    assert text.count("# TYPE slipway_backup_last_attempt_succeeded gauge") == 1
    assert render_metrics({}) == ""

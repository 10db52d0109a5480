# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.status import (
    begun,
    failed,
    killed,
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
        ({"last_success_epoch": 1200, "interval_seconds": 100}, False),
        ({"last_success_epoch": 1400, "interval_seconds": 100}, True),
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


def test_a_backup_that_runs_is_not_called_killed() -> None:
    running = begun(succeeded({}, SUMMARY), "2026-01-02T02:00:00+00:00", 1767319200, os.getpid())
    assert killed(running) == ""
    assert (running["ok"], running["point"]) == (True, "p")
    assert 'running_since_timestamp_seconds{stack="a"} 1767319200\n' in render_metrics({"a": running})


def test_a_backup_whose_process_is_gone_was_killed() -> None:
    process = subprocess.Popen(["sleep", "60"])
    running = begun(succeeded({}, SUMMARY), "2026-01-02T02:00:00+00:00", 1767319200, process.pid)
    process.kill()
    process.wait()
    assert "begun at 2026-01-02T02:00:00+00:00 did not come to its end" in killed(running)
    # The number alone says nothing: another process may have it, or the host was booted since.
    running["running"].update(pid=os.getpid())
    assert killed(running)
    assert killed(begun({}, "", 5, os.getpid()) | {"running": {"pid": 1, "boot_id": "another"}})


@pytest.mark.parametrize("ended", [succeeded, lambda status, summary: failed(status, "x", "", 5)])
def test_a_backup_that_has_ended_runs_no_more(ended: Any) -> None:
    done = ended(begun({}, "2026-01-02T02:00:00+00:00", 1767319200, os.getpid()), SUMMARY)
    assert killed(done) == ""
    assert "running" not in render_metrics({"a": done})

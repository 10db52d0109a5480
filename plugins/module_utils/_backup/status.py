# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stack's backups stand: a file for people, plays and the watch, and figures for node_exporter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._lease import lease

# What clocks of hosts that are kept in time may differ by, and more.
CLOCK_SKEW_SECONDS = 300
METRICS = (
    ("last_success_timestamp_seconds", "When the newest point that was read back was begun.", "last_success_epoch"),
    ("last_attempt_timestamp_seconds", "When the last backup was begun.", "last_attempt_epoch"),
    ("last_attempt_succeeded", "Whether the last backup succeeded.", "ok"),
    ("duration_seconds", "How long the last good backup took.", "duration_seconds"),
    ("size_bytes", "How much the newest good point holds.", "size_bytes"),
    ("rows", "How many rows the databases in the newest good point have.", "rows"),
    ("points", "How many points the repository holds.", "points"),
    ("interval_seconds", "How often a backup is expected.", "interval_seconds"),
    ("promised_rto_seconds", "How long a restore may take, by promise; 0 is none.", "promised_rto_seconds"),
    ("promised_rpo_seconds", "How much a loss of the host may cost, by promise; 0 is none.", "promised_rpo_seconds"),
    (
        "running_since_timestamp_seconds",
        "When the backup was begun that runs, or was killed; not there when the last one came to its end.",
        "running_since_epoch",
    ),
)
REPOSITORY_METRICS = (
    (
        "last_success_timestamp_seconds",
        "When the newest point was begun that was read back from the repository.",
        "newest_good_epoch",
    ),
    ("points", "How many points the repository holds.", "points"),
    ("ok", "Whether the last backup could bring the repository up and look into it.", "ok"),
    ("last_check_timestamp_seconds", "When the structure of the repository was last checked.", "last_check_epoch"),
)
DRILL_METRICS = (
    ("last_success_timestamp_seconds", "When the last good drill was begun.", "last_success_epoch"),
    ("last_attempt_timestamp_seconds", "When the last drill was begun.", "last_attempt_epoch"),
    ("last_attempt_succeeded", "Whether the last drill was good.", "ok"),
    (
        "rto_seconds",
        "How long a restore took until everything served, in the last drill that came so far.",
        "rto_seconds",
    ),
    ("rpo_seconds", "How far behind the oldest part was that the last drill restored.", "rpo_seconds"),
    ("interval_seconds", "How often a drill is expected; 0 is never.", "interval_seconds"),
)


def begun(previous: Mapping[str, Any], since: str, since_epoch: int, pid: int) -> dict[str, Any]:
    """The status while a backup runs. One that is killed can say nothing any more: what it said before stays, and tells
    of it."""
    process = {"pid": pid, "process_start": lease.process_start(pid), "boot_id": lease.boot_id()}
    return {**previous, "running": {"since": since, **process}, "running_since_epoch": since_epoch}


def _ended(previous: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in previous.items() if key not in ("running", "running_since_epoch")}


def killed(status: Mapping[str, Any]) -> str:
    """What is to be said of a backup that was begun and whose process is gone; empty when there is none."""
    running = status.get("running")
    if not isinstance(running, dict) or not lease.holder_died(running, lease.boot_id()):
        return ""
    return (
        f"the backup that was begun at {running.get('since')} did not come to its end: it was killed, or the host went"
        " down"
    )


def succeeded(previous: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, Any]:
    """The status after a backup that was read back."""
    return {
        **_ended(previous),
        **{name: summary[name] for name in ("point", "size_bytes", "rows", "files", "duration_seconds", "points")},
        "ok": True,
        "error": "",
        "last_success": summary["started"],
        "last_success_epoch": summary["started_epoch"],
        "last_attempt": summary["started"],
        "last_attempt_epoch": summary["started_epoch"],
    }


def failed(previous: Mapping[str, Any], error: str, started: str, started_epoch: int) -> dict[str, Any]:
    """The status after a backup that failed: what the last good one left stays."""
    return {
        **_ended(previous),
        "ok": False,
        "error": error,
        "last_attempt": started,
        "last_attempt_epoch": started_epoch,
    }


def overdue(status: Mapping[str, Any], now_epoch: float) -> bool:
    """Whether the newest good point is older than two intervals, or there is none. One from the future hides how old
    the others are."""
    last = status.get("last_success_epoch")
    if not last or is_future(float(last), now_epoch):
        return True
    return now_epoch - float(last) > 2 * float(status.get("interval_seconds") or 86400)


def is_future(epoch: float, now_epoch: float) -> bool:
    """Whether a point was made by a clock that was ahead of the present one: one of the two is wrong."""
    return epoch - now_epoch > CLOCK_SKEW_SECONDS


def render_metrics(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of all stacks in Prometheus' text format. What is not known is left out, never 0."""
    repositories = {
        f'{stack}",repository="{name}': record
        for stack, status in statuses.items()
        for name, record in (status.get("repositories") or {}).items()
    }
    return _render("slipway_backup", METRICS, statuses) + _render(
        "slipway_backup_repository", REPOSITORY_METRICS, repositories
    )


def render_drills(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """The same of drills."""
    return _render("slipway_drill", DRILL_METRICS, statuses)


def _render(prefix: str, metrics: Sequence[tuple[str, str, str]], statuses: Mapping[str, Mapping[str, Any]]) -> str:
    lines = []
    for name, meaning, key in metrics:
        samples = [
            f'{prefix}_{name}{{stack="{stack}"}} {float(status[key]):.0f}'
            for stack, status in sorted(statuses.items())
            if isinstance(status.get(key), (bool, int, float))
        ]
        if samples:
            lines += [f"# HELP {prefix}_{name} {meaning}", f"# TYPE {prefix}_{name} gauge", *samples]
    return "".join(f"{line}\n" for line in lines)

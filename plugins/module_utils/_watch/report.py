# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pass says: to a mailbox, to a webhook, to Prometheus and to a person. Nothing runs here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._watch.decide import (
    AGAIN,
    BAD,
    RECOVERED,
    TEST,
    Notice,
    Verdict,
    utc,
)
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import Configuration

_WORDS = {BAD: "BAD", AGAIN: "STILL BAD", RECOVERED: "recovered", TEST: "test"}
# Bad news first.
_ORDER = (BAD, AGAIN, RECOVERED, TEST)


def _sorted(notices: Sequence[Notice]) -> list[Notice]:
    return sorted(notices, key=lambda notice: (_ORDER.index(notice.event), notice.check))


def subject(host: str, notices: Sequence[Notice]) -> str:
    """One line for one pass; a long list is cut, since the body has all of it."""
    parts = []
    for event in _ORDER:
        names = [notice.check for notice in _sorted(notices) if notice.event == event]
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{_WORDS[event]}: {', '.join(names[:3])}{more}")
    return f"[slipway] {host} {'; '.join(parts)}"


def body(host: str, notices: Sequence[Notice], now: float) -> str:
    """The text of the mail."""
    lines = [f"Host {host}, {utc(now)}", ""]
    for notice in _sorted(notices):
        lines += [f"{_WORDS[notice.event]}: {notice.check}", f"  {notice.message}", f"  since {utc(notice.since)}", ""]
    lines.append("On the host, 'sudo slipway watch --dry-run' makes all checks again and shows them.")
    return "\n".join(lines) + "\n"


def payload(host: str, notices: Sequence[Notice], now: float) -> dict[str, Any]:
    """The JSON of the webhook. `text` is the key that the usual chat services show."""
    return {
        "host": host,
        "time": now,
        "text": subject(host, notices),
        "notices": [
            {"check": notice.check, "event": notice.event, "message": notice.message, "since": notice.since}
            for notice in _sorted(notices)
        ],
    }


def metrics(config: Configuration, verdicts: Sequence[Verdict], undelivered: int, now: float) -> str:
    """The text file for the node exporter. The interval tells a rule when the time of the last run is too old."""
    lines = [
        "# HELP slipway_check_ok Whether the check was good at the last run.",
        "# TYPE slipway_check_ok gauge",
        *(f'slipway_check_ok{{check="{item.check.name}"}} {int(item.ok)}' for item in verdicts),
        "# HELP slipway_watch_undelivered_alerts Alerts that could not be sent at the last run.",
        "# TYPE slipway_watch_undelivered_alerts gauge",
        f"slipway_watch_undelivered_alerts {undelivered}",
        "# HELP slipway_watch_interval_seconds How often the checks are made.",
        "# TYPE slipway_watch_interval_seconds gauge",
        f"slipway_watch_interval_seconds {config.interval_seconds}",
        "# HELP slipway_watch_last_run_timestamp_seconds When the checks were last made.",
        "# TYPE slipway_watch_last_run_timestamp_seconds gauge",
        f"slipway_watch_last_run_timestamp_seconds {now:.0f}",
    ]
    return "\n".join(lines) + "\n"


def page(verdicts: Sequence[Verdict], sent: Sequence[Notice], failed: dict[str, str]) -> str:
    """What a person at the terminal sees."""
    width = max((len(item.check.name) for item in verdicts), default=0)
    lines = [f"{'ok ' if item.ok else 'BAD'}  {item.check.name:<{width}}  {item.message}" for item in verdicts]
    lines += [f"sent by {notice.channel}: {_WORDS[notice.event]} {notice.check}" for notice in sent]
    lines += [f"NOT SENT by {channel}: {reason}" for channel, reason in failed.items()]
    return "\n".join(lines or ["nothing is configured to be checked"]) + "\n"


def document(
    config: Configuration, verdicts: Sequence[Verdict], sent: Sequence[Notice], failed: dict[str, str], now: float
) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "host": config.host,
        "time": now,
        "ok": all(item.ok for item in verdicts),
        "checks": [
            {
                "name": item.check.name,
                "kind": item.check.kind,
                "ok": item.ok,
                "message": item.message,
                "since": item.since,
            }
            for item in verdicts
        ],
        "sent": [{"channel": notice.channel, "check": notice.check, "event": notice.event} for notice in sent],
        "failed": failed,
    }

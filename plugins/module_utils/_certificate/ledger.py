# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was asked of the authority, kept on the host, so that a failing play cannot use up the authority's patience.

Let's Encrypt blocks a name after five failed validations an hour and a set of names after five certificates in seven
days. The ledger refuses earlier, so that a person still has tries left.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

HOUR = 3600
WEEK = 7 * 24 * HOUR
FAILURES_AN_HOUR = 2
ISSUES_A_WEEK = 3

ISSUED = "issued"
FAILED = "failed"
UNREACHED = "unreached"  # ended before the authority heard of it; kept for the reader, not counted


@dataclass(frozen=True)
class Attempt:
    """One order at one authority for one set of names."""

    time: int
    directory_url: str
    domains: tuple[str, ...]
    outcome: str
    detail: str = ""


def read(value: Any) -> list[Attempt]:
    """Attempts from the ledger's JSON; entries of another shape are left out."""
    entries = value.get("attempts", []) if isinstance(value, dict) else []
    return [
        Attempt(
            time=int(entry["time"]),
            directory_url=str(entry["directory_url"]),
            domains=tuple(str(domain) for domain in entry["domains"]),
            outcome=str(entry["outcome"]),
            detail=str(entry.get("detail", "")),
        )
        for entry in entries
        if isinstance(entry, dict) and {"time", "directory_url", "domains", "outcome"} <= set(entry)
    ]


def write(attempts: Iterable[Attempt], now: float) -> dict[str, Any]:
    """The ledger's JSON, without what is too old to count."""
    return {
        "attempts": [
            {
                "time": attempt.time,
                "directory_url": attempt.directory_url,
                "domains": list(attempt.domains),
                "outcome": attempt.outcome,
                "detail": attempt.detail,
            }
            for attempt in attempts
            if attempt.time > now - WEEK
        ]
    }


def _minutes(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    if minutes < 120:
        return f"{minutes} minutes"
    hours = round(minutes / 60)
    return f"{hours} hours" if hours < 48 else f"{round(hours / 24)} days"


def refusal(attempts: Iterable[Attempt], directory_url: str, domains: Iterable[str], now: float) -> str | None:
    """Why no further order should be made now for these names; None when one may be."""
    wanted = frozenset(domains)
    # An attempt from the future means that the clock was set back; it still counts, as a recent one.
    own = [item for item in attempts if item.directory_url == directory_url and frozenset(item.domains) == wanted]
    failures = sorted(
        (item for item in own if item.outcome == FAILED and item.time > now - HOUR), key=lambda item: item.time
    )
    if len(failures) >= FAILURES_AN_HOUR:
        wait = failures[-FAILURES_AN_HOUR].time + HOUR - now
        last = f"; the last said: {failures[-1].detail}" if failures[-1].detail else ""
        return (
            f"{len(failures)} orders failed within the last hour, and the authority blocks a name after five{last}. "
            f"Mend the cause, then run again in {_minutes(wait)}"
        )
    issues = sorted(
        (item for item in own if item.outcome == ISSUED and item.time > now - WEEK), key=lambda item: item.time
    )
    if len(issues) >= ISSUES_A_WEEK:
        wait = issues[-ISSUES_A_WEEK].time + WEEK - now
        return (
            f"{len(issues)} certificates were issued for these names within seven days, and the authority refuses a "
            f"sixth. "
            f"Find out why the last ones were lost (restore them, with the account, from the backup), "
            f"or run again in {_minutes(wait)}"
        )
    return None

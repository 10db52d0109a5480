# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Turn single measurements into figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def summarize(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return counts and percentiles of some answers."""
    times = [answer["milliseconds"] for answer in answers]
    failures = [answer["error"] or str(answer["status"]) for answer in answers if answer["status"] != 200]
    return {
        "requests": len(answers),
        "failed": len(failures),
        "failure": failures[0] if failures else "",
        "p50_milliseconds": percentile(times, 50),
        "p95_milliseconds": percentile(times, 95),
        "max_milliseconds": max(times, default=0.0),
    }

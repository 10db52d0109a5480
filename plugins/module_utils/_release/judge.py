# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the new replicas answer well enough to stay, by what the proxy saw of them and of the old ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Tally
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

# A new version that turns bad after long good hours is judged by what it does now.
WINDOW_SECONDS = 30.0
MARK_SECONDS = 5.0
# Twice of next to nothing is still next to nothing.
NOTICEABLE_SECONDS = 0.1

Tallies = Mapping[str, Tally]


@dataclass(frozen=True)
class Seen:
    """The answers since the first switch of a release, of the next version and of the stable one, by service."""

    following: Tallies = field(default_factory=dict)
    stable: Tallies = field(default_factory=dict)

    def minus(self, earlier: Seen) -> Seen:
        return Seen(_minus(self.following, earlier.following), _minus(self.stable, earlier.stable))


def _minus(now: Tallies, earlier: Tallies) -> dict[str, Tally]:
    return {service: tally.minus(earlier.get(service) or Tally()) for service, tally in now.items()}


def verdict(stack: Stack, following: Tallies, stable: Tallies | None = None) -> str:
    """Why the new version must not stay, in one line, from each service's answers; empty while all is well."""
    for service, tally in following.items():
        limits = stack.services[service].watch
        old = (stable or {}).get(service) or Tally()
        enough = min(tally.answers, old.answers) >= limits.get("minimum_answers", 20)
        for reason in (
            _errors(tally, limits),
            _slow(tally, limits),
            _more_errors(tally, old, limits) if enough else "",
            _slower(tally, old, limits) if enough else "",
        ):
            if reason:
                return f"services.{service}: {reason}"
    return ""


def _errors(tally: Tally, limits: Mapping[str, Any]) -> str:
    if tally.errors < limits["minimum_errors"] or tally.ratio <= limits["error_ratio"]:
        return ""
    return (
        f"{tally.errors} of {tally.answers} requests got an error of 500 or above from the new version "
        f"({tally.ratio:.0%}; x-slipway.watch.error_ratio is {limits['error_ratio']:.0%})"
    )


def _slow(tally: Tally, limits: Mapping[str, Any]) -> str:
    slowest, p95 = limits.get("p95_seconds"), tally.p95(limits.get("minimum_answers", 20))
    if slowest is None or p95 is None or p95 <= slowest:
        return ""
    return f"95 of 100 requests to the new version take up to {p95:.2f} s (x-slipway.watch.p95 is {slowest:g} s)"


def _more_errors(tally: Tally, old: Tally, limits: Mapping[str, Any]) -> str:
    limit = limits.get("more_errors", 1)
    if tally.errors < limits["minimum_errors"] or tally.ratio - old.ratio <= limit:
        return ""
    return (
        f"{tally.ratio:.1%} of the requests to the new version got an error of 500 or above, {old.ratio:.1%} of those "
        f"to the old one at the same time (x-slipway.watch.more_errors is {limit:.0%})"
    )


def _slower(tally: Tally, old: Tally, limits: Mapping[str, Any]) -> str:
    times, p95, before = limits.get("times_slower"), tally.p95(), old.p95()
    if times is None or p95 is None or before is None:
        return ""
    if p95 <= before * times or p95 - before < NOTICEABLE_SECONDS:
        return ""
    return (
        f"95 of 100 requests to the new version take up to {p95:.2f} s, {before:.2f} s with the old one at the same "
        f"time (x-slipway.watch.times_slower is {times:g})"
    )


class Judge:
    """Judges one stage of a release: all of it so far, and its last half minute alone.

    `compare` only where both versions are asked: the last words of an old one say nothing about later.
    """

    def __init__(self, stack: Stack, now: float, seen: Seen, compare: bool = True) -> None:
        self._stack = stack
        self._compare = compare
        self._marks = [(now, seen)]
        self._first = self._last = seen

    def see(self, now: float, seen: Seen) -> None:
        self._last = seen
        if now - self._marks[-1][0] >= MARK_SECONDS:
            self._marks.append((now, seen))
        while len(self._marks) > 1 and now - self._marks[1][0] >= WINDOW_SECONDS:
            del self._marks[0]

    def verdict(self) -> str:
        """Why the new version must not stay; empty while all is well."""
        for since in (self._first, self._marks[0][1]):
            seen = self._last.minus(since)
            reason = verdict(self._stack, seen.following, seen.stable if self._compare else None)
            if reason:
                return reason
        return ""

    def figures(self) -> dict[str, dict[str, Any]]:
        """What the history keeps: answers, errors and times of both versions."""
        seen = self._last.minus(self._first)
        return {
            service: {
                "new": _figures(seen.following.get(service)),
                "old": _figures(seen.stable.get(service)),
            }
            for service in sorted({*seen.following, *seen.stable})
        }


def _figures(tally: Tally | None) -> dict[str, Any]:
    tally = tally or Tally()
    return {"answers": tally.answers, "errors": tally.errors, "p95_seconds": tally.p95(1)}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One stage of a release after its switch: stay for its time, look and judge, and go on or raise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError, Progress
from ansible_collections.slipway.ops.plugins.module_utils._release.judge import Judge, Seen
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Watched:
    """What an engine knows of a release that has switched.

    `look` raises EngineError when a new replica is not good any more, `seen` gives the answers since the first switch,
    `draining` says whether requests from before the last one are still under way.
    """

    look: Callable[[], None]
    seen: Callable[[], Seen]
    draining: Callable[[], bool]


class Clock(Protocol):
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


def watch(
    stack: Stack,
    watched: Watched,
    progress: Progress,
    clock: Clock,
    seconds: float,
    drain_seconds: float | None,
    since: Seen,
) -> Seen:
    """Stay `seconds`, and until old requests have ended, at most `drain_seconds`; None does not wait for them.

    Judges the answers that came after `since`; returns what was seen at the end.
    """
    begun = clock.monotonic()
    judge = Judge(stack, begun, since, compare=progress.share < 1)
    try:
        while True:
            passed = clock.monotonic() - begun
            watched.look()
            seen = watched.seen()
            judge.see(clock.monotonic(), seen)
            reason = judge.verdict()
            if reason:
                raise EngineError(reason)
            drained = drain_seconds is None or passed >= drain_seconds or not watched.draining()
            if drained and passed >= seconds:
                return seen
            clock.sleep(POLL_SECONDS)
    finally:
        if progress.steps:
            progress.steps[-1]["services"] = judge.figures()
            progress.steps[-1]["watched_seconds"] = round(clock.monotonic() - begun, 1)

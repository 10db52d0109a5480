# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signs of life from long steps."""

from __future__ import annotations

import time
from collections.abc import Callable

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import human_bytes

EVERY_SECONDS = 15.0


class Meter:
    """Says now and then how far a stream is. A short one says nothing."""

    def __init__(
        self, say: Callable[[str], None], what: str, total: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._what = what
        self._total = total
        self._clock = clock
        self._begun = self._said = clock()
        self._bytes = 0

    def add(self, count: int) -> None:
        """So many bytes more have flowed by."""
        self._bytes += count
        now = self._clock()
        if now - self._said < EVERY_SECONDS:
            return
        self._said = now
        share = f" of {human_bytes(self._total)} ({100 * self._bytes // self._total} %)" if self._total else ""
        rate = human_bytes(self._bytes / max(now - self._begun, 0.001))
        self._say(f"{self._what}: {human_bytes(self._bytes)}{share}, {rate} a second")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a dump of a PostgreSQL cluster is whole, told while it flows by."""

from __future__ import annotations

from collections.abc import Callable

from ansible_collections.slipway.ops.plugins.module_utils._backup import postgresql as pg
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import human_bytes
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import SourceError, last_line


class DumpJudge:
    """Reads a dump of a cluster as it flows into the repository, and refuses one that is not whole."""

    def __init__(self, label: str, explain: Callable[[str], str] = last_line) -> None:
        self._label = label
        self._explain = explain
        self._tail = b""
        self._bytes = 0

    def feed(self, chunk: bytes) -> None:
        self._bytes += len(chunk)
        self._tail = (self._tail + chunk)[-pg.DUMP_TAIL_BYTES :]

    def judge(self, outcome: Outcome) -> None:
        size = human_bytes(self._bytes)
        if outcome.status != 0:
            raise SourceError(
                f"{self._label}: the dump ended with exit status {outcome.status} after {size}:"
                f" {self._explain(outcome.stderr)}"
            )
        if pg.DUMP_TRAILER not in self._tail:
            raise SourceError(
                f"{self._label}: the dump ends without its last line after {size}: it was cut off. Look at the"
                " database's log and run the backup again"
            )

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a dump of MySQL or MariaDB is whole, told while it flows by."""

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql, mysql_clone
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import human_bytes
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import SourceError, last_line


class DumpJudge:
    """Reads a dump, and refuses one that is not whole, or that does not say where the log was when that is wanted."""

    def __init__(self, label: str, needs_place: bool = False) -> None:
        self._label = label
        self._needs_place = needs_place
        self._reader = mysql.DumpReader()
        self._head = b""
        self.facts = mysql.DumpFacts()
        self.place: LogPlace | None = None

    def feed(self, chunk: bytes) -> None:
        if self._needs_place and len(self._head) < mysql_clone.HEAD_BYTES:
            self._head += chunk[: mysql_clone.HEAD_BYTES - len(self._head)]
        self._reader.feed(chunk)

    def judge(self, outcome: Outcome) -> None:
        self.facts = facts = self._reader.finish()
        size = human_bytes(facts.bytes)
        if outcome.status != 0:
            raise SourceError(
                f"{self._label}: the dump ended with exit status {outcome.status} after {size}:"
                f" {last_line(outcome.stderr)}"
            )
        if mysql.complaints(outcome.stderr):
            raise SourceError(f"{self._label}: the dump is not whole: {mysql.complaints(outcome.stderr)[0]}")
        if not facts.complete:
            raise SourceError(
                f"{self._label}: the dump ends without its last line after {size}: it was cut off."
                " Look at the database's log and run the backup again"
            )
        self.place = mysql_clone.dump_place(self._head)
        if self._needs_place and self.place is None:
            raise SourceError(f"{self._label}: the dump does not say where the binary log was; run the backup again")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore needs of a database server's log, whoever keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target


@dataclass(frozen=True)
class Coverage:
    """What the log holds without a hole, from where a point's data ends."""

    # Positions as the server writes them: LSN, set of GTIDs, or file and offset.
    start: str
    end: str
    # What was committed up to here is in it. None when the log cannot tell.
    end_time: datetime | None = None
    bytes: int = 0
    # What ends it, when that is not its newest end: a hole, a file that cannot be read.
    remark: str = ""


class LogFiles(Protocol):
    """The logs of the servers of one stack.

    What a point knows of its place in the log stands in the source's record in the manifest: for PostgreSQL `lineage`
    (the system identifier), `timeline`, `start_lsn`, `end_lsn`. The target says which timeline is to be followed. For
    MySQL and MariaDB `lineage`, `binlog_file` and `binlog_position` (every transaction before it is in the data; with
    `binlog_exact` none after it), and `gtid`.
    """

    def lineage(self, source: Source) -> str:
        """What the log calls the data that a server works on now; empty when it is not followed. MariaDB's data has no
        name of its own."""

    def prune(self, source: Source, records: Sequence[Mapping[str, Any]]) -> int:
        """Remove what none of these records needs any more, which are those of all points that there are; returns how
        many objects went. Where it is not known what a record needs, all stays."""

    def coverage(self, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        """How far the log reaches without a hole from a record's data on, along the target's timeline, by what is in
        the repository. None when the log does not begin early enough, or when the record's data is not on that timeline
        (it was made on a branch that a later restore left). Fetches no more than it has to: it is asked for a plan, and
        for several points."""

    def fetch(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
    ) -> Coverage | None:
        """Write the files that lead from a record's data to the target (for `latest`: all there are) into an empty
        directory, each whole and under its own name, and tell what they cover.

        PostgreSQL reads a file only when it has its full length: the last one is filled up with zeros. All files
        `*.history` of the lineage belong to it, whatever the target: by them a server finds a timeline that is still
        free. For a target that is a point, they are all that is needed.

        Of a binary log, the last file ends where the target is, behind a whole transaction; the others are as their
        server closed them, from `binlog_file` on.
        """

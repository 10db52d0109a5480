# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore needs of a database server's log, whoever keeps it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target


@dataclass(frozen=True)
class Coverage:
    """What the log holds without a hole, from the position that was asked for."""

    # Positions as the server writes them: LSN, set of GTIDs, or file and offset.
    start: str
    end: str
    # What was committed up to here is in it. None when the log cannot tell.
    end_time: datetime | None = None
    bytes: int = 0
    # What ends it, when that is not its newest end: a hole, a file that cannot be read.
    remark: str = ""


class LogFiles(Protocol):
    """The log of the servers of one stack."""

    def coverage(self, source: Source, lineage: str, start: str, timeline: str) -> Coverage | None:
        """How far the log of a lineage reaches without a hole from a position on, by what is in the repository. None
        when it does not hold that position. Fetches no more than it has to: it is asked for a plan."""

    def fetch(
        self, source: Source, lineage: str, start: str, target: Target, directory: str, say: Callable[[str], None]
    ) -> Coverage:
        """Write the files from a position on, as far as the target needs them, into an empty directory, each whole and
        under its own name, and tell what they cover.

        PostgreSQL reads a file only when it has its full length: the last one is filled up with zeros. All files
        `*.history` of the lineage belong to it, whatever the target: by them a server finds a timeline that is still
        free. For a target that names a point, they are all that is needed.
        """

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a binary log that lead from a backup to a target: which there are, up to what time, and the cut behind
the last transaction that belongs to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import Fetcher, collect_binlogs, rebuild
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Piece, by_stream, coverage
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# Whether a transaction is the first one that does not belong to the target any more.
Beyond = Callable[[binlog.Transaction], bool]


@dataclass(frozen=True)
class Files:
    """The files from a place on that follow each other, and how much there is of the last one. `remark` says what ends
    them, when that is not the newest one."""

    names: tuple[str, ...]
    end: int
    bytes: int
    remark: str = ""

    @property
    def position(self) -> str:
        return f"{self.names[-1]}:{self.end}"


class BinlogFiles:
    """The log of one lineage. `scratch` is a directory of one's own, which the caller removes."""

    def __init__(self, fetcher: Fetcher, pieces: Sequence[Piece], scratch: str) -> None:
        self._fetcher = fetcher
        self._pieces = list(pieces)
        self._scratch = scratch
        files.ensure_directory(scratch)
        self._groups = {stream.name: group for stream, group in by_stream(pieces).items()}

    def follow(self, first: str, position: int) -> Files | None:
        """As far as the log goes from a place on. None when that place is not in it."""
        number = binlog.file_number(first)
        known = {binlog.file_number(name): name for name in self._groups}
        if number is None or known.get(number) != first or coverage(self._groups[first]).end < position:
            return None
        names: list[str] = []
        size, end, remark = 0, 0, ""
        while number in known:
            held = coverage(self._groups[known[number]])
            if names and not held.end:
                break
            names.append(known[number])
            end = held.end
            size += end
            if held.hole is not None:
                remark = f"of {names[-1]} the bytes from {held.hole} on are missing"
                break
            number += 1
        later = max((item for item in known if item is not None), default=number)
        if not remark and later > number:
            remark = f"file {number:06d} is missing, and there are some up to {later:06d}"
        return Files(tuple(names), end, max(0, size - position), remark)

    def last_time(self, found: Files) -> float | None:
        """When the last transaction was committed. Only the newest file that has one is read."""
        for name in reversed(found.names):
            path = f"{self._scratch}/{name}"
            rebuild(self._fetcher, self._groups[name], path, f"{self._scratch}/objects")
            try:
                with open(path, "rb") as stream:
                    times = [transaction.time for transaction in binlog.transactions(stream, name)]
            finally:
                files.remove(path)
            if times:
                return max(times)
        return None

    def write(self, found: Files, directory: str) -> None:
        """Write the files, each whole."""
        known = {name for name in self._groups if binlog.file_number(name) is None} | set(found.names)
        pieces = [piece for piece in self._pieces if piece.stream.name in known]
        collect_binlogs(self._fetcher, pieces, directory, found.names[0])


def cut(directory: str, names: Sequence[str], position: int, beyond: Beyond) -> tuple[str, int] | None:
    """End the files in a directory behind the last transaction that belongs to the target, and remove the later ones;
    None when no transaction is beyond it. What comes before the position in the first file is in the data already."""
    for index, name in enumerate(names):
        least = position if index == 0 else 0
        path = f"{directory}/{name}"
        with open(path, "r+b") as stream:
            end = None
            for transaction in binlog.transactions(stream, name):
                if transaction.start >= least and beyond(transaction):
                    end = max(transaction.start, least)
                    break
            if end is None:
                continue
            stream.truncate(end)
        for later in names[index + 1 :]:
            os.unlink(f"{directory}/{later}")
        return name, end
    return None


def record_place(record: Mapping[str, Any]) -> tuple[str, int]:
    """The file and the position from which on the data needs the log."""
    try:
        return str(record["binlog_file"]), int(record["binlog_position"])
    except (KeyError, ValueError) as error:
        raise BackupError(f"the point does not say where its log begins ({error}); choose another point") from error

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way that leads through PostgreSQL's log from a base backup to a target: how far it goes, up to what time, and its
files.

What was committed at what time stands in the log alone, so the end's time is read from its last segments; for a server
that is quiet, the follower's own look at it says more, because nothing to commit leaves nothing in the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import wal
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import (
    Collected,
    Fetcher,
    collect_wal,
    rebuild,
    segment_size,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    BackupError,
    Coverage,
    HoleError,
    Piece,
    by_stream,
    coverage,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# How many segments are looked through for a commit before it is said that there is none.
SEARCHED_SEGMENTS = 12
# From where on the last segments are read, in bytes before their end; then from the beginning.
TAILS = (256 << 10, 2 << 20)
# With so few segments all of them are fetched for a time; with more, those after it are found out first.
FEW_SEGMENTS = 6


@dataclass(frozen=True)
class Stretch:
    """One segment of the way, with the position up to which it counts."""

    segment: wal.Segment
    end: int


@dataclass(frozen=True)
class Way:
    """The log from a position on, along a timeline. `resumes` is where it goes on behind a hole."""

    history: wal.History
    begin: int
    reached: int
    size: int
    resumes: int | None = None

    @property
    def stretches(self) -> list[Stretch]:
        """The segments from the position on, in order. The one in which a timeline was left is the next one's, which
        begins with a copy of it."""
        found = []
        for number in range(self.begin // self.size, (max(self.reached - 1, self.begin)) // self.size + 1):
            timelines = [part for part, low, _high in self.history.path if low // self.size <= number]
            segment = wal.Segment(timelines[-1], number, self.size)
            found.append(Stretch(segment, min(segment.end, self.reached)))
        return found


class WalFiles:
    """The log of one lineage. `scratch` is a directory of one's own, which the caller removes."""

    def __init__(self, fetcher: Fetcher, pieces: Sequence[Piece], scratch: str, size: int = 0) -> None:
        self._fetcher = fetcher
        self._pieces = list(pieces)
        self._scratch = scratch
        files.ensure_directory(scratch)
        self._groups = {stream.name: group for stream, group in by_stream(pieces).items()}
        self._held: dict[str, Coverage] = {name: coverage(group) for name, group in self._groups.items()}
        self.size = size or segment_size(fetcher, self._pieces, f"{scratch}/objects")
        self._ranges = wal.ranges(self._held, self.size)
        self._histories: dict[int, wal.History] = {}

    @property
    def newest_timeline(self) -> int:
        """By its history when nothing was received of it yet: a server would follow it as well."""
        numbers = [int(found[1], 16) for found in (wal.HISTORY_NAME.match(name) for name in self._groups) if found]
        return max([*numbers, *self._ranges], default=1)

    def history(self, timeline: int) -> wal.History:
        """How a timeline came about. Raises HoleError when the log does not say."""
        if timeline not in self._histories:
            name = f"{timeline:08X}.history"
            found = wal.History(timeline)
            if timeline > 1:
                if name not in self._groups:
                    raise HoleError(f"the log does not hold {name}, the way to timeline {timeline}")
                path = self._rebuilt(name)
                found = wal.parse_history(files.read_text(path) or "", timeline)
                os.unlink(path)
            self._histories[timeline] = found
        return self._histories[timeline]

    def _rebuilt(self, name: str) -> str:
        path = f"{self._scratch}/{name}"
        rebuild(self._fetcher, self._groups[name], path, f"{self._scratch}/objects")
        return path

    def way(self, timeline: int, begin: int, wanted: int) -> Way | None:
        """From a position of one timeline along another one (0: the newest). None when the log does not hold that
        position, or when the other timeline does not come by there."""
        wanted = wanted or self.newest_timeline
        history = self.history(wanted)
        parts = {part: (low, high) for part, low, high in history.path}
        if timeline not in parts:
            return None
        low, high = parts[timeline]
        if begin < low or (high is not None and begin > high):
            return None
        held = wal.along(self._ranges, history, self.size)
        if not any(start <= begin <= end for start, end in held):
            return None
        reached = wal.reach(held, begin)
        return Way(history, begin, reached, self.size, next((start for start, _end in held if start > reached), None))

    def _commits(self, stretch: Stretch, backwards: bool) -> Iterator[list[wal.Commit]]:
        """The commits of a segment: all of them, or with `backwards` first those near its end."""
        segment = stretch.segment
        if segment.name not in self._groups:
            return
        path = self._rebuilt(segment.name)
        try:
            with open(path, "rb") as stream:

                def read(position: int, count: int) -> bytes:
                    stream.seek(position - segment.start)
                    return stream.read(min(count, stretch.end - position)) if position < stretch.end else b""

                starts = {max(segment.start, stretch.end - tail) for tail in TAILS if backwards} | {segment.start}
                for start in sorted(starts, reverse=True):
                    begin = start // wal.PAGE_BYTES * wal.PAGE_BYTES
                    yield list(wal.commits(wal.Reader(read, self.size).records(begin, stretch.end)))
        finally:
            files.remove(path)

    def last_commit(self, way: Way) -> float | None:
        """When the last transaction of the way was committed, as far as one is found near its end."""
        for stretch in list(reversed(way.stretches))[:SEARCHED_SEGMENTS]:
            for found in self._commits(stretch, backwards=True):
                times = [commit.microseconds for commit in found if commit.start >= way.begin]
                if times:
                    return max(times) / 1_000_000
        return None

    def first_after(self, way: Way, index: int, time: float) -> tuple[int, bool] | None:
        """The first segment from this one on with a commit, and whether it has one later than a time."""
        stretches = way.stretches
        for position in range(index, min(index + SEARCHED_SEGMENTS, len(stretches))):
            for found in self._commits(stretches[position], backwards=False):
                if found:
                    return position, any(commit.microseconds > time * 1_000_000 for commit in found)
        return None

    def end_for(self, way: Way, time: float) -> int:
        """Up to where the way is needed to reach a time: through the first segment with a later commit, found by
        halving, or all of it."""
        stretches = way.stretches
        low, high = 0, len(stretches) if len(stretches) > FEW_SEGMENTS else 0
        end = way.reached
        while low < high:
            middle = (low + high) // 2
            found = self.first_after(way, middle, time)
            if found is not None and found[1]:
                end, high = stretches[found[0]].end, middle
            else:
                low = middle + 1
        return end

    def left_behind(self, way: Way, time: float) -> int:
        """The timeline that was live at a time, when a later restore left it before: a server that follows the way ends
        before that restore. 0 when the way itself leads there."""
        for (timeline, _low, high), (_after, begin, _end) in zip(way.history.path, way.history.path[1:]):
            if high is None or high < way.begin:
                continue
            beyond = wal.reach(self._ranges.get(timeline, ()), high)
            left = Way(self.history(timeline), high, beyond, self.size)
            if beyond <= high or (self._first_commit(left) or time + 1) > time:
                continue
            first = self._first_commit(Way(way.history, begin, way.reached, self.size))
            if first is None or time < first:
                return timeline
        return 0

    def _first_commit(self, way: Way) -> float | None:
        for stretch in way.stretches[:SEARCHED_SEGMENTS]:
            for found in self._commits(stretch, backwards=False):
                times = [commit.microseconds for commit in found if commit.start >= way.begin]
                if times:
                    return times[0] / 1_000_000
        return None

    def write_histories(self, directory: str) -> None:
        """Write all that there are: by them a server finds a timeline that is still free."""
        for name in self._groups:
            if wal.HISTORY_NAME.match(name):
                rebuild(self._fetcher, self._groups[name], f"{directory}/{name}", f"{self._scratch}/objects")

    def write(self, way: Way, directory: str, end: int) -> Collected:
        """Write the segments of the way up to a position, the histories, and nothing else."""
        # Without an end, what cannot be read at the log's very end is left away; a hole has to be named as the end.
        wanted = None if end >= way.reached and way.resumes is None else end
        return collect_wal(self._fetcher, self._pieces, directory, way.begin, timeline=way.history.timeline, end=wanted)


def record_position(record: Mapping[str, Any]) -> tuple[int, int]:
    """The timeline and the position from which on a base backup needs the log."""
    try:
        return int(record["timeline"]), wal.parse_lsn(str(record["end_lsn"]))
    except (KeyError, ValueError, RefusedError) as error:
        raise BackupError(f"the point does not say where its log begins ({error}); choose another point") from error

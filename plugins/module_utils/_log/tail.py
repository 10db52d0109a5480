# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut what has come of a log into objects, and know after a kill at any moment how far that went.

A stream's bytes never change once they are there (the end of a partial segment is known to the byte, see `wal`), so a
chunk begins where the last one ended. The order is: the object whole and flushed, then its links, then the state. A
kill before the state is written makes the next chunk begin where the last one did: the two overlap, with the same
bytes. None is ever cut again with another content, so nothing has to choose between old and new.

Small chunks of a slow log would become many, so every 64 of them are put together into one object more, and every 64 of
those; each 64 MiB of a stream that has grown past them become one object, and a stream that is closed becomes one
`whole` when it is not larger than that. Of a larger one its last part is cut, and an empty chunk says where it ends.

For each stream the state keeps, besides how far it was cut for each repository, the checksum of what was cut, and that
of its first bytes. A file of the same name with another content is found by them: then the server's log was begun anew
or went back in time (TurnedBackError), and what it writes from now on belongs into another lineage.
"""

from __future__ import annotations

import contextlib
import os
import threading
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, Stream
from ansible_collections.slipway.ops.plugins.module_utils._log.outbox import Outbox, Packed, ShortError, read_range
from ansible_collections.slipway.ops.plugins.module_utils._state import files

FORMAT = 1
BLOCK_BYTES = 64 << 20
MERGE_EVERY = 64
# Two beginnings of a stream are remembered: a short one, which tells a file that a dying server left very short from
# another one, and a longer one.
HEADS_BYTES = (128, 4096)


class TurnedBackError(BackupError):
    """A stream has another content than the one that was cut: its log was begun anew, or went back in time."""


@dataclass(frozen=True)
class Found:
    """A file of the log as it is now: how many of its bytes are real, and whether none will follow."""

    name: str
    path: str
    end: int
    closed: bool


@dataclass
class StreamState:
    """How far a stream was cut."""

    # For each repository.
    ends: dict[str, int] = field(default_factory=dict)
    # Up to here for any of them; the checksum of the bytes from the present block's beginning to there.
    checked: int = 0
    crc: int = 0
    # How many first bytes, and their checksum.
    heads: list[list[int]] = field(default_factory=list)
    closed: int | None = None
    # How many blocks were put together; how many chunks there are since what was last put together began.
    blocks: int = 0
    minor_start: int = 0
    minor_count: int = 0
    major_start: int = 0
    major_count: int = 0


class State:
    """The file `state.json` of a source: its present lineage, and how far the streams of each lineage were cut."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lock = threading.RLock()
        value = files.read_json(path)
        if value is not None and (not isinstance(value, dict) or value.get("format") != FORMAT):
            raise BackupError(f"{path}: is not of format {FORMAT}; move it away, and the log begins a new lineage")
        self.document: dict[str, Any] = value or {"format": FORMAT, "lineage": "", "facts": {}, "lineages": {}}

    def save(self) -> None:
        with self.lock:
            files.write_json(self.path, self.document)

    @property
    def facts(self) -> dict[str, Any]:
        """What a source wants to know again after a restart."""
        facts: dict[str, Any] = self.document["facts"]
        return facts

    def lineage(self, name: str) -> dict[str, Any]:
        """The record of a lineage, made when it is new."""
        record: dict[str, Any] = self.document["lineages"].setdefault(name, {"streams": {}, "done": {}, "runs": []})
        return record


@dataclass(frozen=True)
class _Job:
    """Bytes to be put together into one object, and what is true of the stream's state once that is done."""

    item: Found
    piece: Piece
    repositories: tuple[str, ...]
    needed: bool
    crc_at: int
    kind: str


MINOR, MAJOR, BLOCK, LAST, WHOLE = "minor", "major", "block", "last", "whole"


class Tail:
    """The tail of one lineage's log. `poll` is quick and belongs into the loop; `consolidate` reads much and belongs
    into a thread of its own."""

    def __init__(
        self,
        lineage: Lineage,
        outbox: Outbox,
        state: State,
        successor: Callable[[str], str | None],
        *,
        binlog: bool = False,
    ) -> None:
        self.lineage = lineage
        self.outbox = outbox
        self._state = state
        self._successor = successor
        # Binary logs have the flag of the open file, and an end that only a successor shows.
        self._binlog = binlog
        self._record = state.lineage(lineage.name)
        self._streams = {name: StreamState(**value) for name, value in self._record["streams"].items()}
        self._present: dict[str, Found] = {}
        self._identities: dict[str, tuple[int, int, int]] = {}
        # What happened to these files while nobody looked is not known.
        self._suspects = {*self._streams, *self._record["done"]}
        self.shrunk: dict[str, tuple[int, int]] = {}

    # What others ask

    def cut_end(self, name: str) -> int:
        """How far a stream was cut; 0 when it is not known."""
        with self._state.lock:
            found = self._streams.get(name)
            return found.checked if found else 0

    def is_done(self, name: str) -> bool:
        """Whether a stream is closed and all of its objects are made."""
        with self._state.lock:
            return name in self._record["done"]

    def knows(self, name: str) -> bool:
        with self._state.lock:
            return name in self._streams or name in self._record["done"]

    @property
    def newest(self) -> str:
        """The name of the last stream that is known; empty when there is none."""
        with self._state.lock:
            names = [*self._streams, *self._record["done"], *(run[1] for run in self._record["runs"])]
            return max(names, key=lambda name: (len(name), name), default="")

    @property
    def runs(self) -> list[tuple[str, str]]:
        """The closed streams of which all objects were made, as runs without a hole: the first and the last name."""
        with self._state.lock:
            return [tuple(run) for run in self._record["runs"]]

    def closed_names(self) -> Iterator[str]:
        """The names of all of these."""
        for first, last in self.runs:
            name: str | None = first
            while name is not None:
                yield name
                name = self._successor(name) if name != last else None

    @property
    def open_streams(self) -> dict[str, int]:
        """The streams that are not done, and how far they were cut."""
        with self._state.lock:
            return {name: stream.checked for name, stream in sorted(self._streams.items())}

    @property
    def closed(self) -> list[tuple[str, str]]:
        """Runs of closed streams, and the single ones of which objects are still made."""
        with self._state.lock:
            closed = [(name, name) for name, stream in self._streams.items() if stream.closed is not None]
            return [*self.runs, *closed]

    @property
    def unfinished(self) -> list[str]:
        """The streams whose end is not known."""
        with self._state.lock:
            return [name for name, stream in self._streams.items() if stream.closed is None]

    @property
    def settled(self) -> bool:
        """Whether nothing is left to be made of what was found."""
        with self._state.lock:
            return all(
                self.is_done(item.name) or (not item.closed and self.cut_end(item.name) >= item.end)
                for item in self._present.values()
            )

    # What the loop does

    def distrust(self) -> None:
        """The server was away, or is another one: before anything is cut from behind what was cut before, look whether
        that is still what it was."""
        with self._state.lock:
            self._suspects = {*self._streams, *self._record["done"]}

    def poll(self, found: Sequence[Found], born: float, active: Collection[str]) -> int:
        """Cut what is new, for the active repositories; `born` is a time at which none of that was there. Returns how
        many bytes were cut."""
        with self._state.lock:
            self._present = {item.name: item for item in found}
            gone = [name for name in self._record["done"] if name not in self._present]
            for name in gone:
                del self._record["done"][name]
            total = 0
            for item in found:
                # What was renamed or purged just now is found under its new name, or not, by the next look.
                with contextlib.suppress(FileNotFoundError, ShortError):
                    total += self._advance(item, born, active)
            return total

    def _advance(self, item: Found, born: float, active: Collection[str]) -> int:
        replaced = self._was_replaced(item)
        done = self._record["done"].get(item.name)
        if done is not None:
            if item.end != done["size"]:
                raise self._turned_back(item, f"had {done['size']} bytes and was closed, and has {item.end} now")
            if replaced or item.name in self._suspects:
                self._compare_heads(item, done["heads"])
                self._suspects.discard(item.name)
            return 0
        stream = self._streams.setdefault(item.name, StreamState())
        self.shrunk.pop(item.name, None)
        if item.end != stream.checked:
            # Cheap, and the one thing that tells a new file of the same name in the same inode.
            self._compare_heads(item, stream.heads[: None if replaced else 1])
        if item.name in self._suspects and (item.end > stream.checked or item.closed):
            self._compare(item, stream)
            self._suspects.discard(item.name)
        if item.end < stream.checked and not item.closed:
            self.shrunk[item.name] = (stream.checked, item.end)
            return 0
        if stream.closed is not None and (not item.closed or item.end != stream.closed):
            raise self._turned_back(item, f"was closed with {stream.closed} bytes, and goes on")
        if item.closed and stream.closed is None:
            stream.closed = item.end
            if self._binlog and item.end:
                end = Piece(Stream(self.lineage, item.name), item.end, item.end)
                self.outbox.publish(self.outbox.pack(end, item.path), self.outbox.repositories, 0.0)
                self._save(item.name)
        # A closed stream of which much is left comes in large objects at once, which are made beside this.
        if item.closed and item.end - stream.checked > min(item.end, BLOCK_BYTES) / 2:
            return 0
        return self._cut(item, stream, born, active)

    def _was_replaced(self, item: Found) -> bool:
        """Whether this is another file than at the last look, or one that was written although it is closed."""
        status = os.stat(item.path, follow_symlinks=False)
        identity = (status.st_dev, status.st_ino, status.st_mtime_ns if item.closed else 0)
        replaced = self._identities.setdefault(item.name, identity) != identity
        if replaced:
            self._identities[item.name] = identity
            if identity[2] == 0:
                self._suspects.add(item.name)
        return replaced

    def _cut(self, item: Found, stream: StreamState, born: float, active: Collection[str]) -> int:
        before = stream.checked
        groups: dict[int, list[str]] = {}
        for name in self.outbox.repositories:
            if name in active:
                groups.setdefault(stream.ends.get(name, 0), []).append(name)
        for start, repositories in sorted(groups.items(), reverse=True):
            if start >= item.end:
                continue
            # One block at a time: the other streams do not wait for all of a large one.
            end = min(item.end, (start // BLOCK_BYTES + 1) * BLOCK_BYTES)
            piece = Piece(Stream(self.lineage, item.name), start, end)
            packed = self.outbox.pack(piece, item.path, self._binlog)
            if end > stream.checked:
                self._note(item, stream, end)
            self.outbox.publish(packed, repositories, born)
            stream.ends.update(dict.fromkeys(repositories, end))
            if piece.size == BLOCK_BYTES and start == stream.blocks * BLOCK_BYTES and len(groups) == 1:
                stream.blocks += 1
            self._save(item.name)
        return stream.checked - before

    def _note(self, item: Found, stream: StreamState, end: int) -> None:
        """Take the bytes up to `end` into the checksums and the counts."""
        if stream.checked < HEADS_BYTES[-1]:
            stream.heads = self._heads(item.path, end)
        while stream.checked < end:
            if stream.checked % BLOCK_BYTES == 0:
                stream.crc = 0
                stream.minor_start = stream.major_start = stream.checked
                stream.minor_count = stream.major_count = 0
            step = min(end, (stream.checked // BLOCK_BYTES + 1) * BLOCK_BYTES)
            stream.crc = self._crc(item.path, stream.checked, step, stream.crc)
            stream.checked = step
            stream.minor_count += 1

    def _heads(self, path: str, end: int) -> list[list[int]]:
        sizes = sorted({min(size, end) for size in HEADS_BYTES})
        return [[size, self._crc(path, 0, size)] for size in sizes]

    def _crc(self, path: str, start: int, end: int, value: int = 0) -> int:
        for data in read_range(path, start, end, self._binlog):
            value = zlib.crc32(data, value)
        return value

    def _compare_heads(self, item: Found, heads: list[list[int]]) -> None:
        for size, crc in heads:
            if item.end >= size and self._crc(item.path, 0, size) != crc:
                raise self._turned_back(item, "begins otherwise than what was taken from it before")

    def _compare(self, item: Found, stream: StreamState) -> None:
        if stream.checked and item.end >= stream.checked:
            start = (stream.checked - 1) // BLOCK_BYTES * BLOCK_BYTES
            if self._crc(item.path, start, stream.checked) != stream.crc:
                raise self._turned_back(item, "holds something else than what was taken from it before")

    def _turned_back(self, item: Found, what: str) -> TurnedBackError:
        return TurnedBackError(f"{self.lineage.path}/{item.name}: {what}: the server's log was begun anew or went back")

    def _save(self, name: str) -> None:
        self._record["streams"][name] = asdict(self._streams[name])
        self._state.save()

    # What the other thread does

    def consolidate(self, active: Collection[str]) -> bool:
        """Put one thing together; whether there was one."""
        with self._state.lock:
            job = next((job for name in sorted(self._streams) for job in self._jobs(name, active)), None)
        if job is None:
            return False
        try:
            packed = self.outbox.pack(job.piece, job.item.path, self._binlog, job.crc_at)
        except (FileNotFoundError, ShortError):
            # It was renamed (.partial) or purged meanwhile; the next poll sees what there is.
            return False
        with self._state.lock:
            self._finish(job, packed, active)
        return True

    def _jobs(self, name: str, active: Collection[str]) -> Sequence[_Job]:
        """What is to be put together of a stream; the first of it is done first."""
        item, stream = self._present.get(name), self._streams[name]
        if item is None or name in self._suspects or name in self.shrunk:
            return []
        everyone = self.outbox.repositories
        if stream.closed is not None and item.closed:
            size = stream.closed
            if size <= BLOCK_BYTES:
                return [self._job(item, 0, size, everyone, WHOLE)]
            start = stream.blocks * BLOCK_BYTES
            end = min(size, start + BLOCK_BYTES)
            return [self._job(item, start, end, everyone, LAST if end == size else BLOCK)]
        kept = [repository for repository in active if stream.ends.get(repository, 0) >= stream.checked]
        if stream.checked // BLOCK_BYTES > stream.blocks:
            start = stream.blocks * BLOCK_BYTES
            return [self._job(item, start, start + BLOCK_BYTES, everyone, BLOCK)]
        if stream.major_count >= MERGE_EVERY and kept:
            return [self._job(item, stream.major_start, stream.minor_start, kept, MAJOR)]
        if stream.minor_count >= MERGE_EVERY and kept:
            return [self._job(item, stream.minor_start, stream.checked, kept, MINOR)]
        return []

    def _job(self, item: Found, start: int, end: int, repositories: Sequence[str], kind: str) -> _Job:
        stream = self._streams[item.name]
        needed = any(stream.ends.get(repository, 0) < end for repository in repositories)
        crc_at = stream.checked if kind == WHOLE and stream.checked <= end else -1
        piece = Piece(Stream(self.lineage, item.name), start, end, kind == WHOLE)
        return _Job(item, piece, tuple(repositories), needed, crc_at, kind)

    def _finish(self, job: _Job, packed: Packed, active: Collection[str]) -> None:
        name = job.item.name
        stream = self._streams.get(name)
        if stream is None:
            self.outbox.discard(packed)
            return
        if job.crc_at > 0 and packed.crc != stream.crc:
            self.outbox.discard(packed)
            raise self._turned_back(job.item, "holds something else than what was taken from it before")
        born = 0.0
        if job.needed:
            born = os.stat(job.item.path, follow_symlinks=False).st_mtime
        paused = [repository for repository in job.repositories if repository not in active]
        self.outbox.publish(packed, job.repositories, born, paused)
        for repository in job.repositories:
            if job.piece.start <= stream.ends.get(repository, 0) < job.piece.end:
                stream.ends[repository] = job.piece.end
        if job.kind == MINOR:
            stream.minor_start, stream.minor_count = job.piece.end, 0
            stream.major_count += 1
        elif job.kind == MAJOR:
            stream.major_start, stream.major_count = job.piece.end, 0
        elif job.kind == BLOCK:
            stream.blocks += 1
        else:
            self._close(name, stream, job)
            return
        self._save(name)

    def _close(self, name: str, stream: StreamState, job: _Job) -> None:
        size = stream.closed or 0
        heads = stream.heads if stream.checked else self._heads(job.item.path, size)
        self._record["done"][name] = {"size": size, "heads": heads}
        del self._streams[name]
        self._record["streams"].pop(name, None)
        self._add_to_runs(name)
        self._state.save()

    def _add_to_runs(self, name: str) -> None:
        after = self._successor(name)
        if after is None:
            return
        runs: list[list[str]] = self._record["runs"]
        before = next((run for run in runs if self._successor(run[1]) == name), None)
        behind = next((run for run in runs if run[0] == after), None)
        if before is not None and behind is not None:
            before[1] = behind[1]
            runs.remove(behind)
        elif before is not None:
            before[1] = name
        elif behind is not None:
            behind[0] = name
        elif not any(run[0] <= name <= run[1] for run in runs):
            runs.append([name, name])
            runs.sort()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restores get of a stack's logs: the implementation of `_backup.log_files.LogFiles`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_MARIADB,
    SOURCE_POSTGRESQL,
    BackupError,
    Place,
    RefusedError,
    Source,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_LATEST,
    KIND_POINT,
    KIND_POSITION,
    KIND_TIME,
    KIND_TRANSACTION,
    TIMELINE_LATEST,
    Target,
)
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog, binlog_files, retention, wal
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Engine
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import (
    LogPlace,
    LogSource,
    parse_log_settings,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.shelves import Shelf, Shelves
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools
from ansible_collections.slipway.ops.plugins.module_utils._log.store import Store
from ansible_collections.slipway.ops.plugins.module_utils._log.wal_files import WalFiles, Way, record_position
from ansible_collections.slipway.ops.plugins.module_utils._log.wiring import (
    present_lineage,
    shelves_for,
    stores_for,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# Positions behind the wanted one that are fetched as well: a server ends at the first record after it.
BEYOND_SEGMENTS = 2


class Cellar(Protocol):
    """A repository that old objects can be deleted from: `store.Store`."""

    def pieces(self, prefix: str = "") -> list[Piece]: ...

    def directories(self, prefix: str) -> list[str]: ...

    def delete(self, pieces: Iterable[Piece]) -> None: ...


class StackLogs:
    """The logs of one stack. `shelves` gives the places with objects for a source's key, `cellars` the repositories
    that may be deleted from."""

    def __init__(
        self,
        place: LogPlace,
        sources: Sequence[LogSource],
        shelves: Callable[[str], Sequence[Shelf]],
        cellars: Callable[[], Sequence[Cellar]] = lambda: (),
    ) -> None:
        self._place = place
        self._cellars = cellars
        self._sources = {source.service: source for source in sources}
        self._shelves = shelves

    def lineage(self, source: Source) -> str:
        found = self._followed(source)
        lineage = present_lineage(self._place, found.key) if found else None
        return lineage.name if lineage else ""

    def _followed(self, source: Source) -> LogSource | None:
        found = self._sources.get(source.service)
        return found if found is not None and found.kind == source.kind else None

    def prune(self, source: Source, records: Sequence[Mapping[str, Any]]) -> int:
        found = self._followed(source)
        if found is None or not records:
            return 0
        if not all(retention.lineage_of(source.kind, record) for record in records):
            return 0
        present = present_lineage(self._place, found.key)
        count = 0
        for cellar in self._cellars():
            for name in cellar.directories(f"{self._place.place.stack}/{found.key}"):
                path = f"{self._place.place.stack}/{found.key}/{name}"
                mine = [record for record in records if retention.lineage_of(source.kind, record) == name]
                victims: Sequence[Piece] = ()
                if mine:
                    oldest = retention.oldest_needed(source.kind, mine)
                    size = int((mine[0].get("settings") or {}).get("wal_segment_size") or wal.SEGMENT_BYTES)
                    if oldest is not None:
                        victims = retention.unneeded(source.kind, cellar.pieces(path), oldest, size)
                elif present is not None and name != present.name:
                    # An older life of the server's data, of which no point is left.
                    victims = cellar.pieces(path)
                if victims:
                    cellar.delete(victims)
                    count += len(victims)
        return count

    def coverage(self, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        with self._scratch(source) as scratch:
            if source.kind == SOURCE_POSTGRESQL:
                wal_files = self._wal(source, record, scratch)
                way = self._way(wal_files, record, target)
                return self._wal_coverage(source, record, target, wal_files, way) if wal_files and way else None
            binlogs = self._binlogs(source, record, scratch)
            found = binlogs.follow(*binlog_files.record_place(record)) if binlogs else None
            return self._binlog_coverage(source, record, binlogs, found) if binlogs and found else None

    def fetch(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
    ) -> Coverage | None:
        with self._scratch(source) as scratch:
            if source.kind == SOURCE_POSTGRESQL:
                return self._fetch_wal(source, record, target, directory, say, scratch)
            return self._fetch_binlogs(source, record, target, directory, say, scratch)

    @contextmanager
    def _scratch(self, source: Source) -> Iterator[str]:
        files.ensure_directory(self._place.root)
        path = tempfile.mkdtemp(prefix="restore-", dir=self._place.root)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def _lineage(self, source: Source, shelves: Shelves, noted: str, identity: str) -> Lineage | None:
        """The lineage that a record notes. One that was saved while nothing was followed names only the server: then
        there must not be two."""
        found = self._followed(source)
        if found is None or not (noted or identity):
            return None
        stack = self._place.place.stack
        if noted:
            return Lineage.named(stack, found.key, noted)
        lineages = []
        for name in shelves.directories(f"{stack}/{found.key}"):
            try:
                lineages.append(Lineage.named(stack, found.key, name))
            except ValueError:
                continue
        mine = [lineage for lineage in lineages if lineage.identity == identity]
        return mine[0] if len(mine) == 1 else None

    def _shelf(self, source: Source) -> Shelves:
        return Shelves(self._shelves(source.service))

    # PostgreSQL

    def _wal(self, source: Source, record: Mapping[str, Any], scratch: str) -> WalFiles | None:
        shelves = self._shelf(source)
        lineage = self._lineage(source, shelves, str(record.get("log_lineage") or ""), str(record["lineage"]))
        pieces = shelves.pieces(lineage.path) if lineage else []
        size = int((record.get("settings") or {}).get("wal_segment_size") or 0)
        return WalFiles(shelves, pieces, scratch, size) if pieces else None

    def _way(self, found: WalFiles | None, record: Mapping[str, Any], target: Target) -> Way | None:
        if found is None:
            return None
        wanted = 0 if target.timeline == TIMELINE_LATEST else int(target.timeline)
        return found.way(*record_position(record), wanted)

    def _wal_coverage(
        self, source: Source, record: Mapping[str, Any], target: Target, found: WalFiles, way: Way
    ) -> Coverage:
        known = [self._ended(record), found.last_commit(way), self._audited(source, record, way)]
        remark = ""
        if way.resumes is not None:
            remark = f"from there to {wal.print_lsn(way.resumes)} it is missing"
        end = max(moment for moment in known if moment is not None)
        if target.kind == KIND_TIME and target.time is not None and target.timeline == TIMELINE_LATEST:
            left = found.left_behind(way, target.time.timestamp())
            if left:
                # The way ends, for this target, where the restore left the timeline that was live then.
                end = min(end, target.time.timestamp() - 0.000001)
                remark = f"at that time timeline {left} was live, which a restore left later; add --timeline {left}"
        return Coverage(
            wal.print_lsn(way.begin), wal.print_lsn(way.reached), _moment(end), way.reached - way.begin, remark
        )

    def _ended(self, record: Mapping[str, Any]) -> float:
        return datetime.fromisoformat(str(record["end_time"])).timestamp()

    def _status(self, source: Source) -> Mapping[str, Any]:
        status = files.read_json(self._place.status)
        found = (status.get("sources") or {}).get(source.service) if isinstance(status, dict) else None
        return found if isinstance(found, dict) else {}

    def _audited(self, source: Source, record: Mapping[str, Any], way: Way) -> float | None:
        """When the follower last asked the server where it is, if all before that is held: nothing that was committed
        until then is missing."""
        status = self._status(source)
        moment, position = status.get("audit_timestamp_seconds"), status.get("server_lsn")
        if not isinstance(moment, (int, float)) or not position:
            return None
        identity = str(status.get("lineage") or "").partition(".")[0]
        if identity != str(record["lineage"]) or status.get("timeline") != way.history.timeline:
            return None
        return float(moment) if wal.parse_lsn(str(position)) <= way.reached else None

    def _fetch_wal(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
        scratch: str,
    ) -> Coverage | None:
        found = self._wal(source, record, scratch)
        if found is None:
            return None
        if target.kind == KIND_POINT:
            found.write_histories(directory)
            return None
        way = self._way(found, record, target)
        if way is None:
            found.write_histories(directory)
            return None
        covered = self._wal_coverage(source, record, target, found, way)
        end = way.reached
        if target.kind == KIND_TIME and target.time is not None:
            end = found.end_for(way, target.time.timestamp())
        elif target.kind == KIND_POSITION:
            end = min(end, wal.parse_lsn(target.position) + BEYOND_SEGMENTS * way.size)
        end = max(end, way.begin)
        say(f"log of {source.label}: {human_bytes(end - way.begin)} from {covered.start} to {wal.print_lsn(end)}")
        written = found.write(way, directory, end)
        remark = covered.remark
        if written.unreadable:
            remark = f"{written.unreadable[0].path} cannot be read"
        end_time = covered.end_time
        if written.end < way.reached and not (end < way.reached and written.end == end):
            # What could not be read is not in it.
            end_time = _moment(self._ended(record))
        return Coverage(covered.start, wal.print_lsn(written.end), end_time, written.end - way.begin, remark)

    # MySQL, MariaDB

    def _binlogs(self, source: Source, record: Mapping[str, Any], scratch: str) -> binlog_files.BinlogFiles | None:
        shelves = self._shelf(source)
        try:
            lineage = self._lineage(source, shelves, str(record.get("lineage") or ""), "")
        except ValueError:
            return None
        pieces = shelves.pieces(lineage.path) if lineage else []
        return binlog_files.BinlogFiles(shelves, pieces, scratch) if pieces else None

    def _binlog_coverage(
        self,
        source: Source,
        record: Mapping[str, Any],
        binlogs: binlog_files.BinlogFiles,
        found: binlog_files.Files,
    ) -> Coverage:
        known = [self._ended(record), self._cut_until(source, record, found)]
        if known[-1] is None:
            known.append(binlogs.last_time(found))
        name, position = binlog_files.record_place(record)
        end = max(moment for moment in known if moment is not None)
        return Coverage(f"{name}:{position}", found.position, _moment(end), found.bytes, found.remark)

    def _cut_until(self, source: Source, record: Mapping[str, Any], found: binlog_files.Files) -> float | None:
        """When the follower last had all that there was, if that is held: its server writes what is read."""
        status = self._status(source)
        moment, position = status.get("seen_timestamp_seconds"), str(status.get("position") or "")
        name, _separator, offset = position.rpartition(":")
        if not isinstance(moment, (int, float)) or status.get("lineage") != record["lineage"] or not offset.isdigit():
            return None
        here, there = binlog.file_number(found.names[-1]), binlog.file_number(name)
        if here is None or there is None or (here, found.end) < (there, int(offset)):
            return None
        return float(moment)

    def _fetch_binlogs(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
        scratch: str,
    ) -> Coverage | None:
        binlogs = self._binlogs(source, record, scratch)
        name, position = binlog_files.record_place(record)
        found = binlogs.follow(name, position) if binlogs else None
        if target.kind == KIND_POINT or binlogs is None or found is None:
            return None
        covered = self._binlog_coverage(source, record, binlogs, found)
        say(f"log of {source.label}: {human_bytes(found.bytes)} from {covered.start} to {covered.end}")
        binlogs.write(found, directory)
        if target.kind == KIND_LATEST:
            return covered
        beyond = _Beyond(source.kind, target)
        ended = binlog_files.cut(directory, found.names, position, beyond)
        if beyond.unseen and not _held_at(record, target):
            raise RefusedError(
                f"{source.label}: {target.describe()} is not in the log between {covered.start} and {covered.end}"
            )
        if ended is None:
            return covered
        return Coverage(covered.start, f"{ended[0]}:{ended[1]}", covered.end_time, found.bytes, covered.remark)


def logs_for(place: Place, repository: str = "") -> StackLogs | None:
    """The logs of a stack in one of its repositories, the first unless another is named; None when none are
    followed."""
    document = files.read_json(LogPlace(place).settings)
    if document is None:
        return None
    tools = LogTools(parse_log_settings(document, place), LogPlace(place), Engine())

    def cellars() -> list[Store]:
        # One whose objects may not be removed from here, or whose points are others, is none of these.
        chosen = next((item for item in tools.settings.repositories if item.name == repository), None)
        chosen = chosen or tools.settings.repositories[0]
        return [stores_for(tools)[chosen.name]] if tools.settings.tidy and not chosen.append_only else []

    return StackLogs(tools.place, tools.settings.sources, lambda key: shelves_for(tools, key, repository), cellars)


class _Beyond:
    """Tells the first transaction that does not belong to a target."""

    def __init__(self, kind: str, target: Target) -> None:
        self._target = target
        self._contained = mysql_server.position_contained if kind == SOURCE_MARIADB else mysql_server.gtid_contained
        self._seen = False

    @property
    def unseen(self) -> bool:
        """Whether one transaction is wanted and was not found."""
        return self._target.kind == KIND_TRANSACTION and not self._seen

    def __call__(self, transaction: binlog.Transaction) -> bool:
        target = self._target
        if target.kind == KIND_TIME and target.time is not None:
            time = target.time.timestamp()
            return transaction.latest > time if target.inclusive else transaction.latest >= time
        if target.kind == KIND_POSITION:
            return not self._contained(transaction.gtid, target.position)
        if target.kind == KIND_TRANSACTION:
            if self._seen:
                return True
            self._seen = transaction.gtid.lower() == target.transaction.lower()
            return self._seen and not target.inclusive
        raise BackupError(f"target {target.describe()}: is none of a binary log")


def _held_at(record: Mapping[str, Any], target: Target) -> bool:
    """Whether the point's data has the wanted transaction already, and nothing after it."""
    return target.inclusive and str(record.get("gtid") or "").lower() == target.transaction.lower()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be backed up: the contract that every kind of source keeps, and the list of the kinds.

A source is saved by `collect`, which returns its *record*: the source's part of the manifest, and all that a restore
knows of it, on whatever host. Data goes into a point in one of two ways:

* as it lies on the host: `paths` names what belongs into the point's snapshot (volumes, files);
* as a *part*, a stream of its own: `collect` calls `Tools.store`, which stores what a command writes and returns what
  stands in the record: `part` (the source's key), `file`, `snapshot`, `bytes`, `sha256`. The reader that it is given
  sees every chunk and judges the end of the command; what it refuses becomes no part. A part is read back by its
  checksum.

It comes back in one of three ways:

* `Kept`: by hand (`slipway restore --extract`); a restore leaves what is live as it is;
* `InPlace`: `restore` replaces the live data while the services that work with it are stopped;
* `Beside`: a database is put together beside the live one (`prepare`), brought to the target by a server of its own in
  an isolated container, checked, and put to rest. Nothing live is touched before `swap`, which stops the live server,
  exchanges the directories, starts it and sees that it serves; `undo` takes that back. A drill is `prepare` and
  `discard`; a look at old data is `prepare` and `open`.

Every step may be killed and is then called again, with the same restore id: `prepare` begins anew, `swap` and `undo` go
on from what they find on the disk, `discard` removes what is left. What a step needs to know stands in the record, in
`Prepared` (which the restore's journal keeps), or on the disk under a name with the restore id; never in the adapter.

Which point a target begins from is asked of the adapter too: `ends_before` says whether the data of a record was whole
before the target, `reach` how far the log leads from there, and what stands in the way (no log, a hole, the log's end).

A record of a database has, besides: `lineage` (what its log belongs to), `begin_time` and `end_time` (ISO 8601; by
`end_time` its data is whole), `server` (the version), `image`, `image_id` and `image_digest`, `databases` (by name,
with `bytes`, `tables` and `rows`, as far as they are known without reading everything) and `rows`, their sum.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Docker, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage, LogFiles
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_FILE,
    SOURCE_HOST_DUMP,
    SOURCE_MARIADB,
    SOURCE_MYSQL,
    SOURCE_POSTGRESQL,
    SOURCE_REDIS,
    SOURCE_VOLUME,
    BackupError,
    Place,
    Point,
    RefusedError,
    Settings,
    Source,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Reader, Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.progress import Meter
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target

# Restored data is put together and old data is kept beside the live directory: the same file system, so that a rename
# is enough, and outside of it, so that no container sees it.
INCOMING = ".slipway-incoming"
PREVIOUS = ".slipway-previous-"

PURPOSE_RESTORE = "restore"
PURPOSE_LOOK = "look"
PURPOSE_DRILL = "drill"


class SourceError(BackupError):
    """A source cannot be read: the fault is in what should be backed up, not in the repository."""


@dataclass
class Tools:
    """What a job works with."""

    settings: Settings
    place: Place
    docker: Docker
    host: Host
    repository: Repository
    progress: Callable[[str], None] = field(default=lambda line: None)
    # None where no log is kept: then points are all that can be restored.
    log: LogFiles | None = None
    # Where the points of `repository` are copied to. Empty when that is not the primary, but was chosen in its place.
    others: tuple[Repository, ...] = ()

    # The log in the repository of that name.
    logs: Callable[[str], LogFiles | None] = field(default=lambda name: None)

    def of(self, repository: Repository) -> Tools:
        """The same tools on another repository."""
        return replace(self, repository=repository, others=(), log=self.logs(repository.name))

    def container(self, service: str) -> Container | None:
        """The service's container, a running one first."""
        found = [item for item in self.docker.containers(self.settings.stack) if item.service == service]
        return next((item for item in found if item.running), found[0] if found else None)

    def store(self, point: str, source: Source, file_name: str, stream: Stream, reader: Reader) -> dict[str, Any]:
        """Store a stream as the source's part of a point; returns what its record says of it."""
        metered = _Metered(reader, Meter(self.progress, f"storing {source.label}"))
        part = self.repository.store_stream(point, source.key, file_name, stream, metered)
        return {
            "part": source.key,
            "file": file_name,
            "snapshot": part.snapshot,
            "bytes": part.bytes,
            "sha256": part.sha256,
            "added": part.added,
        }

    def fetch(
        self,
        point: Point,
        record: Mapping[str, Any],
        label: str,
        target: str | None = None,
        sink: Callable[[bytes], None] | None = None,
    ) -> None:
        """Read a record's part back: into a file, into `sink`, or only through. Raises when it is not as stored."""
        meter = Meter(self.progress, f"fetching {label}", int(record["bytes"]))

        def take(chunk: bytes) -> None:
            if sink is not None:
                sink(chunk)
            meter.add(len(chunk))

        snapshot = find_part(point, record, label)
        found = self.repository.fetch(snapshot, f"/{record['file']}", target, take)
        if found != (record["sha256"], record["bytes"]):
            raise BackupError(
                f"point {point.name}: {label} reads back as {found[1]} bytes with another checksum than the"
                f" {record['bytes']} bytes that were stored; the point is not good. Check the repository:"
                f" slipway backup check --stack {self.settings.stack}"
            )


def find_part(point: Point, record: Mapping[str, Any], label: str) -> str:
    """The snapshot of a record's part, by its full name."""
    for part in point.parts:
        if part.key == record["part"] and part.is_named(str(record["snapshot"])):
            return part.snapshot
    raise BackupError(
        f"point {point.name}: the part with {label} (snapshot {record['snapshot']}) is not in the repository;"
        " choose another point"
    )


class _Metered:
    """A reader that says how far the stream is."""

    def __init__(self, reader: Reader, meter: Meter) -> None:
        self._reader = reader
        self._meter = meter

    def feed(self, chunk: bytes) -> None:
        self._reader.feed(chunk)
        self._meter.add(len(chunk))

    def judge(self, outcome: Outcome) -> None:
        self._reader.judge(outcome)


class Adapter(ABC):
    """What every kind of source can do."""

    is_database = False
    # Whether a restore writes over what is there, so that it has to be saved first.
    overwrites = False

    def __init__(self, source: Source, tools: Tools) -> None:
        self.source = source
        self.tools = tools

    @property
    def label(self) -> str:
        return self.source.label

    @abstractmethod
    def collect(self, point: str) -> dict[str, Any]:
        """Save what cannot be stored as it lies as a part of the point; return the record."""

    def paths(self, record: Mapping[str, Any]) -> list[str]:
        """Paths of the host that belong into the point's snapshot."""
        return []

    @abstractmethod
    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        """What stands in the way of a restore to this host."""

    @abstractmethod
    def plan(self, record: Mapping[str, Any]) -> str:
        """What a restore does, in a line."""

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        """Where a restore writes, and how much."""
        return self.tools.place.state, 0

    def replaced(self, restore_id: str) -> bool:
        """Whether `restore` or `swap` put something else into the place of the live data, which `undo` can put back."""
        return False

    def undo(self, restore_id: str) -> str:
        """Put back what was replaced. Returns what was done, in a line; empty when nothing had been replaced."""
        return ""


class InPlace(Adapter):
    """A source whose live data is replaced while nothing works with it."""

    overwrites = True

    @abstractmethod
    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        """Bring the data back. May be called again after it was killed at any step. What the result calls `previous` is
        the directory where the old data is kept."""


class Kept(InPlace):
    """A source that a point keeps to be taken out by hand. A restore leaves what is live as it is."""

    overwrites = False

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        return []

    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        return {"label": self.label, "kept": True}


@dataclass(frozen=True)
class Workspace:
    """Where a database is put together, and who it is for. Containers bear the id, the source's key and the purpose."""

    id: str
    # Made by `prepare`, removed by `discard`. On the file system of the live data when a swap is to follow.
    directory: str
    purpose: str = PURPOSE_RESTORE

    @property
    def data(self) -> str:
        """The data directory of the server-to-be."""
        return f"{self.directory}/data"

    @property
    def log(self) -> str:
        """The files of the log that it reads."""
        return f"{self.directory}/log"


@dataclass(frozen=True)
class Prepared:
    """A database that was put together and checked, and is at rest."""

    key: str
    label: str
    # The data directory.
    data: str
    # Where it is, for people; and for machines: when the last transaction in it was committed (ISO 8601, empty when
    # there is none after the point), and the position and timeline at which it ended.
    reached: str
    time: str = ""
    position: str = ""
    timeline: str = ""
    # What the checks found.
    rows: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "facts": dict(self.facts), "warnings": list(self.warnings)}


def prepared_from(value: Mapping[str, Any]) -> Prepared:
    """What `as_dict` wrote."""
    fields = {name: value[name] for name in Prepared.__dataclass_fields__ if name in value}
    return Prepared(**{**fields, "warnings": tuple(fields.get("warnings") or ())})


@dataclass(frozen=True)
class Opened:
    """What was prepared and opened for a look."""

    record: Mapping[str, Any]
    container: Container


@dataclass(frozen=True)
class Wanted:
    """What is to be copied out of it: a whole database, or one table."""

    database: str
    schema: str = ""
    table: str = ""

    @property
    def text(self) -> str:
        """As it is typed."""
        return ".".join(word for word in (self.database, self.schema, self.table) if word)


@dataclass(frozen=True)
class DataPlace:
    """Where a server's live data is on the host."""

    # The data directory itself, and the directory beside the whole volume, where no container looks.
    directory: str
    outside: str
    # What the names there begin with: a volume has its own directory around it, a bind mount has not.
    prefix: str = ""

    def beside(self, name: str) -> str:
        """A path beside the live data, on its file system."""
        return f"{self.outside}/{self.prefix}{name}"


def data_place(container: Container, inside: str) -> DataPlace | None:
    """The directory on the host that a path within the container is; None when it is on no volume and no bind."""
    mounts = {**container.binds, **{target: source for target, (_name, source) in container.volumes.items()}}
    above = [target for target in mounts if inside == target or inside.startswith(target.rstrip("/") + "/")]
    if not above:
        return None
    target = max(above, key=len)
    source = mounts[target].rstrip("/")
    prefix = "" if target in container.volumes else os.path.basename(source)
    return DataPlace(source + inside[len(target.rstrip("/")) :], os.path.dirname(source), prefix)


@dataclass(frozen=True)
class Reach:
    """How far the log leads from a record's data towards a target."""

    # None when there is no log, or none that is needed.
    coverage: Coverage | None = None
    # What stands in the way; each names the range that is covered.
    problems: tuple[str, ...] = ()


class Beside(Adapter):
    """A database that is put together beside the live one and exchanged for it."""

    is_database = True
    # Whether it can be brought further than a point is. One that cannot comes back as it was then, as files do.
    keeps_log = True

    # Which point, and how far.

    @abstractmethod
    def ends_before(self, record: Mapping[str, Any], target: Target) -> bool:
        """Whether the record's data was whole before the target, so that the log can lead from there to it."""

    @abstractmethod
    def reach(self, record: Mapping[str, Any], target: Target) -> Reach:
        """How far the log leads from the record's data towards the target."""

    # Beside the live data.

    def workspace(self, restore_id: str, purpose: str = PURPOSE_RESTORE) -> Workspace:
        """The workspace from which a swap can be made."""
        return Workspace(restore_id, self.live().beside(f".slipway-{purpose}-{restore_id}"), purpose)

    @abstractmethod
    def prepare(
        self, record: Mapping[str, Any], point: Point, target: Target, workspace: Workspace, thorough: bool = False
    ) -> Prepared:
        """Fetch the data, bring it to the target with an isolated server, check it (`thorough`: with all that a drill
        has time for), and put it to rest. What an earlier try left in the workspace is removed first. What fails leaves
        nothing behind but the message, in which the server's own last words stand."""

    @abstractmethod
    def open(self, record: Mapping[str, Any], prepared: Prepared, workspace: Workspace) -> Container:
        """Start the isolated server again on what was prepared, for a look; it runs until `discard`."""

    def visit(self, container: Container) -> str:
        """How a person looks into what was opened."""
        return f"docker exec -it {container.name} sh"

    def copy(self, opened: Opened, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        """Bring one database or one table from what was opened into the live server. What has its name there is kept
        under another one, with the id in it. Returns `copied`, `kept`, `rows` and `warnings`."""
        raise RefusedError(f"{self.label}: single databases and tables cannot be copied for this kind")

    def count(self, opened: Opened, wanted: Wanted) -> tuple[int, int | None]:
        """How many rows a table has in what was opened, and in the live server (None: there is no such table)."""
        raise RefusedError(f"{self.label}: single databases and tables cannot be copied for this kind")

    def discard(self, workspace: Workspace) -> None:
        """Remove what was prepared, and the containers that worked on it."""
        docker = self.tools.docker
        docker.remove(docker.isolated(self.labels(workspace)))
        self.tools.host.remove_tree(workspace.directory)

    def sweep(self, keep: str, purpose: str = PURPOSE_RESTORE) -> None:
        """Remove what killed jobs of a purpose left, but for the one of this id."""
        docker, host, live = self.tools.docker, self.tools.host, self.live()
        labels = self.labels(Workspace("", "", purpose))
        del labels["slipway.restore"]
        docker.remove([item for item in docker.isolated(labels) if item.labels.get("slipway.restore") != keep])
        for name in host.names(live.outside):
            if name.startswith(f"{live.prefix}.slipway-{purpose}-") and not name.endswith(f"-{keep}"):
                host.remove_tree(f"{live.outside}/{name}")

    def labels(self, workspace: Workspace) -> dict[str, str]:
        """What the containers of a workspace bear, so that they are found after a kill."""
        return {
            "slipway.stack": self.tools.settings.stack,
            "slipway.source": self.source.key,
            "slipway.purpose": workspace.purpose,
            "slipway.restore": workspace.id,
        }

    # The exchange.

    @abstractmethod
    def data_directory(self, container: Container) -> str:
        """The server's data directory, as its container knows it."""

    def live(self) -> DataPlace:
        """Where the live data is. Raises RefusedError when it is nowhere that could be exchanged."""
        container = self.container()
        inside = self.data_directory(container)
        place = data_place(container, inside)
        if place is None:
            raise RefusedError(
                f"{self.label}: {inside} of {container.name} is on no volume, so it cannot be exchanged; give it one"
            )
        return place

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        try:
            container, place = self.container(), self.live()
        except RefusedError as error:
            return [str(error)]
        problems = []
        inside = self.data_directory(container)
        if record["data_directory"] != inside:
            problems.append(
                f"{self.label}: its data directory was {record['data_directory']}, and that of {container.name} is"
                f" {inside}; deploy the stack with the same"
            )
        if self.tools.host.is_mount(place.directory):
            problems.append(
                f"{self.label}: {place.directory} is a mount point of the host, which cannot be renamed; mount the"
                " directory above it"
            )
        return problems + self.check_release(record, container, place)

    def check_release(self, record: Mapping[str, Any], container: Container, place: DataPlace) -> list[str]:
        """What of the live server itself stands in the way."""
        return []

    @abstractmethod
    def serves(self, prepared: Prepared | None) -> str:
        """Wait until the live server serves, on the data that was prepared for it if that is given; returns the reason
        why it does not, with its last words, or nothing."""

    @abstractmethod
    def answers(self, container: Container, prepared: Prepared | None) -> bool:
        """Whether the server in a container lets the stack's user in, on the data that was prepared if that is
        given."""

    def container(self) -> Container:
        """The live server's container."""
        container = self.tools.container(self.source.service)
        if container is None:
            raise RefusedError(
                f"{self.label}: the stack has no container of service {self.source.service}; deploy the stack first"
            )
        return container

    def previous(self, restore_id: str) -> str:
        """Where a swap keeps the old data."""
        return self.live().beside(f"{PREVIOUS}{restore_id}")

    def swap(self, prepared: Prepared, restore_id: str) -> dict[str, Any]:
        """Stop the live server, put the prepared data into the place of its own, and start it. A server that does not
        serve then gets its old data back, and the swap fails."""
        host, live, previous = self.tools.host, self.live().directory, self.previous(restore_id)
        if host.exists(prepared.data):
            self.tools.progress(f"exchanging {self.label}")
            self.tools.docker.stop([self.container()])
            if host.exists(previous):
                # The original is safe already. What lies here came from another point in this same restore, or is what
                # the image made of a directory that was missing for a moment.
                host.remove_tree(live)
            elif host.exists(live):
                host.move(live, previous)
            host.take_mode(prepared.data, previous)
            host.make_parents(live)
            host.move(prepared.data, live)
        reason = self._start(prepared)
        if reason:
            failed = f"{self.label}: the restored data does not serve: {reason}"
            # It stays in the workspace, for a look at what is wrong with it.
            self._put_back(restore_id, prepared.data)
            raise BackupError(f"{failed}. The old data is back in its place")
        return {"label": self.label, "rows": prepared.rows, "reached": prepared.reached, "previous": previous}

    def replaced(self, restore_id: str) -> bool:
        return self.tools.host.exists(self.previous(restore_id))

    def undo(self, restore_id: str) -> str:
        if not self.replaced(restore_id):
            return ""
        self._put_back(restore_id, "")
        return f"{self.label}: the old data is back in its place"

    def _put_back(self, restore_id: str, keep: str) -> None:
        host, live, previous = self.tools.host, self.live().directory, self.previous(restore_id)
        if host.exists(previous):
            self.tools.progress(f"putting the old data of {self.label} back")
            self.tools.docker.stop([self.container()])
            if host.exists(live):
                if keep and not host.exists(keep):
                    host.move(live, keep)
                else:
                    host.remove_tree(live)
            host.move(previous, live)
        reason = self._start(None)
        if reason:
            raise BackupError(f"{self.label}: its old data is back in its place and does not serve: {reason}")

    def _start(self, prepared: Prepared | None) -> str:
        container = self.container()
        if not container.running:
            self.tools.progress(f"starting {container.name}")
            try:
                self.tools.docker.start([container])
            except BackupError as error:
                return str(error)
        return self.serves(prepared)


def _adapters() -> dict[str, type[Adapter]]:
    """The kinds of sources. Imported here because each of them imports this file for the contract."""
    from ansible_collections.slipway.ops.plugins.module_utils._backup.file_source import FileAdapter
    from ansible_collections.slipway.ops.plugins.module_utils._backup.host_dump_source import HostDumpAdapter
    from ansible_collections.slipway.ops.plugins.module_utils._backup.mariadb_source import MariadbAdapter
    from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server_source import MysqlServerAdapter
    from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_source import PostgresqlAdapter
    from ansible_collections.slipway.ops.plugins.module_utils._backup.redis_source import RedisAdapter
    from ansible_collections.slipway.ops.plugins.module_utils._backup.volume_source import VolumeAdapter

    return {
        SOURCE_MYSQL: MysqlServerAdapter,
        SOURCE_MARIADB: MariadbAdapter,
        SOURCE_POSTGRESQL: PostgresqlAdapter,
        SOURCE_REDIS: RedisAdapter,
        SOURCE_VOLUME: VolumeAdapter,
        SOURCE_FILE: FileAdapter,
        SOURCE_HOST_DUMP: HostDumpAdapter,
    }


def adapter_for(source: Source, tools: Tools) -> Adapter:
    """The adapter of a source's kind."""
    return _adapters()[source.kind](source, tools)


def adapter_of(record: Mapping[str, Any], tools: Tools) -> Adapter:
    """The adapter of a record in a manifest. Where the stack says it differently today (another user), today counts."""
    kind = str(record.get("kind"))
    if kind not in _adapters():
        raise RefusedError(
            f"the point holds a source of kind {kind}, which this version does not know; use a newer one"
        )
    fields = {name: str(record[name]) for name in Source.__dataclass_fields__ if name in record}
    if kind != SOURCE_FILE:
        # There it is what the source is called; elsewhere, where a volume was on the host that was saved.
        fields.pop("path", None)
    source = Source(**fields)
    for present in tools.settings.sources:
        same = all(getattr(present, name) == getattr(source, name) for name in ("kind", "engine", "service", "volume"))
        if same and kind != SOURCE_FILE:
            source = present
    return adapter_for(source, tools)


# How long a server may take to start on the data it has; and how long one that calls itself healthy may say nothing.
USABLE_SECONDS = 180
SILENT_SECONDS = 15


def wait_ready(
    host: Host,
    find: Callable[[], Container],
    answers: Callable[[], bool],
    seconds: float = USABLE_SECONDS,
    give_up_early: bool = True,
) -> bool:
    """Wait until a container is healthy and its server answers. One that starts on data is given up as soon as it is
    called unhealthy, ends again and again, or is healthy and yet does not answer; one that initialises itself may be
    called anything for a while."""
    container = find()
    restarts, begun = container.restarts, host.now().timestamp()
    healthy_since = None
    while True:
        if container.ready and answers():
            return True
        now = host.now().timestamp()
        healthy_since = (healthy_since or now) if container.health == "healthy" else None
        hopeless = (
            container.health == "unhealthy"
            or container.ended
            or container.restarts - restarts >= 3
            or (healthy_since is not None and now - healthy_since >= SILENT_SECONDS)
        )
        if now - begun >= seconds or (give_up_early and hopeless):
            return False
        host.sleep(1)
        container = find()


def last_line(stderr: str) -> str:
    """A command's last word, as the reason why it failed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"

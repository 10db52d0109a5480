# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be backed up: one contract, one adapter a kind.

An adapter puts what it can into the spool (`collect`), says which of its files a read-back must compare (`spooled`) and
which paths of the host belong into the snapshot (`paths`), and brings its data back (`restore`). A record is the
adapter's part of the manifest.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Docker, Host, Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_FILE,
    SOURCE_MARIADB,
    SOURCE_MYSQL,
    SOURCE_VOLUME,
    BackupError,
    Place,
    Point,
    RefusedError,
    Settings,
    Source,
    human_bytes,
)

# How long a server may take to start on the data it has, and to initialise itself on an empty volume.
USABLE_SECONDS = 180
READY_SECONDS = 300
SILENT_SECONDS = 15
# Restored data is put together and old data is kept beside the live directory: the same file system, so that a rename
# is enough, and outside of it, so that no container sees it.
INCOMING = ".slipway-incoming"
PREVIOUS = ".slipway-previous-"


@dataclass
class Tools:
    """What a job works with."""

    settings: Settings
    place: Place
    docker: Docker
    host: Host
    repository: Repository
    progress: Callable[[str], None] = field(default=lambda line: None)

    def container(self, service: str) -> Container | None:
        """The service's container, a running one first."""
        found = [item for item in self.docker.containers(self.settings.stack) if item.service == service]
        return next((item for item in found if item.running), found[0] if found else None)


class SourceError(BackupError):
    """A source cannot be read: the fault is in what should be backed up, not in the repository."""


class SourceMissing(SourceError):
    """The server answers and has no such database: there is nothing to read."""


class Adapter(ABC):
    """The contract."""

    is_database = False

    def __init__(self, source: Source, tools: Tools) -> None:
        self.source = source
        self.tools = tools

    @property
    def label(self) -> str:
        return self.source.label

    def estimate(self) -> int:
        """About how many bytes `collect` writes into the spool."""
        return 0

    @abstractmethod
    def collect(self) -> dict[str, Any]:
        """Put the data into the spool if it cannot be stored as it lies; return the record."""

    def paths(self, record: Mapping[str, Any]) -> list[str]:
        """Paths outside of the spool that belong into the snapshot."""
        return []

    def spooled(self, record: Mapping[str, Any]) -> list[str]:
        """Paths in the spool whose bytes the record describes."""
        return []

    @abstractmethod
    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        """What stands in the way of a restore."""

    @abstractmethod
    def plan(self, record: Mapping[str, Any]) -> str:
        """What a restore does, in a line."""

    @abstractmethod
    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        """Bring the data back. May be called again after it was killed at any step."""

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        """Where a restore writes, and how much."""
        return self.tools.place.state, 0


class MysqlAdapter(Adapter):
    """MySQL and MariaDB by the dump tool of the server's own image, run in its container."""

    is_database = True
    data_directory = "/var/lib/mysql"

    def _container(self) -> Container:
        container = self.tools.container(self.source.service)
        if container is None:
            raise RefusedError(
                f"{self.label}: the stack has no container of service {self.source.service}; deploy the stack first"
            )
        return container

    def _sql(self, text: str, attempt: str, database: str = "") -> str:
        source = self.source
        command = mysql.client_command(source.user, source.password_variable, database)
        outcome = self.tools.docker.execute(self._container(), command, text)
        if outcome.status != 0:
            raise SourceError(f"{self.label}: {attempt}: {_reason(outcome.stderr)}")
        return outcome.stdout

    def _describe(self) -> tuple[str, str, str, int]:
        answer = self._sql(mysql.describe_sql(self.source.database), "ask the server").strip()
        fields = answer.split("\t")
        if len(fields) != 4:
            raise SourceMissing(
                f"{self.label}: the server has no database of this name; check x-slipway.database in the Compose file"
            )
        return fields[0], fields[1], fields[2], int(fields[3])

    def estimate(self) -> int:
        return int(self._describe()[3] * 1.5)

    @property
    def _path(self) -> str:
        return f"{self.tools.place.spool}/{self.source.service}-{self.source.database}.sql"

    def collect(self) -> dict[str, Any]:
        source, container = self.source, self._container()
        if not container.running:
            raise SourceError(f"{self.label}: {container.name} does not run; start it and run the backup again")
        version, character_set, collation, _size = self._describe()
        reader = mysql.DumpReader()
        self.tools.progress(f"dumping {self.label} from {container.name}")
        with open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:

            def take(chunk: bytes) -> None:
                stream.write(chunk)
                reader.feed(chunk)

            command = mysql.dump_command(source.user, source.password_variable, source.database)
            outcome = self.tools.docker.execute_to(container, command, take)
        facts = reader.finish()
        if outcome.status != 0:
            raise SourceError(
                f"{self.label}: the dump ended with exit status {outcome.status} after {human_bytes(facts.bytes)}:"
                f" {_reason(outcome.stderr)}"
            )
        if mysql.complaints(outcome.stderr):
            raise SourceError(f"{self.label}: the dump is not whole: {mysql.complaints(outcome.stderr)[0]}")
        if not facts.complete:
            raise SourceError(
                f"{self.label}: the dump ends without its last line after {human_bytes(facts.bytes)}: it was cut off."
                " Look at the database's log and run the backup again"
            )
        return {
            **source.as_dict(),
            "path": self._path,
            "bytes": facts.bytes,
            "sha256": facts.sha256,
            "tables": facts.tables,
            "rows": facts.rows,
            "server": version,
            "character_set": character_set,
            "collation": collation,
        }

    def spooled(self, record: Mapping[str, Any]) -> list[str]:
        return [str(record["path"])]

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        container = self.tools.container(self.source.service)
        if container is None:
            return [
                f"{self.label}: the stack has no container of service {self.source.service}; deploy the stack first"
            ]
        return []

    def plan(self, record: Mapping[str, Any]) -> str:
        return f"replace {self.label} by {len(record['tables'])} tables with {record['rows']} rows"

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self.tools.place.state, int(record["bytes"])

    def answers(self) -> bool:
        """Whether the server takes a login."""
        try:
            self._sql("SELECT 1;\n", "log in")
        except BackupError:
            return False
        return True

    def wait_ready(self, seconds: float, give_up_early: bool) -> bool:
        """Wait until the container is healthy and the server answers. A server that starts on data is given up as soon
        as it is called unhealthy, ends again and again, or is healthy and yet does not answer; one that initialises
        itself may be called anything for a while."""
        host = self.tools.host
        container = self._container()
        restarts, begun = container.restarts, host.now().timestamp()
        healthy_since = None
        while True:
            if container.ready and self.answers():
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
            container = self._container()

    def start(self, seconds: float = USABLE_SECONDS, give_up_early: bool = True) -> bool:
        """Start the container if need be; whether the server can be used then."""
        container = self._container()
        if not container.running:
            self.tools.progress(f"starting {container.name}")
            try:
                self.tools.docker.start([container])
            except BackupError as error:
                self.tools.progress(str(error))
                return False
        return self.wait_ready(seconds, give_up_early)

    def restart(self) -> bool:
        """Stop the server and start it on what is really on the disk: one whose files were removed under it can go on
        answering from what it holds open, and would lose all that is loaded into it."""
        container = self._container()
        self.tools.progress(f"restarting {container.name}")
        self.tools.docker.stop([container])
        return self.start()

    def begin_anew(self, restore_id: str) -> list[str]:
        """Put the broken data directory aside and let the image initialise an empty one; returns what was put aside."""
        container = self._container()
        volume, directory = container.volumes.get(self.data_directory, ("", ""))
        if not volume:
            raise BackupError(
                f"{self.label}: the server cannot be used, and {self.data_directory} of {container.name} is no volume"
                " that could be put aside; repair the server by hand and run the restore again"
            )
        host, previous = self.tools.host, f"{os.path.dirname(directory)}/{PREVIOUS}{restore_id}"
        self.tools.progress(f"{self.label}: cannot be used; its files are put aside and it is initialised anew")
        self.tools.docker.stop([container])
        if host.exists(previous):
            # The original is safe already: what lies here now is a half-initialised try of this same restore.
            host.remove_tree(directory)
        elif host.exists(directory):
            host.move(directory, previous)
        host.make_like(directory, previous)
        if not self.start(READY_SECONDS, give_up_early=False):
            raise BackupError(
                f"{self.label}: {container.name} did not become ready within {READY_SECONDS} s with an empty volume;"
                f" look at its log. The old files are in {previous}"
            )
        return [previous] if host.exists(previous) else []

    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        source, dump = self.source, f"{self.tools.place.fetched}/{os.path.basename(str(record['path']))}"
        tables = list(record["tables"])
        self.tools.progress(f"loading {self.label}: {len(tables)} tables, {record['rows']} rows")
        recreate = mysql.recreate_sql(source.database, str(record["character_set"]), str(record["collation"]))
        self._sql(recreate, "make it empty")
        command = mysql.client_command(source.user, source.password_variable, source.database)
        outcome = self.tools.docker.execute_from(self._container(), command, dump)
        if outcome.status != 0:
            raise BackupError(f"{self.label}: loading stopped: {_reason(outcome.stderr)}; run the same restore again")
        found = mysql.parse_counts(self._sql(mysql.count_sql(source.database, tables), "count the rows"), tables)
        wrong = [name for name in tables if found.get(name) != record["tables"][name]]
        if wrong:
            name = wrong[0]
            raise BackupError(
                f"{self.label}: {len(wrong)} tables differ from the point, {name} first:"
                f" {found.get(name)} rows instead of {record['tables'][name]}; run the same restore again"
            )
        return {"label": self.label, "tables": len(tables), "rows": sum(found.values())}


class VolumeAdapter(Adapter):
    """A volume's files as they lie on the host."""

    def _directory(self) -> str:
        directory = self.tools.docker.volume_directory(self.source.volume)
        if directory is None:
            raise RefusedError(f"{self.label}: does not exist; deploy the stack first, or correct the name")
        return directory

    def collect(self) -> dict[str, Any]:
        directory = self._directory()
        files, size = self.tools.host.measure(directory)
        return {**self.source.as_dict(), "path": directory, "files": files, "bytes": size}

    def paths(self, record: Mapping[str, Any]) -> list[str]:
        return [str(record["path"])]

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        if self.tools.docker.volume_directory(self.source.volume) is None:
            return [f"{self.label}: does not exist; deploy the stack first"]
        return []

    def plan(self, record: Mapping[str, Any]) -> str:
        return f"replace {self.label} by {record['files']} files, {human_bytes(record['bytes'])}"

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self._directory(), int(record["bytes"])

    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        host, directory = self.tools.host, self._directory()
        parent = os.path.dirname(directory)
        incoming, previous = f"{parent}/{INCOMING}", f"{parent}/{PREVIOUS}{restore_id}"
        self.tools.progress(f"unpacking {self.label}: {record['files']} files, {human_bytes(record['bytes'])}")
        host.make_empty(incoming)
        self.tools.repository.unpack(point.snapshot, incoming, str(record["path"]))
        # The path in the snapshot is the one of the host that was backed up; this host's may differ.
        unpacked = incoming + str(record["path"])
        if not host.exists(unpacked):
            raise BackupError(f"{self.label}: the point has no {record['path']}; choose another point")
        if not host.exists(previous):
            if host.exists(directory):
                host.move(directory, previous)
        elif host.exists(directory):
            host.remove_tree(directory)
        host.move(unpacked, directory)
        host.remove_tree(incoming)
        files, size = host.measure(directory)
        return {"label": self.label, "files": files, "bytes": size, "previous": previous}


class FileAdapter(Adapter):
    """Files of the host: kept in the point to be taken out by hand. A restore leaves the host's own as they are, since
    they belong to the play, which may have written newer ones."""

    def collect(self) -> dict[str, Any]:
        if not self.tools.host.exists(self.source.path):
            raise BackupError(f"{self.label}: does not exist; correct the path or take it out of the sources")
        files, size = self.tools.host.measure(self.source.path)
        return {**self.source.as_dict(), "files": files, "bytes": size}

    def paths(self, record: Mapping[str, Any]) -> list[str]:
        return [str(record["path"])]

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        return []

    def plan(self, record: Mapping[str, Any]) -> str:
        return f"leave {self.label} as it is (slipway restore --extract takes it out of the point)"

    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        return {"label": self.label, "kept": True}


ADAPTERS: dict[str, type[Adapter]] = {
    SOURCE_MYSQL: MysqlAdapter,
    SOURCE_MARIADB: MysqlAdapter,
    SOURCE_VOLUME: VolumeAdapter,
    SOURCE_FILE: FileAdapter,
}


def adapter_for(source: Source, tools: Tools) -> Adapter:
    """The adapter of a source's kind."""
    return ADAPTERS[source.kind](source, tools)


def adapter_of(record: Mapping[str, Any], tools: Tools) -> Adapter:
    """The adapter of a record in a manifest. Where the stack says it differently today (another user), today counts."""
    kind = str(record.get("kind"))
    if kind not in ADAPTERS:
        raise RefusedError(
            f"the point holds a source of kind {kind}, which this version does not know; use a newer one"
        )
    fields = {name: str(record[name]) for name in Source.__dataclass_fields__ if name in record}
    if ADAPTERS[kind] is not FileAdapter:
        fields.pop("path", None)
    source = Source(**fields)
    for present in tools.settings.sources:
        same = (present.kind, present.service, present.database, present.volume)
        if same == (source.kind, source.service, source.database, source.volume) and kind != SOURCE_FILE:
            source = present
    return adapter_for(source, tools)


def _reason(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"

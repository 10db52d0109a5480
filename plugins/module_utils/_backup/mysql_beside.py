# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole server of MySQL or MariaDB: what both adapters do alike.

The base is a physical copy, made by the server's own means and stored as it flows; it comes back beside the live data,
is brought to the target by the server of the same image without any network, looked at, and put to rest. A server's
restored data begins a log of its own.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server as server
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_copy import Copier
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_dump import DumpJudge
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_logfiles import Replay, plan_replay
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_restore import RestoreServer, last_words
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import Content, LogPlace
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    Beside,
    DataPlace,
    Opened,
    Prepared,
    Reach,
    SourceError,
    Wanted,
    Workspace,
    data_place,
    last_line,
    wait_ready,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_POINT,
    KIND_POSITION,
    KIND_TIME,
    KIND_TRANSACTION,
    Target,
    human_time,
)

MEMORY_BYTES = 1 << 30
# A server that was killed at the end of its grace recovers first.
SERVING_SECONDS = 900


@dataclass(frozen=True)
class Saved:
    """What `save` stored: the part, and where in the log its data ends."""

    part: Mapping[str, Any]
    # None when the server writes no log.
    place: LogPlace | None
    # Whether the place is the very end, or before it.
    exact: bool = True
    # What stands in the record besides.
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """What was done at last, and files that belong into the data directory."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class MysqlFamilyAdapter(Beside):
    """A server with all its databases and users."""

    # What differs.

    @abstractmethod
    def check_server(self, container: Container, variables: Mapping[str, str]) -> None:
        """Refuse a server that cannot be saved."""

    @abstractmethod
    def save(self, point: str, container: Container, variables: Mapping[str, str], content: Content) -> Saved:
        """Store the base."""

    @abstractmethod
    def unpack(self, record: Mapping[str, Any], point: Point, workspace: Workspace, helper: RestoreServer) -> None:
        """Make the data directory of the workspace from the base, ready for a server to start on."""

    @abstractmethod
    def replay(self, record: Mapping[str, Any], workspace: Workspace, helper: RestoreServer) -> tuple[LogPlace, Replay]:
        """Start the isolated server and replay the log that there is in the workspace; returns where the base ended,
        and what was replayed. Raises ValueError when the log cannot be used."""

    def finish(self, record: Mapping[str, Any], workspace: Workspace, helper: RestoreServer) -> Finished:
        """What is to be done in the isolated server at last."""
        return Finished()

    def tidy(self, record: Mapping[str, Any], workspace: Workspace, finished: Finished) -> None:
        """What is to be done to the files when the server has ended."""

    @abstractmethod
    def arguments(self, record: Mapping[str, Any]) -> list[str]:
        """The isolated server's arguments when there is nothing to replay."""

    @abstractmethod
    def dump_command(self, variables: Mapping[str, str]) -> list[str]:
        """Dump everything as SQL that a later version understands."""

    @abstractmethod
    def initialize_arguments(self, record: Mapping[str, Any]) -> list[str]:
        """Make an empty data directory, for a dump to be loaded into."""

    @abstractmethod
    def upgrade(self, record: Mapping[str, Any], helper: RestoreServer) -> None:
        """Start the isolated server on what an older one dumped, and bring the server's own tables up to date."""

    @abstractmethod
    def contained(self, part: str, whole: str) -> bool:
        """Whether the transactions of one set, as the server writes it, are all in another one."""

    # Saving.

    def ask(self, container: Container, text: str, attempt: str) -> str:
        source = self.source
        command = mysql.client_command(source.user, source.password_variable)
        outcome = self.tools.docker.execute(container, command, text)
        if outcome.status != 0:
            raise SourceError(f"{self.label}: {attempt}: {last_line(outcome.stderr)}")
        return outcome.stdout

    def variables(self, container: Container) -> dict[str, str]:
        return server.parse_variables(self.ask(container, server.variables_sql(), "ask for its settings"))

    def content(self, container: Container) -> Content:
        names = [row[0] for row in server.rows(self.ask(container, server.databases_sql(), "ask for its databases"))]
        tables = server.parse_tables(self.ask(container, server.tables_sql(), "ask for its tables"))
        counts: dict[str, int] = {}
        if tables and sum(table.bytes for table in tables) <= server.COUNTED_BYTES:
            counts = server.parse_counts(self.ask(container, server.counts_sql(tables), "count the rows"), tables)
        return server.content(names, tables, counts)

    def collect(self, point: str) -> dict[str, Any]:
        tools, source, container = self.tools, self.source, self.container()
        if not container.running:
            raise SourceError(f"{self.label}: {container.name} does not run; start it and run the backup again")
        variables = self.variables(container)
        self.check_server(container, variables)
        for line in server.log_warnings(variables, self.label, tools.log is not None):
            tools.progress(line)
        before = self.content(container)
        if tools.log is not None and server.is_on(variables.get("log_bin")):
            # A repository that was added since the last one has the log from the midst of a file, of no use to a
            # replay. From this base on it has files from their first byte.
            self.ask(container, server.NEW_FILE_SQL, "begin a new file of its binary log")
        begun = tools.host.now()
        saved = self.save(point, container, variables, before)
        ended = tools.host.now()
        # A base that is a dump needs no other.
        wanted = source.dump and saved.part["file"] != self.dump_file
        dump = {"sql": self._dump_beside(point, container, variables)} if wanted else {}
        after = self.content(container)
        place = saved.place
        return {
            **source.as_dict(),
            **saved.part,
            **saved.facts,
            **dump,
            "server": variables["version"],
            "lineage": self._lineage(variables),
            "binlog_file": place.file if place else "",
            "binlog_position": place.position if place else 0,
            "binlog_exact": saved.exact,
            "gtid": place.gtid if place else "",
            "begin_time": begun.isoformat(),
            "end_time": ended.isoformat(),
            "image": container.image,
            "image_id": container.image_id,
            "image_digest": tools.docker.image_digest(container.image_id),
            "data_directory": self._inside(container, variables),
            "settings": server.kept_settings(variables),
            "databases": {name: dict(facts) for name, facts in after.databases.items()},
            "rows": after.rows,
            # Before and after: what was written in between may or may not be in it.
            "counts": {
                name: [before.counts[name], count] for name, count in after.counts.items() if name in before.counts
            },
        }

    @property
    def dump_file(self) -> str:
        return f"{self.source.key}.sql"

    def _dump_beside(self, point: str, container: Container, variables: Mapping[str, str]) -> dict[str, Any]:
        """The same data as SQL: what another version can read, and any person."""
        tools, source = self.tools, self.source
        tools.progress(f"dumping {self.label} from {container.name}")
        stream = tools.docker.stream(container, self.dump_command(variables), tools.settings.stack)
        # A part of its own, so a name of its own.
        return tools.store(point, replace(source, path="dump"), self.dump_file, stream, DumpJudge(self.label))

    def load(
        self,
        part: Mapping[str, Any],
        record: Mapping[str, Any],
        point: Point,
        workspace: Workspace,
        helper: RestoreServer,
    ) -> None:
        """Make the data directory of the workspace from a dump."""
        inside, dump = str(record["data_directory"]), f"{workspace.directory}/dump.sql"
        self.tools.fetch(point, part, self.label, dump)
        helper.run(self.initialize_arguments(record), inside, "make an empty data directory")
        helper.start(self.arguments(record))
        self.tools.progress(f"loading the dump of {self.label}: {human_bytes(part['bytes'])}")
        outcome = self.tools.docker.execute_from(helper.container, server.isolated_client(), dump)
        if outcome.status != 0:
            raise BackupError(f"{self.label}: loading the dump stopped: {last_line(outcome.stderr)}")
        # It has replaced the users as well: they count from the next start on.
        helper.stop()
        self.tools.host.remove_tree(dump)

    def _moves(self, record: Mapping[str, Any]) -> bool:
        """Whether the present service is of another version, which can only load the point's dump."""
        container = self.tools.container(self.source.service)
        if not record.get("sql") or container is None:
            return False
        return not self._suits(container.image_id, server.version_of(str(record["server"])))

    def _lineage(self, variables: Mapping[str, str]) -> str:
        known = self.tools.log.lineage(self.source) if self.tools.log is not None else ""
        return known or variables.get("server_uuid", "")

    def _inside(self, container: Container, variables: Mapping[str, str]) -> str:
        inside = (variables.get("datadir") or server.DATA_DIRECTORY).rstrip("/")
        for name in ("innodb_data_home_dir", "innodb_log_group_home_dir", "innodb_undo_directory"):
            value = (variables.get(name) or "").rstrip("/")
            if value not in ("", ".", inside):
                raise SourceError(
                    f"{self.label}: keeps a part of its data in {value} ({name}), which is not saved; leave {name} as"
                    " it is by default"
                )
        return inside

    # Which point, and how far.

    def ends_before(self, record: Mapping[str, Any], target: Target) -> bool:
        if target.kind == KIND_TIME and target.time is not None:
            return datetime.fromisoformat(str(record["end_time"])) <= target.time
        if target.kind in (KIND_POSITION, KIND_TRANSACTION):
            gtid = str(record["gtid"])
            if not gtid:
                raise RefusedError(
                    f"{self.label}: its transactions have no GTIDs at point {record.get('point', 'chosen')}, so only a"
                    " time can be named; or switch gtid_mode on for the future"
                )
            if target.kind == KIND_POSITION:
                return self.contained(gtid, target.position)
            return not self.contained(target.transaction, gtid)
        return True

    def reach(self, record: Mapping[str, Any], target: Target) -> Reach:
        if target.kind == KIND_POINT:
            return Reach()
        if self._moves(record):
            problem = f"{self.label}: another version cannot read its log, so only points can be restored"
            return Reach(None, (problem,) if target.needs_log else ())
        log = self.tools.log
        coverage = None
        if log is not None and record["binlog_file"]:
            coverage = log.coverage(self.source, record, target)
        if not target.needs_log:
            return Reach(coverage)
        ended = human_time(datetime.fromisoformat(str(record["end_time"])))
        place = f"{record['binlog_file']}:{record['binlog_position']}"
        if coverage is None:
            if not record["binlog_file"]:
                why = "the server wrote no binary log when it was saved; start it with --log-bin"
            elif log is None:
                why = "no log is kept of it"
            else:
                why = f"its log does not lead on from {place}"
            return Reach(None, (f"{self.label}: {why} ({ended}), so only points can be restored",))
        until = human_time(coverage.end_time) if coverage.end_time else "an unknown time"
        covered = f"the log is whole from {ended} ({place}) to {until} ({coverage.end})"
        covered += f": {coverage.remark}" if coverage.remark else ""
        if (
            target.kind == KIND_TIME
            and target.time is not None
            and (coverage.end_time is None or target.time > coverage.end_time)
        ):
            return Reach(coverage, (f"{self.label}: {target.describe()} is after the log's end; {covered}",))
        return Reach(coverage)

    # The live server.

    def data_directory(self, container: Container) -> str:
        words = list(container.command)
        for index, word in enumerate(words):
            name, equals, value = word.partition("=")
            if name == "--datadir":
                return (value if equals else words[index + 1] if index + 1 < len(words) else "").rstrip("/")
        return server.DATA_DIRECTORY

    def check_release(self, record: Mapping[str, Any], container: Container, place: DataPlace) -> list[str]:
        if record.get("image_id") == container.image_id:
            return []
        present, wanted = self._release(container.image_id), server.version_of(str(record["server"]))
        if not any(present) or present[:2] == wanted[:2] or (record.get("sql") and present > wanted):
            return []
        return [
            f"{self.label}: the point is of {record['server']} and {container.image} has"
            f" {'.'.join(map(str, present))}; deploy {record['image']} first, and upgrade after the restore"
        ]

    def _release(self, image: str) -> tuple[int, ...]:
        """The server's version in an image; zeros when it cannot be asked."""
        script = "for tool in mariadbd mysqld; do command -v $tool >/dev/null 2>&1 && exec $tool --version; done"
        said = self.tools.docker.ask_image(image, script).stdout
        _before, found, rest = said.partition("Ver ")
        return server.version_of(rest) if found else (0, 0, 0)

    def plan(self, record: Mapping[str, Any]) -> str:
        return (
            f"put {self.label} together beside the live one: {len(record['databases'])} databases, about"
            f" {record['rows']} rows, {human_bytes(record['bytes'])}; check it, and exchange the directories"
        )

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self.live().outside, int(int(record["bytes"]) * 1.2)

    def serves(self, prepared: Prepared | None) -> str:
        container = self.container()
        if wait_ready(
            self.tools.host, self.container, lambda: self.answers(self.container(), prepared), SERVING_SECONDS
        ):
            return ""
        said = last_words(self.tools.docker.logs(container))
        return f"{container.name} did not become ready within {SERVING_SECONDS} s: {said}"

    def answers(self, container: Container, prepared: Prepared | None) -> bool:
        try:
            variables = self.variables(container)
        except BackupError:
            return False
        wanted = prepared.facts.get("server_uuid") if prepared is not None else None
        return not wanted or variables.get("server_uuid") == wanted

    # Beside it.

    def prepare(
        self, record: Mapping[str, Any], point: Point, target: Target, workspace: Workspace, thorough: bool = False
    ) -> Prepared:
        self.discard(workspace)
        try:
            return self._prepare(record, point, target, workspace, thorough)
        except (Exception, KeyboardInterrupt):
            with suppress(BackupError, OSError):
                self.discard(workspace)
            raise

    def _prepare(
        self, record: Mapping[str, Any], point: Point, target: Target, workspace: Workspace, thorough: bool
    ) -> Prepared:
        tools, host = self.tools, self.tools.host
        image = self._image(record, point)
        image_version = ".".join(map(str, self._release(image)))
        owner, user = self._owner(image)
        helper = self._helper(record, workspace, image, user, owner)
        host.make_empty(workspace.directory)
        host.make_directory(workspace.data, 0o700, *owner)
        warnings = []
        if self._moves(record):
            self.load(record["sql"], record, point, workspace, helper)
            self.upgrade(record, helper)
            place, replayed = LogPlace("", 0), Replay()
            warnings.append(f"{self.label}: was {record['server']}, and comes by its dump into {image_version}")
        else:
            tools.progress(f"unpacking {self.label}: {human_bytes(record['bytes'])}")
            self.unpack(record, point, workspace, helper)
            self._fetch_log(record, target, workspace, owner)
            try:
                place, replayed = self.replay(record, workspace, helper)
            except ValueError as error:
                raise BackupError(f"{self.label}: its log cannot be replayed: {error}") from error
        warnings += self._mend_login(helper)
        content = self._look(helper, thorough)
        at_point = not replayed.files
        warnings += self._compare(record, content, at_point)
        facts: dict[str, Any] = {
            "image": image,
            "user": user,
            "owner": list(owner),
            "databases": {name: dict(found) for name, found in content.databases.items()},
            "counts": dict(content.counts),
            "replayed": {
                "from": str(place),
                "to": f"{replayed.files[-1].name}:{replayed.files[-1].size}" if replayed.files else str(place),
                "log_bytes": replayed.bytes,
            },
        }
        if thorough:
            begun = host.now()
            facts["checked_tables"] = self._check_tables(helper)
            facts["checking_seconds"] = (host.now() - begun).total_seconds()
        finished = self.finish(record, workspace, helper)
        warnings += finished.warnings
        facts.update(finished.facts)
        helper.sql(server.DROP_USER_SQL, "remove the user of the restore")
        helper.stop()
        self.tidy(record, workspace, finished)
        for name, text in finished.files.items():
            host.write(f"{workspace.data}/{name}", text, 0o600, *owner)
        host.remove_tree(workspace.log)
        last = replayed.last
        return Prepared(
            key=self.source.key,
            label=self.label,
            data=workspace.data,
            reached=self._describe(record, place, replayed),
            time=_iso(last.time) if last is not None else "",
            position=last.gtid or f"{last.stream}:{last.end}" if last is not None else str(place),
            rows=content.rows,
            facts=facts,
            warnings=tuple(warnings),
        )

    def _helper(
        self, record: Mapping[str, Any], workspace: Workspace, image: str, user: str, owner: tuple[int, int]
    ) -> RestoreServer:
        container = self.tools.container(self.source.service)
        memory = max(container.memory_bytes if container is not None else 0, MEMORY_BYTES)
        return RestoreServer(
            self.tools,
            self.label,
            workspace,
            self.labels(workspace),
            image,
            user,
            owner,
            memory,
            str(record["data_directory"]),
        )

    def _image(self, record: Mapping[str, Any], point: Point) -> str:
        """The image whose server restores: the present service's, since it is to serve the data afterwards; where that
        is of another version, or there is none, the point's own."""
        docker = self.tools.docker
        wanted = server.version_of(str(record["server"]))
        container = self.tools.container(self.source.service)
        # A physical copy is read by the version that made it, and by later ones of the same series.
        if container is not None and (self._suits(container.image_id, wanted) or self._moves(record)):
            return container.image_id
        for name in filter(None, (record.get("image_id"), record.get("image_digest"), record.get("image"))):
            found = docker.image_id(str(name))
            if found and self._suits(found, wanted):
                return found
        name = str(record.get("image_digest") or record["image"])
        self.tools.progress(f"pulling {name}")
        docker.pull(name)
        found = docker.image_id(name)
        if not found or not self._suits(found, wanted):
            raise BackupError(
                f"point {point.name}: {self.label} needs an image with {record['server']}, and {name} is none"
            )
        return found

    def _suits(self, image: str, wanted: tuple[int, ...]) -> bool:
        present = self._release(image)
        return present[:2] == wanted[:2] and present >= wanted

    def _owner(self, image: str) -> tuple[tuple[int, int], str]:
        """Who the data belongs to on the host, and who the server is within the image. They differ where Docker maps
        users (userns-remap)."""
        said = self.tools.docker.ask_image(image, "id -u mysql && id -g mysql").stdout.split()
        if len(said) != 2 or not all(word.isdigit() for word in said):
            raise BackupError(f"{self.label}: the image {image} has no user mysql")
        owner = (int(said[0]), int(said[1]))
        with suppress(RefusedError, OSError):
            present = self.tools.host.owner(self.live().directory)
            owner = present if present[0] != 0 else owner
        return owner, ":".join(said)

    def _fetch_log(
        self, record: Mapping[str, Any], target: Target, workspace: Workspace, owner: tuple[int, int]
    ) -> None:
        tools, host = self.tools, self.tools.host
        host.make_directory(workspace.log, 0o755, *owner)
        if target.kind == KIND_POINT:
            return
        reach = self.reach(record, target)
        if reach.problems:
            # It was looked at before; what is there may have changed since, and without a word this would be the point.
            raise RefusedError("; ".join(reach.problems))
        if tools.log is None or reach.coverage is None:
            return
        tools.progress(f"fetching the log of {self.label}")
        tools.log.fetch(self.source, record, target, workspace.log, tools.progress)
        for name in host.names(workspace.log):
            host.set_mode(f"{workspace.log}/{name}", 0o644)

    def planned(self, workspace: Workspace, place: LogPlace) -> Replay:
        """What of the files in the workspace is to be replayed."""
        if not self.tools.host.names(workspace.log):
            return Replay()
        return plan_replay(workspace.log, place)

    def _look(self, helper: RestoreServer, thorough: bool) -> Content:
        names = [row[0] for row in server.rows(helper.sql(server.databases_sql(), "look at its databases"))]
        tables = server.parse_tables(helper.sql(server.tables_sql(), "look at its tables"))
        counts: dict[str, int] = {}
        if tables and (thorough or sum(table.bytes for table in tables) <= server.COUNTED_BYTES):
            counts = server.parse_counts(helper.sql(server.counts_sql(tables), "count the rows"), tables)
        return server.content(names, tables, counts)

    def _compare(self, record: Mapping[str, Any], content: Content, at_point: bool) -> list[str]:
        """What is in it, beside what was there when it was saved. After a point, a database may have been dropped and a
        table emptied on purpose; at the point itself they cannot have been."""
        warnings = []
        for name in sorted(set(record["databases"]) - set(content.databases)):
            if at_point:
                raise BackupError(f"{self.label}: database {name} is not in it")
            warnings.append(f"{self.label}: database {name} is not in it")
        if record["rows"] and not content.rows:
            if at_point:
                raise BackupError(f"{self.label}: has no row, and had about {record['rows']}")
            warnings.append(f"{self.label}: has no row, and had about {record['rows']} at the point")
        if at_point and content.counts:
            for name, (before, after) in record["counts"].items():
                found = content.counts.get(name)
                if found is None or not min(before, after) <= found <= max(before, after):
                    warnings.append(
                        f"{self.label}: {name} has {found} rows; around the point it had {before} to {after}"
                    )
        return warnings

    def _check_tables(self, helper: RestoreServer) -> int:
        """Every table read and checked by the server itself."""
        tables = server.parse_tables(helper.sql(server.tables_sql(), "look at its tables"))
        self.tools.progress(f"checking every table of {self.label}")
        complaints = server.parse_check(helper.sql(server.check_sql(tables), "check its tables"))
        if complaints:
            raise BackupError(f"{self.label}: CHECK TABLE found damage: {server.shorten('; '.join(complaints))}")
        return len(tables)

    def _mend_login(self, helper: RestoreServer) -> list[str]:
        """Who logs in with the container's password must be able to: it may have been changed since."""
        password = self._password()
        user = self.source.user
        if not password or helper.takes(user, password):
            return []
        hosts = [row[0] for row in server.rows(helper.sql(server.hosts_sql(user), "look for the user"))]
        if not hosts:
            return [f"{self.label}: has no user {user}, whom the stack logs in as"]
        helper.sql(server.password_sql(user, hosts, password), f"set the password of {user}")
        return [f"{self.label}: {user} had another password then, and has the one of the container's environment now"]

    def _password(self) -> str:
        """The password that the live container is told; empty when it is told none."""
        container = self.tools.container(self.source.service)
        if container is None:
            return ""
        variable = self.source.password_variable
        value = container.environment.get(variable, "")
        path = container.environment.get(f"{variable}_FILE", "")
        if not value and path:
            place = data_place(container, path)
            with suppress(OSError):
                value = self.tools.host.read(place.directory).decode("utf-8", "replace").rstrip("\n") if place else ""
        return value

    def _describe(self, record: Mapping[str, Any], place: LogPlace, replayed: Replay) -> str:
        if replayed.last is not None:
            last = replayed.last
            return (
                f"{last.stream}:{last.end}{f' ({last.gtid})' if last.gtid else ''}, last transaction at"
                f" {human_time(datetime.fromisoformat(_iso(last.time)))}"
            )
        ended = human_time(datetime.fromisoformat(str(record["end_time"])))
        return f"{place if place.file else 'the point'}, no transaction after the point's end at {ended}"

    def open(self, record: Mapping[str, Any], prepared: Prepared, workspace: Workspace) -> Container:
        facts = prepared.facts
        owner = (int(facts["owner"][0]), int(facts["owner"][1]))
        helper = self._helper(record, workspace, str(facts["image"]), str(facts["user"]), owner)
        helper.start(self.arguments(record))
        return helper.container

    def copy(self, opened: Opened, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        copier = self._copier(opened)
        return copier.table(wanted, copy_id) if wanted.table else copier.database(wanted, copy_id)

    def count(self, opened: Opened, wanted: Wanted) -> tuple[int, int | None]:
        return self._copier(opened).count(wanted)

    def _copier(self, opened: Opened) -> Copier:
        user, variable = self.source.user, self.source.password_variable
        return Copier(self.tools, self.label, opened.container, self.container(), user, variable)

    def visit(self, container: Container) -> str:
        return f"docker exec -it {container.name} sh -c '{server.VISIT}'"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()

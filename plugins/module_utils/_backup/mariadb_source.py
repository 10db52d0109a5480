# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MariaDB: a whole server, by mariadb-backup and the binary log."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mariadb
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server as server
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.mariadb_backup import (
    BaseBackup,
    NotWhole,
    StreamReader,
    Unpacker,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Point, human_bytes
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_beside import (
    Finished,
    MysqlFamilyAdapter,
    Saved,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_logfiles import Replay
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_restore import RestoreServer
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import Content, LogPlace
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import SourceError, Workspace, last_line


class BackupJudge:
    """Reads a backup as it flows into the repository, and refuses one that is not whole."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._reader = StreamReader()
        self._broken = ""
        self.found: BaseBackup | None = None

    def feed(self, chunk: bytes) -> None:
        # A tool that fails says so at its end, and better than half a stream does.
        if not self._broken:
            try:
                self._reader.feed(chunk)
            except NotWhole as error:
                self._broken = str(error)

    def judge(self, outcome: Outcome) -> None:
        size = human_bytes(self._reader.bytes)
        if outcome.status != 0:
            raise SourceError(
                f"{self._label}: the backup ended with exit status {outcome.status} after {size}:"
                f" {mariadb.explain(outcome.stderr, outcome.status)}"
            )
        try:
            if self._broken:
                raise NotWhole(self._broken)
            if not outcome.stderr.rstrip().endswith(mariadb.OK):
                raise NotWhole(f"the tool did not end with '{mariadb.OK}'")
            self.found = self._reader.finish()
        except NotWhole as error:
            raise SourceError(
                f"{self._label}: the backup is not whole after {size}: {error}. Look at the database's log and run the"
                " backup again"
            ) from error


class MariadbAdapter(MysqlFamilyAdapter):
    """A server with all its databases."""

    def contained(self, part: str, whole: str) -> bool:
        return server.position_contained(part, whole)

    def check_server(self, container: Container, variables: Mapping[str, str]) -> None:
        if "mariadb" not in variables["version"].lower():
            raise SourceError(
                f"{self.label}: is MySQL {variables['version']}; set x-slipway.database.kind: mysql in the Compose file"
            )
        if server.version_of(variables["version"]) < mariadb.OLDEST:
            raise SourceError(
                f"{self.label}: is {variables['version']}, and MariaDB 10.5 is the oldest that can be backed up;"
                " upgrade it, or set x-slipway.backup: false there"
            )
        encrypted = self.ask(container, mariadb.ENCRYPTED_SQL, "ask for encrypted tables").strip()
        if encrypted not in ("", "0"):
            raise SourceError(
                f"{self.label}: has {encrypted} encrypted tablespaces, whose keys are not saved; decrypt them (the"
                " repository encrypts what it is given), or set x-slipway.backup: false there"
            )

    def save(self, point: str, container: Container, variables: Mapping[str, str], content: Content) -> Saved:
        tools, source = self.tools, self.source
        tools.progress(f"physical backup of {self.label} from {container.name}")
        command = mariadb.backup_command(source.user, source.password_variable)
        stream = tools.docker.stream(container, command, tools.settings.stack)
        judge = BackupJudge(self.label)
        part = tools.store(point, source, f"{source.key}.xbstream", stream, judge)
        if judge.found is None:
            raise AssertionError("a stream that was stored was judged")
        return Saved(part, judge.found.place)

    def arguments(self, record: Mapping[str, Any]) -> list[str]:
        return mariadb.isolated_arguments(record["settings"], str(record["data_directory"]))

    def dump_command(self, variables: Mapping[str, str]) -> list[str]:
        return mariadb.dump_command(self.source.user, self.source.password_variable)

    def initialize_arguments(self, record: Mapping[str, Any]) -> list[str]:
        return mariadb.initialize_arguments(record["settings"], str(record["data_directory"]))

    def upgrade(self, record: Mapping[str, Any], helper: RestoreServer) -> None:
        helper.start(self.arguments(record))
        outcome = helper.execute(mariadb.upgrade_command())
        if outcome.status != 0:
            raise BackupError(f"{self.label}: bring the server's own tables up to date: {last_line(outcome.stderr)}")

    def unpack(self, record: Mapping[str, Any], point: Point, workspace: Workspace, helper: RestoreServer) -> None:
        status = self.tools.host.owner(workspace.data)
        unpacker = Unpacker(workspace.data, *status)
        try:
            self.tools.fetch(point, record, self.label, sink=unpacker.feed)
            found = unpacker.finish()
        except NotWhole as error:
            raise BackupError(f"point {point.name}: {self.label}: {error}; choose another point") from error
        finally:
            unpacker.close()
        place = found.place or LogPlace("", 0)
        if (place.file, place.position) != (record["binlog_file"], record["binlog_position"]):
            raise BackupError(f"point {point.name}: {self.label} is not what its manifest says; choose another point")
        lines = helper.run(mariadb.prepare_command(), mariadb.INSIDE_DATA, "make the data files one moment")
        if not lines or not lines[-1].endswith(mariadb.OK):
            raise BackupError(f"point {point.name}: {self.label}: mariadb-backup --prepare did not end well")

    def replay(self, record: Mapping[str, Any], workspace: Workspace, helper: RestoreServer) -> tuple[LogPlace, Replay]:
        host, data = self.tools.host, workspace.data
        place = LogPlace(str(record["binlog_file"]), int(record["binlog_position"]), str(record["gtid"]))
        with suppress(OSError):
            # Where InnoDB says that its last commit was. The tool holds commits back while it notes the place, so this
            # is never later; if it ever were, these transactions must not be made twice (wal-g/wal-g#2556).
            inner = mariadb.parse_binlog_info(host.read(f"{data}/{mariadb.BINLOG_INNODB}").decode("utf-8", "replace"))
            place = mariadb.later(place, inner if place.file else None)
        for name in host.names(data):
            if mariadb.LEFT_OVER.match(name):
                host.remove_tree(f"{data}/{name}")
        found = self.planned(workspace, place)
        helper.start(self.arguments(record))
        if found.files:
            first = LogPlace(found.files[0].name, place.position)
            self.tools.progress(f"replaying {human_bytes(found.bytes)} of the log of {self.label}")
            outcome = helper.execute(mariadb.replay_command(first, [file.name for file in found.files]))
            if outcome.status != 0:
                raise BackupError(f"{self.label}: the replay stopped: {mariadb.explain_replay(outcome.stderr)}")
        return place, found

    def finish(self, record: Mapping[str, Any], workspace: Workspace, helper: RestoreServer) -> Finished:
        """The image's healthcheck.sh logs in with a file in the data directory, which no backup has."""
        hosts = [
            row[0]
            for row in server.rows(helper.sql(server.hosts_sql(mariadb.HEALTHCHECK_USER), "look for its health check"))
        ]
        if not hosts:
            return Finished()
        password = secrets.token_urlsafe(24)
        helper.sql(mariadb.healthcheck_sql(hosts, password), "give its health check a password")
        return Finished(files={mariadb.HEALTHCHECK_FILE: mariadb.healthcheck_file(password)})

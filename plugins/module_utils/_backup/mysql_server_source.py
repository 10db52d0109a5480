# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL: a whole server, by a clone of it (or, where that cannot be, a dump of everything) and the binary log."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_clone, mysql_replay
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server as server
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Point, human_bytes
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_beside import (
    Finished,
    MysqlFamilyAdapter,
    Saved,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_dump import DumpJudge
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_logfiles import Replay, event_statements
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_restore import RestoreServer
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import Content, LogPlace
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import SourceError, Workspace, last_line
from ansible_collections.slipway.ops.plugins.module_utils._backup.tarstream import (
    DIRECTORY,
    FILE,
    Entry,
    TarError,
    TarReader,
)

# How often an applier that waits is asked again before it is believed that it is stuck: it writes its position down
# three times a second (replica_checkpoint_period).
PATIENCE_SECONDS = 10
SAY_SECONDS = 15


class CloneJudge:
    """Reads the archive of a clone as it flows into the repository, and refuses one that is not whole."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._archive = TarReader(self._begin, lambda entry: None)
        self._names: set[str] = set()
        self._broken = ""
        self.bytes = 0

    def _begin(self, entry: Entry) -> Callable[[memoryview], object] | None:
        self._names.add(entry.name.partition("/")[2].rstrip("/"))
        return None

    def feed(self, chunk: bytes) -> None:
        self.bytes += len(chunk)
        if not self._broken:
            try:
                self._archive.feed(chunk)
            except TarError as error:
                self._broken = str(error)

    def judge(self, outcome: Outcome) -> None:
        size = human_bytes(self.bytes)
        if outcome.status != 0:
            raise SourceError(f"{self._label}: reading the clone ended after {size}: {last_line(outcome.stderr)}")
        missing = {"ibdata1", "mysql.ibd", "#clone/#view_status"} - self._names
        if self._broken or not self._archive.complete or missing:
            why = self._broken or (f"{sorted(missing)[0]} is missing" if missing else "the archive is cut off")
            raise SourceError(f"{self._label}: the clone is not whole after {size}: {why}; run the backup again")


class Unpacker:
    """Writes the archive of a clone into a data directory, which belongs to the server's user. What stands in the
    archive cannot write outside of the directory."""

    def __init__(self, directory: str, uid: int, gid: int) -> None:
        self._directory = directory
        self._user = (uid, gid)
        self._archive = TarReader(self._begin, self._end)
        self._file: int | None = None

    def feed(self, chunk: bytes) -> None:
        self._archive.feed(chunk)

    def finish(self) -> None:
        if not self._archive.complete:
            raise TarError("the archive is cut off")

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def _path(self, name: str) -> str:
        """The archive has the copy's own directory as its first; and in one of its own what lies beside the tables."""
        words = name.rstrip("/").split("/")[1:]
        if words and words[0] == "#slipway":
            words = words[1:]
        if not all(words) or {".", ".."} & set(words):
            raise TarError(f"{name!r} is no name of a file within a data directory")
        return "/".join([self._directory, *words])

    def _begin(self, entry: Entry) -> Callable[[memoryview], object] | None:
        path = self._path(entry.name)
        if entry.kind == DIRECTORY:
            if path != self._directory and not os.path.isdir(path):
                os.mkdir(path, 0o750)
                os.chown(path, *self._user)
            return None
        if entry.kind != FILE:
            raise TarError(f"{entry.name} is a link")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, entry.mode & 0o777)
        os.fchown(self._file, *self._user)

        def write(piece: memoryview) -> None:
            while piece and self._file is not None:
                piece = piece[os.write(self._file, piece) :]

        return write

    def _end(self, entry: Entry) -> None:
        self.close()


class MysqlServerAdapter(MysqlFamilyAdapter):
    """A server with all its databases."""

    def contained(self, part: str, whole: str) -> bool:
        return server.gtid_contained(part, whole)

    def check_server(self, container: Container, variables: Mapping[str, str]) -> None:
        if "mariadb" in variables["version"].lower():
            raise SourceError(
                f"{self.label}: is {variables['version']}; set x-slipway.database.kind: mariadb in the Compose file"
            )
        encrypted = self.ask(container, mysql_clone.ENCRYPTED_SQL, "ask for encrypted tables").strip()
        if encrypted not in ("", "0"):
            raise SourceError(
                f"{self.label}: has {encrypted} encrypted tablespaces, whose keys are not saved; decrypt them (the"
                " repository encrypts what it is given), or set x-slipway.backup: false there"
            )

    # Saving.

    def save(self, point: str, container: Container, variables: Mapping[str, str], content: Content) -> Saved:
        reason = self._why_no_clone(container, variables, content)
        if reason:
            self.tools.progress(f"{self.label}: {reason}; so everything is dumped instead")
            if content.foreign:
                self.tools.progress(
                    f"{self.label}: nobody can write while it is dumped, since tables without transactions have no"
                    f" other common moment; to avoid that: ALTER TABLE {content.foreign[0]} ENGINE=InnoDB"
                )
            return self._dump(point, container, variables, reason, bool(content.foreign))
        return self._clone(point, container, variables)

    def _why_no_clone(self, container: Container, variables: Mapping[str, str], content: Content) -> str:
        if server.version_of(variables["version"]) < mysql_clone.OLDEST:
            return mysql_clone.why_not(variables, (), 0, 0, "")
        plugin = self.ask(container, mysql_clone.PLUGIN_SQL, "ask for the clone plugin").strip()
        if not plugin:
            try:
                self.ask(container, mysql_clone.INSTALL_SQL, "install the clone plugin")
                plugin = self.ask(container, mysql_clone.PLUGIN_SQL, "ask for the clone plugin").strip()
            except SourceError as error:
                plugin = str(error)
        room = mysql_clone.parse_room(self.tools.docker.execute(container, mysql_clone.room_command()).stdout)
        return mysql_clone.why_not(variables, content.foreign, content.bytes, room, plugin)

    def _place(self, container: Container, variables: Mapping[str, str]) -> LogPlace | None:
        if not server.is_on(variables.get("log_bin")):
            return None
        text = mysql_clone.place_sql(variables["version"])
        return mysql_clone.parse_place(self.ask(container, text, "ask where its log is"))

    def _clone(self, point: str, container: Container, variables: Mapping[str, str]) -> Saved:
        tools, docker, source = self.tools, self.tools.docker, self.source
        before = self._place(container, variables)
        tools.progress(f"cloning {self.label} within {container.name}")
        try:
            self.ask(container, mysql_clone.CLONE_SQL, "clone it")
            status = mysql_clone.parse_status(self.ask(container, mysql_clone.STATUS_SQL, "ask for the clone"))
            if status is None or status.state != "Completed" or status.error:
                raise SourceError(f"{self.label}: the clone did not come to its end: {status}; run the backup again")
            after = self._place(container, variables)
            command = mysql_clone.besides_command((variables.get("datadir") or server.DATA_DIRECTORY).rstrip("/"))
            outcome = docker.execute(container, command)
            if outcome.status != 0:
                raise SourceError(f"{self.label}: copy what lies beside the tables: {last_line(outcome.stderr)}")
            judge = CloneJudge(self.label)
            stream = docker.copy_out(container, mysql_clone.DIRECTORY)
            part = tools.store(point, source, f"{source.key}.tar", stream, judge)
        finally:
            with suppress(BackupError):
                docker.execute(container, mysql_clone.remove_command())
        facts = {"base": mysql_clone.BASE_CLONE}
        # The copy's own end lies between these two, and a server that is started on it knows it. Which transactions it
        # surely has is what had been executed before; which it may have, what had been after.
        if before is None or after is None:
            return Saved(part, None, True, facts)
        return Saved(part, LogPlace(before.file, before.position, after.gtid), False, facts)

    def _dump(self, point: str, container: Container, variables: Mapping[str, str], reason: str, locked: bool) -> Saved:
        tools, source = self.tools, self.source
        tools.progress(f"dumping {self.label} from {container.name}")
        logs = server.is_on(variables.get("log_bin"))
        command = mysql_clone.dump_command(source.user, source.password_variable, variables["version"], logs, locked)
        stream = tools.docker.stream(container, command, tools.settings.stack)
        judge = DumpJudge(self.label, logs)
        part = tools.store(point, source, f"{source.key}.sql", stream, judge)
        return Saved(part, judge.place, True, {"base": mysql_clone.BASE_DUMP, "why_dump": reason})

    # Restoring.

    def arguments(self, record: Mapping[str, Any]) -> list[str]:
        return mysql_replay.isolated_arguments(record["settings"], str(record["data_directory"]))

    def unpack(self, record: Mapping[str, Any], point: Point, workspace: Workspace, helper: RestoreServer) -> None:
        if record["base"] == mysql_clone.BASE_DUMP:
            self.load(record, record, point, workspace, helper)
            return
        unpacker = Unpacker(workspace.data, *self.tools.host.owner(workspace.data))
        try:
            self.tools.fetch(point, record, self.label, sink=unpacker.feed)
            unpacker.finish()
        except TarError as error:
            raise BackupError(f"point {point.name}: {self.label}: {error}; choose another point") from error
        finally:
            unpacker.close()

    def dump_command(self, variables: Mapping[str, str]) -> list[str]:
        source = self.source
        return mysql_clone.dump_command(source.user, source.password_variable, variables["version"], logs=False)

    def initialize_arguments(self, record: Mapping[str, Any]) -> list[str]:
        return mysql_replay.initialize_arguments(record["settings"], str(record["data_directory"]))

    def upgrade(self, record: Mapping[str, Any], helper: RestoreServer) -> None:
        helper.start([*self.arguments(record), "--upgrade=FORCE"])

    def replay(self, record: Mapping[str, Any], workspace: Workspace, helper: RestoreServer) -> tuple[LogPlace, Replay]:
        host = self.tools.host
        place = LogPlace(str(record["binlog_file"]), int(record["binlog_position"]), str(record["gtid"]))
        found = self.planned(workspace, place)
        arguments = self.arguments(record)
        if found.files:
            if mysql_replay.is_old(str(record["server"])):
                raise ValueError(f"MySQL {record['server']} is too old for it; choose a point")
            index = f"{workspace.log}/{mysql_replay.INDEX}"
            host.write(index, mysql_replay.index_text(found.files), 0o600, *host.owner(workspace.data))
            relay = found.files[0].name.rpartition(".")[0]
            arguments = mysql_replay.isolated_arguments(record["settings"], str(record["data_directory"]), relay)
        helper.start(arguments)
        if record["base"] == mysql_clone.BASE_CLONE:
            status = mysql_clone.parse_status(helper.sql(mysql_clone.STATUS_SQL, "ask where the clone ends"))
            if status is None or status.state != "Completed" or status.error:
                raise BackupError(f"{self.label}: the clone could not be recovered: {status}")
            if place.file:
                if status.place is None:
                    raise BackupError(f"{self.label}: the clone does not know where in the log it ends")
                place = status.place
        files = mysql_replay.behind(found.files, place)
        if not files:
            return place, Replay()
        self._apply(workspace, helper, files, place)
        return place, Replay(files, found.last, sum(file.size for file in files) - place.position)

    def _apply(
        self, workspace: Workspace, helper: RestoreServer, files: Sequence[mysql_replay.LogFile], place: LogPlace
    ) -> None:
        """Have the isolated server's own applier read the files to the last byte of the last one."""
        host, last = self.tools.host, files[-1]
        size = sum(file.size for file in files) - place.position
        self.tools.progress(f"replaying {human_bytes(size)} of the log of {self.label}")
        events = mysql_replay.parse_events(helper.sql(mysql_replay.EVENTS_SQL, "look at its events"))
        # Read now: the server removes its relay logs when it is told to forget its source.
        meant = mysql_replay.event_states(events, event_statements(workspace.log, files, place.position))
        helper.sql(mysql_replay.start_sql(files[0], place.position), "begin the replay")
        said = moved = host.now().timestamp()
        before: tuple[str, int] = ("", 0)
        while True:
            status = mysql_replay.parse_status(helper.sql(mysql_replay.STATUS_SQL, "look at the replay", names=True))
            now = host.now().timestamp()
            if mysql_replay.at_end(status, last) and status.idle:
                break
            if (status.file, status.position) != before:
                before, moved = (status.file, status.position), now
            reason = mysql_replay.stuck(status, last)
            if reason and (not status.running or now - moved >= PATIENCE_SECONDS):
                worker = helper.sql(mysql_replay.WORKERS_SQL, "ask why the replay stopped")
                raise BackupError(f"{self.label}: the replay stopped: {self._reason(status, reason, worker)}")
            if now - said >= SAY_SECONDS:
                said = now
                self.tools.progress(f"replaying the log of {self.label}: at {status.file}:{status.position}")
            host.sleep(0.2)
        helper.sql(mysql_replay.STOP_SQL, "end the replay")
        self._mend_events(helper, meant)

    @staticmethod
    def _reason(status: mysql_replay.Status, reason: str, worker: str) -> str:
        return reason if status.running else mysql_replay.explain(status, worker)

    def _mend_events(self, helper: RestoreServer, meant: Mapping[tuple[str, str], str]) -> None:
        """Events that were made or changed in the log are switched off by who applies it."""
        found = mysql_replay.parse_events(helper.sql(mysql_replay.EVENTS_SQL, "look at its events"))
        text, unknown = mysql_replay.mend_events(found, meant)
        if text:
            helper.sql(text, "switch its events on again")
        for name in unknown:
            self.tools.progress(f"{self.label}: event {name} is off; whether it was on, the log does not say")

    def finish(self, record: Mapping[str, Any], workspace: Workspace, helper: RestoreServer) -> Finished:
        events = mysql_replay.parse_events(helper.sql(mysql_replay.EVENTS_SQL, "look at its events"))
        off = [".".join(key) for key, state in events.items() if state in mysql_replay.OFF_BY_REPLAY]
        said = f"{self.label}: off are the events {', '.join(off)}; switch on those that are wanted"
        identity = server.rows(helper.sql("SELECT @@GLOBAL.server_uuid;\n", "ask who it is"))[0][0]
        return Finished({"server_uuid": identity, "base": record["base"]}, {}, (said,) if off else ())

    def tidy(self, record: Mapping[str, Any], workspace: Workspace, finished: Finished) -> None:
        self.tools.host.remove_tree(f"{workspace.data}/#clone")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""A server of MySQL or MariaDB in the small world: its data is one file of rows, its binary log is real, and what its
tools and an isolated server would do with both is played."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import (
    mariadb,
    mysql_clone,
    mysql_replay,
    mysql_server,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import KIND_TIME, KIND_TRANSACTION, Target
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.binlogs import BEGIN, SERVER, Row, write
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.test_mariadb_backup import (
    CHECKPOINTS,
    chunk,
    end,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeDocker, FakeStream, World

INSIDE = "/var/lib/mysql"
NAME = "fleet-database-1"
PASSWORD = "geheim"
ROWS_FILE = "rows.json"
# As many transactions go into a file of the log.
ROWS_A_FILE = 3


class Database:
    """The live server: rows, and the transactions that made them."""

    def __init__(self, world: World, kind: str) -> None:
        self.world = world
        world.database = self
        self.kind = kind
        self.dump = ""
        self.data = world.root / "volumes/fleet_mysql/_data"
        self.logs = world.root / "binlogs"
        self.logs.mkdir()
        self.log: list[Row] = []
        self.isolated: dict[str, _Server] = {}
        self.variables = {
            "version": "11.8.6-MariaDB-log" if self.mariadb else "8.4.3",
            "datadir": f"{INSIDE}/",
            "log_bin": "ON",
            "log_bin_basename": f"{INSIDE}/binlog",
            "lower_case_table_names": "0",
            "sync_binlog": "1",
            **({} if self.mariadb else {"server_uuid": SERVER, "gtid_mode": "ON"}),
        }
        self.engines = {"orders": "InnoDB"}
        self.users = {"root": PASSWORD, "healthcheck": "x"} if self.mariadb else {"root": PASSWORD}
        self.facts: dict[str, Any] = {"plugin": "ACTIVE", "room": 10 << 30, "encrypted": "0"}
        self.write(self.data, [], self.users)
        for _number in range(4):
            self.add()

    @property
    def mariadb(self) -> bool:
        return self.kind == "mariadb"

    def write(self, data: Path, rows: Sequence[int], users: Mapping[str, str]) -> None:
        content = {"rows": list(rows), "users": dict(users), "uuid": SERVER}
        (data / ROWS_FILE).write_text(json.dumps(content), encoding="utf-8")

    @staticmethod
    def read(data: Path) -> dict[str, Any]:
        return dict(json.loads((data / ROWS_FILE).read_text(encoding="utf-8")))

    def empty(self) -> None:
        """The rows go, and nothing says why."""
        self.write(self.data, [], self.read(self.data)["users"])

    def drop(self) -> None:
        """The whole database goes."""
        self.empty()
        self.engines, self.facts["databases"] = {}, ""

    @property
    def rows(self) -> list[int]:
        return list(self.read(self.data)["rows"])

    def add(self) -> Row:
        """A transaction."""
        row = Row(len(self.log) + 1, f"insert {len(self.log) + 1}", BEGIN + 60 * len(self.log))
        self.log.append(row)
        self.write(self.data, [*self.rows, row.number], self.read(self.data)["users"])
        self._write_log()
        return row

    def _write_log(self) -> None:
        groups = [self.log[start : start + ROWS_A_FILE] for start in range(0, len(self.log), ROWS_A_FILE)]
        self.places: dict[int, tuple[str, int, int]] = {}
        for index, group in enumerate(groups):
            name = f"binlog.{index + 1:06d}"
            follower = f"binlog.{index + 2:06d}" if index + 1 < len(groups) else ""
            found = write(self.logs, name, group, self.mariadb, follower)
            for row, (begin, ending) in zip(group, found):
                self.places[row.number] = (name, begin, ending)

    def lose(self) -> Row:
        """Somebody deletes everything, and that is written to the log like all else."""
        row = Row(len(self.log) + 1, "DELETE FROM orders", BEGIN + 60 * len(self.log))
        self.log.append(row)
        self.write(self.data, [], self.read(self.data)["users"])
        self._write_log()
        return row

    def gtid(self, row: Row) -> str:
        return row.mariadb_gtid if self.mariadb else row.mysql_gtid

    @property
    def executed(self) -> str:
        last = len(self.log)
        return f"0-1-{last}" if self.mariadb else f"{SERVER}:1-{last}"

    @property
    def place(self) -> tuple[str, int]:
        name, _begin, ending = self.places[len(self.log)]
        return name, ending

    @property
    def source(self) -> Source:
        return Source(self.kind, "database", "root", "MYSQL_ROOT_PASSWORD", dump=self.dump)

    def tools(self, log: bool = True) -> Tools:
        """The world's, with the server in it."""
        world = self.world
        sources = (self.source, *(item for item in world.settings.sources if item.kind == "volume"))
        return replace(
            world.bare,
            settings=replace(world.bare.settings, sources=sources),
            docker=ServerDocker(world, self),  # type: ignore[arg-type]
            log=FakeLog(self) if log else None,
        )


class FakeLog:
    """A log that has everything that the server wrote."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lineage(self, source: Source) -> str:
        return "f00d"

    def prune(self, source: Source, records: Sequence[Mapping[str, Any]]) -> int:
        return 0

    def coverage(self, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        database, faults = self._database, self._database.world.faults
        if "no log" in faults:
            return None
        name, ending = database.place
        moment = faults.get("log ends", datetime.fromtimestamp(database.log[-1].seconds, timezone.utc))
        return Coverage(f"{record['binlog_file']}:{record['binlog_position']}", f"{name}:{ending}", moment, 1000)

    def fetch(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
    ) -> Coverage | None:
        database = self._database
        database.world.happens("fetch the log")
        for path in sorted(database.logs.iterdir()):
            if path.name < record["binlog_file"] or path.name in database.world.faults.get("missing files", ()):
                continue
            data = path.read_bytes()
            offset = None
            with path.open("rb") as stream:
                if target.kind == KIND_TRANSACTION:
                    cut = binlog.cut(stream, path.name, gtid=target.transaction, inclusive=target.inclusive)
                    offset = cut.offset if cut.matched else None
                if target.kind == KIND_TIME and target.time is not None:
                    cut = binlog.cut(stream, path.name, time=target.time.timestamp())
                    offset = cut.offset if cut.matched else None
            Path(directory, path.name).write_bytes(data[:offset])
            if offset is not None:
                break
        return self.coverage(source, record, target)


class _Server:
    """An isolated container: the server, or a tool that runs to its end."""

    def __init__(self, wish: Isolated, database: Database) -> None:
        self.wish = wish
        self.database = database
        self.running = True
        self.stack = False
        self.status = 0
        self.lines: list[str] = []
        self.mounts = {inside: Path(outside) for outside, inside, _writable in wish.mounts}
        self.data = self.mounts.get(INSIDE) or self.mounts["/slipway/data"]
        self.applied: tuple[str, int] | None = None
        self.events: list[str] = []
        faults = database.world.faults
        words = " ".join(wish.arguments)
        if "--prepare" in words:
            self.running, self.lines = False, ["[00] completed OK!"]
            if "prepare" in faults:
                self.status, self.lines = 1, ["[00] FATAL ERROR: redo log is damaged"]
        elif "--initialize-insecure" in words or "mariadb-install-db" in words:
            self.running = False
            database.write(self.data, [], {})
        elif "isolated" in faults:
            self.running, self.lines = False, ["InnoDB: x", "2026 0 [ERROR] InnoDB: Corruption", "2026 0 [Note] Bye"]
        elif wish.entrypoint == "docker-entrypoint.sh":
            # Started as the stack does, and answers as the live server would.
            self.stack = True
        elif "/slipway/run" not in self.mounts or "IDENTIFIED BY" not in self._init_file():
            self.running, self.lines = False, ["[ERROR] no file to begin with"]

    def _init_file(self) -> str:
        return (self.mounts["/slipway/run"] / "init.sql").read_text(encoding="utf-8")

    @property
    def container(self) -> Container:
        return Container(
            self.wish.name,
            self.wish.name,
            "",
            self.wish.image,
            self.wish.image,
            self.running,
            labels=dict(self.wish.labels),
            ended=not self.running,
            exit_status=self.status,
        )

    @property
    def content(self) -> dict[str, Any]:
        return Database.read(self.data)

    def replay(self, first: str, position: int, names: Sequence[str]) -> None:
        """Apply what the files hold behind a position of the first one."""
        rows = list(self.content["rows"])
        for name in names:
            with (self.mounts["/slipway/log"] / name).open("rb") as stream:
                for transaction in binlog.transactions(stream, name):
                    if name == first and transaction.start < position:
                        continue
                    statement = transaction.statement
                    number = re.fullmatch(r"insert (\d+)", statement)
                    if number:
                        if int(number[1]) in rows:
                            raise ValueError(f"ERROR 1062 (23000) at line 7: Duplicate entry '{number[1]}'")
                        rows.append(int(number[1]))
                    elif statement.startswith("DELETE"):
                        rows = []
                    elif "EVENT" in statement:
                        self.events.append(statement.split()[2])
        self.database.write(self.data, rows, self.content["users"])


class ServerDocker(FakeDocker):
    """The world's containers, with this server's."""

    def __init__(self, world: World, database: Database) -> None:
        super().__init__(world)
        self._database = database

    def containers(self, stack: str) -> list[Container]:
        command = ("docker-entrypoint.sh", "mariadbd" if self._database.mariadb else "mysqld")
        return [
            replace(
                container,
                environment={"MYSQL_ROOT_PASSWORD": PASSWORD},
                command=(*command, *self._database.facts.get("options", ())),
                health="",
            )
            if container.service == "database"
            else container
            for container in super().containers(stack)
        ]

    def isolated(self, labels: Mapping[str, str]) -> list[Container]:
        servers = [server.container for server in self._database.isolated.values()]
        return [item for item in servers if labels.items() <= item.labels.items()]

    def start_isolated(self, wish: Isolated) -> Container:
        if wish.name in self._database.isolated:
            raise BackupError(f"docker run {wish.name}: the name is in use")
        self._database.isolated[wish.name] = server = _Server(wish, self._database)
        self._world.happens("start isolated")
        return server.container

    def state(self, container: Container) -> Container | None:
        server = self._database.isolated.get(container.name)
        return server.container if server else None

    def logs(self, container: Container) -> list[str]:
        server = self._database.isolated.get(container.name)
        return server.lines if server else ["2026 0 [ERROR] Aborting"]

    def remove(self, containers: Sequence[Container]) -> None:
        for container in containers:
            del self._database.isolated[container.name]

    def stop(self, containers: Sequence[Container]) -> None:
        for container in containers:
            server = self._database.isolated.get(container.name)
            if server is None:
                super().stop([container])
            else:
                server.running = False
                server.status = 1 if "unclean" in self._world.faults else 0
                self._world.happens("stop isolated")

    def ask_image(self, image: str, script: str) -> Outcome:
        if "--version" in script:
            version = self._world.faults.get("image version", self._database.variables["version"])
            return Outcome(0, f"mysqld  Ver {version} for Linux\n", "")
        return Outcome(0, f"{os.getuid()}\n{os.getgid()}\n", "")

    def image_id(self, image: str) -> str:
        return image

    def image_digest(self, image: str) -> str:
        return ""

    # What the live server's tools write.

    def stream(self, container: Container, command: Sequence[str], owner: str) -> Stream:
        database, faults = self._database, self._world.faults
        content = (database.data / ROWS_FILE).read_bytes()
        name, position = database.place
        if database.mariadb and "--all-databases" not in command:
            data = chunk("ib_logfile0", b"log") + end("ib_logfile0") + chunk("ibdata1", b"x") + end("ibdata1")
            data += chunk(ROWS_FILE, content) + end(ROWS_FILE)
            if "log_bin" in database.variables and database.variables["log_bin"] == "ON":
                info = f"{name}\t{position}\t{database.executed}\n".encode()
                data += chunk("mariadb_backup_binlog_info", info) + end("mariadb_backup_binlog_info")
            data += chunk("mariadb_backup_checkpoints", CHECKPOINTS) + end("mariadb_backup_checkpoints")
            last = (
                b"server_version = 11.8.6-MariaDB-log\nend_time = 2026-01-01 03:00:00\nincremental = N\npartial = N\n"
            )
            data += chunk("mariadb_backup_info", last) + end("mariadb_backup_info")
            said = "[00] 2026-01-01 03:00:00 completed OK!\n"
        else:
            data = f"-- MySQL dump\n-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='{name}',".encode()
            data += f" SOURCE_LOG_POS={position};\nINSERT INTO `rows` VALUES ('".encode() + content.hex().encode()
            data += b"');\n-- Dump completed\n"
            said = ""
        fault = faults.get("backup")
        self._world.happens("took a backup")
        if fault == "dies":
            return FakeStream(data[: len(data) // 2], Outcome(137, "", "Killed\n"))
        if fault == "is cut off":
            return FakeStream(data[: len(data) // 2], Outcome(0, "", said))
        if fault == "is empty":
            return FakeStream(b"", Outcome(0, "", said))
        if fault == "says nothing":
            return FakeStream(data, Outcome(0, "", ""))
        return FakeStream(data, Outcome(0, "", said))

    def archive(self) -> bytes:
        """What `docker cp` writes of a clone."""
        buffer = io.BytesIO()
        files = {"ibdata1": b"x", "mysql.ibd": b"x", "#clone/#view_status": b"1"}
        files[ROWS_FILE] = (self._database.data / ROWS_FILE).read_bytes()
        files["#slipway/mysqld-auto.cnf"] = b"{}"
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for name in ("", "#clone", "#slipway"):
                entry = tarfile.TarInfo(f"slipway-clone/{name}")
                entry.type, entry.mode = tarfile.DIRTYPE, 0o750
                tar.addfile(entry)
            for name, data in files.items():
                entry = tarfile.TarInfo(f"slipway-clone/{name}")
                entry.size, entry.mode = len(data), 0o640
                tar.addfile(entry, io.BytesIO(data))
        return buffer.getvalue()

    def copy_out(self, container: Container, path: str) -> Stream:
        data = self.archive()
        if self._world.faults.get("backup") == "is cut off":
            return FakeStream(data[: len(data) // 2])
        return FakeStream(data)

    # What the servers answer.

    def execute(self, container: Container, command: Sequence[str], text: str = "") -> Outcome:
        server = self._database.isolated.get(container.name)
        if server is None and not self._world.running[NAME]:
            return Outcome(1, "", "ERROR 2002 (HY000): Can't connect to local server\n")
        try:
            alone = server is not None and not server.stack
            return self._inside(server, command, text) if server and alone else self._live(command, text)
        except ValueError as error:
            return Outcome(1, "", f"--------------\n{error}\n")

    def _live(self, command: Sequence[str], text: str) -> Outcome:
        database, facts = self._database, self._database.facts
        if command[0] == "rm":
            self._world.happens("remove the clone")
            return Outcome(0, "", "")
        if command[0] == "sh" and "df -Pk" in command[2]:
            return Outcome(0, f"overlay 1 1 {facts['room'] // 1024} 1% /\n", "")
        if command[0] == "sh" and "#slipway" in command[2]:
            return Outcome(0, "", "")
        if text == mysql_clone.PLUGIN_SQL:
            return Outcome(0, f"{facts['plugin']}\n" if facts["plugin"] else "", "")
        if text == mysql_clone.INSTALL_SQL:
            if "no plugin" in facts:
                return Outcome(1, "", "ERROR 1126 (HY000) at line 1: Can't open shared library 'mysql_clone.so'\n")
            facts["plugin"] = "ACTIVE"
            return Outcome(0, "", "")
        if text in (mysql_clone.ENCRYPTED_SQL, mariadb.ENCRYPTED_SQL):
            return Outcome(0, f"{facts['encrypted']}\n", "")
        if text == mysql_clone.CLONE_SQL:
            self._world.happens("clone")
            return Outcome(0, "", "")
        if text == mysql_clone.STATUS_SQL:
            return Outcome(0, facts.get("clone status", "Completed\t0\t\t0\t\n"), "")
        if text == mysql_server.NEW_FILE_SQL:
            facts["new files"] = facts.get("new files", 0) + 1
            return Outcome(0, "", "")
        if text in mysql_clone.PLACE_SQL.values():
            name, position = database.place
            return Outcome(0, f"{name}\t{position}\t\t\t{database.executed}\n", "")
        return self._common(database.read(database.data), text)

    def _common(self, content: dict[str, Any], text: str) -> Outcome:
        database = self._database
        if text.startswith("SHOW GLOBAL VARIABLES"):
            variables = {**database.variables, **({"server_uuid": content["uuid"]} if not database.mariadb else {})}
            return Outcome(0, "".join(f"{name}\t{value}\n" for name, value in variables.items()), "")
        if "FROM information_schema.schemata" in text:
            return Outcome(0, database.facts.get("databases", "shop\n"), "")
        if "FROM information_schema.tables" in text:
            return Outcome(
                0, "".join(f"shop\t{name}\t{kind}\t0\t16384\n" for name, kind in database.engines.items()), ""
            )
        if "COUNT(*)" in text:
            return Outcome(
                0, "".join(f"{index}\t{len(content['rows'])}\n" for index in range(len(database.engines))), ""
            )
        if text.startswith("SELECT host FROM mysql.user"):
            user = text.split("'")[1]
            return Outcome(0, "%\nlocalhost\n" if user in content["users"] else "", "")
        return Outcome(0, "1\n", "")

    def _inside(self, server: _Server, command: Sequence[str], text: str) -> Outcome:
        faults, content = self._world.faults, server.content
        if not server.running:
            return Outcome(1, "", "ERROR 2002 (HY000): Can't connect to local server\n")
        if command[0] == "mariadb-upgrade":
            self._world.happens("upgrade")
            return Outcome(0, "", "")
        if command[0] == "bash":
            if "applier" in faults:
                raise ValueError("ERROR 1062 (23000) at line 7: Duplicate entry '3' for key 'PRIMARY'")
            names = [Path(word).name for word in command if word.startswith("/slipway/log/")]
            server.replay(names[0], int(command[command.index("slipway") + 1]), names)
            return Outcome(0, "", "")
        if "IFS= read" in command[2]:
            user = next(word for word in command if word.startswith("--user=")).partition("=")[2]
            right = content["users"].get(user) == text.rstrip("\n")
            return Outcome(0, "1\n", "") if right else Outcome(1, "", "ERROR 1045 (28000): Access denied\n")
        if text == mysql_clone.STATUS_SQL:
            name, position = self._database.facts.get("clone ends", ("", 0))
            return Outcome(0, f"Completed\t0\t./{name}\t{position}\t{self._database.executed}\n", "")
        if text.startswith("CHANGE REPLICATION SOURCE"):
            found = re.search(r"RELAY_LOG_FILE='([^']+)', RELAY_LOG_POS=(\d+)", text)
            assert found
            index = (server.mounts["/slipway/log"] / mysql_replay.INDEX).read_text(encoding="utf-8")
            names = [Path(line).name for line in index.splitlines()]
            names = names[names.index(found[1]) :]
            server.replay(found[1], int(found[2]), names)
            size = (server.mounts["/slipway/log"] / names[-1]).stat().st_size
            server.applied = (names[-1], size - int(faults.get("applier stops short", 0)))
            return Outcome(0, "", "")
        if text == mysql_replay.STATUS_SQL:
            return Outcome(0, self._applier(server), "")
        if text == mysql_replay.WORKERS_SQL:
            return Outcome(0, "1062\tDuplicate entry '3' for key 'PRIMARY'\n" if "applier" in faults else "", "")
        if text == mysql_replay.EVENTS_SQL:
            return Outcome(0, "".join(f"shop\t{name}\tREPLICA_SIDE_DISABLED\n" for name in server.events), "")
        for user, password in re.findall(r"ALTER USER '([^']+)'@'[^']+' IDENTIFIED BY '([^']+)'", text):
            content["users"][user] = password
            self._database.write(server.data, content["rows"], content["users"])
        if text.startswith("ALTER EVENT"):
            self._world.said.append(text.strip())
            server.events = []
        if text.startswith("CHECK TABLE"):
            return Outcome(0, f"shop.orders\tcheck\tstatus\t{faults.get('check', 'OK')}\n", "")
        if text.startswith("SELECT @@GLOBAL.server_uuid"):
            return Outcome(0, f"{content['uuid']}\n", "")
        return self._common(content, text)

    def _applier(self, server: _Server) -> str:
        names = ["Relay_Log_File", "Relay_Log_Pos", "Replica_SQL_Running", "Last_SQL_Errno", "Last_SQL_Error"]
        failed = "applier" in self._world.faults
        file, position = server.applied or ("", 0)
        values = [
            file,
            str(position),
            "No" if failed else "Yes",
            "1062" if failed else "0",
            "see workers" if failed else "",
        ]
        state = "" if failed else "Replica has read all relay log; waiting for more updates"
        return "\t".join([*names, "Replica_SQL_Running_State"]) + "\n" + "\t".join([*values, state]) + "\n"

    def execute_from(self, container: Container, command: Sequence[str], path: str) -> Outcome:
        server = self._database.isolated[container.name]
        found = re.search(r"VALUES \('([0-9a-f]+)'\)", Path(path).read_text(encoding="utf-8"))
        assert found
        (server.data / ROWS_FILE).write_bytes(bytes.fromhex(found[1]))
        return Outcome(0, "", "")

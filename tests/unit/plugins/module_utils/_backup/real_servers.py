# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Servers of MySQL and MariaDB for real: in a container of the lab's stand-in, with a repository, a follower of its
binary log, and writers whose rows are numbered, so that what was restored can be compared with what was committed.

    with RealServer("mariadb", directory) as server:
        server.save()
        with server.writing() as written:
            ...
        dropped = server.drop()
        assert server.rows_at(server.before(dropped)) == written.numbers
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql, mysql_server
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Place,
    Point,
    RepositorySettings,
    Settings,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Source as BackupSource
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_beside import MysqlFamilyAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_DRILL,
    Prepared,
    Tools,
    adapter_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_TIME,
    KIND_TRANSACTION,
    Target,
    parse_target,
)
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import Collected, collect_binlogs
from ansible_collections.slipway.ops.plugins.module_utils._log.binlogs import BinaryLog
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Engine
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, parse_piece
from ansible_collections.slipway.ops.plugins.module_utils._log.rclone import LogRepository
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace, LogSettings, LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools, WaitingError

NAMES = ("mariadb", "mysql")
PASSWORD = "a 'quoted' $ecret\\w"
SERVICE = "database"
IMAGES = {
    "mariadb": "slipway-lab/standin-mariadb:11.8",
    "mysql": "slipway-lab/standin-mysql:8.4",
    "redis": "slipway-lab/standin-redis:7.4-alpine",
}
PASSWORD_VARIABLES = {"mariadb": "MARIADB_ROOT_PASSWORD", "mysql": "MYSQL_ROOT_PASSWORD"}
LOGGED = {
    # Small files, so that a story of a minute has several.
    "mariadb": ("--log-bin=binlog", "--server-id=1", "--sync-binlog=1", "--max-binlog-size=65536"),
    "mysql": ("--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--max-binlog-size=65536"),
}
START_SECONDS = 120
WRITER = "11111111-2222-3333-4444-555555555555"


def docker(*words: str, check: bool = True, text: str | None = None) -> str:
    """Docker's client; what it printed."""
    done = subprocess.run(["docker", *words], input=text, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def unavailable(kind: str) -> str:
    """Why such a server cannot be had on this machine; empty when it can."""
    if os.getuid() != 0:
        return "needs root"
    for tool in ("restic", "docker"):
        if shutil.which(tool) is None:
            return f"needs {tool}"
    image = subprocess.run(["docker", "image", "inspect", IMAGES[kind]], capture_output=True, check=False)
    return "" if image.returncode == 0 else f"needs the lab's image {IMAGES[kind]}"


class LocalObjects:
    """Where the follower's objects go: a directory in the place of a repository, without rclone and encryption."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def take(self, base: str, piece: Piece) -> None:
        target = self._root / piece.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(f"{base}/{piece.path}", target)

    def pieces(self, prefix: str) -> list[Piece]:
        found = []
        for path in sorted((self._root / prefix).rglob("*.gz")):
            piece = parse_piece(str(path.relative_to(self._root)), path.stat().st_size)
            if piece is not None:
                found.append(piece)
        return found

    def fetch(self, pieces: Sequence[Piece], directory: str) -> None:
        for piece in pieces:
            target = Path(directory, piece.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._root / piece.path, target)


class FollowedLog:
    """The binary log as the package _log cuts it while it is written, and puts it together again."""

    def __init__(self, server: RealServer, objects: Path) -> None:
        place = LogPlace(server.place)
        source = LogSource(server.kind, SERVICE, "root", PASSWORD_VARIABLES[server.kind])
        repository = LogRepository(
            "main", str(objects), server.place.repository("main").password, server.place.repository("main").environment
        )
        settings = LogSettings(server.stack, (source,), (repository,), interval_seconds=0.2)
        self.said: list[str] = []
        self._tools = LogTools(settings, place, Engine(), say=self.said.append)
        self._log = BinaryLog(source, self._tools)
        self._objects = LocalObjects(objects)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._log.stop()

    def _follow(self) -> None:
        while not self._ending.wait(0.2):
            # As the follower does: what is wrong now is tried again.
            with contextlib.suppress(BackupError):
                self.tick()

    def tick(self) -> None:
        """Cut what there is and bring it into the repository."""
        with self._lock:
            try:
                self._log.tick()
            finally:
                while self._log.work():
                    pass
                for item in self._log.outbox.waiting("main"):
                    self._objects.take(self._log.outbox.directory("main"), item.piece)
                    self._log.outbox.remove("main", [item.piece])

    # What a restore asks.

    def lineage(self, source: BackupSource) -> str:
        self.tick()
        assert self._log.tail is not None
        return self._log.tail.lineage.name

    def prune(self, source: BackupSource, records: Sequence[Mapping[str, Any]]) -> int:
        """All of it stays."""
        return 0

    def _collect(self, record: Mapping[str, Any], directory: str) -> Collected:
        lineage = Lineage.named(self._tools.settings.stack, SERVICE, str(record["lineage"]))
        return collect_binlogs(self._objects, self._objects.pieces(lineage.path), directory, str(record["binlog_file"]))

    def transactions(self, record: Mapping[str, Any]) -> list[binlog.Transaction]:
        """All that is in the log from the file on in which a point's data ends."""
        self.tick()
        with tempfile.TemporaryDirectory() as directory:
            found = []
            for name in self._collect(record, directory).names:
                with open(f"{directory}/{name}", "rb") as stream:
                    found += list(binlog.transactions(stream, name))
            return found

    def coverage(self, source: BackupSource, record: Mapping[str, Any], target: Target) -> Coverage | None:
        with contextlib.suppress(WaitingError):
            self.tick()
        moment = datetime.fromtimestamp(self._log.seen, timezone.utc)
        start = f"{record['binlog_file']}:{record['binlog_position']}"
        return Coverage(start, self._log.position(), moment, 1)

    def fetch(
        self,
        source: BackupSource,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
    ) -> Coverage | None:
        found = self.coverage(source, record, target)
        names = list(self._collect(record, directory).names)
        shutil.rmtree(f"{directory}/.objects", ignore_errors=True)
        wanted: dict[str, Any] = {}
        if target.kind == KIND_TRANSACTION:
            wanted = {"gtid": target.transaction, "inclusive": target.inclusive}
        elif target.kind == KIND_TIME and target.time is not None:
            wanted = {"time": target.time.timestamp()}
        while wanted and names:
            name = names.pop(0)
            with open(f"{directory}/{name}", "rb") as stream:
                cut = binlog.cut(stream, name, **wanted)
            if cut.matched:
                os.truncate(f"{directory}/{name}", cut.offset)
                for later in names:
                    os.unlink(f"{directory}/{later}")
                return found
        if target.kind == KIND_TRANSACTION:
            raise BackupError(f"transaction {target.transaction} is not in the log")
        return found


@dataclass
class Written:
    """What a writer committed, in its order: the number, its transaction, and when the client began and had it."""

    rows: list[tuple[int, str, float, float]] = field(default_factory=list)

    @property
    def numbers(self) -> list[int]:
        return [number for number, _gtid, _begun, _done in self.rows]

    def gtid(self, number: int) -> str:
        return next(gtid for found, gtid, _begun, _done in self.rows if found == number)


class Client:
    """One session of the server's own client."""

    def __init__(self, server: RealServer) -> None:
        self._process = subprocess.Popen(
            ["docker", "exec", "-i", server.name, *server.client("shop"), "--unbuffered"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, text: str) -> str:
        """Run statements whose last one gives one row."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().rstrip("\n")

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


class RealStack:
    """A stack with one service, a container of an image on a volume, and a repository."""

    def __init__(self, kind: str, root: Path, stack: str, data: str, say: Callable[[str], None]) -> None:
        self.kind = kind
        self.root = root
        self.stack = f"{stack}{kind}"
        self.name = f"{self.stack}-{SERVICE}-1"
        self.volume = f"{self.stack}_data"
        self.place = Place(
            self.stack,
            configuration_root=str(root / "etc"),
            state_root=str(root / "state"),
            stacks_root=str(root / "stacks"),
            cache=str(root / "cache"),
            metrics=str(root / "metrics"),
        )
        self.data = data
        self.say = say
        self.settings = Settings(self.stack, (self.source,), (RepositorySettings("main", str(root / "repository")),))
        self.repository = Repository(self.stack, self.settings.primary, self.place)

    @property
    def source(self) -> BackupSource:
        return BackupSource(self.kind, SERVICE)

    def prepare_host(self) -> None:
        """What the role writes, and the repository."""
        files = self.place.repository("main")
        Path(files.directory).mkdir(parents=True)
        Path(files.password).write_text("secret\n", encoding="utf-8")
        found = os.path.dirname(shutil.which("restic") or "")
        Path(files.environment).write_text(f"PATH={found}:/usr/bin:/bin\n", encoding="utf-8")
        self.repository.initialise()

    @property
    def live(self) -> str:
        """The data directory on the host."""
        return docker("volume", "inspect", "--format", "{{.Mountpoint}}", self.volume)

    def run_container(self, *words: str) -> None:
        """Make the container, on the volume as it is."""
        docker(
            *("run", "-d", "--name", self.name, "--cpus", "1", "-v", f"{self.volume}:{self.data}"),
            *("--label", f"com.docker.compose.project={self.stack}"),
            *("--label", f"com.docker.compose.service={SERVICE}", "--label", "com.docker.compose.oneoff=False"),
            *words,
        )

    def remove(self) -> None:
        """Everything that bears the stack's name."""
        for label in (f"slipway.stack={self.stack}", f"com.docker.compose.project={self.stack}"):
            for name in docker("ps", "-aq", "--filter", f"label={label}").split():
                docker("rm", "-f", "-v", name, check=False)
        docker("volume", "rm", self.volume, check=False)

    def isolated(self) -> str:
        """The containers beside the live one that are there."""
        return docker("ps", "-aq", "--filter", f"label=slipway.stack={self.stack}")

    def tools(self, **changes: Any) -> Tools:
        return replace(Tools(self.settings, self.place, Docker(), Host(), self.repository, self.say), **changes)

    def save(self) -> dict[str, Any]:
        """Make a recovery point; returns its summary."""
        return make_point(self.tools(), "manual")

    def newest(self) -> tuple[dict[str, Any], Point]:
        """The newest point, and what it says of the server."""
        point = self.repository.points()[-1]
        text = self.repository.fetch_text(point.snapshot, f"{self.place.spool}/manifest.json")
        return json.loads(text)["sources"][0], point


class RealServer(RealStack):
    """A running server with the database `shop`, a repository, and a follower of its log."""

    def __init__(
        self,
        kind: str,
        root: Path,
        stack: str = "slipwaymy",
        options: Sequence[str] | None = None,
        say: Callable[[str], None] = print,
        follow: bool = True,
        image: str = "",
        dump: str = "",
    ) -> None:
        self.image = image or IMAGES[kind]
        self._dump = dump
        super().__init__(kind, root, stack, mysql_server.DATA_DIRECTORY, say)
        self._follow = follow
        self.options = LOGGED[kind] if options is None else tuple(options)
        self.log: FollowedLog | None = None
        self._looks = 0

    @property
    def source(self) -> BackupSource:
        variable = PASSWORD_VARIABLES[self.kind]
        return BackupSource(self.kind, SERVICE, user="root", password_variable=variable, dump=self._dump)

    def __enter__(self) -> RealServer:
        self.remove()
        self.prepare_host()
        try:
            self.start()
            self.sql("CREATE TABLE numbers (n INT PRIMARY KEY, note VARCHAR(40))")
            if self._follow and self.logs:
                self.log = FollowedLog(self, self.root / "objects")
                self.log.tick()
                self.log.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_reason: object) -> None:
        if self.log is not None:
            self.log.stop()
        self.remove()

    # The server.

    @property
    def logs(self) -> bool:
        return self.sql("SELECT @@GLOBAL.log_bin", "") == "1"

    def start(self) -> None:
        """Make the container, on the volume as it is."""
        password = f"{PASSWORD_VARIABLES[self.kind]}={PASSWORD}"
        self.run_container("-e", password, "-e", "MYSQL_DATABASE=shop", self.image, *self.options)
        self.wait()

    def replace_image(self, image: str) -> None:
        """Deploy another version, on an empty volume."""
        docker("rm", "-f", "-v", self.name)
        docker("volume", "rm", self.volume)
        self.image = image
        self.start()

    def wait(self) -> None:
        """Until it takes a login over the network: the server of the first start listens on no address."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            command = ["exec", "-i", self.name, *self.client(""), "--protocol=tcp", "--host=127.0.0.1"]
            done = subprocess.run(
                ["docker", *command], input="SELECT 1;\n", capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return
            time.sleep(0.3)
        raise AssertionError(docker("logs", self.name))

    def client(self, database: str = "shop") -> list[str]:
        return mysql.client_command("root", PASSWORD_VARIABLES[self.kind], database)

    def sql(self, text: str, database: str = "shop") -> str:
        """Run statements in the live server."""
        done = subprocess.run(
            ["docker", "exec", "-i", self.name, *self.client(database)],
            input=f"{text};\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def place_sql(self) -> str:
        """The statement that tells the session's last transaction."""
        if self.kind == "mariadb":
            return "SELECT @@last_gtid;"
        return "SELECT @@GLOBAL.gtid_executed;"

    def gtid_of(self, answer: str) -> str:
        """One transaction's GTID in what `place_sql` gives."""
        if self.kind == "mariadb":
            return answer
        source, _colon, ranges = answer.replace("\\n", "").rpartition(",")[2].partition(":")
        return f"{source}:{ranges.rpartition(':')[2].rpartition('-')[2]}"

    # What is done to it.

    def _insert(self, client: Client, number: int, written: Written, crowd: bool) -> None:
        """One row. In a crowd, a client of MySQL can only know its transaction by naming it itself."""
        begun, text = time.time(), f"INSERT INTO numbers VALUES ({number}, REPEAT('x', 20));"
        if crowd and self.kind == "mysql":
            gtid = f"{WRITER}:{number}"
            client.ask(f"SET gtid_next = '{gtid}'; {text} SET gtid_next = 'AUTOMATIC'; SELECT 1;")
        else:
            gtid = self.gtid_of(client.ask(f"{text} {self.place_sql()}"))
        written.rows.append((number, gtid, begun, time.time()))

    def write(self, first: int, count: int, written: Written | None = None, crowd: bool = False) -> Written:
        """Commit numbered rows, each as a transaction of its own; `crowd` when others write meanwhile."""
        found = written or Written()
        client = Client(self)
        try:
            for number in range(first, first + count):
                self._insert(client, number, found, crowd)
        finally:
            client.close()
        return found

    @contextlib.contextmanager
    def writing(self, first: int = 1, pause_seconds: float = 0.0, crowd: bool = False) -> Iterator[Written]:
        """Commit numbered rows all the while."""
        found, ending = Written(), threading.Event()

        def work() -> None:
            client = Client(self)
            number = first
            try:
                while not ending.wait(pause_seconds):
                    self._insert(client, number, found, crowd)
                    number += 1
            finally:
                client.close()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            ending.set()
            thread.join()

    def run(self, text: str) -> str:
        """Run one statement that is written to the log; returns its transaction."""
        client = Client(self)
        try:
            return self.gtid_of(client.ask(f"{text}; {self.place_sql()}"))
        finally:
            client.close()

    def drop(self) -> str:
        """The mishap; returns its transaction."""
        return self.run("DROP TABLE numbers")

    # Points and restores.

    def tools(self, **changes: Any) -> Tools:
        return super().tools(**{"log": self.log, **changes})

    def adapter(self, **changes: Any) -> MysqlFamilyAdapter:
        found = adapter_of({"kind": self.kind, "service": SERVICE}, self.tools(**changes))
        assert isinstance(found, MysqlFamilyAdapter)
        return found

    @staticmethod
    def target(text: str, inclusive: bool = True) -> Target:
        return parse_target(text, datetime.now(timezone.utc), inclusive)

    def before(self, gtid: str) -> Target:
        """Just before a transaction."""
        return self.target(f"gtid:{gtid}", inclusive=False)

    def behind(self, gtid: str) -> Target:
        """A transaction, and nothing after it."""
        return self.target(f"gtid:{gtid}")

    def at(self, seconds: float) -> Target:
        """A moment of Unix time."""
        return self.target(datetime.fromtimestamp(seconds, timezone.utc).isoformat(" "))

    @contextlib.contextmanager
    def look(self, target: Target, thorough: bool = False) -> Iterator[Look]:
        """The server as it was at a target, opened beside the live one."""
        adapter = self.adapter()
        record, point = self.newest()
        self._looks += 1
        workspace = adapter.workspace(f"20260101T{self._looks:06d}Z", PURPOSE_DRILL)
        prepared = adapter.prepare(record, point, target, workspace, thorough)
        try:
            container = adapter.open(record, prepared, workspace)
            yield Look(container.name, prepared)
        finally:
            adapter.discard(workspace)
            assert not Path(workspace.directory).exists()
            assert self.isolated() == ""

    def rows_at(self, target: Target) -> list[int]:
        """The numbered rows at a target."""
        with self.look(target) as found:
            return found.numbers


@dataclass(frozen=True)
class Look:
    """What was restored and opened."""

    container: str
    prepared: Prepared

    def sql(self, text: str) -> str:
        command = mysql_server.isolated_client()
        done = subprocess.run(
            ["docker", "exec", "-i", self.container, *command],
            input=f"{text};\n",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @property
    def numbers(self) -> list[int]:
        return [int(line) for line in self.sql("SELECT n FROM shop.numbers ORDER BY n").splitlines()]

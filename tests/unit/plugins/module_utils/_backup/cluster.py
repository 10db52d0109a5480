# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""A PostgreSQL cluster in the small world: its files are real, and what the server would do with them is played."""

import hashlib
import io
import json
import os
import struct
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql import DUMP_TRAILER, lsn_number, lsn_text
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import KIND_POINT, Target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeDocker, FakeStream, World

SYSTEM = "7710802470090932246"
SEGMENT = 1 << 20
INSIDE = "/var/lib/postgresql/data"
SERVER_NAME = "fleet-postgres-1"
START = 0x3000028


def control(state: int, timeline: int, system: str = SYSTEM) -> bytes:
    """The file global/pg_control."""
    head = struct.pack("<QIIIIqQ", int(system), 1700, 202406281, state, 0, 0, START)
    return (head + struct.pack("<QI", START, timeline)).ljust(8192, b"\0")


def manifest(files: Mapping[str, bytes], timeline: int, start: str, end: str) -> bytes:
    """The file backup_manifest, as the server writes it."""
    entries = ",\n".join(
        json.dumps(
            {
                "Path": name,
                "Size": len(data),
                "Last-Modified": "2026-01-01 02:00:00 GMT",
                "Checksum-Algorithm": "SHA256",
                "Checksum": hashlib.sha256(data).hexdigest(),
            }
        )
        for name, data in files.items()
    )
    text = (
        '{ "PostgreSQL-Backup-Manifest-Version": 2,\n"System-Identifier": '
        + SYSTEM
        + ',\n"Files": [\n'
        + entries
        + '\n],\n"WAL-Ranges": [\n'
        + f'{{ "Timeline": {timeline}, "Start-LSN": "{start}", "End-LSN": "{end}" }}'
        + "\n],\n"
    ).encode()
    return text + f'"Manifest-Checksum": "{hashlib.sha256(text).hexdigest()}"}}\n'.encode()


def label(timeline: int, start: str, origin: str = "primary") -> bytes:
    """The file backup_label."""
    return (
        f"START WAL LOCATION: {start} (file {timeline:08X}0000000000000003)\nCHECKPOINT LOCATION: {start}\n"
        f"BACKUP METHOD: streamed\nBACKUP FROM: {origin}\nSTART TIME: 2026-01-01 02:00:00 UTC\nLABEL: x\n"
        f"START TIMELINE: {timeline}\n"
    ).encode()


def archive(members: Sequence[tuple[str, bytes | None]]) -> bytes:
    """A tar of these files in this order; without content, a directory."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.uid, entry.gid, entry.mode = os.getuid(), os.getgid(), 0o700 if data is None else 0o600
            entry.type = tarfile.DIRTYPE if data is None else tarfile.REGTYPE
            entry.size = len(data or b"")
            tar.addfile(entry, io.BytesIO(data or b""))
    return buffer.getvalue()


def base_backup(rows: Sequence[str], timeline: int, start: int, end: int) -> list[tuple[str, bytes | None]]:
    """What a base backup of a cluster with these rows has in it, in its order."""
    files: dict[str, bytes] = {
        "backup_label": label(timeline, lsn_text(start)),
        "PG_VERSION": b"17\n",
        "base/rows.json": json.dumps(list(rows)).encode(),
        "global/pg_control": control(6, timeline),
    }
    segments = {
        f"pg_wal/{timeline:08X}{number >> 12:08X}{number & 0xFFF:08X}": bytes(SEGMENT)
        for number in range(start // SEGMENT, (end - 1) // SEGMENT + 1)
    }
    directories: list[tuple[str, bytes | None]] = [("base/", None), ("global/", None), ("pg_wal/", None)]
    return [
        *directories,
        ("./pg_wal/archive_status/", None),
        *files.items(),
        *segments.items(),
        ("backup_manifest", manifest(files, timeline, lsn_text(start), lsn_text(end))),
    ]


class Cluster:
    """The live cluster: the rows of one table, and its log."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dump = ""
        self.data = world.root / "volumes/fleet_pg/_data"
        for name in ("base", "global", "pg_wal"):
            (self.data / name).mkdir(parents=True)
        self.data.chmod(0o700)
        self.write_rows(self.data, ["one", "two"])
        (self.data / "PG_VERSION").write_text("17\n", encoding="ascii")
        (self.data / "global/pg_control").write_bytes(control(6, 1))
        # Everything that was ever written to the log: timeline, position, transaction, time, row.
        self.log: list[tuple[int, int, int, datetime, str]] = []
        self.position = START
        self.xid = 100
        self.isolated: dict[str, _Server] = {}
        self.facts: dict[str, Any] = {}
        del world.running["fleet-database-1"]
        world.running[SERVER_NAME] = True
        (world.root / "volumes/fleet_pg").mkdir(exist_ok=True)

    @property
    def rows(self) -> list[str]:
        return self.read_rows(self.data)

    @staticmethod
    def read_rows(data: Path) -> list[str]:
        return list(json.loads((data / "base/rows.json").read_text(encoding="utf-8")))

    @staticmethod
    def write_rows(data: Path, rows: Sequence[str]) -> None:
        (data / "base/rows.json").write_text(json.dumps(list(rows)), encoding="utf-8")

    @property
    def timeline(self) -> int:
        return self.timeline_of(self.data)

    @staticmethod
    def timeline_of(data: Path) -> int:
        return int(struct.unpack_from("<I", (data / "global/pg_control").read_bytes(), 48)[0])

    @property
    def source(self) -> Source:
        return Source("postgresql", "postgres", password_variable="POSTGRES_PASSWORD", dump=self.dump)

    def add(self, row: str) -> datetime:
        """A transaction; returns when it was committed."""
        self.world.clock += timedelta(minutes=1)
        self.position += 0x100
        self.xid += 1
        self.write_rows(self.data, [*self.rows, row])
        self.log.append((self.timeline, self.position, self.xid, self.world.clock, row))
        return self.world.clock

    def lose(self) -> None:
        """Somebody deletes everything, and that is written to the log like all else."""
        self.add("!lost")
        self.write_rows(self.data, [])

    def tools(self, log: bool = True) -> Tools:
        """The world's, with the cluster in it."""
        world = self.world
        sources = (self.source, *(item for item in world.settings.sources if item.kind == "volume"))
        return replace(
            world.tools,
            settings=replace(world.tools.settings, sources=sources),
            docker=ClusterDocker(world, self),
            log=FakeLog(self) if log else None,
        )


class FakeLog:
    """A log that has everything."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def lineage(self, source: Source) -> str:
        return str(self._cluster.world.faults.get("log lineage", f"{SYSTEM}.2"))

    def prune(self, source: Source, records: Sequence[Mapping[str, Any]]) -> int:
        faults = self._cluster.world.faults
        if "log cannot be pruned" in faults:
            raise BackupError("the repository is read-only")
        faults.setdefault("pruned", []).append((source.service, [record["start_lsn"] for record in records]))
        return 1

    def coverage(self, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        cluster, faults = self._cluster, self._cluster.world.faults
        if "no log" in faults or record["timeline"] in faults.get("left timelines", ()):
            return None
        end = faults.get("log ends", cluster.world.clock)
        known = [position for _timeline, position, _xid, moment, _row in cluster.log if moment <= end]
        position = max([lsn_number(record["end_lsn"]), *known])
        return Coverage(record["end_lsn"], lsn_text(position), end, 1000, faults.get("log remark", ""))

    def fetch(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
    ) -> Coverage | None:
        self._cluster.world.happens("fetch the log")
        for history in self._cluster.data.glob("pg_wal/*.history"):
            Path(directory, history.name).write_bytes(history.read_bytes())
        if target.kind == KIND_POINT:
            return None
        found = self.coverage(source, record, target)
        if found is not None and found.end_time is not None:
            known = [entry for entry in self._cluster.log if entry[3] <= found.end_time]
            text = json.dumps([[*entry[:3], entry[3].isoformat(), entry[4]] for entry in known])
            Path(directory, "log.json").write_text(text, encoding="utf-8")
        return found


class _Server:
    """An isolated server: what it does with its directory when it starts, and what it says."""

    def __init__(self, wish: Isolated, world: World) -> None:
        self.wish = wish
        self.running = True
        self.lines: list[str] = []
        mounts = {inside: Path(outside) for outside, inside, _writable in wish.mounts}
        self.data = mounts[INSIDE]
        if "/slipway/log" not in mounts:
            # Started as the stack does: by the image's own entry point.
            self.running = "serving" not in world.faults
            self.lines.append("LOG:  ready" if self.running else f"FATAL:  {world.faults['serving']}")
            return
        self.log = mounts["/slipway/log"]
        words = wish.arguments[3::2]
        self.settings = dict(word.split("=", 1) for word in words)
        if (self.data / "recovery.signal").exists():
            self._recover(world)
        else:
            self.lines.append("LOG:  database system is ready to accept connections")

    def _recover(self, world: World) -> None:
        if "recovery" in world.faults:
            self.running = False
            self.lines += ["LOG:  starting", f"FATAL:  {world.faults['recovery']}"]
            return
        settings, rows = self.settings, Cluster.read_rows(self.data)
        start = lsn_number((self.data / "backup_label").read_text().split()[3]) + 0x100
        path = self.log / "log.json"
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
        if settings.get("recovery_target") == "immediate":
            entries = []
        inclusive = settings.get("recovery_target_inclusive") == "on"
        reached, last, position = False, "", start
        for _timeline, at, xid, moment, row in entries:
            if at <= start:
                continue
            keys = [
                (
                    "recovery_target_time",
                    lambda text: datetime.fromisoformat(f"{text}:00"),
                    datetime.fromisoformat(moment),
                ),
                ("recovery_target_lsn", lsn_number, at),
                ("recovery_target_xid", int, xid),
            ]
            stop = False
            for name, parse, value in keys:
                if name in settings:
                    wanted = parse(settings[name])
                    after = value > wanted or (value == wanted and not inclusive)
                    # A transaction is met by its own number alone.
                    stop = (value == wanted and not inclusive) if name == "recovery_target_xid" else after
                    reached = reached or stop or value == wanted
            if stop:
                self.lines.append(f"LOG:  recovery stopping before commit of transaction {xid}, time {moment}")
                break
            rows = [] if row == "!lost" else [*rows, row]
            last, position = moment, at
            if reached:
                self.lines.append(f"LOG:  recovery stopping after commit of transaction {xid}, time {moment}")
                break
        if any(name.startswith("recovery_target_") and name[16:] in ("time", "lsn", "xid") for name in settings) and (
            not reached
        ):
            self.running = False
            self.lines.append("FATAL:  recovery ended before configured recovery target was reached")
            return
        Cluster.write_rows(self.data, rows)
        numbers = [int(item.name[:8], 16) for item in self.log.glob("*.history")]
        timeline = max([Cluster.timeline_of(self.data), *numbers]) + 1
        history = f"1\t{lsn_text(position)}\tno reason\n"
        (self.data / f"pg_wal/{timeline:08X}.history").write_text(history, encoding="ascii")
        (self.data / "recovery.signal").unlink()
        (self.data / "global/pg_control").write_bytes(control(6, timeline))
        if last:
            stamp = datetime.fromisoformat(last).strftime("%Y-%m-%d %H:%M:%S.%f+00")
            self.lines.append(f"LOG:  last completed transaction was at log time {stamp}")
        self.lines += [
            f"LOG:  redo done at {lsn_text(position)} system usage",
            f"LOG:  selected new timeline ID: {timeline}",
            "LOG:  database system is ready to accept connections",
        ]

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
        )


class ClusterDocker(FakeDocker):
    """The world's containers, and the cluster's."""

    def __init__(self, world: World, cluster: Cluster) -> None:
        super().__init__(world)
        self._cluster = cluster

    def containers(self, stack: str) -> list[Container]:
        found = []
        for container in super().containers(stack):
            if container.service == "postgres":
                works = (self._cluster.data / "global/pg_control").exists()
                container = replace(
                    container,
                    volumes={INSIDE: ("fleet_pg", str(self._cluster.data))},
                    environment={"PGDATA": INSIDE, "POSTGRES_PASSWORD": "secret"},
                    command=("docker-entrypoint.sh", "postgres"),
                    running=container.running and works,
                    ended=container.running and not works,
                    health="",
                )
            found.append(container)
        return found

    def isolated(self, labels: Mapping[str, str]) -> list[Container]:
        servers = [server.container for server in self._cluster.isolated.values()]
        return [item for item in servers if labels.items() <= item.labels.items()]

    def start_isolated(self, wish: Isolated) -> Container:
        if wish.name in self._cluster.isolated:
            raise BackupError(f"docker run {wish.name}: the name is in use")
        self._cluster.isolated[wish.name] = server = _Server(wish, self._world)
        self._world.happens("start isolated")
        return server.container

    def state(self, container: Container) -> Container | None:
        server = self._cluster.isolated.get(container.name)
        return server.container if server else None

    def logs(self, container: Container) -> list[str]:
        server = self._cluster.isolated.get(container.name)
        return server.lines if server else ["LOG:  starting", "FATAL:  could not open file global/pg_control"]

    def remove(self, containers: Sequence[Container]) -> None:
        for container in containers:
            del self._cluster.isolated[container.name]
            self._world.happens("remove isolated")

    def stop(self, containers: Sequence[Container]) -> None:
        for container in containers:
            server = self._cluster.isolated.get(container.name)
            if server is None:
                super().stop([container])
            else:
                server.running = False
                state = 6 if "unclean" in self._world.faults else 1
                (server.data / "global/pg_control").write_bytes(control(state, Cluster.timeline_of(server.data)))
                self._world.happens("stop isolated")

    def ask_image(self, image: str, script: str) -> Outcome:
        if script.startswith("postgres"):
            return Outcome(0, f"postgres (PostgreSQL) {self._world.faults.get('major', 17)}.5\n", "")
        return Outcome(0, f"{os.getuid()}\n{os.getgid()}\n", "")

    def image_id(self, image: str) -> str:
        return image

    def image_digest(self, image: str) -> str:
        return ""

    def execute(self, container: Container, command: Sequence[str], text: str = "") -> Outcome:
        server = self._cluster.isolated.get(container.name)
        data = server.data if server else self._cluster.data
        if command[0] == "sh" and "pg_amcheck" in command[-1]:
            return Outcome(0 if "amcheck" in self._world.faults else 127, "", "")
        if command[0] == "pg_amcheck":
            return Outcome(int(self._world.faults["amcheck"]), "heap table has damage", "")
        running = server.running if server else self._world.running[SERVER_NAME]
        if not running or not (data / "global/pg_control").exists():
            return Outcome(2, "", "psql: error: connection to server failed: No such file or directory\n")
        return Outcome(0, "".join(f"{json.dumps(line)}\n" for line in self._answers(data, text)), "")

    def _answers(self, data: Path, text: str) -> list[dict[str, Any]]:
        cluster, world = self._cluster, self._world
        rows, live = Cluster.read_rows(data), data == cluster.data
        found: list[dict[str, Any]] = []
        if "'version'" in text:
            found.append(
                {
                    "version": "17.5",
                    "number": 170005,
                    "user": "postgres",
                    "system_identifier": SYSTEM,
                    "replica": False,
                    "data_directory": INSIDE,
                    "max_wal_senders": 10,
                    "tablespaces": [],
                    "slots": ["slipway_fleet", "reporting"],
                    "settings": {"max_connections": "200", "wal_level": "replica", "wal_segment_size": str(SEGMENT)},
                    "databases": {"shop": 1000},
                    **(cluster.facts if live else {}),
                }
            )
        if "clock_timestamp" in text:
            world.clock += timedelta(seconds=1)
            found.append({"time": world.clock.isoformat(), "xid": str(cluster.xid + 1)})
        if "'replica', pg_is_in_recovery(), 'system_identifier'" in text:
            found.append({"replica": False, "system_identifier": SYSTEM, "timeline": Cluster.timeline_of(data)})
        if "\\connect" in text:
            found.append({"database": "shop", "tables": 1, "rows": 80})
            found.append({"database": "shop", "table": "public.orders", "estimate": 80, "count": len(rows)})
        return found

    def stream(self, container: Container, command: Sequence[str], owner: str) -> Stream:
        if "pg_dumpall" in command:
            whole = "".join(f"INSERT {row}\n" for row in self._cluster.rows) + f"--\n{DUMP_TRAILER.decode()}\n--\n\n"
            return self._world.faults.get("dump") or FakeStream(whole.encode())
        cluster, fault = self._cluster, self._world.faults.get("base backup")
        start = cluster.position
        cluster.position += 0x100
        members = base_backup(cluster.rows, cluster.timeline, start, cluster.position)
        content = archive(fault(members) if callable(fault) else members)
        self._world.happens("took a base backup")
        if fault == "dies":
            return FakeStream(content[: len(content) // 2], Outcome(137, "", "pg_basebackup: error: terminated\n"))
        if fault == "is cut off":
            return FakeStream(content[: len(content) // 2])
        if fault == "is empty":
            return FakeStream(b"")
        if fault == "complains":
            return FakeStream(content, Outcome(0, "", "pg_basebackup: error: could not read\n"))
        if isinstance(fault, Outcome):
            return FakeStream(b"", fault)
        return FakeStream(content)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)

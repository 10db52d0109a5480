# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Servers that a test plays: their containers, what they answer, what they write, and a receiver beside PostgreSQL."""

import json
import struct
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Host, Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place
from ansible_collections.slipway.ops.plugins.module_utils._log import wal
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Server
from ansible_collections.slipway.ops.plugins.module_utils._log.rclone import LogRepository
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace, LogSettings, LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools

MIB = 1 << 20
SAMPLES = Path(__file__).parent / "samples"


class FakeHost(Host):
    """The real one on the test's own directory, with a clock and a disk of the test's own."""

    def __init__(self) -> None:
        self.clock = datetime(2026, 1, 1, 2, 0, tzinfo=timezone.utc)
        self.free = 100 << 30

    def now(self) -> datetime:
        return self.clock

    def pass_time(self, seconds: float) -> None:
        self.clock += timedelta(seconds=seconds)

    def free_bytes(self, path: str) -> int:
        return self.free


class Cluster:
    """A PostgreSQL server with segments of 1 MiB: what it has written, in its own directory and to who receives."""

    def __init__(self, directory: Path, system: str = "7710803898420211734") -> None:
        self.directory = directory
        (directory / "pg_wal").mkdir(parents=True)
        self.system = system
        self.timeline = 1
        self.flush = 5 * MIB
        self.slot: dict[str, Any] | None = None
        self.recovery = False
        self.level = "replica"
        self.raw: dict[int, bytearray] = {1: bytearray()}
        self.history = ""
        self.salt = 1

    def write(self, count: int) -> None:
        """Write so many bytes, a multiple of eight; segments begin and pages do where they must."""
        raw = self.raw[self.timeline]
        raw.extend(bytes(max(0, self.flush - len(raw))))
        end = self.flush + count
        while self.flush < end:
            if self.flush % wal.PAGE_BYTES == 0:
                long = wal.LONG_HEADER if self.flush % MIB == 0 else 0
                header = struct.pack("<HHIQI4x", 0xD116, long, self.timeline, self.flush, 0)
                header += struct.pack("<QII", int(self.system), MIB, wal.PAGE_BYTES) if long else b""
                raw.extend(header)
            size = min(end, self.flush // wal.PAGE_BYTES * wal.PAGE_BYTES + wal.PAGE_BYTES) - len(raw)
            if size > 0:
                raw.extend(bytes((self.salt + index) % 251 + 1 for index in range(len(raw), len(raw) + size)))
            self.flush = len(raw)
        self.keep()

    def keep(self) -> None:
        """Its own directory: the segments that it has begun."""
        for timeline, raw in self.raw.items():
            for start in range(5 * MIB, len(raw), MIB):
                name = wal.Segment(timeline, start // MIB, MIB).name
                (self.directory / "pg_wal" / name).write_bytes(bytes(raw[start : start + MIB]).ljust(MIB, b"\0"))

    def promote(self) -> None:
        """Go on on a new timeline, whose first segment begins with a copy."""
        raw = self.raw[self.timeline][: self.flush]
        self.history += f"{self.timeline}\t{wal.print_lsn(self.flush)}\tno recovery target specified\n"
        self.timeline += 1
        begin = self.flush // MIB * MIB
        self.raw[self.timeline] = bytearray(bytes(begin) + raw[begin:])
        self.salt += 7

    def facts(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "version": 170011,
            "level": self.level,
            "senders": 10,
            "segment": MIB,
            "directory": "/var/lib/postgresql/data",
            "recovery": self.recovery,
            "timeline": "" if self.recovery else f"{self.timeline:08X}",
            "flush": "" if self.recovery else wal.print_lsn(self.flush),
            "keep": "-1",
            "slot": self.slot,
        }

    def stream(self, received: Path, until: int | None = None) -> None:
        """What pg_receivewal does: go on behind the newest file, a partial one from its beginning; leave what is not
        whole as it is."""
        names = sorted(path.name for path in received.iterdir() if wal.Segment.parse(path.name.split(".")[0], MIB))
        timeline, position = self.timeline, 5 * MIB
        if self.slot is not None:
            position = wal.parse_lsn(self.slot["restart_lsn"]) // MIB * MIB
        if names:
            newest = max(names, key=lambda name: (name[8:24], name[:8], not name.endswith(wal.PARTIAL)))
            segment = wal.Segment.parse(newest.split(".")[0], MIB)
            assert segment is not None
            timeline = segment.timeline
            position = segment.start if newest.endswith(wal.PARTIAL) else segment.end
        while True:
            raw = self.raw[timeline]
            end = len(raw) if until is None else min(until, len(raw))
            while position < end:
                segment = wal.Segment.holding(position, timeline, MIB)
                part = bytes(raw[segment.start : min(segment.end, end)])
                partial = received / (segment.name + wal.PARTIAL)
                content = bytearray(partial.read_bytes()) if partial.exists() else bytearray(MIB)
                content[: len(part)] = part
                partial.write_bytes(content)
                if len(part) == MIB:
                    partial.rename(received / segment.name)
                position = segment.end
            if timeline == self.timeline:
                break
            timeline += 1
            (received / f"{timeline:08X}.history").write_text(self.history, encoding="utf-8")
            position = min(end, len(self.raw[timeline])) // MIB * MIB if timeline != self.timeline else end // MIB * MIB
        if self.slot is not None:
            self.slot["restart_lsn"] = wal.print_lsn(self.flush if until is None else min(until, self.flush))


class FakeEngine:
    """Docker, with containers that a test starts and stops."""

    def __init__(self) -> None:
        self.running: list[Server] = []
        self.answers: Callable[[Server, Sequence[str], str], Outcome] = lambda server, command, text: Outcome(0, "", "")
        self.receiver: Callable[[Sequence[str]], Outcome] = lambda command: Outcome(1, "", "disconnected")
        self.asked: list[tuple[str, str]] = []
        self.received: list[list[str]] = []
        self.removed: list[str] = []
        self.fetched: list[str] = []
        self.looks = 0

    def servers(self, stack: str, service: str) -> list[Server]:
        self.looks += 1
        return list(self.running)

    def ask(self, server: Server, command: Sequence[str], text: str = "") -> Outcome:
        self.asked.append((command[2], text))
        return self.answers(server, command, text)

    def once(self, command: Sequence[str], text: str = "") -> Outcome:
        return self.answers(self.running[0], ["sh", "-c", " ".join(command)], text)

    def fetch_image(self, reference: str) -> None:
        self.fetched.append(reference)

    def receive(self, command: Sequence[str]) -> Outcome:
        self.received.append(list(command))
        return self.receiver(command)

    def remove_receivers(self, label: str) -> int:
        self.removed.append(label)
        return 0

    def start(self, name: str, directory: Path, there: str, pid: int = 100) -> Server:
        server = Server(name, name, "sha256:image", pid, f"{pid}", ((there, str(directory)),))
        self.running = [server]
        return server


def tools(root: Path, source: LogSource, repositories: Sequence[str] = ("main",), **options: Any) -> LogTools:
    """The tools of a stack with one source; what was said is in `said`."""
    engine, said = FakeEngine(), list[str]()
    place = Place("fleet", state_root=str(root / "state"), metrics=str(root / "metrics"))
    found = LogTools(
        LogSettings(
            "fleet",
            (source,),
            tuple(LogRepository(name, f"/srv/{name}", "/p") for name in repositories),
            **options,
        ),
        LogPlace(place),
        engine,  # type: ignore[arg-type]
        FakeHost(),
        said.append,
        lambda server: server in engine.running,
    )
    found.said = said  # type: ignore[attr-defined]
    return found


def answer_postgres(cluster: Cluster, password: str = "geheim") -> Callable[[Server, Sequence[str], str], Outcome]:
    """A server that knows the questions of the adapter."""

    def answer(server: Server, command: Sequence[str], text: str) -> Outcome:
        if "psql" not in command[2]:
            return Outcome(0, f"{command[-1] or 'postgres'}\n{password}", "")
        if "json_build_object" in text:
            return Outcome(0, json.dumps(cluster.facts()) + "\n", "")
        if "pg_create_physical_replication_slot" in text:
            # As far back as the last checkpoint.
            cluster.slot = {"active": False, "wal_status": "reserved", "restart_lsn": wal.print_lsn(5 * MIB)}
            return Outcome(0, "\n", "")
        return Outcome(1, "", "psql: error: what?")

    return answer

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""A small world: containers, volumes and a repository in memory, with faults that a test can switch on."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Host, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    Catalogue,
    DrillSettings,
    Orphan,
    Part,
    Place,
    Point,
    Promises,
    RepositoryError,
    RepositorySettings,
    Retention,
    Settings,
    Source,
    StoredPart,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Reader, Stream, run
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools

GIB = 1 << 30


class Killed(BaseException):
    """The process dies here."""


class Shelf:
    """What a further repository holds."""

    def __init__(self) -> None:
        self.snapshots: dict[str, dict[str, bytes]] = {}
        self.points: dict[str, Point] = {}
        self.parts: dict[str, list[Part]] = {}


class World:
    """Everything outside of the package. What the primary repository holds is its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: dict[str, Any] = {}
        self.snapshots: dict[str, dict[str, bytes]] = {}
        self.points: dict[str, Point] = {}
        self.parts: dict[str, list[Part]] = {}
        self.events: list[str] = []
        self.smoked: list[tuple[Isolated, dict[str, str]]] = []
        self.dies_after = 0
        self.said: list[str] = []
        self.clock = datetime(2026, 1, 1, 2, 0, tzinfo=timezone.utc)
        # A `servers.Database` puts itself here.
        self.database: Any = None
        self.free = 100 * GIB
        self.read_only = False
        self.memory: int | None = 8 * GIB
        self.drill = DrillSettings()
        self.promises = Promises()
        self.running = {"fleet-application-1": True, "fleet-cache-1": True, "fleet-database-1": True}
        for volume in ("fleet_uploads", "fleet_mysql"):
            (root / "volumes" / volume / "_data").mkdir(parents=True)
        self.upload("a.jpg", "hello")
        self.place = Place(
            "fleet",
            configuration_root=str(root / "etc/backup"),
            state_root=str(root / "state"),
            stacks_root=str(root / "etc/stacks"),
            releases_root=str(root / "releases"),
            cache=str(root / "cache"),
            metrics=str(root / "metrics"),
        )
        (root / "etc/stacks/fleet").mkdir(parents=True)
        (root / "etc/stacks/fleet/stack.json").write_text("{}", encoding="utf-8")
        sources = (Source("volume", volume="fleet_uploads"),)
        self.settings = Settings("fleet", sources, (RepositorySettings("main", "/repository", Retention(daily=30)),))
        self.shelves: dict[str, Shelf] = {}

    @property
    def image_id(self) -> str:
        """Another version is in another image."""
        return f"sha256:{self.faults.get('major') or self.faults.get('image version') or 'x'}"

    def keep(self, **rules: int) -> None:
        """Let the primary repository keep this."""
        primary = replace(self.settings.primary, retention=Retention(**{"daily": 0, **rules}))
        self.settings = replace(self.settings, repositories=(primary, *self.settings.repositories[1:]))

    def add_repository(self, name: str, **options: Any) -> Shelf:
        """A further repository; returns what it holds."""
        found = RepositorySettings(name, f"sftp:{name}:/repository", **{"retention": Retention(daily=30), **options})
        self.settings = replace(self.settings, repositories=(*self.settings.repositories, found))
        self.shelves[name] = Shelf()
        return self.shelves[name]

    @property
    def tools(self) -> Tools:
        found = self.database.tools(log=False) if self.database is not None else self.bare
        assert isinstance(found, Tools)
        return found

    @property
    def bare(self) -> Tools:
        """Without a database."""
        return Tools(
            replace(self.settings, drill=self.drill, promises=self.promises),
            self.place,
            FakeDocker(self),  # type: ignore[arg-type]
            FakeHost(self),
            FakeRepository(self),  # type: ignore[arg-type]
            self.said.append,
            others=tuple(FakeRepository(self, name) for name in self.shelves),  # type: ignore[misc]
        )

    def upload(self, name: str, text: str) -> None:
        (self.volume / name).write_text(text, encoding="utf-8")

    @property
    def volume(self) -> Path:
        return self.root / "volumes/fleet_uploads/_data"

    @property
    def uploads(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in sorted(self.volume.iterdir())}

    def status(self) -> dict[str, Any]:
        return dict(json.loads(Path(self.place.status).read_text(encoding="utf-8")))

    def happens(self, step: str) -> None:
        """Note a step; a fault of its name is raised after it, and the process dies after the step of that number."""
        self.events.append(step)
        if len(self.events) == self.dies_after:
            raise Killed
        error = self.faults.get(step)
        if error is not None:
            raise error


class FakeHost(Host):
    """The real one on the test's own directory, with a clock and a disk of the test's own."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        self._world.clock += timedelta(seconds=1)
        return self._world.clock

    def sleep(self, seconds: float) -> None:
        self._world.clock += timedelta(seconds=seconds)

    def free_bytes(self, path: str) -> int:
        return self._world.free

    def is_read_only(self, path: str) -> bool:
        return self._world.read_only

    def free_memory(self) -> int | None:
        return self._world.memory

    def move(self, path: str, target: str) -> None:
        super().move(path, target)
        self._world.happens(f"move {Path(path).name}")


class FakeStream(Stream):
    """What a command writes, and how it ends."""

    def __init__(self, content: bytes, outcome: Outcome | None = None) -> None:
        super().__init__(("fake",))
        object.__setattr__(self, "content", content)
        object.__setattr__(self, "outcome", outcome or Outcome(0, "", ""))

    content: bytes
    outcome: Outcome


def played(stream: Stream) -> FakeStream:
    """What a command of the host itself writes: it is run."""
    chunks: list[bytes] = []
    outcome = run(stream.command, sink=chunks.append)
    return FakeStream(b"".join(chunks), outcome)


class FakeDocker:
    """One container a service, and a server that understands what the adapters say."""

    def __init__(self, world: World) -> None:
        self._world = world

    def containers(self, stack: str) -> list[Container]:
        images = {"application": "shop/application:1", "cache": "registry.test/redis:7.4", "database": "mysql:8.4"}
        found = []
        for name, running in self._world.running.items():
            service = name.split("-")[1]
            volumes = {"/var/lib/mysql": ("fleet_mysql", str(self._world.root / "volumes/fleet_mysql/_data"))}
            found.append(
                Container(
                    name,
                    name,
                    service,
                    images.get(service, f"{service}:17"),
                    self._world.image_id,
                    running,
                    health="healthy",
                    volumes=volumes if service == "database" else {},
                )
            )
        return found

    def volume_directory(self, volume: str) -> str | None:
        path = self._world.root / "volumes" / volume
        return str(path / "_data") if path.is_dir() else None

    def start(self, containers: Sequence[Container]) -> None:
        for container in containers:
            self._world.running[container.name] = True
            self._world.happens(f"start {container.service}")

    def stop(self, containers: Sequence[Container]) -> None:
        for container in containers:
            self._world.running[container.name] = False
            self._world.happens(f"stop {container.service}")

    def end_leftovers(self, owner: str) -> int:
        return 0

    def isolated(self, labels: Mapping[str, str]) -> list[Container]:
        return []

    def remove(self, containers: Sequence[Container]) -> None:
        return None

    def run_isolated(self, wish: Isolated, limit_seconds: float) -> Outcome:
        """The application's own check."""
        world = self._world
        world.smoked.append((wish, {name: Path(name).read_text() for name in [wish.environment_file]}))
        world.happens("smoke")
        found = world.faults.get("smoke outcome", Outcome(0, "3 orders\n", ""))
        return found


class FakeRepository:
    """Keeps snapshots in memory. What happens in a further one bears its name."""

    stack = "fleet"

    def __init__(self, world: World, name: str = "") -> None:
        self._world = world
        self._shelf: World | Shelf = world.shelves[name] if name else world
        self._suffix = f" {name}" if name else ""
        self.settings = world.settings.repository(name)
        self.name = self.settings.name
        self.address = self.settings.url

    def _happens(self, step: str) -> None:
        self._world.happens(step + self._suffix)

    def _fault(self, name: str) -> Any:
        return self._world.faults.get(name + self._suffix)

    def copy_from(self, source: FakeRepository, snapshots: Sequence[str]) -> None:
        """As `restic copy`: new names, in any order, and what is there is passed over."""
        if self._fault("copy") != "damages":
            self._happens("copy")
        for name in snapshots:
            copied = f"copy-of-{name}"
            content = dict(source._shelf.snapshots[name])
            if self._fault("copy") == "damages":
                content = {path: data[:-1] + b"X" for path, data in content.items()}
            self._shelf.snapshots[copied] = content
            for point, parts in source._shelf.parts.items():
                mine = self._shelf.parts.setdefault(point, [])
                mine += [
                    Part(part.key, copied, name)
                    for part in parts
                    if part.snapshot == name and copied not in [one.snapshot for one in mine]
                ]
            for point in source._shelf.points.values():
                if point.snapshot == name:
                    parts = tuple(self._shelf.parts.get(point.name, ()))
                    self._shelf.points[point.name] = Point(point.name, point.kind, copied, False, (), parts)
            self._happens("copied")

    def points(self) -> list[Point]:
        return list(self.catalogue().points)

    def catalogue(self) -> Catalogue:
        if self._fault("repository"):
            raise RepositoryError(self._fault("repository"))
        points = [self._shelf.points[name] for name in sorted(self._shelf.points)]
        orphans = [
            Orphan(point, part.key, part.snapshot)
            for point, parts in sorted(self._shelf.parts.items())
            for part in parts
            if point not in self._shelf.points
        ]
        return Catalogue(tuple(points), tuple(orphans), self._fault("short list") is None)

    def store_stream(self, point: str, key: str, file_name: str, stream: Stream, reader: Reader) -> StoredPart:
        stream = stream if isinstance(stream, FakeStream) else played(stream)
        for start in range(0, len(stream.content), 1000):
            reader.feed(stream.content[start : start + 1000])
        if self._fault("store part") is not None:
            self._happens("store part")
        reader.judge(stream.outcome)
        snapshot = f"part-{key}-{point}"
        self._shelf.snapshots[snapshot] = {f"/{file_name}": stream.content}
        self._shelf.parts.setdefault(point, []).append(Part(key, snapshot))
        self._happens("stored part")
        return StoredPart(snapshot[:-1], len(stream.content), hashlib.sha256(stream.content).hexdigest(), 1)

    def store(self, point: str, kind: str, paths: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        content = {}
        for path in map(Path, paths):
            for file in [path] if path.is_file() else (item for item in path.rglob("*") if item.is_file()):
                content[str(file)] = file.read_bytes()
        self._happens("store")
        snapshot = f"snapshot-{point}"
        self._shelf.snapshots[snapshot] = content
        parts = tuple(self._shelf.parts.get(point, ()))
        self._shelf.points[point] = Point(point, kind, snapshot, False, (), parts)
        return {"snapshot_id": snapshot, "data_added": 1}, []

    def mark_verified(self, point: str, proof: dict[str, Any]) -> None:
        self._shelf.points[point] = replace(self._shelf.points[point], verified=True, evidence=(f"proof-{point}",))
        self._happens("mark")

    def fetch(
        self, snapshot: str, path: str, target: str | None = None, sink: Callable[[bytes], None] | None = None
    ) -> tuple[str, int]:
        content = self._content(snapshot)[path]
        if self._fault("read back") == path.rsplit(".", 1)[-1]:
            content = content[:-1] + b"X"
        if target is not None:
            Path(target).write_bytes(content)
        for start in range(0, len(content) if sink else 0, 1000):
            sink(content[start : start + 1000])  # type: ignore[misc]
        return hashlib.sha256(content).hexdigest(), len(content)

    def _content(self, snapshot: str) -> dict[str, bytes]:
        """As restic finds a snapshot: by the beginning of its name."""
        (found,) = [content for name, content in self._shelf.snapshots.items() if name.startswith(snapshot)]
        return found

    def fetch_text(self, snapshot: str, path: str) -> str:
        if self._fault("read back") == "json":
            return "{"
        return self._shelf.snapshots[snapshot][path].decode()

    def count(self, snapshot: str, paths: Sequence[str]) -> dict[str, tuple[int, int]]:
        found = {}
        for path in paths:
            inside = [
                data for name, data in self._shelf.snapshots[snapshot].items() if f"{name}/".startswith(f"{path}/")
            ]
            found[path] = (0, 0) if self._fault("read back") == "files" else (len(inside), sum(map(len, inside)))
        return found

    def unpack(self, snapshot: str, target: str, path: str | None = None) -> None:
        for name, data in self._shelf.snapshots[snapshot].items():
            if path is None or f"{name}/".startswith(f"{path}/"):
                file = Path(target + name)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(data)
        self._happens("unpack")

    def check(self) -> None:
        self._happens("check")

    def remove(self, points: Sequence[Point]) -> None:
        for point in points:
            del self._shelf.points[point.name]
            self._shelf.parts.pop(point.name, None)
        self._happens("remove")

    def remove_orphans(self, orphans: Sequence[Orphan]) -> None:
        self._happens("remove orphans")
        for orphan in orphans:
            del self._shelf.snapshots[orphan.snapshot]
            self._shelf.parts[orphan.point] = [
                part for part in self._shelf.parts[orphan.point] if part.snapshot != orphan.snapshot
            ]

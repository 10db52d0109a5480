# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Part,
    Point,
    RefusedError,
    Source,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.redis_source import RedisAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Prepared, SourceError, Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import KIND_LATEST, KIND_TIME, Target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeDocker, FakeStream, World

POINT = "20260101T030000Z"
NAME = "fleet-cache-1"
PASSWORD = "geheim"


def snapshot(keys: Mapping[str, int]) -> bytes:
    """A snapshot of so many keys: its beginning and its end are real."""
    return b"REDIS0012" + json.dumps(dict(keys)).encode() + b"\xff" + bytes(8)


def keys_of(path: Path) -> dict[str, int]:
    return dict(json.loads(path.read_bytes()[9:-9]))


class Cache:
    """The live server: how many keys each database has."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.data = root / "volumes/fleet_redis/_data"
        self.data.mkdir(parents=True)
        self.keys = {"db0": 40, "db3": 2}
        self.config = {"dir": "/data", "dbfilename": "dump.rdb", "appendonly": "no"}
        self.info = {"rdb_bgsave_in_progress": 0, "rdb_last_save_time": 100, "rdb_saves": 1, "loading": 0}
        self.role, self.cluster = "master", 0
        self.command: tuple[str, ...] = ("docker-entrypoint.sh", "redis-server", "--requirepass", PASSWORD)
        self.isolated: dict[str, _Server] = {}
        self.saves = 0

    def tools(self) -> Tools:
        return replace(self.world.tools, docker=CacheDocker(self.world, self))  # type: ignore[arg-type]

    def save(self) -> None:
        (self.data / "dump.rdb").write_bytes(snapshot(self.keys))
        self.info["rdb_saves"] += 1

    def load(self) -> None:
        """What the server does when it starts."""
        if self.config["appendonly"] == "yes":
            path = self.data / "appendonlydir/base"
            self.keys = dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
        else:
            path = self.data / "dump.rdb"
            self.keys = keys_of(path) if path.exists() else {}


class _Server:
    def __init__(self, wish: Isolated, cache: Cache) -> None:
        self.wish, self.cache = wish, cache
        mounts = {inside: Path(outside) for outside, inside, _writable in wish.mounts}
        self.data = mounts["/data"]
        self.running, self.status = True, 0
        self.lines: list[str] = []
        self.expired = int(cache.world.faults.get("expired", 0))
        if "damaged" in cache.world.faults:
            self.running, self.status = False, 1
            self.lines = ["# Wrong RDB checksum expected", "[info] 1 keys read"]
        self.append = False

    @property
    def keys(self) -> dict[str, int]:
        found = keys_of(self.data / "dump.rdb")
        if found:
            found["db0"] -= self.expired + int(self.cache.world.faults.get("lost", 0))
        return found

    @property
    def container(self) -> Container:
        wish = self.wish
        return Container(
            wish.name,
            wish.name,
            "",
            wish.image,
            wish.image,
            self.running,
            labels=dict(wish.labels),
            exit_status=self.status,
        )


class CacheDocker(FakeDocker):
    def __init__(self, world: World, cache: Cache) -> None:
        super().__init__(world)
        self._cache = cache

    def containers(self, stack: str) -> list[Container]:
        return [
            replace(
                item, command=self._cache.command, health="", volumes={"/data": ("fleet_redis", str(self._cache.data))}
            )
            if item.service == "cache"
            else item
            for item in super().containers(stack)
        ]

    def isolated(self, labels: Mapping[str, str]) -> list[Container]:
        return [
            one.container for one in self._cache.isolated.values() if labels.items() <= one.container.labels.items()
        ]

    def start_isolated(self, wish: Isolated) -> Container:
        self._cache.isolated[wish.name] = server = _Server(wish, self._cache)
        return server.container

    def state(self, container: Container) -> Container | None:
        server = self._cache.isolated.get(container.name)
        return server.container if server else None

    def logs(self, container: Container) -> list[str]:
        server = self._cache.isolated.get(container.name)
        return server.lines if server else ["Bad file format reading the append only file"]

    def remove(self, containers: Sequence[Container]) -> None:
        for container in containers:
            del self._cache.isolated[container.name]

    def start(self, containers: Sequence[Container]) -> None:
        super().start(containers)
        self._cache.load()

    def stop(self, containers: Sequence[Container]) -> None:
        for container in containers:
            server = self._cache.isolated.get(container.name)
            if server is None:
                super().stop([container])
            else:
                server.running = False

    def ask_image(self, image: str, script: str) -> Outcome:
        return Outcome(0, f"{os.getuid()}\n{os.getgid()}\n", "")

    def image_id(self, image: str) -> str:
        return image

    def image_digest(self, image: str) -> str:
        return ""

    def stream(self, container: Container, command: Sequence[str], owner: str) -> Stream:
        path = self._cache.data / Path(command[1]).name
        data = path.read_bytes() if path.exists() else b""
        if self._world.faults.get("snapshot") == "is cut off":
            data = data[:-1]
        if self._world.faults.get("snapshot") == "dies":
            return FakeStream(data[:5], Outcome(137, "", "Killed\n"))
        return FakeStream(data)

    def execute(self, container: Container, command: Sequence[str], text: str = "") -> Outcome:
        server = self._cache.isolated.get(container.name)
        if command[0] == "cat":
            return Outcome(0, f"requirepass {PASSWORD}\n", "")
        words = list(command[4:])
        if server is None:
            if not self._world.running[NAME]:
                return Outcome(1, "", "Could not connect to Redis: Connection refused\n")
            if text != f"{PASSWORD}\n":
                return Outcome(0, "NOAUTH Authentication required.\n", "")
            return Outcome(0, self._live(words), "")
        if "redis-check-rdb" in command[2]:
            total = sum(keys_of(server.data / "dump.rdb").values())
            return Outcome(0, f"\\o/ RDB looks OK! \\o/\n[info] {total} keys read\n[info] 0 already expired\n", "")
        return Outcome(0, self._inside(server, words[2:]), "")

    def _live(self, words: list[str]) -> str:
        cache = self._cache
        if words[0] == "BGSAVE":
            self._world.happens("save")
            if "disk full" in self._world.faults:
                cache.info["rdb_last_bgsave_status"] = "err"  # type: ignore[assignment]
            else:
                cache.save()
            return "Background saving started\n"
        if words[:2] == ["CONFIG", "GET"]:
            return f"{words[2]}\n{cache.config[words[2]]}\n" if words[2] in cache.config else "\n"
        return self._info(words[1], cache.keys, cache.info)

    def _info(self, section: str, keys: Mapping[str, int], info: Mapping[str, Any]) -> str:
        cache = self._cache
        found: dict[str, Any] = {
            "server": {"redis_version": "8.0.2"},
            "cluster": {"cluster_enabled": cache.cluster},
            "replication": {"role": cache.role},
            "keyspace": {name: f"keys={count},expires=0,avg_ttl=0" for name, count in keys.items()},
            "persistence": info,
        }
        return "".join(f"{name}:{value}\r\n" for name, value in found[section].items())

    def _inside(self, server: _Server, words: list[str]) -> str:
        if words[:2] == ["CONFIG", "SET"]:
            server.append = True
            if "no append" not in self._world.faults:
                (server.data / "appendonlydir").mkdir()
                (server.data / "appendonlydir/base").write_text(json.dumps(server.keys), encoding="utf-8")
            return "OK\n"
        if words[0] == "SHUTDOWN":
            server.running = False
            return ""
        info = {"loading": 0, "rdb_last_load_keys_expired": server.expired}
        info.update(aof_rewrite_in_progress=0, aof_rewrite_scheduled=0)  # type: ignore[call-overload]
        return self._info(words[1], server.keys, {**info, "aof_last_bgrewrite_status": "ok"})


class Case:
    def __init__(self, tmp_path: Path) -> None:
        self.cache = Cache(tmp_path)
        self.world = self.cache.world
        self.adapter = RedisAdapter(Source("redis", "cache"), self.cache.tools())

    def save(self) -> None:
        self.record = self.adapter.collect(POINT)
        part = Part(str(self.record["part"]), str(self.record["snapshot"]))
        self.point = Point(POINT, "manual", "s", True, (), (part,))

    def prepare(self) -> Prepared:
        return self.adapter.prepare(self.record, self.point, Target(KIND_LATEST), self.adapter.workspace("r1"))


@pytest.fixture
def case(tmp_path: Path) -> Case:
    found = Case(tmp_path)
    found.save()
    return found


def test_what_a_record_says(case: Case) -> None:
    record = case.record
    assert (record["rows"], record["databases"]) == (42, {"db0": {"rows": 40}, "db3": {"rows": 2}})
    assert (record["format"], record["appendonly"], record["dbfilename"]) == ("REDIS0012", False, "dump.rdb")
    assert PASSWORD not in str(record)


@pytest.mark.parametrize("appendonly", ["no", "yes"])
def test_it_comes_back_and_is_taken_back(tmp_path: Path, appendonly: str) -> None:
    case = Case(tmp_path)
    case.cache.config["appendonly"] = appendonly
    case.save()
    case.cache.keys = {"db0": 1}
    (case.cache.data / "appendonlydir").mkdir()
    (case.cache.data / "appendonlydir/base").write_text('{"db0": 1}', encoding="utf-8")
    prepared = case.prepare()
    assert (prepared.rows, prepared.facts["appendonly"]) == (42, appendonly == "yes")
    assert case.cache.isolated == {}
    case.adapter.swap(prepared, "r1")
    assert case.cache.keys == {"db0": 40, "db3": 2}
    # An old file that the server appended to would be read again when somebody switches it on.
    assert (case.cache.data / "appendonlydir").exists() is (appendonly == "yes")
    case.adapter.undo("r1")
    assert (case.cache.data / "appendonlydir/base").read_text(encoding="utf-8") == '{"db0": 1}'


def test_small_files_beside_the_data_are_kept(case: Case) -> None:
    (case.cache.data / "users.acl").write_text("user default on\n", encoding="utf-8")
    (case.cache.data / "link").symlink_to("/etc/passwd")
    (case.cache.data / "temp-123.rdb").write_text("x", encoding="utf-8")
    data = Path(case.prepare().data)
    assert sorted(item.name for item in data.iterdir()) == ["dump.rdb", "users.acl"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("docker-entrypoint.sh", "redis-server", "/etc/redis.conf"), ""),
        (("docker-entrypoint.sh", "redis-server"), "NOAUTH"),
    ],
)
def test_the_password(tmp_path: Path, command: tuple[str, ...], words: str) -> None:
    case = Case(tmp_path)
    case.cache.command = command
    if not words:
        case.save()
        return
    with pytest.raises(SourceError, match=words):
        case.save()


@pytest.mark.parametrize(("fault", "words"), [("is cut off", "is not whole"), ("dies", "ended after")])
def test_a_snapshot_that_is_not_whole(tmp_path: Path, fault: str, words: str) -> None:
    case = Case(tmp_path)
    case.world.faults["snapshot"] = fault
    with pytest.raises(SourceError, match=words):
        case.save()


def test_a_server_that_cannot_write_its_snapshot(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.world.faults["disk full"] = True
    with pytest.raises(SourceError, match="could not write its snapshot"):
        case.save()


def test_clusters_and_replicas_are_refused(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.cache.role = "slave"
    with pytest.raises(SourceError, match="is a replica"):
        case.save()
    case.cache.cluster = 1
    with pytest.raises(SourceError, match="is a node of a cluster"):
        case.save()


def test_a_server_that_does_not_run(case: Case) -> None:
    case.world.running[NAME] = False
    with pytest.raises(SourceError, match="does not run"):
        case.save()


def test_a_damaged_snapshot(case: Case) -> None:
    case.world.faults["damaged"] = True
    with pytest.raises(BackupError, match="cannot be loaded: # Wrong RDB checksum expected; choose another point"):
        case.prepare()
    assert case.cache.isolated == {}
    assert not Path(case.adapter.workspace("r1").directory).exists()


def test_keys_that_expired_are_no_loss(case: Case) -> None:
    case.world.faults["expired"] = 3
    assert case.prepare().rows == 39


def test_keys_that_are_missing_are_a_loss(case: Case) -> None:
    case.world.faults["lost"] = 3
    with pytest.raises(BackupError, match="the snapshot has 42 keys, and a server that reads it has 39"):
        case.prepare()


def test_an_append_only_file_that_was_not_written(tmp_path: Path) -> None:
    case = Case(tmp_path)
    case.cache.config["appendonly"] = "yes"
    case.save()
    case.world.faults["no append"] = True
    with pytest.raises(BackupError, match="the append-only file was not written"):
        case.prepare()


def test_a_snapshot_without_a_key(case: Case) -> None:
    case.cache.keys = {}
    case.save()
    case.record["rows"] = 42
    with pytest.raises(BackupError, match="has no key, and had about 42"):
        case.prepare()


def test_it_keeps_no_log(case: Case) -> None:
    ended = datetime.fromisoformat(case.record["end_time"])
    target = Target(KIND_TIME, "x", time=ended)
    assert case.adapter.ends_before(case.record, target)
    assert not case.adapter.ends_before(case.record, Target(KIND_TIME, "x", time=ended - timedelta(seconds=1)))
    assert case.adapter.reach(case.record, target).problems == ()
    assert case.adapter.reach(case.record, Target(KIND_LATEST)).problems == ()


def test_what_stands_in_the_way(case: Case) -> None:
    assert case.adapter.check_target(case.record) == []
    (problem,) = case.adapter.check_target({**case.record, "data_directory": "/elsewhere"})
    assert "its data directory was /elsewhere" in problem
    case.cache.command = (*case.cache.command, "--dir", "/nowhere")
    with pytest.raises(RefusedError, match="/nowhere of fleet-cache-1 is on no volume"):
        case.adapter.live()
    del case.world.running[NAME]
    assert "deploy the stack first" in case.adapter.check_target(case.record)[0]


def test_a_live_server_that_finds_nothing_does_not_serve(case: Case) -> None:
    prepared = case.prepare()
    case.cache.keys = {}
    assert "did not become ready" in case.adapter.serves(prepared)
    assert case.adapter.serves(None) == ""


def test_a_look(case: Case) -> None:
    prepared, workspace = case.prepare(), case.adapter.workspace("r1")
    container = case.adapter.open(case.record, prepared, workspace)
    assert container.running
    assert "redis-cli -s" in case.adapter.visit(container)
    assert "about 42 keys" in case.adapter.plan(case.record)
    case.adapter.discard(workspace)
    assert case.cache.isolated == {}

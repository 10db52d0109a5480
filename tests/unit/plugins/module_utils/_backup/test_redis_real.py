# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Redis for real: a server in a container, restic, a snapshot that comes back. Where this machine has Docker, restic
and the lab's stand-in: pytest -m long tests/unit/plugins/module_utils/_backup/test_redis_real.py"""

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import redis
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import read_back
from ansible_collections.slipway.ops.plugins.module_utils._backup.redis_source import RedisAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import PURPOSE_DRILL, adapter_of
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.real_servers import (
    IMAGES,
    SERVICE,
    RealStack,
    docker,
    unavailable,
)

pytestmark = [pytest.mark.long, pytest.mark.skipif(bool(unavailable("redis")), reason=unavailable("redis"))]

PASSWORD = "a 'quoted' $ecret"
# How a stack tells its password, and whether the server appends to a file.
WAYS = {
    "snapshots": ("redis-server", "--requirepass", PASSWORD, "--save", ""),
    "appending": ("sh", "-c", 'exec redis-server --requirepass "$REDIS_PASSWORD" --appendonly yes'),
    "open": ("redis-server", "--protected-mode", "no"),
}


class RealRedis(RealStack):
    """A running server."""

    def __init__(self, way: str, root: Path) -> None:
        super().__init__("redis", root, f"slipwayr{way}", redis.DATA_DIRECTORY, print)
        self.options: Sequence[str] = WAYS[way]

    def __enter__(self) -> RealRedis:
        self.remove()
        try:
            self.prepare_host()
            environment = ["-e", f"REDIS_PASSWORD={PASSWORD}"] if self.options[0] == "sh" else []
            self.run_container(*environment, IMAGES["redis"], *self.options)
            self.wait()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_reason: object) -> None:
        self.remove()

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while self.ask("PING") != "PONG":
            assert time.monotonic() < deadline, docker("logs", self.name)
            time.sleep(0.3)

    def ask(self, *words: str, container: str = "") -> str:
        """One command of the live server, or of an isolated one."""
        socket = redis.SOCKET if container else ""
        password = "" if container else self.password
        command = ["docker", "exec", "-i", container or self.name, *redis.client_command(words, socket=socket)]
        return subprocess.run(
            command, input=f"{password}\n", capture_output=True, text=True, check=False
        ).stdout.strip()

    @property
    def password(self) -> str:
        return "" if "--protected-mode" in self.options else PASSWORD

    def fill(self, count: int, database: int = 0) -> None:
        text = "".join(f"SET key:{number} {'v' * (number % 50)}{number}\n" for number in range(count))
        text += "HSET fields a 1 b 2\nRPUSH list one two three\nSADD set x\nZADD sorted 1 a\nXADD stream 1-1 f v\n"
        script = 'IFS= read -r password; [ -z "$password" ] || export REDISCLI_AUTH="$password"; exec redis-cli -n "$0"'
        command = ["docker", "exec", "-i", self.name, "sh", "-c", script, str(database)]
        done = subprocess.run(command, input=f"{self.password}\n{text}", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    @property
    def adapter(self) -> RedisAdapter:
        found = adapter_of({"kind": "redis", "service": SERVICE}, self.tools())
        assert isinstance(found, RedisAdapter)
        return found


@pytest.fixture(scope="module", params=sorted(WAYS))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRedis]:
    with RealRedis(request.param, tmp_path_factory.mktemp(request.param)) as found:
        found.fill(2000)
        found.fill(10, 3)
        found.ask("SET", "soon", "gone", "PX", "1")
        found.ask("SET", "later", "stays", "EX", "86400")
        make_point(found.tools(), "manual")
        found.ask("SET", "after", "the point")
        found.ask("DEL", "key:7")
        yield found


def test_a_point_is_a_snapshot_that_reads_back(server: RealRedis) -> None:
    record, point = server.newest()
    assert record["part"] == "redis-database"
    assert record["databases"] == {"db0": {"rows": 2006}, "db3": {"rows": 15}}
    assert record["appendonly"] is ("sh" in server.options)
    assert "quoted" not in str(record)
    assert read_back(server.tools(), point)[0]["sha256"] == record["sha256"]


def test_a_look(server: RealRedis) -> None:
    record, point = server.newest()
    adapter = server.adapter
    workspace = adapter.workspace("20260101T000000Z", PURPOSE_DRILL)
    prepared = adapter.prepare(record, point, Target(), workspace, thorough=True)
    try:
        assert (prepared.rows, prepared.warnings) == (2021, ())
        container = adapter.open(record, prepared, workspace)
        assert server.ask("GET", "key:7", container=container.name) == "vvvvvvv7"
        assert server.ask("EXISTS", "after", container=container.name) == "0"
        assert server.ask("LRANGE", "list", "0", "-1", container=container.name).split() == ["one", "two", "three"]
        assert int(server.ask("TTL", "later", container=container.name)) > 80000
    finally:
        adapter.discard(workspace)
    assert not Path(workspace.directory).exists()
    assert server.isolated() == ""


def test_an_exchange_and_the_way_back(server: RealRedis) -> None:
    record, point = server.newest()
    adapter = server.adapter
    workspace = adapter.workspace("20260102T000000Z")
    prepared = adapter.prepare(record, point, Target(), workspace)
    assert adapter.check_target(record) == []
    before = os.stat(server.live)
    summary = adapter.swap(prepared, workspace.id)
    assert (os.stat(server.live).st_uid, os.stat(server.live).st_gid) == (before.st_uid, before.st_gid)
    assert server.ask("GET", "key:7") == "vvvvvvv7"
    assert server.ask("EXISTS", "after") == "0"
    # It can write, and what it writes is there after a restart.
    assert server.ask("SET", "new", "life") == "OK"
    if server.options[0] == "sh":
        docker("restart", server.name)
        server.wait()
        assert server.ask("GET", "new") == "life"
    assert adapter.swap(prepared, workspace.id)["previous"] == summary["previous"]
    assert adapter.undo(workspace.id)
    assert (server.ask("EXISTS", "key:7"), server.ask("EXISTS", "new")) == ("0", "0")
    assert server.ask("GET", "after") == "the point"
    assert adapter.undo(workspace.id) == ""
    adapter.discard(workspace)


def test_a_snapshot_that_is_damaged_is_found(server: RealRedis) -> None:
    record, point = server.newest()
    adapter = server.adapter

    class Damaging(type(adapter.tools.host)):  # type: ignore[misc]
        def give(self, path: str, mode: int, uid: int, gid: int) -> None:
            if path.endswith(".rdb"):
                with open(path, "r+b") as stream:
                    stream.seek(500)
                    stream.write(b"\xff\x00\xff\x00")
            super().give(path, mode, uid, gid)

    adapter.tools.host = Damaging()
    with pytest.raises(BackupError, match=r"cannot be loaded|is damaged"):
        adapter.prepare(record, point, Target(), adapter.workspace("20260103T000000Z", PURPOSE_DRILL))
    assert server.isolated() == ""

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""Drills for real: a server of PostgreSQL and an application in containers, restic, two points and a volume. Where this
machine has Docker, restic and the lab's stand-ins:
pytest -m long tests/unit/plugins/module_utils/_backup/test_drill_real.py"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.drill import Wish, drill
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    DrillSettings,
    Place,
    RepositorySettings,
    Settings,
    Smoke,
    Source,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target

DATABASE_IMAGE = "slipway-lab/standin-postgres:17-alpine"
STACK = "slipwaydrill"
DATABASE = f"{STACK}-database-1"
APPLICATION = f"{STACK}-application-1"
VOLUMES = (f"{STACK}_pg", f"{STACK}_uploads")
KEY = "postgresql-database"
SECRET = "a 'quoted' $ecret"
# The application's own check: it logs in over the network by the service's name, and finds its upload. Nothing else is
# to be reached: neither the world, nor this machine.
CHECK = """
set -e
export PGPASSWORD="$DB_PASSWORD"
rows=$(psql -XAt -h "$DB_HOST" -U fleet -d shop -c 'SELECT count(*) FROM orders')
test "$(cat /uploads/photo.txt)" = "a photo"
test "$MOTTO" = "$(printf 'two\\nlines')"
psql -h 172.17.0.1 -c 'SELECT 1' 2>&1 | grep -q 'Network is unreachable' || { echo 'the host can be reached'; exit 9; }
psql -h example.org -c 'SELECT 1' 2>&1 | grep -q 'could not translate' || { echo 'a name server answers'; exit 9; }
psql -h cache -c 'SELECT 1' 2>&1 | grep -q 'could not translate' || { echo 'there is no such service'; exit 9; }
test "$(ls /sys/class/net)" = lo
echo "$rows orders"
"""


def _available() -> bool:
    if shutil.which("restic") is None or shutil.which("docker") is None or os.getuid() != 0:
        return False
    return (
        subprocess.run(["docker", "image", "inspect", DATABASE_IMAGE], capture_output=True, check=False).returncode == 0
    )


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not _available(), reason="needs root, Docker, restic and the lab's stand-in of PostgreSQL"),
]


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def sql(text: str, container: str = DATABASE) -> str:
    command = ["exec", "-i", container, "psql", "-XAtq", "--set=ON_ERROR_STOP=1", "-U", "fleet", "-d", "shop"]
    done = subprocess.run(["docker", *command], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class ServerLog:
    """The log as the live server itself still has it."""

    def __init__(self, live: str) -> None:
        self._live = live

    def lineage(self, source: Source) -> str:
        return ""

    def coverage(self, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        end, at = sql("SELECT pg_current_wal_flush_lsn() || '|' || clock_timestamp()").split("|")
        return Coverage(record["end_lsn"], end, datetime.fromisoformat(at.replace("+00", "+00:00")), 1)

    def fetch(
        self, source: Source, record: Mapping[str, Any], target: Target, directory: str, say: Any
    ) -> Coverage | None:
        found = self.coverage(source, record, target)
        sql("SELECT pg_switch_wal()")
        for name in os.listdir(f"{self._live}/pg_wal"):
            if name.endswith(".history") or (len(name) == 24 and target.kind != "point"):
                shutil.copyfile(f"{self._live}/pg_wal/{name}", f"{directory}/{name}")
        return found


@dataclass
class RealWorld:
    tools: Tools
    points: list[str]
    repository: Path

    def with_log(self) -> Tools:
        live = docker("volume", "inspect", "--format", "{{.Mountpoint}}", VOLUMES[0])
        return replace(self.tools, log=ServerLog(live))


def labels(service: str) -> list[str]:
    found = {"project": STACK, "service": service, "oneoff": "False"}
    return [word for key, value in found.items() for word in ("--label", f"com.docker.compose.{key}={value}")]


def remove() -> None:
    for name in docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}").split():
        docker("rm", "-f", "-v", name)
    docker("rm", "-f", "-v", DATABASE, APPLICATION, check=False)
    docker("volume", "rm", *VOLUMES, check=False)


def start_database(image: str = DATABASE_IMAGE) -> None:
    docker("rm", "-f", "-v", DATABASE, check=False)
    docker(
        *("run", "-d", "--name", DATABASE, "--network", "none", "-v", f"{VOLUMES[0]}:/var/lib/postgresql/data"),
        *(*labels("database"), "-e", f"POSTGRES_PASSWORD={SECRET}", "-e", "POSTGRES_USER=fleet"),
        *("-e", "POSTGRES_DB=shop", image, "postgres", "-c", "work_mem=7MB", "-c", "wal_keep_size=512MB"),
    )


def wait_for_server() -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        command = ["docker", "exec", "-e", f"PGPASSWORD={SECRET}", DATABASE, "psql", "-h", "127.0.0.1", "-U", "fleet"]
        if subprocess.run([*command, "-d", "shop", "-c", "SELECT 1"], capture_output=True, check=False).returncode == 0:
            return
        time.sleep(0.3)
    raise AssertionError(docker("logs", DATABASE))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    root = tmp_path_factory.mktemp("drill")
    remove()
    place = Place(
        STACK,
        configuration_root=str(root / "etc"),
        state_root=str(root / "state"),
        stacks_root=str(root / "stacks"),
        cache=str(root / "cache"),
        metrics=str(root / "metrics"),
    )
    for path in (place.configuration, place.metrics):
        Path(path).mkdir(parents=True)
    Path(place.repository("main").password).write_text("secret\n", encoding="utf-8")
    found = os.path.dirname(shutil.which("restic") or "")
    Path(place.repository("main").environment).write_text(f"PATH={found}:/usr/bin:/bin\n", encoding="utf-8")
    sources = (
        Source("postgresql", "database", password_variable="POSTGRES_PASSWORD"),
        Source("volume", volume=VOLUMES[1]),
    )
    smoke = Smoke("application", ("sh", "-c", CHECK), 60)
    settings = Settings(
        STACK,
        sources,
        (RepositorySettings("main", str(root / "repository")),),
        drill=DrillSettings(smoke=smoke),
    )
    try:
        start_database()
        docker(
            *("run", "-d", "--name", APPLICATION, "--network", "none", "-v", f"{VOLUMES[1]}:/uploads"),
            *(*labels("application"), "-e", f"DB_PASSWORD={SECRET}", "-e", "DB_HOST=database"),
            *("-e", "MOTTO=two\nlines", "--entrypoint", "sleep", DATABASE_IMAGE, "infinity"),
        )
        wait_for_server()
        docker("exec", APPLICATION, "sh", "-c", "printf 'a photo' > /uploads/photo.txt; ln -s photo.txt /uploads/link")
        sql("CREATE TABLE orders (id serial PRIMARY KEY, note text); INSERT INTO orders (note) VALUES ('first');")
        repository = Repository(STACK, settings.primary, place)
        repository.initialise()
        tools = Tools(settings, place, Docker(), Host(), repository, print)
        # Two points of one day are both kept only when none goes.
        points = [make_point(tools, "scheduled", tidy=False)["point"]]
        sql("CREATE TABLE padding AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 20000) n;")
        sql("INSERT INTO orders (note) VALUES ('second')")
        points.append(make_point(tools, "scheduled", tidy=False)["point"])
        sql("INSERT INTO orders (note) VALUES ('third')")
        time.sleep(2)
        yield RealWorld(tools, points, Path(settings.url))
    finally:
        remove()


def assert_clean(world: RealWorld) -> None:
    assert docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}") == ""
    assert not os.path.exists(world.tools.place.drill_work)
    for volume in VOLUMES:
        live = Path(docker("volume", "inspect", "--format", "{{.Mountpoint}}", volume))
        assert [path.name for path in live.parent.iterdir()] == ["_data"]
    assert sql("SELECT note FROM orders ORDER BY id").splitlines() == ["first", "second", "third"]


def test_it_is_started_asked_and_measured(world: RealWorld) -> None:
    report = drill(world.with_log(), Wish())
    assert (report["ok"], report["error"], report["point"]) == (True, "", world.points[1])
    database = report["databases"][KEY]
    assert database["facts"]["counts"]["shop.public.orders"] == 3
    assert database["facts"]["amcheck"] == "no damage"
    assert report["smoke"]["said"] == "3 orders"
    assert report["files"][f"volume-{VOLUMES[1]}"]["files"] == 2
    assert report["random"]["error"] == ""
    assert report["random"]["databases"][KEY]["rows"] >= 20002
    assert 1 < report["rto"][KEY] < report["rto_seconds"] < report["duration_seconds"]
    assert report["rpo"][KEY] < 5
    assert_clean(world)
    metrics = Path(world.tools.place.metrics, "slipway_drill.prom").read_text(encoding="utf-8")
    assert f'slipway_drill_last_attempt_succeeded{{stack="{STACK}"}} 1\n' in metrics


def test_a_check_that_is_not_content(world: RealWorld) -> None:
    smoke = Smoke("application", ("sh", "-c", "sleep 60"), 1)
    settings = replace(world.tools.settings, drill=DrillSettings(tries=1, smoke=smoke))
    report = drill(replace(world.tools, settings=settings), Wish())
    assert "the application's own check" in report["error"]
    assert "did not end within 1 s" in report["error"]
    assert_clean(world)


def test_killed_while_its_server_runs(world: RealWorld, tmp_path: Path) -> None:
    """The process dies; the next drill removes what it left, and says that it was."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            drill(world.tools, Wish())
        finally:
            os._exit(0)
    deadline = time.monotonic() + 120
    while not docker("ps", "-q", "--filter", f"label=slipway.stack={STACK}"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}")
    report = drill(world.tools, Wish())
    assert report["ok"] is True
    lines = Path(world.tools.place.drills).read_text(encoding="utf-8").splitlines()
    assert "was killed" in json.loads(lines[-2])["error"]
    assert_clean(world)


def test_an_engine_that_no_point_fits(world: RealWorld, tmp_path: Path) -> None:
    """The stack runs PostgreSQL 18 (the stand-in, which says so of itself); its points are of 17."""
    said = (
        "#!/bin/sh\n[ \"$1\" = --version ] && echo 'postgres (PostgreSQL) 18.0' && exit\n"
        'exec /usr/lib/postgresql/17/bin/postgres "$@"\n'
    )
    Path(tmp_path, "postgres").write_text(said, encoding="utf-8")
    Path(tmp_path, "Dockerfile").write_text(
        f"FROM {DATABASE_IMAGE}\nCOPY postgres /usr/local/sbin/postgres\n" + "RUN chmod 755 /usr/local/sbin/postgres\n",
        encoding="utf-8",
    )
    newer = f"{STACK}-postgres:18"
    docker("build", "-q", "-t", newer, str(tmp_path))
    try:
        start_database(newer)
        wait_for_server()
        report = drill(world.tools, Wish())
        assert report["ok"] is False
        assert [found["result"] for found in report["tried"]] == ["does not fit what is deployed"] * 2
        assert "is of PostgreSQL 17" in report["error"]
        assert (
            f"Point {world.points[1]} is whole by itself: it can be restored where {DATABASE_IMAGE} runs"
            in (report["error"])
        )
        assert report["newest_whole"] == world.points[1]
        assert_clean(world)
    finally:
        start_database()
        wait_for_server()
        docker("rmi", "-f", newer)


def test_a_flipped_byte_in_the_newest_point(world: RealWorld) -> None:
    """The last test: the repository stays damaged."""
    first = world.tools.repository.points()[0]
    needed = packs(world, [first.snapshot, *(part.snapshot for part in first.parts)])
    ours = world.tools.repository.points()[1]
    own = packs(world, [part.snapshot for part in ours.parts]) - needed
    assert own
    for name in own:
        path = world.repository / "data" / name[:2] / name
        path.chmod(0o600)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    report = drill(world.with_log(), Wish())
    assert report["ok"] is False
    assert [(found["point"], found["result"]) for found in report["tried"]] == [
        (world.points[1], "cannot be restored"),
        (world.points[0], "good"),
    ]
    assert report["newest_good"] == world.points[0]
    assert f"the newest good one is {world.points[0]}" in report["error"]
    # By the log from there, nothing is lost.
    assert report["databases"][KEY]["facts"]["counts"]["shop.public.orders"] == 3
    assert report["smoke"]["said"] == "3 orders"
    assert_clean(world)
    sys.stdout.write(report["error"] + "\n")


def packs(world: RealWorld, snapshots: list[str]) -> set[str]:
    """The pack files with the contents of what snapshots name."""
    environment = world.tools.repository._environment()

    def restic(*words: str) -> str:
        command = ["restic", "--repo", str(world.repository), *words, "--no-lock"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    wanted = set()
    for snapshot in snapshots:
        trees = [json.loads(restic("cat", "snapshot", snapshot))["tree"]]
        while trees:
            for node in json.loads(restic("cat", "blob", trees.pop()))["nodes"] or []:
                wanted.update(node.get("content") or [])
                trees += [node["subtree"]] if node.get("subtree") else []
    found = set()
    for name in restic("list", "index").split():
        for pack in json.loads(restic("cat", "index", name))["packs"]:
            if any(blob["id"] in wanted for blob in pack["blobs"]):
                found.add(pack["id"])
    return found

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""PostgreSQL for real: a server in a container, restic, recovery to every kind of target. Where this machine has
Docker, restic and the lab's stand-in: pytest -m long tests/unit/plugins/module_utils/_backup/test_postgresql_real.py"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import beside as besides
from ansible_collections.slipway.ops.plugins.module_utils._backup import postgresql as pg
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Place,
    Point,
    RepositorySettings,
    Settings,
    Source,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_source import PostgresqlAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import read_back
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools, adapter_of
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target

IMAGE = "slipway-lab/standin-postgres:17-alpine"
STACK = "slipwaytest"
NAME = f"{STACK}-database-1"
VOLUME = f"{STACK}_pg"


def _available() -> bool:
    if shutil.which("restic") is None or shutil.which("docker") is None or os.getuid() != 0:
        return False
    return subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not _available(), reason="needs root, Docker, restic and the lab's stand-in of PostgreSQL"),
]


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def sql(text: str, database: str = "shop", container: str = NAME) -> str:
    """Each statement by itself."""
    command = ["exec", "-i", container, "psql", "-XAtq", "--set=ON_ERROR_STOP=1", "-U", "fleet", "-d", database]
    done = subprocess.run(["docker", *command], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class ServerLog:
    """The log as the live server itself still has it: enough for a test, and what the log package gives in earnest."""

    def __init__(self, world: RealWorld) -> None:
        self._world = world

    def prune(self, source: Source, records: Sequence[Mapping[str, Any]]) -> int:
        return 0

    def coverage(self, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        end, at = sql("SELECT pg_current_wal_flush_lsn() || '|' || clock_timestamp()").split("|")
        moment = datetime.fromisoformat(at.replace("+00", "+00:00"))
        return Coverage(record["end_lsn"], end, moment, 1)

    def fetch(
        self,
        source: Source,
        record: Mapping[str, Any],
        target: Target,
        directory: str,
        say: Callable[[str], None],
    ) -> Coverage | None:
        found = self.coverage(source, record, target)
        sql("SELECT pg_switch_wal()")
        wal = f"{self._world.live}/pg_wal"
        for name in os.listdir(wal):
            if name.endswith(".history") or (len(name) == 24 and target.kind != "point"):
                shutil.copyfile(f"{wal}/{name}", f"{directory}/{name}")
        return found


@dataclass
class RealWorld:
    """A running server with a database, and a repository."""

    tools: Tools
    live: str

    @property
    def adapter(self) -> PostgresqlAdapter:
        found = adapter_of({"kind": "postgresql", "service": "database"}, self.tools)
        assert isinstance(found, PostgresqlAdapter)
        return found

    def manifest(self) -> tuple[dict[str, Any], Point]:
        point = self.tools.repository.points()[-1]
        path = f"{self.tools.place.spool}/manifest.json"
        import json

        return json.loads(self.tools.repository.fetch_text(point.snapshot, path))["sources"][0], point


def wait_for_server(seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = subprocess.run(
            ["docker", "exec", NAME, "psql", "-h", "127.0.0.1", "-U", "fleet", "-d", "shop", "-c", "SELECT 1"],
            capture_output=True,
            env={**os.environ},
            check=False,
        )
        # The server of the first start listens on no address; a refused login shows that the real one is there.
        if b"password" in done.stderr or done.returncode == 0:
            return
        time.sleep(0.3)
    raise AssertionError(docker("logs", NAME))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealWorld]:
    root = tmp_path_factory.mktemp("postgresql")
    remove()
    place = Place(
        STACK,
        configuration_root=str(root / "etc"),
        state_root=str(root / "state"),
        stacks_root=str(root / "stacks"),
        cache=str(root / "cache"),
        metrics=str(root / "metrics"),
    )
    files = place.repository("main")
    Path(files.directory).mkdir(parents=True)
    Path(files.password).write_text("secret\n", encoding="utf-8")
    found = os.path.dirname(shutil.which("restic") or "")
    Path(files.environment).write_text(f"PATH={found}:/usr/bin:/bin\n", encoding="utf-8")
    source = Source("postgresql", "database", password_variable="POSTGRES_PASSWORD")
    settings = Settings(STACK, (source,), (RepositorySettings("main", str(root / "repository")),))
    try:
        docker(
            *("run", "-d", "--name", NAME, "--cpus", "1", "-v", f"{VOLUME}:/var/lib/postgresql/data"),
            *("--label", f"com.docker.compose.project={STACK}", "--label", "com.docker.compose.service=database"),
            *("--label", "com.docker.compose.oneoff=False", "-e", "POSTGRES_PASSWORD=a 'quoted' $ecret"),
            *("-e", "POSTGRES_USER=fleet", "-e", "POSTGRES_DB=shop", IMAGE),
        )
        wait_for_server()
        sql("CREATE TABLE orders (id serial PRIMARY KEY, note text); INSERT INTO orders (note) VALUES ('first');")
        sql("CREATE TABLE padding AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 20000) n;")
        sql("ANALYZE")
        live = docker("volume", "inspect", "--format", "{{.Mountpoint}}", VOLUME)
        repository = Repository(STACK, settings.primary, place)
        repository.initialise()
        tools = Tools(settings, place, Docker(), Host(), repository, print)
        yield RealWorld(tools, live)
    finally:
        remove()


def remove() -> None:
    for name in docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}").split():
        docker("rm", "-f", "-v", name)
    docker("rm", "-f", "-v", NAME, check=False)
    docker("volume", "rm", VOLUME, check=False)


def test_a_point_is_a_base_backup_that_reads_back(world: RealWorld) -> None:
    summary = make_point(world.tools, "manual")
    record, point = world.manifest()
    assert (record["part"], record["login"], record["major"]) == ("postgresql-database", "fleet", 17)
    assert record["rows"] == 20001
    assert record["counts"] == {"shop.public.orders": [1, 1]}
    assert record["databases"]["shop"]["tables"] == 2
    assert pg.lsn_number(record["start_lsn"]) < pg.lsn_number(record["end_lsn"])
    assert record["begin_time"] < record["end_time"]
    assert [part.key for part in point.parts] == ["postgresql-database"]
    assert summary["size_bytes"] == record["bytes"] > 20 << 20
    assert read_back(world.tools, point)[0]["sha256"] == record["sha256"]


@dataclass
class Story:
    """What was written after the point, with the moments and places between."""

    moments: dict[str, datetime]
    positions: dict[str, str]
    transactions: dict[str, str]


@pytest.fixture(scope="module")
def story(world: RealWorld) -> Story:
    found = Story({}, {}, {})
    for name in ("second", "third", "fourth"):
        found.transactions[name] = sql(
            f"BEGIN; INSERT INTO orders (note) VALUES ('{name}'); SELECT txid_current(); COMMIT;"
        )
        time.sleep(0.2)
        at, position = sql("SELECT clock_timestamp() || '|' || pg_current_wal_insert_lsn()").split("|")
        found.moments[name] = datetime.fromisoformat(at.replace("+00", "+00:00"))
        found.positions[name] = position
        time.sleep(0.2)
    return found


def logged(world: RealWorld) -> PostgresqlAdapter:
    adapter = world.adapter
    adapter.tools = replace(world.tools, log=ServerLog(world))
    return adapter


def look(adapter: PostgresqlAdapter, world: RealWorld, target: Target, thorough: bool = False) -> tuple[list[str], Any]:
    """What the orders are at a target."""
    record, point = world.manifest()
    workspace = adapter.workspace("20260101T000000Z", "drill")
    prepared = adapter.prepare(record, point, target, workspace, thorough)
    try:
        assert docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}") == ""
        container = adapter.open(record, prepared, workspace)
        return sql("SELECT note FROM orders ORDER BY id", container=container.name).splitlines(), prepared
    finally:
        adapter.discard(workspace)
        assert not Path(workspace.directory).exists()
        assert docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}") == ""


def at(text: str, inclusive: bool = True) -> Target:
    return parse_target(text, datetime.now(timezone.utc), inclusive)


def test_the_point_alone(world: RealWorld, story: Story) -> None:
    found, prepared = look(world.adapter, world, Target(), thorough=True)
    assert found == ["first"]
    assert prepared.facts["amcheck"] == "no damage"
    assert (prepared.timeline, prepared.warnings) == ("2", ())


def test_as_far_as_the_log_reaches(world: RealWorld, story: Story) -> None:
    found, prepared = look(logged(world), world, Target())
    assert found == ["first", "second", "third", "fourth"]
    assert prepared.rows == 20004
    assert prepared.time > story.moments["third"].isoformat()


def test_every_kind_of_target(world: RealWorld, story: Story) -> None:
    adapter = logged(world)
    moment = story.moments["second"].isoformat(" ")
    assert look(adapter, world, at(moment))[0] == ["first", "second"]
    assert look(adapter, world, at(f"lsn:{story.positions['third']}"))[0] == ["first", "second", "third"]
    assert look(adapter, world, at(f"xid:{story.transactions['third']}"))[0] == ["first", "second", "third"]
    assert look(adapter, world, at(f"xid:{story.transactions['third']}", inclusive=False))[0] == ["first", "second"]


def test_a_quiet_hour_after_the_last_transaction(world: RealWorld, story: Story) -> None:
    found, _prepared = look(logged(world), world, at(story.moments["fourth"].isoformat(" ")))
    assert found == ["first", "second", "third", "fourth"]


def test_what_is_not_in_the_log(world: RealWorld, story: Story) -> None:
    with pytest.raises(BackupError, match="transaction 4000000 is not in the log between"):
        look(logged(world), world, at("xid:4000000"))


def test_a_record_that_is_damaged_in_the_log(world: RealWorld, story: Story) -> None:
    """A server takes the first record that it cannot read for the end of its log."""

    class Damaged(ServerLog):
        def fetch(self, source: Source, record: Mapping[str, Any], target: Target, directory: str, say: Any) -> Any:
            sql("CREATE TABLE much AS SELECT md5(n::text) FROM generate_series(1, 600000) n; DROP TABLE much")
            found = super().fetch(source, record, target, directory, say)
            path = sorted(Path(directory).glob("0000000100*"))[1]
            with path.open("r+b") as stream:
                stream.write(bytes(1 << 20))
            return found

    adapter = world.adapter
    adapter.tools = replace(world.tools, log=Damaged(world))
    with pytest.raises(BackupError, match=r"its log goes on to .* and cannot be read after"):
        look(adapter, world, Target())


def test_a_file_of_the_log_that_cannot_be_copied_ends_the_recovery(world: RealWorld, story: Story) -> None:
    """The server would take it for one that is not there, and the log for ended."""

    class Closing(Host):
        def set_mode(self, path: str, mode: int) -> None:
            super().set_mode(path, 0 if path.endswith("4") else mode)

    adapter = world.adapter
    adapter.tools = replace(world.tools, log=ServerLog(world), host=Closing())
    with pytest.raises(BackupError, match="the server could not recover: FATAL"):
        look(adapter, world, Target())


def test_an_exchange_and_the_way_back(world: RealWorld, story: Story) -> None:
    adapter = logged(world)
    record, point = world.manifest()
    workspace = adapter.workspace("20260102T000000Z")
    prepared = adapter.prepare(record, point, at(story.moments["second"].isoformat(" ")), workspace)
    assert adapter.check_target(record) == []
    before = os.stat(world.live)
    summary = adapter.swap(prepared, workspace.id)
    after = os.stat(world.live)
    assert (before.st_uid, before.st_gid, before.st_mode) == (after.st_uid, after.st_gid, after.st_mode)
    assert sql("SELECT note FROM orders ORDER BY id").splitlines() == ["first", "second"]
    assert sql("SELECT timeline_id FROM pg_control_checkpoint()") == prepared.timeline
    sql("INSERT INTO orders (note) VALUES ('new life')")
    assert Path(summary["previous"]).is_dir()
    assert adapter.swap(prepared, workspace.id)["previous"] == summary["previous"]
    assert adapter.undo(workspace.id)
    assert sql("SELECT note FROM orders ORDER BY id").splitlines() == ["first", "second", "third", "fourth"]
    assert adapter.undo(workspace.id) == ""
    adapter.discard(workspace)


def test_data_that_does_not_serve_is_taken_back(world: RealWorld, story: Story) -> None:
    adapter = world.adapter
    record, point = world.manifest()
    workspace = adapter.workspace("20260103T000000Z")
    prepared = adapter.prepare(record, point, Target(), workspace)
    Path(f"{prepared.data}/global/pg_control").unlink()
    with pytest.raises(BackupError, match=r"does not serve: .*pg_control.*The old data is back in its place"):
        adapter.swap(prepared, workspace.id)
    assert sql("SELECT note FROM orders ORDER BY id").splitlines() == ["first", "second", "third", "fourth"]
    adapter.discard(workspace)


@pytest.fixture
def opened(world: RealWorld) -> Iterator[Tools]:
    """Tables that hang together are saved, opened beside, and then lose rows in the live server."""
    sql(
        """
        DROP SCHEMA IF EXISTS trade CASCADE; CREATE SCHEMA trade;
        CREATE TABLE trade.parts (id serial PRIMARY KEY, name text UNIQUE, price int CHECK (price > 0));
        CREATE INDEX by_price ON trade.parts (price);
        CREATE TABLE trade.lines
            (part int REFERENCES trade.parts ON DELETE CASCADE, n int GENERATED ALWAYS AS IDENTITY);
        CREATE VIEW trade.dear WITH (security_barrier) AS SELECT name FROM trade.parts WHERE price > 10;
        CREATE STATISTICS trade.both ON name, price FROM trade.parts;
        INSERT INTO trade.parts (name, price) VALUES ('wheel', 20), ('nail', 1), ('it''s', 5);
        INSERT INTO trade.lines (part) VALUES (1), (2);
        """
    )
    make_point(world.tools, "manual")
    found = besides.look(world.tools, Target())
    assert [item["container"] for item in found["opened"]] == [
        f"slipway-look-{STACK}-postgresql-database-{found['id']}"
    ]
    sql("DELETE FROM trade.parts WHERE name <> 'nail'; INSERT INTO trade.parts (name, price) VALUES ('new', 7)")
    try:
        yield world.tools
    finally:
        assert besides.discard_look(world.tools) == ["postgresql-database"]
        assert docker("ps", "-aq", "--filter", f"label=slipway.stack={STACK}") == ""
        for name in docker("exec", NAME, "psql", "-XAtU", "fleet", "-c", DATABASES, "postgres").split():
            sql(f'DROP DATABASE "{name}"', "postgres")
        sql("DROP SCHEMA trade CASCADE")


DATABASES = "SELECT datname FROM pg_database WHERE datname ~ '(_before_|_restored_)'"


def parts() -> list[str]:
    return sql("SELECT name FROM trade.parts ORDER BY id").splitlines()


def test_one_table_comes_back_in_its_place(opened: Tools) -> None:
    with pytest.raises(BackupError, match="nothing was named"):
        besides.copy(opened, besides.parse_wanted("shop", "trade.parts"), "")
    result = besides.copy(opened, besides.parse_wanted("shop", "trade.parts"), STACK)
    assert (result["copied"], result["rows"]) == ("shop.trade.parts", 3)
    assert parts() == ["wheel", "nail", "it's"]
    kept = result["kept"].partition(".")[2]
    assert kept.startswith("parts_before_2")
    assert sql(f"SELECT name FROM trade.{kept} ORDER BY id").splitlines() == ["nail", "new"]
    # What led to the table leads to the new one.
    assert sql("SELECT * FROM trade.dear") == "wheel"
    assert sql("SELECT reloptions FROM pg_class WHERE relname = 'dear'") == "{security_barrier=true}"
    sql("INSERT INTO trade.parts (name, price) VALUES ('more', 3)")
    assert sql("INSERT INTO trade.lines (part) VALUES (4) RETURNING n")
    with pytest.raises(AssertionError, match="violates foreign key"):
        sql("INSERT INTO trade.lines (part) VALUES (99)")
    # And again: every name is free.
    time.sleep(1)
    sql("DELETE FROM trade.lines WHERE part = 4")
    assert besides.copy(opened, besides.parse_wanted("shop", "trade.parts"), STACK)["rows"] == 3
    assert "part text" not in sql("SELECT pg_get_viewdef('trade.dear'::regclass)")


def test_a_table_that_was_dropped_comes_back(opened: Tools) -> None:
    sql("DROP TABLE trade.lines")
    with pytest.raises(BackupError, match=r"violates foreign key.*is not present in table .parts.*Nothing was changed"):
        besides.copy(opened, besides.parse_wanted("shop", "trade.lines"), STACK)
    besides.copy(opened, besides.parse_wanted("shop", "trade.parts"), STACK)
    result = besides.copy(opened, besides.parse_wanted("shop", "trade.lines"), STACK)
    assert (result["kept"], result["rows"]) == ("", 2)
    assert sql("SELECT count(*) FROM trade.lines JOIN trade.parts ON part = id") == "2"


def test_a_table_that_cannot_come_back_changes_nothing(opened: Tools) -> None:
    before = parts()
    # A line that leads to a part which the old table does not have.
    sql("INSERT INTO trade.lines (part) SELECT id FROM trade.parts WHERE name = 'new'")
    with pytest.raises(BackupError, match=r"violates foreign key constraint.*Nothing was changed"):
        besides.copy(opened, besides.parse_wanted("shop", "trade.parts"), STACK)
    assert parts() == before
    assert sql("SELECT count(*) FROM pg_class WHERE relname ~ '_before_'") == "0"
    sql("CREATE MATERIALIZED VIEW trade.cached AS SELECT * FROM trade.parts")
    with pytest.raises(BackupError, match=r"materialized views trade.cached would go on with the old table"):
        besides.copy(opened, besides.parse_wanted("shop", "trade.parts"), STACK)
    with pytest.raises(BackupError, match="is no table there"):
        besides.copy(opened, besides.parse_wanted("shop", "trade.nothing"), STACK)


def test_a_dump_that_dies_changes_nothing(opened: Tools) -> None:
    class Dying(Docker):
        def stream(self, container: Any, command: Any, owner: str) -> Any:
            found = super().stream(container, ["sh", "-c", '"$@"; kill -9 $$', "x", *command], owner)
            return found

    before = parts()
    with pytest.raises(BackupError, match=r"ended with exit status 137.*Nothing was changed"):
        besides.copy(replace(opened, docker=Dying()), besides.parse_wanted("shop", "trade.parts"), STACK)
    assert parts() == before
    assert sql("SELECT count(*) FROM pg_class WHERE relname ~ '_before_'") == "0"


def test_one_database_takes_its_place_under_running_clients(opened: Tools) -> None:
    sql("ALTER DATABASE shop SET work_mem = '7MB'")
    client = subprocess.Popen(
        ["docker", "exec", NAME, "psql", "-XU", "fleet", "-d", "shop", "-c", "SELECT pg_sleep(120)"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        result = besides.copy(opened, besides.parse_wanted("shop", ""), STACK)
    finally:
        client.kill()
        client.wait()
    assert parts() == ["wheel", "nail", "it's"]
    assert result["kept"].startswith("shop_before_2")
    assert sql("SELECT name FROM trade.parts ORDER BY id", result["kept"]).splitlines() == ["nail", "new"]
    assert sql("SELECT count(*) FROM pg_database WHERE datname ~ '_restored_'", "postgres") == "0"
    # The setting was made after the point.
    assert sql("SHOW work_mem") == "4MB"
    assert sql("SELECT datallowconn FROM pg_database WHERE datname LIKE 'shop_before%'", "postgres") == "t"


def test_a_base_backup_that_is_ended_leaves_no_part(world: RealWorld) -> None:
    class Ending(Docker):
        def stream(self, container: Any, command: Any, owner: str) -> Any:
            found = super().stream(container, command, owner)
            subprocess.Popen(["sh", "-c", f"sleep 0.4; docker exec {NAME} pkill -9 pg_basebackup"])
            return found

    sql("CREATE TABLE large AS SELECT repeat(md5(n::text), 20) FROM generate_series(1, 200000) n")
    points = world.tools.repository.points()
    tools = replace(world.tools, docker=Ending())
    try:
        with pytest.raises(BackupError, match="the base backup ended with exit status 137"):
            make_point(tools, "manual")
    finally:
        sql("DROP TABLE large")
    assert world.tools.repository.points() == points
    assert world.tools.repository.catalogue().orphans == ()


def test_a_tablespace_is_refused(world: RealWorld) -> None:
    docker("exec", NAME, "sh", "-c", "mkdir -p /tmp/space && chown postgres /tmp/space")
    sql("CREATE TABLESPACE elsewhere LOCATION '/tmp/space'")
    try:
        with pytest.raises(BackupError, match=r"has tablespaces \(elsewhere\)"):
            make_point(world.tools, "manual")
    finally:
        sql("DROP TABLESPACE elsewhere")

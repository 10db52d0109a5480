# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import backup, proof, restore
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import KIND_MANUAL, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import SourceError, adapter_for
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

CLUSTER = "CREATE ROLE shop;\n--\n-- PostgreSQL database cluster dump complete\n--\n\n"
SERVER = "CREATE TABLE `orders` (\nINSERT INTO `orders` VALUES (1),(2);\n-- Dump completed\n"
DUMPS = {"postgresql": ("pg_dumpall", CLUSTER), "mysql": ("mysqldump", SERVER), "mariadb": ("mariadb-dump", SERVER)}


def program(directory: Path, name: str, body: str) -> None:
    path = directory / name
    path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of the host: `runuser` says who it was to be, and runs the command as it is."""
    found = tmp_path / "bin"
    found.mkdir()
    program(found, "runuser", f'echo "$2" > {tmp_path}/user; shift 3; exec "$@"')
    monkeypatch.setenv("PATH", f"{found}:{os.environ['PATH']}")
    return found


def with_dump(tmp_path: Path, engine: str, user: str = "") -> World:
    world = World(tmp_path / "world")
    sources = (*world.settings.sources, Source("host_dump", engine=engine, user=user))
    world.settings = replace(world.settings, sources=sources)
    return world


@pytest.mark.parametrize(
    ("engine", "user", "told"), [("postgresql", "", "postgres"), ("mysql", "", "root"), ("mariadb", "dumper", "dumper")]
)
def test_it_is_in_the_point_and_read_back(tmp_path: Path, tools: Path, engine: str, user: str, told: str) -> None:
    name, text = DUMPS[engine]
    program(tools, name, f"cat {tmp_path}/dump")
    (tmp_path / "dump").write_text(text, encoding="utf-8")
    world = with_dump(tmp_path, engine, user)
    summary = backup.make_point(world.tools, KIND_MANUAL)
    assert (tmp_path / "user").read_text(encoding="utf-8") == f"{told}\n"
    (point,) = world.tools.repository.points()
    assert point.good
    compared = {str(item["path"]): item for item in proof.read_back(world.tools, point)}
    assert compared[f"host_dump-{engine}.sql"]["bytes"] == len(text)
    assert summary["size_bytes"] >= len(text)


@pytest.mark.parametrize(
    ("engine", "body", "said"),
    [
        ("postgresql", "printf 'CREATE ROLE shop;\\n'", "without its last line"),
        ("postgresql", "echo 'pg_dumpall: error: no such socket' >&2; exit 1", "exit status 1 .* no such socket"),
        ("mariadb", "printf 'CREATE TABLE `a`'", "without its last line"),
        ("mysql", "echo 'Access denied' >&2; exit 2", "exit status 2 .* Access denied"),
    ],
)
def test_what_is_not_whole_is_no_point(tmp_path: Path, tools: Path, engine: str, body: str, said: str) -> None:
    program(tools, DUMPS[engine][0], body)
    world = with_dump(tmp_path, engine)
    with pytest.raises(SourceError, match=f"the host's own databases .{engine}.: .*{said}"):
        backup.make_point(world.tools, KIND_MANUAL)
    assert world.tools.repository.points() == []


def test_a_restore_leaves_the_server_alone_and_says_how_to_load_it(tmp_path: Path, tools: Path) -> None:
    program(tools, "pg_dumpall", f"cat {tmp_path}/dump")
    (tmp_path / "dump").write_text(CLUSTER, encoding="utf-8")
    world = with_dump(tmp_path, "postgresql")
    backup.make_point(world.tools, KIND_MANUAL)
    (line,) = [line for line in restore.make_plan(world.tools, Target()).lines if "host's own databases" in line]
    assert line.startswith("leave the host's own databases (postgresql) as they are")
    assert "runuser -u postgres -- psql --quiet --dbname=postgres < DIRECTORY/host_dump-postgresql.sql" in line
    program(tools, "psql", "exit 9")
    restore.restore(world.tools, Target(), "fleet")
    directory = tmp_path / "out"
    restore.extract(world.tools, Target(), str(directory))
    assert (directory / "host_dump-postgresql.sql").read_text(encoding="utf-8") == CLUSTER


def test_two_servers_are_two_sources() -> None:
    first, second = Source("host_dump", engine="mysql"), Source("host_dump", engine="postgresql")
    assert (first.key, second.key) == ("host_dump-mysql", "host_dump-postgresql")


def test_it_stands_in_no_way(tmp_path: Path) -> None:
    world = with_dump(tmp_path, "mysql")
    assert adapter_for(world.settings.sources[-1], world.tools).check_target({}) == []

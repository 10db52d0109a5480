# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Part,
    Point,
    RefusedError,
    Source,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    DataPlace,
    Prepared,
    adapter_of,
    data_place,
    find_part,
    last_line,
    prepared_from,
    wait_ready,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

CONTAINER = Container("id", "fleet-db-1", "db", "postgres:17", "sha256:1", True)
VOLUMES = {"/var/lib/postgresql/data": ("fleet_pg", "/docker/volumes/fleet_pg/_data")}


@pytest.mark.parametrize(
    ("container", "inside", "place"),
    [
        pytest.param(
            replace(CONTAINER, volumes=VOLUMES),
            "/var/lib/postgresql/data",
            DataPlace("/docker/volumes/fleet_pg/_data", "/docker/volumes/fleet_pg"),
            id="a volume",
        ),
        pytest.param(
            replace(CONTAINER, volumes={"/var/lib/postgresql": ("pg", "/v/pg/_data")}),
            "/var/lib/postgresql/18/docker",
            DataPlace("/v/pg/_data/18/docker", "/v/pg"),
            id="a directory within a volume",
        ),
        pytest.param(
            replace(CONTAINER, binds={"/data": "/srv/pg", "/": "/elsewhere"}),
            "/data",
            DataPlace("/srv/pg", "/srv", "pg"),
            id="a directory of the host",
        ),
        pytest.param(replace(CONTAINER, volumes=VOLUMES), "/var/lib/postgresql/database", None, id="only alike"),
        pytest.param(CONTAINER, "/var/lib/postgresql/data", None, id="in the container itself"),
    ],
)
def test_where_a_server_s_data_is(container: Container, inside: str, place: DataPlace | None) -> None:
    assert data_place(container, inside) == place


def test_names_beside_the_data_are_its_own() -> None:
    assert DataPlace("/v/pg/_data", "/v/pg").beside(".slipway-previous-1") == "/v/pg/.slipway-previous-1"
    assert DataPlace("/srv/pg", "/srv", "pg").beside(".slipway-previous-1") == "/srv/pg.slipway-previous-1"


@pytest.mark.parametrize(
    ("source", "key"),
    [
        (Source("postgresql", "db", "fleet"), "postgresql-db"),
        (Source("volume", volume="fleet_uploads"), "volume-fleet_uploads"),
    ],
)
def test_keys(source: Source, key: str) -> None:
    assert source.key == key


def test_keys_are_plain_and_stay_different() -> None:
    names = [Source("file", path=name).key for name in ("/a b", "/a,b", "/a_b")]
    assert len(set(names)) == 3
    assert not [name for name in names if set(name) & set(" ,")]


def test_a_part_is_found_by_the_beginning_of_its_name() -> None:
    point = Point("p", "manual", "s", True, (), (Part("k", "abcdef"), Part("other", "012345")))
    record = {"part": "k", "snapshot": "abc"}
    assert find_part(point, record, "x") == "abcdef"
    for wrong in ({"part": "k", "snapshot": "012"}, {"part": "gone", "snapshot": "abc"}):
        with pytest.raises(BackupError, match="is not in the repository"):
            find_part(point, wrong, "x")


def test_what_was_prepared_outlives_a_journal() -> None:
    prepared = Prepared("k", "label", "/d", "there", rows=3, facts={"a": 1}, warnings=("careful",))
    assert prepared_from(prepared.as_dict()) == prepared


def test_a_kind_of_a_later_version(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="which this version does not know"):
        adapter_of({"kind": "oracle"}, World(tmp_path).tools)


def test_today_s_user_counts(tmp_path: Path) -> None:
    tools = Database(World(tmp_path), "mariadb").tools()
    record = {"kind": "mariadb", "service": "database", "user": "old", "password_variable": "OLD"}
    assert adapter_of(record, tools).source.user == "root"
    assert adapter_of({**record, "service": "other"}, tools).source.user == "old"


class Clock(Host):
    """Time passes only in sleep."""

    def __init__(self, world: World) -> None:
        self._world = world

    def now(self) -> datetime:
        return self._world.clock

    def sleep(self, seconds: float) -> None:
        self._world.happens("sleep")
        self._world.clock += timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("states", "answers", "early", "ready", "sleeps"),
    [
        pytest.param([CONTAINER], True, True, True, 0, id="at once"),
        pytest.param(
            [replace(CONTAINER, health="starting")] * 3 + [CONTAINER], True, True, True, 3, id="after a while"
        ),
        pytest.param([replace(CONTAINER, health="unhealthy")], True, True, False, 0, id="unhealthy"),
        pytest.param([replace(CONTAINER, running=False, ended=True)], True, True, False, 0, id="ended"),
        pytest.param([replace(CONTAINER, health="healthy")], False, True, False, 15, id="healthy and silent"),
        pytest.param([CONTAINER], False, True, False, 60, id="never answers"),
        pytest.param([replace(CONTAINER, health="unhealthy")], True, False, False, 60, id="unhealthy is no matter"),
    ],
)
def test_how_long_is_waited(
    tmp_path: Path, states: list[Container], answers: bool, early: bool, ready: bool, sleeps: int
) -> None:
    world = World(tmp_path)
    rest = list(states)

    def find() -> Container:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    assert wait_ready(Clock(world), find, lambda: answers, 60, early) is ready
    assert world.events.count("sleep") == sleeps


def test_the_last_word() -> None:
    assert last_line("one\ntwo\n\n") == "two"
    assert last_line("") == "no reason was given"

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import gateway
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Server, host_path, parse_servers

RECORD: dict[str, Any] = {
    "Id": "abc",
    "Name": "/fleet-database-1",
    "Image": "sha256:1",
    "Config": {"Image": "postgres:17", "Labels": {"com.docker.compose.service": "database"}},
    "State": {"Running": True, "Pid": 4711},
    "Mounts": [
        {"Type": "volume", "Name": "data", "Source": "/volumes/data/_data", "Destination": "/var/lib/postgresql/data"},
        {"Type": "bind", "Source": "/srv/wal", "Destination": "/var/lib/postgresql/data/pg_wal/"},
        {"Type": "tmpfs", "Source": "", "Destination": "/run"},
    ],
}


def proc(root: Path, pid: int, started: str = "777") -> str:
    (root / "proc" / str(pid)).mkdir(parents=True)
    fields = ["S", *(str(index) for index in range(4, 22)), started, "9"]
    (root / "proc" / str(pid) / "stat").write_text(f"{pid} (post) gres) {' '.join(fields)}\n", encoding="utf-8")
    return str(root / "proc")


def test_a_server_is_a_running_container(tmp_path: Path) -> None:
    where = proc(tmp_path, 4711)
    (server,) = parse_servers([RECORD], where)
    assert (server.id, server.name, server.image_id, server.pid) == ("abc", "fleet-database-1", "sha256:1", 4711)
    assert server.mounts == (
        ("/var/lib/postgresql/data/pg_wal", "/srv/wal"),
        ("/var/lib/postgresql/data", "/volumes/data/_data"),
    )
    assert gateway.is_alive(server, where)
    other = tmp_path / "other"
    assert not gateway.is_alive(server, proc(other, 4711, "778"))
    assert not gateway.is_alive(server, str(tmp_path / "nothing"))


@pytest.mark.parametrize(
    "change",
    [
        {"State": {"Running": False, "Pid": 0}},
        {"State": {"Running": True, "Restarting": True, "Pid": 1}},
        {"Config": {"Labels": {"com.docker.compose.oneoff": "True"}}},
    ],
)
def test_what_is_no_server(change: dict[str, Any], tmp_path: Path) -> None:
    assert parse_servers([{**RECORD, **change}], str(tmp_path)) == []


@pytest.fixture
def server(tmp_path: Path) -> Server:
    for name in ("data/pg_wal", "other", "proc/7/root/etc/mysql", "proc/7/root/srv/log"):
        (tmp_path / name).mkdir(parents=True)
    return Server("abc", "c", "i", 7, "1", (("/data/deep", str(tmp_path / "other")), ("/data", str(tmp_path / "data"))))


def test_where_a_path_of_the_container_is(server: Server, tmp_path: Path) -> None:
    where = str(tmp_path / "proc")
    assert host_path(server, "/data/pg_wal", where) == str(tmp_path / "data/pg_wal")
    assert host_path(server, "/data/deep/x", where) == str(tmp_path / "other/x")
    assert host_path(server, "/data", where) == str(tmp_path / "data")
    assert host_path(server, "/database", where) == str(tmp_path / "proc/7/root/database")
    assert host_path(server, "/etc/mysql/../mysql", where) == str(tmp_path / "proc/7/root/etc/mysql")


def test_links_are_followed_as_the_container_would(server: Server, tmp_path: Path) -> None:
    where = str(tmp_path / "proc")
    os.symlink("/srv/log", tmp_path / "data/absolute")
    os.symlink("pg_wal", tmp_path / "data/relative")
    os.symlink("../../../../../../etc", tmp_path / "data/out")
    os.symlink("round", tmp_path / "data/round")
    # An absolute link leads to the container's own directory, never to the host's.
    assert host_path(server, "/data/absolute/x", where) == str(tmp_path / "proc/7/root/srv/log/x")
    assert host_path(server, "/data/relative", where) == str(tmp_path / "data/pg_wal")
    assert host_path(server, "/data/out/passwd", where) == str(tmp_path / "proc/7/root/etc/passwd")
    with pytest.raises(RefusedError, match="has too many links"):
        host_path(server, "/data/round", where)


def test_a_part_of_a_volume_is_found_through_the_process(server: Server, tmp_path: Path) -> None:
    (tmp_path / "proc/7/root/data").mkdir()
    assert host_path(server, "/data", str(tmp_path / "proc")) == str(tmp_path / "proc/7/root/data")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import gateway
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import (
    Engine,
    Server,
    host_path,
    parse_servers,
)

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


class Client:
    """The client program, with the answers of a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: list[Outcome]) -> None:
        self.answers = answers
        self.asked: list[list[str]] = []
        monkeypatch.setattr(gateway, "run", self)

    def __call__(self, command: Sequence[str], **options: Any) -> Outcome:
        self.asked.append(list(command))
        return self.answers.pop(0)


def test_servers_are_found_by_their_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch, [Outcome(0, "abc\n", ""), Outcome(0, json.dumps([RECORD]), ""), Outcome(0, "\n", "")])
    (server,) = Engine().servers("fleet", "database")
    assert server.id == "abc"
    assert client.asked[0][-1] == "label=com.docker.compose.service=database"
    assert "label=com.docker.compose.project=fleet" in client.asked[0]
    assert Engine().servers("fleet", "database") == []


def test_receivers_that_were_left_go_with_their_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(monkeypatch, [Outcome(0, "one two\n", ""), Outcome(0, "", ""), Outcome(0, "", "")])
    assert Engine().remove_receivers("fleet/database") == 2
    assert client.asked[0][-1] == "label=ops.slipway.log=fleet/database"
    assert client.asked[1] == ["docker", "rm", "--force", "--volumes", "one", "two"]
    assert Engine().remove_receivers("fleet/database") == 0


def test_an_engine_that_does_not_answer_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    Client(monkeypatch, [Outcome(1, "", "Cannot connect to the Docker daemon\n"), Outcome(137, "", "")])
    with pytest.raises(BackupError, match="docker ps: Cannot connect"):
        Engine().servers("fleet", "database")
    with pytest.raises(BackupError, match="docker ps: exit status 137"):
        Engine().remove_receivers("x")


def test_asking_and_receiving(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    client = Client(monkeypatch, [Outcome(0, "yes", ""), Outcome(1, "", "ended")])
    assert Engine().ask(server, ["sh"], "text").stdout == "yes"
    assert Engine().receive(["docker", "run", "x"]).stderr == "ended"
    assert client.asked == [["docker", "exec", "--interactive", "abc", "sh"], ["docker", "run", "x"]]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import gateway
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import (
    Docker,
    Host,
    Isolated,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome

RECORD: dict[str, Any] = {
    "Id": "abc",
    "Name": "/fleet-database-1",
    "Image": "sha256:1",
    "RestartCount": 2,
    "Config": {
        "Image": "mysql:8.4",
        "Labels": {"com.docker.compose.service": "database"},
        "Env": ["MYSQL_ROOT_PASSWORD=a=b", "PATH=/bin"],
        "Entrypoint": ["docker-entrypoint.sh"],
        "Cmd": ["mysqld", "--skip-name-resolve"],
    },
    "HostConfig": {"Memory": 1073741824},
    "State": {"Running": True, "Restarting": False, "Status": "running", "Health": {"Status": "healthy"}},
    "Mounts": [
        {"Type": "volume", "Name": "fleet_mysql", "Source": "/v/_data", "Destination": "/var/lib/mysql"},
        {"Type": "bind", "Source": "/etc/x", "Destination": "/x"},
    ],
}


def test_a_container_is_what_docker_says() -> None:
    container = Docker._container(RECORD)
    assert (container.name, container.service, container.ready, container.restarts) == (
        *("fleet-database-1", "database", True),
        2,
    )
    assert container.volumes == {"/var/lib/mysql": ("fleet_mysql", "/v/_data")}
    assert container.binds == {"/x": "/etc/x"}
    assert container.environment["MYSQL_ROOT_PASSWORD"] == "a=b"
    assert container.command == ("docker-entrypoint.sh", "mysqld", "--skip-name-resolve")
    assert container.memory_bytes == 1 << 30
    assert "a=b" not in repr(container)


def test_an_isolated_container_reaches_nothing() -> None:
    wish = Isolated(
        name="slipway-x",
        image="sha256:1",
        entrypoint="postgres",
        arguments=("-D", "/data"),
        user="999:999",
        labels={"slipway.stack": "fleet"},
        mounts=(("/host/data", "/data", True), ("/host/log", "/slipway", False)),
        memory_bytes=5,
        environment={"LC_ALL": "C"},
        stop_signal="SIGINT",
    )
    words = wish.command()
    text = " ".join(words)
    assert words[:2] == ["docker", "run"]
    for option in (
        "--network none",
        "--pull never",
        "--restart no",
        "--user 999:999",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--memory 5 --memory-swap 5",
        "--label slipway.isolated=true --label slipway.stack=fleet",
        "--env LC_ALL=C",
        "--stop-signal SIGINT",
        "--mount type=bind,src=/host/data,dst=/data --mount type=bind,src=/host/log,dst=/slipway,readonly",
    ):
        assert option in text
    assert words[-5:] == ["--entrypoint", "postgres", "sha256:1", "-D", "/data"]
    assert "com.docker.compose" not in text


def test_a_program_in_a_container_is_found_by_its_mark() -> None:
    container = Docker._container(RECORD)
    stream = Docker().stream(container, ["mysqldump", "shop"], "fleet")
    assert (stream.command[:3], stream.command[4:]) == (("docker", "exec", "--env"), ("abc", "mysqldump", "shop"))
    mark = stream.command[3]
    assert mark.startswith("SLIPWAY_JOB=fleet:")
    process = subprocess.Popen(["sleep", "60"], env={"SLIPWAY_JOB": mark.partition("=")[2]})
    other = subprocess.Popen(["sleep", "60"], env={"SLIPWAY_JOB": "fleet2:1"})
    try:
        # The child is our own image until it has become the other program.
        deadline = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < deadline:
            stream.end()
            time.sleep(0.05)
        assert process.returncode == -signal.SIGTERM
        assert Docker().end_leftovers("fleet") == 0
        assert other.poll() is None
    finally:
        process.kill()
        other.kill()
        other.wait()


@pytest.mark.parametrize(
    ("state", "ready", "ended"),
    [
        ({"Running": True, "Status": "running"}, True, False),
        ({"Running": True, "Status": "running", "Health": {"Status": "starting"}}, False, False),
        ({"Running": True, "Restarting": True, "Status": "restarting"}, False, False),
        ({"Running": False, "Status": "exited"}, False, True),
    ],
)
def test_when_a_container_is_ready(state: dict[str, Any], ready: bool, ended: bool) -> None:
    container = Docker._container({**RECORD, "State": state})
    assert (container.ready, container.ended) == (ready, ended)


def test_measuring_and_emptying(tmp_path: Path) -> None:
    host = Host()
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/f").write_text("12345", encoding="utf-8")
    (tmp_path / "a/link").symlink_to("/nowhere")
    assert host.measure(str(tmp_path / "a"))[0] == 2
    assert host.measure(str(tmp_path / "a/b/f")) == (1, 5)
    assert host.measure(str(tmp_path / "nothing")) == (0, 0)
    assert host.free_bytes(str(tmp_path / "not/there/yet")) > 0
    assert not host.is_read_only(str(tmp_path / "not/there/yet"))
    host.make_empty(str(tmp_path / "a"))
    assert host.names(str(tmp_path / "a")) == []
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o700
    assert host.names(str(tmp_path / "nothing")) == []


def test_a_directory_takes_the_mode_of_another_unless_the_world_has_a_part_in_it(tmp_path: Path) -> None:
    for name, mode in (("closed", 0o750), ("open", 0o755), ("new", 0o700)):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(mode)
    for model, mode in (("closed", 0o750), ("open", 0o750), ("missing", 0o750)):
        Host().take_mode(str(tmp_path / "new"), str(tmp_path / model))
        assert (tmp_path / "new").stat().st_mode & 0o7777 == mode


def test_small_files_and_directories(tmp_path: Path) -> None:
    host = Host()
    host.make_directory(str(tmp_path / "d"), 0o755, os.getuid(), os.getgid())
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o755
    path = str(tmp_path / "d/f")
    host.write(path, "text", 0o640)
    assert host.read(path) == b"text"
    host.set_mode(path, 0o600)
    assert (tmp_path / "d/f").stat().st_mode & 0o777 == 0o600
    host.copy(path, f"{path}2")
    host.move(f"{path}2", f"{path}3")
    assert host.names(str(tmp_path / "d")) == ["f", "f3"]
    assert host.owner(path) == (os.getuid(), os.getgid())
    assert not host.is_mount(str(tmp_path))
    assert host.is_mount("/proc")


def test_a_directory_like_another(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir(mode=0o750)
    os.chmod(tmp_path / "model", 0o2751)
    Host().make_like(str(tmp_path / "new"), str(tmp_path / "model"))
    assert (tmp_path / "new").stat().st_mode & 0o7777 == 0o2751
    Host().make_like(str(tmp_path / "other"), str(tmp_path / "missing"))
    assert (tmp_path / "other").is_dir()


def test_files_are_counted_as_a_repository_counts_them(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/one").write_text("12345", encoding="utf-8")
    (tmp_path / "a/b/two").write_text("123", encoding="utf-8")
    (tmp_path / "a/link").symlink_to("b")
    host = Host()
    assert host.tally(str(tmp_path)) == (3, 8)
    assert host.tally(str(tmp_path / "a/one")) == (1, 5)
    assert host.tally(str(tmp_path / "gone")) == (0, 0)


def test_sockets_are_found(tmp_path: Path) -> None:
    host = Host()
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_text("x", encoding="utf-8")
    assert host.holds_only_files(str(tmp_path))
    assert host.holds_only_files(str(tmp_path / "a/b/file"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "a/b/socket"))
    assert not host.holds_only_files(str(tmp_path))
    assert not host.holds_only_files(str(tmp_path / "a/b/socket"))


def test_the_kernel_says_how_much_memory_is_free() -> None:
    assert (Host().free_memory() or 0) > 1 << 20


def test_processors_are_limited_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(command: Any, **options: Any) -> Outcome:
        seen.append(list(command))
        assert options["environment"]["KEY"] == "two\nlines"
        return Outcome(0, "", "")

    monkeypatch.setattr(gateway, "run", run)
    wish = Isolated("n", "i", "e", (), "", {}, (), hidden={"KEY": "two\nlines"})
    Docker(1.5).run_isolated(wish, 10)
    Docker().run_isolated(wish, 10)
    assert "--cpus 1.5" in " ".join(seen[0])
    assert "--cpus" not in seen[1]
    assert "lines" not in " ".join(seen[0])

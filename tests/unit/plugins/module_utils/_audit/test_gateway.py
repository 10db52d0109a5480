# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._audit import gateway


def test_a_bare_machine_is_observed_without_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(gateway, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    monkeypatch.setattr(gateway, "_SYSTEM_PATH", str(tmp_path))
    seen = gateway.observe("try-audit-none", ["name.invalid"], ["x.service"], ["nobody-there"], str(tmp_path))
    assert seen["docker"]["error"] == "there is no Docker engine"
    assert seen["stack"] == {"definition": None, "releases": [], "environment": None}
    assert seen["users"] == {"nobody-there": None}
    assert seen["sshd"] == {"settings": {}, "error": "sshd is not installed"}
    assert seen["certificates"]["name.invalid"]["file"] is None
    assert seen["system"]["cpus"] > 0


def test_groups_of_users() -> None:
    assert "root" in gateway.users(["root"])["root"]


def test_records_pass_over_torn_lines(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"release": 1}\n{"rel\n[]\n{"release": 2}\n', encoding="utf-8")
    assert gateway._read_records(str(path)) == [{"release": 1}, {"release": 2}]


def test_json_that_is_broken_is_said(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    path.write_text("{", encoding="utf-8")
    assert "is not JSON" in gateway._read_json(str(path))["error"]
    assert gateway._read_json(str(tmp_path / "none")) is None


def test_containers_are_those_of_the_stack(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(path: str) -> Any:
        asked.append(path)
        if path == "/version":
            return {"Version": "26.1.5"}
        if path.startswith("/containers/json"):
            return [{"Id": "abc"}]
        return {"Name": "/fleet-socket-1", "State": {"Status": "running"}}

    monkeypatch.setattr(gateway, "DOCKER_SOCKET", str(tmp_path))
    monkeypatch.setattr(gateway, "_ask_docker", answer)
    seen = gateway.docker("fleet")
    assert seen["answers"]
    assert [container["name"] for container in seen["containers"]] == ["fleet-socket-1"]
    assert "com.docker.compose.project%3Dfleet" in asked[1]


def test_an_engine_that_does_not_answer_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(gateway, "DOCKER_SOCKET", str(tmp_path / "docker.sock"))
    seen = gateway.docker("fleet")
    assert not seen["answers"]
    assert seen["error"]


def test_owners_are_processes_containers_and_processes_in_containers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host_network = 64 * "b"
    listed = [
        {"Id": 64 * "a", "Names": ["/web"], "Ports": [{"PrivatePort": 80, "PublicPort": 9999, "Type": "udp"}]},
        {"Id": host_network, "Names": ["/on-the-host"]},
    ]
    output = {
        "-t": 'LISTEN 0 5 *:22 *:* users:(("sshd",pid=1,fd=3))\nLISTEN 0 5 *:81 *:* users:(("nginx",pid=2,fd=3))\n',
        "-u": "",
    }
    files = {"/proc/2/cgroup": f"0::/system.slice/docker-{host_network}.scope\n"}
    monkeypatch.setattr(gateway, "DOCKER_SOCKET", str(tmp_path))
    monkeypatch.setattr(gateway, "_ask_docker", lambda _path: listed)
    monkeypatch.setattr(gateway, "_run", lambda *command: (0, output[command[3]], ""))
    monkeypatch.setattr(gateway, "_read", files.get)
    assert gateway.owners() == [
        {"address": "*", "port": 22, "protocol": "tcp", "process": "sshd", "container": ""},
        {"address": "*", "port": 81, "protocol": "tcp", "process": "nginx", "container": "on-the-host"},
        {"address": "0.0.0.0", "port": 9999, "protocol": "udp", "container": "web", "container_port": 80},
    ]

"""The running engine has the declared settings, and containers outlive changes of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]


def converge(host: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    limit = host.check_output("hostname")
    command = ["ansible-playbook", "-i", INVENTORY, "--limit", limit, str(CONVERGE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All output in one line: Ansible folds and colours it."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).split())


def changed(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, said(done)
    return sum(
        int(part.partition("=")[2]) for line in done.stdout.splitlines() for part in line.split() if "changed=" in part
    )


def engine_pid(host: Any) -> str:
    return str(host.check_output("systemctl show -p MainPID --value docker.service"))


def information(host: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output("docker info --format '{{json .}}'"))
    return found


@pytest.fixture(scope="module")
def container(host: Any) -> Iterator[str]:
    host.check_output("apt-get install -y -q --no-install-recommends busybox-static")
    host.check_output("tar -C / -c bin/busybox | docker import - scenario/tool")
    host.check_output("docker rm -f -v kept; docker network create scenario; docker volume create scenario; true")
    host.check_output(
        "docker run -d --name kept --network scenario -v scenario:/data -p 8080:80"
        " scenario/tool /bin/busybox httpd -f -p 80 -h /"
    )
    yield "kept"
    host.check_output("docker rm -f kept; docker network rm scenario; docker volume rm scenario")


def test_engine_runs_with_the_declared_settings(host: Any) -> None:
    seen = information(host)
    assert seen["LiveRestoreEnabled"] is True
    assert seen["LoggingDriver"] == "json-file"
    assert seen["Driver"] == "overlay2"
    assert "https://mirror.example.test/" in seen["RegistryConfig"]["Mirrors"]
    assert host.service("docker.service").is_enabled
    assert "docker" in host.user("deploy").groups
    assert host.run("python3 -c 'import docker'").rc == 0


def test_compose_is_there_where_the_release_has_it(host: Any) -> None:
    expected = 0 if host.system_info.codename == "trixie" else 1
    assert min(host.run("docker compose version").rc, 1) == expected


def test_containers_get_log_limits_a_network_of_the_pool_and_no_privileges(host: Any, container: str) -> None:
    seen = json.loads(host.check_output(f"docker inspect {container}"))[0]
    assert seen["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "2", "max-size": "1m"}}
    assert seen["NetworkSettings"]["Networks"]["scenario"]["IPAddress"].startswith("198.18.")
    assert "NoNewPrivs:\t1" in host.file(f"/proc/{seen['State']['Pid']}/status").content_string
    assert host.run("pgrep docker-proxy").rc != 0


def test_what_dockerd_reloads_does_not_restart_it(host: Any) -> None:
    before = engine_pid(host)
    assert changed(converge(host, "-e", '{"docker_registry_mirrors": ["https://other.example.test"]}')) == 1
    assert engine_pid(host) == before
    assert "https://other.example.test/" in information(host)["RegistryConfig"]["Mirrors"]
    assert changed(converge(host)) == 1


def test_containers_run_on_when_dockerd_restarts_for_a_setting(host: Any, container: str) -> None:
    def state() -> str:
        return str(host.check_output(f"docker inspect -f '{{{{.State.StartedAt}}}} {{{{.State.Pid}}}}' {container}"))

    before, pid = state(), engine_pid(host)
    assert changed(converge(host, "-e", '{"docker_log_driver": "local"}')) == 1
    assert engine_pid(host) != pid
    assert information(host)["LoggingDriver"] == "local"
    assert state() == before
    assert changed(converge(host)) == 1
    assert state() == before


def test_a_file_that_dockerd_refuses_is_not_written(host: Any) -> None:
    if host.run("dockerd --help | grep -q -e --validate").rc != 0:
        pytest.skip("this dockerd cannot check its file")
    before = host.file("/etc/docker/daemon.json").content_string
    done = converge(host, "-e", '{"docker_daemon_extra": {"no-such-key": true}}')
    assert done.returncode != 0
    assert "no-such-key" in said(done)
    assert host.file("/etc/docker/daemon.json").content_string == before


def test_all_problems_are_told_before_anything_is_touched(host: Any) -> None:
    wrong = {"docker_registry_mirrors": ["mirror/path"], "docker_address_pools": [{"base": "nowhere", "size": 24}]}
    done = converge(host, "-e", json.dumps(wrong))
    assert done.returncode != 0
    assert "docker_registry_mirrors[0]" in said(done)
    assert "docker_address_pools[0].base" in said(done)


def test_pruning_keeps_volumes_and_named_images(host: Any, container: str) -> None:
    host.check_output("docker volume create unused")
    host.check_output("tar -C / -c bin/busybox | docker import - scenario/unused")
    assert host.service("slipway-docker-prune.timer").is_running
    host.check_output("systemctl start slipway-docker-prune.service")
    assert "unused" in host.check_output("docker volume ls -q").split()
    assert "scenario/unused" in host.check_output("docker image ls --format '{{.Repository}}'").split()
    host.check_output("docker volume rm unused; docker rmi scenario/unused")


def test_unattended_upgrades_leave_the_engine_alone(host: Any) -> None:
    assert '"^docker";' in host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")

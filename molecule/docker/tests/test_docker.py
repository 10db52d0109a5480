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
# systemd refuses the fourth start within a minute, which these tests come to.
RESTART = "systemctl reset-failed docker; systemctl restart docker"
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


def test_a_daemon_that_runs_with_other_settings_is_found(host: Any, container: str) -> None:
    file, state = "/etc/docker/daemon.json", "docker inspect -f '{{.State.StartedAt}}' " + container
    before = host.check_output(state)
    host.check_output(f"cp {file} /tmp/kept.json; sed -i s/json-file/local/ {file}; {RESTART}")
    host.check_output(f"cp /tmp/kept.json {file}")
    assert information(host)["LoggingDriver"] == "local"
    done = converge(host, "--diff")
    assert changed(done) == 1
    assert "it runs with other settings: log-driver" in said(done)
    assert information(host)["LoggingDriver"] == "json-file"
    assert host.check_output(state) == before


def test_an_engine_that_was_here_before_keeps_its_containers(host: Any, container: str) -> None:
    host.check_output("rm /etc/slipway/docker/needs-restart.json; echo '{}' > /etc/docker/daemon.json")
    host.check_output(f"{RESTART}; docker start {container}")
    state = "docker inspect -f '{{.State.StartedAt}} {{.State.Pid}}' " + container
    assert information(host)["LiveRestoreEnabled"] is False
    before, pid = host.check_output(state), engine_pid(host)
    assert changed(converge(host)) == 1
    assert engine_pid(host) != pid
    assert host.check_output(state) == before
    assert information(host)["LiveRestoreEnabled"] is True


@pytest.fixture(scope="module")
def images(host: Any) -> Iterator[list[str]]:
    """Five images of 11 MiB: oldest first, the first of a container, the second of a release to go back to."""
    if host.system_info.codename != "bookworm":
        pytest.skip("once is enough: on the older engine, which counts otherwise")
    host.check_output("apt-get install -y -q --no-install-recommends busybox-static; docker rm -f uses; true")
    names = [f"scenario/old:{number}" for number in range(1, 6)]
    for name in names:
        blob = "head -c 10000000 /dev/urandom > /tmp/blob"
        host.check_output(f"{blob}; tar -C / -c bin/busybox tmp/blob | docker import - {name}; sleep 1.1")
    host.check_output(f"docker create --name uses {names[0]} /bin/busybox true; docker volume create unused")
    host.check_output("docker run --rm -v unused:/data scenario/old:1 /bin/busybox sh -c 'echo kept > /data/file'")
    digest = host.check_output(f"docker image inspect -f '{{{{.Id}}}}' {names[1]}")
    history = json.dumps({"release": 1, "outcome": "succeeded", "images": {"web": digest}})
    host.check_output("mkdir -p /etc/slipway/stacks/trial /var/lib/slipway/stacks/trial")
    host.check_output(f"echo '{history}' > /var/lib/slipway/stacks/trial/history.jsonl")
    host.check_output("echo '{\"services\": {}}' > /etc/slipway/stacks/trial/stack.json")
    yield names
    host.check_output("docker rm -f uses; docker volume rm unused; docker rmi $(docker images -q scenario/old); true")
    host.check_output("rm -r /etc/slipway/stacks/trial /var/lib/slipway/stacks/trial /tmp/prune.json")


def test_the_budget_takes_the_oldest_that_nothing_needs_and_no_volume(host: Any, images: list[str]) -> None:
    def there() -> set[str]:
        listed: str = host.check_output("docker image ls --format '{{.Repository}}:{{.Tag}}' scenario/old")
        return set(listed.split())

    host.check_output("echo '{\"budget_gib\": 0.047}' > /tmp/prune.json")
    prune = "slipway prune --config /tmp/prune.json"
    assert "would remove image scenario/old:3" in host.check_output(f"{prune} --grace-minutes 0 --dry-run")
    assert host.run(prune).rc == 1
    assert there() == set(images), "what has just come stays"
    host.check_output(f"{prune} --grace-minutes 0 --json")
    assert there() == {images[0], images[1], images[3], images[4]}
    host.check_output("echo '{\"budget_gib\": 0.001}' > /tmp/prune.json")
    over = host.run(f"{prune} --grace-minutes 0")
    assert over.rc == 1
    assert "raise docker_disk_budget_" in over.stderr
    assert there() == {images[0], images[1]}
    assert host.check_output("docker run --rm -v unused:/data scenario/old:1 /bin/busybox cat /data/file") == "kept"


def test_the_timer_runs_the_program(host: Any) -> None:
    assert host.service("slipway-docker-prune.timer").is_running
    host.check_output("systemctl start slipway-docker-prune.service")
    assert "volumes are not touched" in host.check_output("journalctl -u slipway-docker-prune -o cat")


REGISTRY = "127.0.0.1:5001"
HELPER = """#!/bin/sh
case "$1" in
store) cat > /root/kept ;;
erase) cat > /dev/null; rm -f /root/kept ;;
get) cat > /dev/null; cat /root/kept 2>/dev/null || { echo credentials not found; exit 1; } ;;
esac
"""


@pytest.fixture(scope="module")
def registry(host: Any) -> Iterator[str]:
    if host.system_info.codename != "trixie":
        pytest.skip("once is enough: what differs between the releases is none of this")
    host.check_output("apt-get install -y -q --no-install-recommends docker-registry apache2-utils")
    host.check_output("htpasswd -Bbc /etc/docker/registry/htpasswd deploy first-word")
    settings = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": "/var/lib/docker-registry"}},
        "http": {"addr": REGISTRY},
        "auth": {"htpasswd": {"realm": "trial", "path": "/etc/docker/registry/htpasswd"}},
    }
    host.check_output(f"echo '{json.dumps(settings)}' > /etc/docker/registry/config.yml")
    host.check_output("systemctl restart docker-registry; sleep 1; systemctl is-active docker-registry")
    yield REGISTRY
    host.check_output(
        "apt-get purge -y -q docker-registry; rm -rf /root/.docker /usr/local/bin/docker-credential-trial"
    )


def login(host: Any, password: str) -> subprocess.CompletedProcess[str]:
    given = [{"registry": REGISTRY, "username": "deploy", "password": password}]
    return converge(host, "--diff", "-e", json.dumps({"docker_registry_logins": given}))


def test_logins_are_proved_kept_and_taken_away(host: Any, registry: str, container: str) -> None:
    done = login(host, "first-word")
    assert changed(done) == 1
    assert "the password is kept in /root/.docker/config.json, readable to root; a credential helper" in said(done)
    assert host.file("/root/.docker/config.json").mode == 0o600
    host.check_output(f"docker tag scenario/tool {registry}/pushed:1; docker push {registry}/pushed:1")
    host.check_output(f"docker rmi {registry}/pushed:1")
    before = host.file("/root/.docker/config.json").content_string
    done = login(host, "second-word")
    assert done.returncode != 0
    assert f"{registry} refused the login of deploy" in said(done)
    assert host.file("/root/.docker/config.json").content_string == before
    helper = json.dumps({**json.loads(before), "credHelpers": {registry: "trial"}})
    host.check_output(f"cat > /usr/local/bin/docker-credential-trial <<'END'\n{HELPER}END")
    host.check_output(f"chmod +x /usr/local/bin/docker-credential-trial; echo '{helper}' > /root/.docker/config.json")
    assert changed(login(host, "first-word")) == 1
    assert 'auth"' not in host.file("/root/.docker/config.json").content_string
    assert "first-word" in host.file("/root/kept").content_string
    assert changed(login(host, "first-word")) == 0
    host.check_output(f"docker pull {registry}/pushed:1; docker rmi {registry}/pushed:1")
    assert changed(converge(host)) == 1
    assert not host.file("/root/kept").exists
    journal = [line for line in host.check_output("journalctl --no-pager").splitlines() if "htpasswd" not in line]
    assert "-word" not in "".join(journal) + said(done)


def test_other_upgrades_leave_the_engine_alone(host: Any) -> None:
    assert {"docker.io", "runc"} <= set(host.check_output("apt-mark showhold").split())
    assert '"^docker";' in host.check_output("apt-config dump Unattended-Upgrade::Package-Blacklist")

"""What another machine reaches, and how the role changes that.

Every way to a port, from two networks and through all that touches a firewall, is `make prove-exposure`.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
WITH_DOCKER = "firewall-trixie"


def address(host: Any, family: str = "-4") -> str:
    found = json.loads(host.check_output(f"ip -j {family} addr show dev eth0 scope global"))
    return str(found[0]["addr_info"][0]["local"])


def is_open(where: str, port: int) -> bool:
    """Try from this machine, which is another one on the host's network."""
    try:
        with socket.create_connection((where, port), timeout=1.5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            # A proxy may accept and then find nobody behind.
            return bool(connection.recv(16))
    except OSError:
        return False


def open_ports(where: str, ports: Sequence[int]) -> list[int]:
    """Those of the ports that answer, all tried at once."""
    with ThreadPoolExecutor(len(ports)) as pool:
        return [port for port, answers in zip(ports, pool.map(lambda port: is_open(where, port), ports)) if answers]


def udp_answers(where: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(b"hello", (where, port))
        try:
            return client.recv(16) == b"hello"
        except OSError:
            return False


def name(host: Any) -> str:
    return str(host.check_output("hostname"))


def converge(host: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", "-i", INVENTORY, "--limit", name(host), str(CONVERGE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All output in one line: Ansible folds and colours it."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr).split())


def changed(done: subprocess.CompletedProcess[str]) -> int:
    assert done.returncode == 0, said(done)
    return sum(
        int(part.partition("=")[2]) for line in done.stdout.splitlines() for part in line.split() if "changed=" in part
    )


def assert_exposure(host: Any) -> None:
    where = address(host)
    declared = [22, 8001, 8080] if host.exists("docker") else [22, 8001]
    deadline = time.monotonic() + 20
    while open_ports(where, declared) != declared and time.monotonic() < deadline:
        time.sleep(0.5)
    assert open_ports(where, [*declared, 8000, 9999, 7777]) == declared


@pytest.fixture
def _docker(host: Any) -> None:
    if name(host) != WITH_DOCKER:
        pytest.skip("the same on both hosts, so tried on the one that has Docker")


@pytest.fixture
def _as_declared(host: Any) -> Iterator[None]:
    yield
    changed(converge(host))


def test_only_declared_ports_answer(host: Any) -> None:
    assert_exposure(host)


def test_ipv6_obeys_the_same_rules(host: Any) -> None:
    if host.run("ip -6 addr show dev eth0 scope global | grep -q inet6").rc != 0:
        pytest.skip("the lab's network has no IPv6 here")
    assert open_ports(address(host, "-6"), [22, 8000, 8001, 8080, 9999]) == [22, 8001]


def test_ufw_status_shows_the_rules(host: Any) -> None:
    status = host.check_output("ufw status verbose")
    assert "Status: active" in status
    assert "Default: deny (incoming), allow (outgoing), deny (routed)" in status
    for line in ("22/tcp", "8001/tcp (v6)", "# An open port", "6000:6007/tcp", "10.0.0.0/8"):
        assert line in status


def test_ufw_goes_on_working_on_our_files(host: Any) -> None:
    before = host.file("/etc/ufw/user.rules").content_string
    host.check_output("ufw allow 8000/tcp")
    assert is_open(address(host), 8000)
    host.check_output("ufw delete allow 8000/tcp")
    assert not is_open(address(host), 8000)
    assert host.file("/etc/ufw/user.rules").content_string == before


@pytest.mark.usefixtures("_docker")
@pytest.mark.parametrize(
    "disturbance",
    [
        "ufw reload",
        "systemctl restart docker",
        "docker rm -f same-container-port && docker run -d --restart always --name same-container-port -p 9999:80"
        " scenario/web /bin/busybox httpd -f -p 80 -h /",
    ],
)
def test_exposure_stays_through(host: Any, disturbance: str) -> None:
    host.check_output(disturbance)
    assert_exposure(host)


def test_nothing_is_left_to_do_after_all_that(host: Any) -> None:
    assert changed(converge(host)) == 0


@pytest.mark.usefixtures("_docker", "_as_declared")
def test_other_published_ports_without_a_restart_of_containers(host: Any) -> None:
    when = "docker inspect -f '{{.State.StartedAt}}' $(docker ps -aq)"
    before = host.check_output(when)
    where = address(host)
    assert not udp_answers(where, 9997)
    declared = '{"firewall_docker_ports": [{"port": 9999}, {"port": 9997, "protocol": "udp"}]}'
    assert changed(converge(host, "-e", declared))
    assert open_ports(where, [8080, 9999]) == [9999]
    assert udp_answers(where, 9997)
    assert host.check_output(when) == before


@pytest.mark.usefixtures("_docker", "_as_declared")
def test_an_open_connection_survives_the_loss_of_its_rule(host: Any) -> None:
    where = address(host)
    rules = '{"firewall_rules": [{"port": 22, "protocol": "tcp"}]}'
    with socket.create_connection((where, 8001), timeout=3) as connection:
        assert changed(converge(host, "-e", rules))
        assert not is_open(where, 8001)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(16)


@pytest.mark.usefixtures("_docker")
def test_check_mode_predicts_and_changes_nothing(host: Any) -> None:
    rules = '{"firewall_rules": [{"port": 22, "protocol": "tcp"}], "firewall_default_outgoing": "reject"}'
    state = "iptables-save -t filter | grep -v '^#' | sed 's/\\[.*//'; cat /etc/ufw/user.rules"
    before = host.check_output(state)
    assert changed(converge(host, "-e", rules, "--check"))
    assert host.check_output(state) == before


@pytest.mark.usefixtures("_docker")
def test_refuses_before_anything_is_touched(host: Any) -> None:
    before = host.file("/etc/ufw/user.rules").content_string
    for rules, message in (
        ('[{"port": 8001, "protocol": "tcp"}]', "to the SSH port 22 would be shut out, no rule allows them"),
        ('[{"action": "deny", "from": "0.0.0.0/0", "protocol": "tcp"}, {"port": 22}]', "rule 'deny proto tcp"),
        ('[{"port": 22}, {"port": 70000}]', "rules[1].port: port 70000 does not exist; use 1 to 65535"),
    ):
        done = converge(host, "-e", f'{{"firewall_rules": {rules}}}')
        assert done.returncode != 0
        assert message in said(done)
    assert host.file("/etc/ufw/user.rules").content_string == before
    assert_exposure(host)


@pytest.mark.usefixtures("_docker", "_as_declared")
def test_puts_the_old_rules_back_when_loading_fails(host: Any) -> None:
    """A broken file of ufw itself stops the reload that a new default needs."""
    host.check_output(
        "cp -p /etc/ufw/before.rules /root/before.rules && sed -i 's/^COMMIT/-A no-such-chain -j ACCEPT\\n&/'"
        " /etc/ufw/before.rules"
    )
    before = host.file("/etc/default/ufw").content_string
    try:
        done = converge(host, "-e", '{"firewall_default_outgoing": "reject"}')
        assert done.returncode != 0
        assert "failed" in said(done)
        assert host.file("/etc/default/ufw").content_string == before
    finally:
        host.check_output("mv /root/before.rules /etc/ufw/before.rules")
    assert is_open(address(host), 22)


@pytest.mark.usefixtures("_docker")
def test_restores_live_rules_that_someone_changed(host: Any) -> None:
    host.check_output("iptables -I ufw-user-input 1 -p tcp --dport 8000 -j ACCEPT")
    assert is_open(address(host), 8000)
    assert changed(converge(host))
    assert_exposure(host)


def test_docker_that_comes_later_is_closed_from_its_first_port_on(host: Any) -> None:
    if name(host) == WITH_DOCKER:
        pytest.skip("Docker is here already")
    host.check_output(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends docker.io"
    )
    host.check_output("tar -C / -c bin/busybox | docker import - scenario/web")
    for published in ("8080:80", "9999:80"):
        host.check_output(f"docker run -d -p {published} scenario/web /bin/busybox httpd -f -p 80 -h /")
    assert_exposure(host)
    assert changed(converge(host)) == 0

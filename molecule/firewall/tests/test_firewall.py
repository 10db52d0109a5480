"""What another machine reaches, whatever happens to ufw, Docker and containers in between."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import testinfra

CONVERGE = Path(__file__).resolve().parents[1] / "converge.yml"
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]


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


def has_docker(host: Any) -> bool:
    return bool(host.exists("docker"))


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
    assert is_open(where, 22)
    assert is_open(where, 8001)
    assert not is_open(where, 8000)
    if has_docker(host):
        deadline = time.monotonic() + 20
        while not is_open(where, 8080) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert is_open(where, 8080)
        assert [port for port in (9999, 9998, 7777) if is_open(where, port)] == []


@pytest.fixture
def _as_declared(host: Any) -> Iterator[None]:
    yield
    changed(converge(host))


def test_only_declared_ports_answer(host: Any) -> None:
    assert_exposure(host)


def test_ipv6_obeys_the_same_rules(host: Any) -> None:
    if host.run("ip -6 addr show dev eth0 scope global | grep -q inet6").rc != 0:
        pytest.skip("the lab's network has no IPv6 here")
    where = address(host, "-6")
    assert is_open(where, 22)
    assert is_open(where, 8001)
    assert [port for port in (8000, 8080, 9999, 9998) if is_open(where, port)] == []


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
    assert changed(converge(host)) == 0


def udp_answers(where: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        client.sendto(b"hello", (where, port))
        try:
            return client.recv(16) == b"hello"
        except OSError:
            return False


@pytest.mark.usefixtures("_as_declared")
def test_published_udp_answers_only_when_declared(host: Any) -> None:
    if not has_docker(host):
        pytest.skip("no Docker here")
    assert not udp_answers(address(host), 9997)
    declared = '{"firewall_docker_ports": [{"port": 8080}, {"port": 9997, "protocol": "udp"}]}'
    assert changed(converge(host, "-e", declared)) == 1
    assert udp_answers(address(host), 9997)


def test_a_neighbour_that_routes_to_the_containers_finds_them_closed(host: Any) -> None:
    """Also when the container's own port has the number of a declared port of the host."""
    here = name(host)
    if not has_docker(host) or here == "firewall-bare":
        pytest.skip("no Docker here")
    neighbour = testinfra.get_host(f"ansible://firewall-bare?ansible_inventory={INVENTORY}", sudo=True)
    third = "2" if "bookworm" in here else "1"
    attempt = f"timeout 3 bash -c 'exec 3<>/dev/tcp/198.18.{third}.10/8080'"
    assert host.run(attempt).rc == 0
    neighbour.check_output(f"ip route replace 198.18.{third}.0/24 via {address(host)}")
    try:
        assert neighbour.run(attempt).rc != 0
    finally:
        neighbour.check_output(f"ip route del 198.18.{third}.0/24")


def test_containers_reach_out(host: Any) -> None:
    if not has_docker(host):
        pytest.skip("no Docker here")
    gateway = host.check_output("ip -4 route show default").split()[2]
    output = host.run(f"docker exec declared /bin/busybox ping -c 1 -W 2 {gateway}")
    assert output.rc == 0, output.stderr


@pytest.mark.parametrize(
    "disturbance",
    [
        "ufw reload",
        "ufw disable && ufw --force enable",
        "systemctl restart docker",
        "docker restart -t 0 declared same-container-port same-number",
        "docker rm -f same-container-port && docker run -d --restart always --name same-container-port -p 9999:80"
        " scenario/web /bin/busybox httpd -f -p 80 -h /",
        "systemctl kill -s KILL docker.service; sleep 4; systemctl start docker",
        "iptables -F DOCKER-USER; systemctl restart docker",
        # As at boot: nothing is there, ufw starts before the network, Docker after it.
        "systemctl stop docker.socket docker ufw; iptables -F; iptables -X; iptables -t nat -F; ip6tables -F;"
        " ip6tables -X; systemctl start ufw; systemctl start docker",
    ],
)
def test_exposure_stays_through(host: Any, disturbance: str) -> None:
    if "docker" in disturbance and not has_docker(host):
        pytest.skip("no Docker here")
    if "bookworm" in name(host) and not os.environ.get("SLIPWAY_TRIALS"):
        pytest.skip("the second release is part of make prove-exposure")
    host.run("systemctl reset-failed")
    done = host.run(disturbance)
    assert done.rc == 0, done.stderr
    assert_exposure(host)


def test_nothing_is_left_to_do_after_all_that(host: Any) -> None:
    assert changed(converge(host)) == 0


@pytest.mark.usefixtures("_as_declared")
def test_no_container_is_restarted_by_a_change_of_rules(host: Any) -> None:
    if not has_docker(host):
        pytest.skip("no Docker here")
    when = "docker inspect -f '{{.State.StartedAt}}' $(docker ps -aq)"
    before = host.check_output(when)
    assert changed(converge(host, "-e", '{"firewall_docker_ports": [{"port": 9999}]}')) == 1
    assert is_open(address(host), 9999)
    assert not is_open(address(host), 8080)
    assert host.check_output(when) == before


@pytest.mark.usefixtures("_as_declared")
def test_an_open_connection_survives_the_loss_of_its_rule(host: Any) -> None:
    where = address(host)
    rules = '{"firewall_rules": [{"port": 22, "protocol": "tcp"}]}'
    with socket.create_connection((where, 8001), timeout=3) as connection:
        assert changed(converge(host, "-e", rules)) == 1
        assert not is_open(where, 8001)
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.recv(16)


def test_check_mode_predicts_and_changes_nothing(host: Any) -> None:
    rules = '{"firewall_rules": [{"port": 22, "protocol": "tcp"}], "firewall_default_outgoing": "reject"}'
    before = host.check_output("iptables-save -t filter | grep -v '^#' | sed 's/\\[.*//'; cat /etc/ufw/user.rules")
    assert changed(converge(host, "-e", rules, "--check")) == 1
    assert (
        host.check_output("iptables-save -t filter | grep -v '^#' | sed 's/\\[.*//'; cat /etc/ufw/user.rules") == before
    )


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ('[{"port": 8001, "protocol": "tcp"}]', "to the SSH port 22 would be shut out, no rule allows them"),
        ('[{"action": "deny", "from": "0.0.0.0/0", "protocol": "tcp"}, {"port": 22}]', "rule 'deny proto tcp"),
        ('[{"port": 22}, {"port": 70000}]', "rules[1].port: port 70000 does not exist; use 1 to 65535"),
    ],
)
def test_refuses_before_anything_is_touched(host: Any, rules: str, message: str) -> None:
    before = host.file("/etc/ufw/user.rules").content_string
    done = converge(host, "-e", f'{{"firewall_rules": {rules}}}')
    assert done.returncode != 0
    assert message in said(done)
    assert host.file("/etc/ufw/user.rules").content_string == before
    assert_exposure(host)


@pytest.mark.usefixtures("_as_declared")
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
    changed(converge(host))
    assert_exposure(host)


def test_restores_live_rules_that_someone_flushed(host: Any) -> None:
    host.check_output("iptables -I ufw-user-input 1 -p tcp --dport 8000 -j ACCEPT")
    assert is_open(address(host), 8000)
    assert changed(converge(host)) == 1
    assert_exposure(host)
    assert changed(converge(host)) == 0


def test_docker_that_comes_later_is_closed_from_its_first_port_on(host: Any) -> None:
    if name(host) != "firewall-bare":
        pytest.skip("Docker is here already")
    host.check_output(
        "apt-get update -q && DEBIAN_FRONTEND=noninteractive"
        " apt-get install -y -q --no-install-recommends docker.io docker-cli"
    )
    host.check_output("tar -C / -c bin/busybox | docker import - scenario/web")
    for published in ("8080:80", "9999:80"):
        host.check_output(f"docker run -d -p {published} scenario/web /bin/busybox httpd -f -p 80 -h /")
    assert_exposure(host)
    assert changed(converge(host)) == 0

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules from plain mappings: what they become, and everything that can be wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import (
    V4,
    V6,
    DockerPort,
    Rule,
    read_docker_ports,
    read_rule,
)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"port": "80"}, Rule(ports=("80",))),
        ({"port": ["443", "80", "80"], "protocol": "tcp"}, Rule(ports=("80", "443"), protocol="tcp")),
        ({"port": "8000-8010", "protocol": "udp"}, Rule(ports=("8000:8010",), protocol="udp")),
        ({"port": "0080"}, Rule(ports=("80",))),
        ({"from": "192.0.2.1/32"}, Rule(source="192.0.2.1", family=V4)),
        ({"from": "192.0.2.9/24"}, Rule(source="192.0.2.0/24", family=V4)),
        ({"from": "2001:DB8::1"}, Rule(source="2001:db8::1", family=V6)),
        ({"from": "::/0", "port": 22}, Rule(ports=("22",), family=V6)),
        ({"direction": "out", "interface": "eth1"}, Rule(direction="out", interface_out="eth1")),
        ({"direction": "route", "interface": "a", "interface_out": "b"},
         Rule(direction="route", interface_in="a", interface_out="b")),
        ({"protocol": "igmp"}, Rule(protocol="igmp", family=V4)),
    ],
)  # fmt: skip
def test_reads(raw: dict[str, Any], expected: Rule) -> None:
    assert read_rule(raw) == (expected, [])


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"port": 70000}, ".port: port 70000 does not exist; use 1 to 65535"),
        ({"port": 0}, ".port: port 0 does not exist; use 1 to 65535"),
        ({"port": "ssh"}, ".port: 'ssh' is not a port"),
        ({"port": "90:80", "protocol": "tcp"}, ".port: range 90:80 is empty or backwards"),
        ({"port": [str(n) for n in range(1, 17)], "protocol": "tcp"}, ".port: has more than 15 ports"),
        ({"port": ["1", "2"]}, ".protocol: several ports or a range need tcp or udp"),
        ({"from_port": "70000", "port": 1}, ".from_port: port 70000"),
        ({"from": "10.0.0.300"}, ".from: '10.0.0.300' is not an address"),
        ({"from": "10.0.0.1", "to": "2001:db8::1"}, ".to: is of another IP version than from"),
        ({"protocol": "icmp"}, ".protocol: 'icmp' is not known; use one of any, tcp, udp"),
        ({"protocol": "esp", "port": 1}, ".port: protocol esp has no ports"),
        ({"protocol": "igmp", "from": "2001:db8::1"}, ".protocol: igmp exists for IPv4 only"),
        ({"action": "permit", "port": 1}, ".action: 'permit' is not known; use one of allow, deny, reject, limit"),
        ({"direction": "inwards", "port": 1}, ".direction: 'inwards' is not known"),
        ({"log": "yes", "port": 1}, ".log: 'yes' is not known; use one of log, log-all"),
        ({"interface": "eth0:1"}, ".interface: 'eth0:1' is not an interface name"),
        ({"interface": "a-name-of-16-chars"}, ".interface: 'a-name-of-16-chars' is not"),
        ({"interface_out": "eth1", "port": 1}, ".interface_out: belongs to rules with direction route"),
        ({"port": 1, "comment": "it's"}, ".comment: may not hold a quote"),
        ({}, "matches all traffic"),
    ],
)
def test_refuses(raw: dict[str, Any], problem: str) -> None:
    rule, problems = read_rule(raw)
    assert rule is None
    assert len(problems) == 1
    assert problems[0].startswith(problem)


@pytest.mark.parametrize(
    ("raw", "command"),
    [
        ({"port": 22}, "allow 22"),
        ({"action": "limit", "port": 22, "protocol": "tcp", "comment": "SSH"}, "limit 22/tcp comment 'SSH'"),
        ({"direction": "out", "port": 25, "action": "deny"}, "deny out 25"),
        ({"from": "192.0.2.0/24", "port": 80, "protocol": "tcp"},
         "allow proto tcp from 192.0.2.0/24 to 0.0.0.0/0 port 80"),
        ({"interface": "eth0", "port": 80, "log": "log"}, "allow in on eth0 log from any to any port 80"),
        ({"direction": "route", "interface": "eth0", "interface_out": "eth1"},
         "route allow in on eth0 out on eth1 from any to any"),
    ],
)  # fmt: skip
def test_shows_itself_as_a_ufw_command(raw: dict[str, Any], command: str) -> None:
    rule, _problems = read_rule(raw)
    assert rule is not None
    assert rule.command() == command


def test_docker_ports_are_sorted_and_checked() -> None:
    ports, problems = read_docker_ports([{"port": "8080"}, {"port": "53", "protocol": "udp"}, {"port": "8080"}])
    assert (ports, problems) == ((DockerPort("53", "udp"), DockerPort("8080")), [])
    published = [{"port": "80", "host_ip": ip} for ip in ("127.0.0.1", "::1", "192.0.2.1")] + [
        {"port": "81", "host_ip": "::"}
    ]
    assert read_docker_ports(published)[0] == (DockerPort("80", address="192.0.2.1"), DockerPort("81"))
    _ports, problems = read_docker_ports([{"port": "1", "host_ip": "here"}])
    assert problems[0].startswith("docker_ports[0].host_ip: 'here' is not an address")
    _ports, problems = read_docker_ports([{"port": ""}, {"port": "99999"}, {"port": "1", "protocol": "icmp"}])
    assert [problem.split(" ")[0] for problem in problems] == [
        "docker_ports[0].port:",
        "docker_ports[1].port:",
        "docker_ports[2].protocol:",
    ]

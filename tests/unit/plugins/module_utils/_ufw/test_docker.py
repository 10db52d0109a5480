# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, live
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6, DockerPort

TEXT = docker.render([DockerPort("8080"), DockerPort("53", "udp")], docker.Interfaces(["eth0"]), V4)

# iptables-save of a Debian 13 host with Docker 26.1 after the program has run.
SAVED = """
:DOCKER-USER - [0:0]
:SLIPWAY-DOCKER - [0:0]
-A DOCKER-USER -j SLIPWAY-DOCKER
-A DOCKER-USER -j RETURN
-A SLIPWAY-DOCKER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A SLIPWAY-DOCKER -i eth0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A SLIPWAY-DOCKER -i eth0 -p udp -m conntrack --ctstate DNAT --ctorigdstport 53 --ctdir ORIGINAL -j RETURN
-A SLIPWAY-DOCKER -i eth0 -j DROP
"""


def test_established_first_declared_next_the_rest_dropped() -> None:
    lines = [line for line in TEXT.splitlines() if line.startswith("-A")]
    assert "RELATED,ESTABLISHED -j RETURN" in lines[0]
    assert lines[1].endswith("--ctstate DNAT --ctdir ORIGINAL --ctorigdstport 8080 -j RETURN")
    assert lines[-1] == "-A SLIPWAY-DOCKER -i eth0 -j DROP"


def test_only_our_own_chain_is_in_the_file() -> None:
    assert [line for line in TEXT.splitlines() if line.startswith(":")] == [":SLIPWAY-DOCKER - [0:0]"]
    assert TEXT.endswith("COMMIT\n")


def test_the_recorded_host_is_as_declared() -> None:
    assert docker.differences(live.parse(SAVED), V4, TEXT) == []


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("-A DOCKER-USER -j SLIPWAY-DOCKER\n", "", "DOCKER-USER does not begin with SLIPWAY-DOCKER (IPv4)"),
        (
            "-A DOCKER-USER -j SLIPWAY-DOCKER\n",
            "-A DOCKER-USER -j ACCEPT\n-A DOCKER-USER -j SLIPWAY-DOCKER\n",
            "DOCKER-USER does not begin with SLIPWAY-DOCKER (IPv4)",
        ),
        ("-A SLIPWAY-DOCKER -i eth0 -j DROP\n", "", "live chain SLIPWAY-DOCKER differs from its file (IPv4)"),
    ],
)
def test_sees_what_is_wrong(old: str, new: str, told: str) -> None:
    assert docker.differences(live.parse(SAVED.replace(old, new)), V4, TEXT) == [told]


def test_without_docker_there_is_nothing_to_guard() -> None:
    assert docker.differences(live.parse(":INPUT DROP [0:0]\n"), V4, TEXT) == []
    assert docker.differences(None, V4, TEXT) == []


def test_an_address_is_for_its_own_family() -> None:
    ports = [DockerPort("80", address="192.0.2.1"), DockerPort("81", address="2001:db8::1")]
    v4, v6 = (docker.render(ports, docker.Interfaces(["eth0"]), family) for family in (V4, V6))
    assert docker.commands(v4)[:-1] == ["docker allow 80/tcp at 192.0.2.1 on eth0"]
    assert docker.commands(v6)[:-1] == ["docker allow 81/tcp at 2001:db8::1 on eth0"]


def test_says_itself_in_words() -> None:
    assert docker.commands(TEXT) == [
        "docker allow 8080/tcp on eth0",
        "docker allow 53/udp on eth0",
        "docker deny everything else on eth0",
    ]


def test_is_taken_away_without_touching_other_chains() -> None:
    assert docker.removal(live.parse(SAVED)) == (
        "*filter\n-D DOCKER-USER -j SLIPWAY-DOCKER\n-F SLIPWAY-DOCKER\n-X SLIPWAY-DOCKER\nCOMMIT\n"
    )
    assert docker.removal(live.parse(":DOCKER-USER - [0:0]\n")) == ""
    assert docker.removal(None) == ""


# iptables-save of a Debian 13 host with a second network card, eth1, and a VPN.
SAVED_CARDS = """
:DOCKER-USER - [0:0]
:SLIPWAY-DOCKER - [0:0]
-A DOCKER-USER -j SLIPWAY-DOCKER
-A SLIPWAY-DOCKER -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN
-A SLIPWAY-DOCKER -i eth0 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A SLIPWAY-DOCKER -i eth0 -j DROP
-A SLIPWAY-DOCKER -i eth1 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A SLIPWAY-DOCKER -i eth1 -o eth0 -j RETURN
-A SLIPWAY-DOCKER -i eth1 -o eth1 -j RETURN
-A SLIPWAY-DOCKER -i eth1 -j DROP
-A SLIPWAY-DOCKER -i docker+ -j RETURN
-A SLIPWAY-DOCKER -i br-+ -j RETURN
-A SLIPWAY-DOCKER -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 --ctdir ORIGINAL -j RETURN
-A SLIPWAY-DOCKER -m conntrack --ctstate DNAT -j DROP
-A SLIPWAY-DOCKER -o docker+ -j DROP
-A SLIPWAY-DOCKER -o br-+ -j DROP
"""


def test_every_network_card_is_closed_unless_the_public_ones_are_named() -> None:
    text = docker.render([DockerPort("8080")], docker.Interfaces(["eth0"], ["eth1"]), V4)
    assert docker.differences(live.parse(SAVED_CARDS), V4, text) == []
    assert docker.commands(text) == [
        "docker allow 8080/tcp on eth0",
        "docker deny everything else on eth0",
        "docker allow 8080/tcp on eth1",
        "docker leave alone what goes out on eth0 on eth1",
        "docker leave alone what goes out on eth1 on eth1",
        "docker deny everything else on eth1",
        "docker allow 8080/tcp on interfaces to come",
        "docker deny everything else on interfaces to come",
    ]


# iptables-save of the same host where other nodes of a Swarm are trusted.
SAVED_TRUSTED = SAVED.replace(
    "-A SLIPWAY-DOCKER -i eth0 -p tcp",
    "-A SLIPWAY-DOCKER -s 192.0.2.7/32 -m conntrack --ctstate DNAT -j RETURN\n"
    "-A SLIPWAY-DOCKER -s 198.51.100.0/24 -m conntrack --ctstate DNAT -j RETURN\n"
    "-A SLIPWAY-DOCKER -i eth0 -p tcp",
)


def test_trusted_addresses_reach_every_published_port_and_no_container_directly() -> None:
    interfaces = docker.Interfaces(["eth0"], trusted=["192.0.2.7", "198.51.100.0/24", "2001:db8::7"])
    ports = [DockerPort("8080"), DockerPort("53", "udp")]
    v4, v6 = (docker.render(ports, interfaces, family) for family in (V4, V6))
    assert docker.differences(live.parse(SAVED_TRUSTED), V4, v4) == []
    assert docker.differences(live.parse(SAVED), V4, v4) == ["live chain SLIPWAY-DOCKER differs from its file (IPv4)"]
    assert docker.commands(v4)[:2] == [
        "docker allow every published port from 192.0.2.7",
        "docker allow every published port from 198.51.100.0/24",
    ]
    assert "-s 2001:db8::7/128 -m conntrack --ctstate DNAT -j RETURN" in v6
    assert "192.0.2.7" not in v6


def test_trusted_addresses_are_read_back() -> None:
    interfaces = docker.Interfaces(["eth0"], ["eth1"], ["192.0.2.7", "198.51.100.0/24"])
    text = docker.render([DockerPort("8080")], interfaces, V4)
    ports, _public, trusted = docker.declared(text)
    assert (ports, trusted) == ([{"port": "8080", "protocol": "tcp"}], ["192.0.2.7", "198.51.100.0/24"])

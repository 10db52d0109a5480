# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._exposure import findings
from ansible_collections.slipway.ops.plugins.module_utils._exposure.findings import CLOSED, OPEN, SILENT, Seen
from ansible_collections.slipway.ops.plugins.module_utils._exposure.ports import read_declared

HOST = "203.0.113.10"
OWNERS: list[dict[str, Any]] = [
    {"address": "0.0.0.0", "port": 22, "protocol": "tcp", "process": "sshd", "container": ""},
    {"address": "127.0.0.1", "port": 3306, "protocol": "tcp", "process": "mysqld", "container": ""},
    {"address": "*", "port": 81, "protocol": "tcp", "process": "nginx", "container": "on-the-host"},
    {"address": "0.0.0.0", "port": 9999, "protocol": "tcp", "process": "docker-proxy", "container": ""},
    {"address": "0.0.0.0", "port": 9999, "protocol": "tcp", "container": "web", "container_port": 80},
    {"address": "0.0.0.0", "port": 53, "protocol": "udp", "container": "dns", "container_port": 53},
]


def seen(tcp: dict[int, str], udp: dict[int, str] | None = None) -> Seen:
    return Seen(HOST, "198.51.100.7", tcp, udp or {})


def test_what_is_open_and_declared_is_good() -> None:
    looked = seen({22: OPEN, 80: CLOSED, 443: SILENT}, {53: OPEN})
    assert findings.undeclared(looked, read_declared([22, "53/udp"]), OWNERS) == []


@pytest.mark.parametrize(
    ("port", "behind"),
    [
        (22, "sshd"),
        (81, "nginx in container on-the-host"),
        (9999, "container web, its port 80"),
        (3306, ""),
        (7, ""),
    ],
)
def test_names_who_is_behind_an_undeclared_port(port: int, behind: str) -> None:
    found = findings.undeclared(seen({port: OPEN}), read_declared([]), OWNERS)
    assert found == [{"address": HOST, "protocol": "tcp", "port": port, "behind": behind}]


def test_udp_has_owners_of_its_own() -> None:
    (found,) = findings.undeclared(seen({}, {53: OPEN}), read_declared([53]), OWNERS)
    assert findings.sentence(found) == (f"{HOST} port 53/udp (container dns, its port 53) is open and not declared")


def test_declared_ports_that_do_not_answer() -> None:
    looked = seen({80: CLOSED, 443: SILENT, 22: OPEN, 9100: SILENT}, {53: CLOSED, 123: SILENT})
    declared = read_declared([22, 80, 443, "53/udp", "123/udp", {"port": 9100, "from": "10.0.0.0/8"}])
    assert [findings.sentence(one) for one in findings.unreachable(looked, declared)] == [
        f"{HOST} port 80/tcp is declared and refused: nothing listens behind it, or it is rejected",
        f"{HOST} port 443/tcp is declared and does not answer",
        f"{HOST} port 53/udp is declared and refused: nothing listens behind it, or it is rejected",
    ]


def test_private_addresses_may_be_of_another_machine() -> None:
    own = ["10.0.0.5", "172.17.0.1", "8.8.4.4", "192.168.1.5", HOST]
    assert findings.targets([HOST], own, ["192.168.1.5", "1.1.1.1"]) == (
        ["192.168.1.5", HOST, "8.8.4.4"],
        ["10.0.0.5", "172.17.0.1"],
    )


def test_udp_ports_in_use_are_those_that_others_might_reach() -> None:
    own = [*OWNERS, {"address": "127.0.0.11", "port": 34322, "protocol": "udp"}]
    assert findings.udp_ports(own) == {53}

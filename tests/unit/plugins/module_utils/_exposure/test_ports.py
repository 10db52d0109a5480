# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._exposure.ports import (
    TCP,
    UDP,
    UnreadablePort,
    numbers,
    read_declared,
)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (22, {22}),
        ("6000:6002", {6000, 6001, 6002}),
        ("6000-6001", {6000, 6001}),
        ("80,443", {80, 443}),
        ([80, "443"], {80, 443}),
        ([], set()),
    ],
)
def test_numbers(written: Any, read: set[int]) -> None:
    assert numbers(written) == read


@pytest.mark.parametrize("written", ["http", "", 0, 65536, "90-80", "1-70000"])
def test_what_is_no_port_is_refused(written: Any) -> None:
    with pytest.raises(UnreadablePort):
        numbers(written)


@pytest.mark.parametrize(
    ("entry", "permitted", "required"),
    [
        pytest.param(443, {TCP: {443}}, {TCP: {443}}, id="number"),
        pytest.param("53/udp", {UDP: {53}}, {UDP: {53}}, id="udp"),
        pytest.param({"port": [80, 443], "protocol": "tcp"}, {TCP: {80, 443}}, {TCP: {80, 443}}, id="rule with a list"),
        pytest.param({"port": 8001}, {TCP: {8001}, UDP: {8001}}, {TCP: {8001}}, id="rule for any protocol"),
        pytest.param({"port": 22, "action": "limit", "protocol": "tcp"}, {TCP: {22}}, {TCP: {22}}, id="limit"),
        pytest.param({"port": 22, "action": "deny"}, {}, {}, id="deny"),
        pytest.param({"port": 22, "direction": "out"}, {}, {}, id="outgoing"),
        pytest.param({"protocol": "esp"}, {}, {}, id="protocol without ports"),
        pytest.param({"port": 9100, "protocol": "tcp", "from": "10.0.0.0/8"}, {TCP: {9100}}, {}, id="for some"),
        pytest.param({"port": 9100, "protocol": "tcp", "from": "0.0.0.0/0"}, {TCP: {9100}}, {TCP: {9100}}, id="all"),
        pytest.param({"port": 9100, "protocol": "tcp", "interface": "eth1"}, {TCP: {9100}}, {}, id="one interface"),
        pytest.param({"from": "10.0.0.0/8"}, {}, {}, id="every port for others"),
        pytest.param({"port": 80, "protocol": "tcp", "host_ip": "127.0.0.1"}, {}, {}, id="published on loopback"),
        pytest.param({"port": 80, "protocol": "tcp", "host_ip": "192.0.2.1"}, {TCP: {80}}, {}, id="on one address"),
    ],
)
def test_declared(entry: Any, permitted: dict[str, set[int]], required: dict[str, set[int]]) -> None:
    found = read_declared([entry], "198.51.100.7")
    assert found.permitted == {TCP: permitted.get(TCP, set()), UDP: permitted.get(UDP, set())}
    assert found.required == {TCP: required.get(TCP, set()), UDP: required.get(UDP, set())}


def test_a_rule_for_every_port_permits_them_where_it_holds() -> None:
    rules = [{"from": "198.51.100.0/24", "protocol": "tcp"}]
    assert len(read_declared(rules, "198.51.100.7").permitted[TCP]) == 65535
    assert not read_declared(rules, "198.51.100.7").required[TCP]
    assert not read_declared(rules, "2001:db8::1").permitted[TCP]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("53/sctp", "declared[0]: 'sctp' is not a protocol whose ports can be tried; use tcp or udp"),
        ({"port": 70000}, "declared[0]: 70000 is not within 1 to 65535"),
    ],
)
def test_says_which_entry_cannot_be_read(entry: Any, message: str) -> None:
    with pytest.raises(UnreadablePort) as caught:
        read_declared([entry])
    assert str(caught.value) == message

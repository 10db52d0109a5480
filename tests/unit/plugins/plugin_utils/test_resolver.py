# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible_collections.slipway.ops.plugins.plugin_utils import _resolver


@pytest.mark.parametrize(
    ("server", "pair"),
    [
        ("172.30.0.2", ("172.30.0.2", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_split_server(server: str, pair: tuple[str, int]) -> None:
    assert _resolver.split_server(server) == pair


@pytest.mark.parametrize("server", ["dns.example", "127.0.0.1:x", "127.0.0.1:99999", ""])
def test_servers_that_are_none(server: str) -> None:
    with pytest.raises(AnsibleError, match="is not address, address:port"):
        _resolver.split_server(server)


def test_a_server_that_is_silent_is_said() -> None:
    answer = _resolver.ask(["fleet.example"], ["127.0.0.1:9"], 0.3)["fleet.example"]
    assert answer.addresses == ()
    assert answer.failure


def test_nothing_to_ask() -> None:
    assert _resolver.ask([], [], 1) == {}


def test_to_addresses() -> None:
    assert _resolver.to_addresses("203.0.113.10") == ("203.0.113.10",)
    assert "127.0.0.1" in _resolver.to_addresses("localhost")
    assert _resolver.to_addresses("name.invalid") == ()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import socket
import threading

import pytest
from ansible_collections.slipway.ops.plugins.plugin_utils import _reach
from ansible_collections.slipway.ops.plugins.plugin_utils._reach import (
    Outcome,
    Route,
    describe,
    explain_login,
    find_route,
    parse_route,
    probe,
    probe_all,
)


@pytest.mark.parametrize(
    ("configuration", "route"),
    [
        ("hostname 203.0.113.10\nport 22\n", Route("203.0.113.10")),
        ("hostname 203.0.113.10\nproxyjump bastion\n", Route("203.0.113.10", True)),
        ("proxycommand none\nhostname x\n", Route("x")),
        ("proxycommand nc %h %p\n", Route("fleet", True)),
    ],
)
def test_parse_route(configuration: str, route: Route) -> None:
    assert parse_route(configuration, "fleet") == route


def test_find_route_asks_the_client() -> None:
    assert find_route("ssh", ["-F /dev/null", "-o ProxyJump=bastion"], "203.0.113.10") == Route("203.0.113.10", True)
    assert find_route("ssh", ["-F /dev/null"], "203.0.113.10") == Route("203.0.113.10")
    assert find_route("/nonexistent/ssh", [], "203.0.113.10") == Route("203.0.113.10")
    assert find_route("ssh", ["--nonsense"], "203.0.113.10") == Route("203.0.113.10")


def test_something_else_than_ssh_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert probe("127.0.0.1", listener.getsockname()[1], 0.2).failure == "timed out"


def test_a_later_port_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def answer(_address: str, port: int, _timeout: float) -> Outcome:
        if port == 22:
            release.wait(30)
        return Outcome(port, banner="SSH-2.0-x")

    monkeypatch.setattr(_reach, "probe", answer)
    try:
        assert [outcome.port for outcome in probe_all("127.0.0.1", [2222, 22], 5)] == [2222]
    finally:
        release.set()


def test_names_that_do_not_resolve() -> None:
    assert (probe("name.invalid", 22, 1).failure or "").startswith("the name name.invalid does not resolve")


def test_describe_says_each_reason_once() -> None:
    both = [Outcome(2222, failure="timed out"), Outcome(22, failure="refused")]
    assert describe("fleet", "172.30.0.10", both) == (
        "fleet (172.30.0.10): no SSH server answers on ports 2222, 22: 2222 timed out, 22 refused; "
        "check address, network, firewall"
    )
    same = [Outcome(2222, failure="timed out"), Outcome(22, failure="timed out")]
    assert "on ports 2222, 22: timed out; check" in describe("fleet", "172.30.0.10", same)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("Permission denied (publickey).", "is refused (permission denied); check ansible_user"),
        ("Missing sudo password", "works, but sudo does not"),
        ("Host key verification failed.", "the host key is not the known one"),
        ("/bin/sh: /usr/bin/python3: No such file or directory", "Python is missing"),
        ("something\nelse", "does not work: something else"),
    ],
)
def test_explain_login(reason: str, words: str) -> None:
    said = explain_login("fleet", "172.30.0.10", 22, "operator", reason)
    assert words in said
    assert "\n" not in said

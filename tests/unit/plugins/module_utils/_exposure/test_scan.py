# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The scanner against real sockets on the loopback addresses."""

from __future__ import annotations

import errno
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._exposure import scan
from ansible_collections.slipway.ops.plugins.module_utils._exposure.findings import CLOSED, OPEN, SILENT, UNREACHABLE
from ansible_collections.slipway.ops.plugins.module_utils._exposure.scan import Pace, TcpScan

QUICK = Pace(timeout_seconds=0.3, at_once=200, per_second=50000)


@pytest.fixture
def open_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A queue that is full drops the next SYN, as a firewall does."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _client in range(3):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield server.getsockname()[1]


def unused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_tells_open_closed_and_silent_apart(open_port: int, silent_port: int) -> None:
    closed = unused()
    assert TcpScan("127.0.0.1", QUICK).run([closed, open_port, silent_port]) == {
        closed: CLOSED,
        open_port: OPEN,
        silent_port: SILENT,
    }


def test_tries_many_more_ports_than_fit_at_once(open_port: int) -> None:
    found = TcpScan("127.0.0.1", QUICK).run(range(1, 65536))
    assert len(found) == 65535
    assert found[open_port] == OPEN


def test_keeps_to_its_pace(open_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[float] = []
    connect = TcpScan._connect

    def noted(self: TcpScan, port: int) -> bool:
        started.append(scan.time.monotonic())
        return connect(self, port)

    monkeypatch.setattr(TcpScan, "_connect", noted)
    TcpScan("127.0.0.1", Pace(0.3, 200, 100)).run([open_port] * 30)
    assert started[-1] - started[0] >= 0.25


def test_without_room_it_tries_again_with_less(
    open_port: int, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([errno.EADDRNOTAVAIL])
    monkeypatch.setattr(scan, "_PAUSE_SECONDS", 0)
    real = socket.socket

    class Crowded(real):
        def connect_ex(self, address: Any) -> int:
            code = next(refusals, None) if address[1] == open_port else None
            return code or real.connect_ex(self, address)

    monkeypatch.setattr(scan.socket, "socket", Crowded)
    looked = TcpScan("127.0.0.1", QUICK)
    assert looked.run([silent_port, open_port]) == {silent_port: SILENT, open_port: OPEN}
    assert looked.room == 100


def test_an_address_without_a_way_is_not_tried_port_by_port() -> None:
    found = TcpScan("2001:db8::1", QUICK).run([1, 2, 3])
    assert set(found.values()) <= {UNREACHABLE, SILENT}
    seen = scan.look("255.255.255.255", [], [1, 2], [], QUICK)
    assert seen.problem == "this machine has no way to it"


def test_takes_no_more_files_than_there_are() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
        assert scan._room_for(100) == 100
        assert scan._room_for(10**7) <= max(before[1], 512)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_udp_answers_refuses_or_is_silent() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as echo,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute,
    ):
        for server in (echo, mute):
            server.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=lambda: echo.sendto(*echo.recvfrom(64)))
        thread.start()
        assert scan.udp_state("127.0.0.1", echo.getsockname()[1], 0.6) == OPEN
        thread.join()
        assert scan.udp_state("127.0.0.1", mute.getsockname()[1], 0.3) == SILENT
        closed = mute.getsockname()[1]
    assert scan.udp_state("127.0.0.1", closed, 0.3) == CLOSED


def test_looks_at_declared_and_other_ports(open_port: int) -> None:
    closed = unused()
    seen = scan.look("127.0.0.1", [open_port], [closed], [], QUICK)
    assert (seen.tcp, seen.source, seen.problem) == ({open_port: OPEN, closed: CLOSED}, "127.0.0.1", "")


def test_a_host_that_bans_in_the_middle_proves_nothing(open_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    run = TcpScan.run
    calls: list[list[int]] = []

    def banning(self: TcpScan, ports: Any) -> dict[int, str]:
        calls.append(list(ports))
        return dict.fromkeys(calls[-1], SILENT) if len(calls) > 3 else run(self, calls[-1])

    monkeypatch.setattr(TcpScan, "run", banning)
    seen = scan.look("127.0.0.1", [open_port], [unused()], [], QUICK)
    assert seen.problem == "it stopped answering during the scan, as a host does that bans who scans it"


def test_silence_everywhere_proves_nothing(silent_port: int) -> None:
    assert scan.look("127.0.0.1", [], [silent_port], [], QUICK).problem == "nothing at all answered"

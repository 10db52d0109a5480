from __future__ import annotations

import errno
import socket
import subprocess
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy import neighbours
from ansible_collections.slipway.ops.plugins.module_utils._proxy.neighbours import Neighbours, Ports, answers, cut

SERVERS = {"10.0.0.2": frozenset([30001, 30002]), "10.0.0.3": frozenset([30003])}


class World:
    def __init__(self) -> None:
        self.silent: set[str] = set()
        self.cut: list[str] = []
        self.said: list[str] = []
        self.neighbours = Neighbours(self.said.append, lambda host: host not in self.silent, self.end)
        self.neighbours.know(SERVERS)

    def end(self, host: str, ports: Ports) -> None:
        assert ports == SERVERS[host]
        self.cut.append(host)

    def look(self, times: int) -> None:
        for _each in range(times):
            self.neighbours.look()


def test_who_falls_silent_is_cut_until_it_answers_again() -> None:
    world = World()
    world.look(1)
    world.silent.add("10.0.0.2")
    world.look(2)
    assert world.cut == []
    world.look(2)
    assert world.cut == ["10.0.0.2", "10.0.0.2"]
    assert world.said == ["10.0.0.2 does not answer any more, connections to it are cut"]
    world.silent.clear()
    world.look(1)
    assert world.said[1:] == ["10.0.0.2 answers again"]
    world.look(3)
    assert len(world.cut) == 2


def test_a_probe_that_is_lost_is_no_power_cut() -> None:
    world = World()
    world.look(1)
    for _each in range(5):
        world.silent.add("10.0.0.2")
        world.look(2)
        world.silent.clear()
        world.look(1)
    assert world.cut == []


def test_who_never_answered_is_behind_a_firewall() -> None:
    world = World()
    world.silent.add("10.0.0.2")
    world.look(10)
    assert world.cut == []
    assert world.said == []


def test_nobody_to_ask() -> None:
    world = World()
    world.neighbours.know({})
    world.look(1)


@pytest.mark.parametrize(
    ("failure", "there"),
    [
        (None, True),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), True),
        (socket.timeout(), False),
        (OSError(errno.EHOSTUNREACH, "no route"), False),
    ],
)
def test_answers(monkeypatch: pytest.MonkeyPatch, failure: Exception | None, there: bool) -> None:
    def connect(address: tuple[str, int], _timeout: float) -> socket.socket:
        assert address == ("fd00::2", 7946)
        if failure is not None:
            raise failure
        return socket.socket()

    monkeypatch.setattr(neighbours.socket, "create_connection", connect)
    assert answers("[fd00::2]") is there


def test_cut_names_the_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[list[str]] = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_options: ran.append(command))
    cut("10.0.0.2", frozenset([30002, 30001]))
    assert ran[0][1:] == ["--kill", "--tcp", "--numeric", "dst 10.0.0.2 and ( dport = :30001 or dport = :30002 )"]


def test_cut_ends_real_connections() -> None:
    """Where this machine's kernel and rights allow it."""
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(5)
    seen: Any = None
    cut("127.0.0.1", frozenset([port]))
    try:
        client.settimeout(0.5)
        client.recv(1)
    except OSError as error:
        seen = error
    if isinstance(seen, socket.timeout):
        pytest.skip("the kernel or our rights do not allow to end a connection here")
    assert seen.errno == errno.ECONNABORTED

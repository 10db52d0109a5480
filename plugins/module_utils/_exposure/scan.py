# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try the ports of an address from this machine, as any user may: many connections at once, at a bounded pace."""

from __future__ import annotations

import errno
import random
import resource
import selectors
import socket
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._exposure.findings import (
    CLOSED,
    OPEN,
    SILENT,
    UNREACHABLE,
    Seen,
)

_SPARE_FILES = 64
_FEWEST_AT_ONCE = 16
_PAUSE_SECONDS = 0.05
_NO_ROOM = (errno.EADDRNOTAVAIL, errno.EAGAIN, errno.ENOBUFS, errno.EMFILE, errno.ENFILE)
_NO_WAY = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EINVAL)
_UDP_ATTEMPTS = 3
_UDP_AT_ONCE = 16
_UDP_QUESTIONS = {
    53: b"\x5a\x5a\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01",  # who serves the root
    123: b"\x1b" + 47 * b"\0",  # a client of NTP version 3
}
_UDP_QUESTION = b"\r\n"


@dataclass(frozen=True)
class Pace:
    """How fast. The kernel repeats an unanswered SYN after 1 s: more than that makes two attempts of each."""

    timeout_seconds: float = 1.5
    at_once: int = 6000
    per_second: int = 5000


class TcpScan:
    """One scan of TCP ports of one address."""

    def __init__(self, address: str, pace: Pace) -> None:
        self.address = address
        self.pace = pace
        self.family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.room = _room_for(pace.at_once)
        self.states: dict[int, str] = {}
        self._selector = selectors.DefaultSelector()
        self._in_flight = 0
        self._flights: deque[tuple[float, int, socket.socket]] = deque()
        self._waiting: deque[int] = deque()

    def run(self, ports: Iterable[int]) -> dict[int, str]:
        """Try each port."""
        self._waiting = deque(ports)
        begun, started = time.monotonic(), 0
        try:
            while self._waiting or self._flights:
                allowed = int((time.monotonic() - begun) * self.pace.per_second) + 1 - started
                started += self._start(min(allowed, self.room - self._in_flight))
                self._settle()
                self._expire()
        finally:
            for _deadline, _port, connection in self._flights:
                connection.close()
            self._selector.close()
        return self.states

    def _start(self, most: int) -> int:
        started = 0
        while self._waiting and started < most:
            port = self._waiting.popleft()
            if not self._connect(port):
                self._waiting.appendleft(port)
                self.room = max(_FEWEST_AT_ONCE, self.room // 2)
                time.sleep(_PAUSE_SECONDS)
                break
            started += 1
        return started

    def _connect(self, port: int) -> bool:
        """Begin one attempt; false when this machine has no room for one more just now."""
        try:
            connection = socket.socket(self.family, socket.SOCK_STREAM)
        except OSError as error:
            if error.errno in _NO_ROOM and self._in_flight:
                return False
            raise
        connection.setblocking(False)
        code = connection.connect_ex((self.address, port))
        if code in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._selector.register(connection, selectors.EVENT_WRITE, (port, connection))
            self._flights.append((time.monotonic() + self.pace.timeout_seconds, port, connection))
            self._in_flight += 1
            return True
        connection.close()
        if code in _NO_ROOM and self._in_flight:
            return False
        self.states[port] = _state(code)
        if self.states[port] == UNREACHABLE:
            # The same is true of every other port of this address.
            self.states.update(dict.fromkeys(self._waiting, UNREACHABLE))
            self._waiting.clear()
        return True

    def _settle(self) -> None:
        pause = max(0.0, self._flights[0][0] - time.monotonic()) if self._flights else 0.0
        can_start = self._waiting and self._in_flight < self.room
        for key, _events in self._selector.select(min(pause, 1 / self.pace.per_second) if can_start else pause):
            port, connection = key.data
            self._end(port, connection, _state(connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))

    def _expire(self) -> None:
        now = time.monotonic()
        while self._flights and (self._flights[0][0] <= now or self._flights[0][2].fileno() < 0):
            _deadline, port, connection = self._flights.popleft()
            if connection.fileno() >= 0:
                self._end(port, connection, SILENT)

    def _end(self, port: int, connection: socket.socket, state: str) -> None:
        self.states[port] = SILENT if state == UNREACHABLE else state
        self._selector.unregister(connection)
        connection.close()
        self._in_flight -= 1


def _state(code: int) -> str:
    if code == 0:
        return OPEN
    if code == errno.ECONNREFUSED:
        return CLOSED
    return UNREACHABLE if code in _NO_WAY else SILENT


def _room_for(wanted: int) -> int:
    """Raise the limit of open files as far as is needed and allowed; return how many connections fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        except (OSError, ValueError):  # a system may allow less than it says
            pass
    return wanted if soft == resource.RLIM_INFINITY else max(_FEWEST_AT_ONCE, min(wanted, soft - _SPARE_FILES))


def udp_state(address: str, port: int, timeout_seconds: float) -> str:
    """Ask one UDP port: an answer is open, an ICMP message is closed, and silence may be either."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as client:
        client.settimeout(timeout_seconds / _UDP_ATTEMPTS)
        try:
            client.connect((address, port))
        except OSError:
            return UNREACHABLE
        for _attempt in range(_UDP_ATTEMPTS):
            try:
                client.send(_UDP_QUESTIONS.get(port, _UDP_QUESTION))
                client.recv(512)
            except socket.timeout:
                continue
            except ConnectionRefusedError:
                return CLOSED
            except OSError:
                return SILENT
            return OPEN
    return SILENT


def source_for(address: str) -> str:
    """Return the address of this machine that a connection would come from; empty without a route."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as client:
            client.connect((address, 9))
            return str(client.getsockname()[0])
    except OSError:
        return ""


def look(address: str, first: Sequence[int], ports: Iterable[int], udp_ports: Sequence[int], pace: Pace) -> Seen:
    """Try the declared ports, all others in no order, and once more one that answered.

    A host that stops answering in the middle has banned this machine, and the silence of its ports proves nothing.
    """
    early = TcpScan(address, pace).run(first)
    patient = [port for port, state in early.items() if state == SILENT]
    early.update(TcpScan(address, Pace(2 * pace.timeout_seconds, pace.at_once, pace.per_second)).run(patient))
    others = sorted(set(ports) - set(first))
    random.Random(address).shuffle(others)  # noqa: S311
    states = {**early, **TcpScan(address, pace).run(others)}
    with ThreadPoolExecutor(max_workers=_UDP_AT_ONCE) as pool:
        udp = dict(zip(udp_ports, pool.map(lambda port: udp_state(address, port, 2 * pace.timeout_seconds), udp_ports)))
    source = source_for(address)
    return Seen(address, source, states, udp, _problem(address, source, states, pace))


def _problem(address: str, source: str, states: dict[int, str], pace: Pace) -> str:
    found = set(states.values())
    if not source or UNREACHABLE in found:
        return "this machine has no way to it"
    if not found & {OPEN, CLOSED}:
        return "nothing at all answered"
    # SSH counts connections that end without a login, so it comes last.
    answered = sorted((port for port, state in states.items() if state == OPEN), key=lambda port: (port == 22, port))
    for port in answered[:3]:
        if TcpScan(address, pace).run([port])[port] == OPEN:
            return ""
    return "it stopped answering during the scan, as a host does that bans who scans it" if answered else ""

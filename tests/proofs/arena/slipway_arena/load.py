"""A steady load, asked by a process of its own; every answer and every failure becomes one line of JSON.

A request counts as failed when it could not connect, was reset, timed out, was answered with another status than 200,
was cut short, or when its body is not whole and of one version. One thing is repeated, and counted so: a GET on
a kept connection that the server closed before any byte of an answer came (RFC 9112, section 9.3.1, which every browser
and client library follows); the repetition, on a new connection, may fail as any other request.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import ssl
import struct
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO

FRESH, KEPT, POST, SLOW, SOCKET = "fresh", "kept", "post", "slow", "websocket"
KINDS = (FRESH, KEPT, POST, SLOW, SOCKET)
TIMEOUT_SECONDS = 20.0
WORDS = 200  # what image/server.py says
ECHO_SECONDS = 0.5


@dataclass(frozen=True)
class Wish:
    """Whom to ask, and how much: requests a second, or of slow requests and websockets how many at the same time."""

    entrances: list[tuple[str, int]]
    name: str  # the host name of the site
    tls: bool = True
    fresh_a_second: float = 10
    kept_a_second: float = 30
    post_a_second: float = 5
    slow: int = 3
    slow_seconds: float = 3
    sockets: int = 6


@dataclass(frozen=True)
class Answer:
    """One request, or one life of a websocket; times by the machine's monotonic clock."""

    kind: str
    begun: float
    ended: float
    failure: str = ""
    version: str = ""  # who answered; the last one, for a websocket
    repeated: bool = False
    end: str = ""  # how a websocket ended: told, untold, ours
    entrance: str = ""

    @property
    def seconds(self) -> float:
        return self.ended - self.begun


class Failed(Exception):
    """What was wrong with an answer."""


class NoAnswer(Exception):
    """A kept connection was closed before any byte of an answer came."""


def one_version(text: str) -> str:
    """The version that the whole body is of; Failed when it is cut short or mixed."""
    words = text.split()
    if len(words) != WORDS:
        raise Failed(f"body of {len(words)} words, not {WORDS}")
    if len(set(words)) != 1:
        raise Failed(f"body of several versions: {sorted(set(words))}")
    return words[0]


def echoed(text: str, sent: bytes) -> str:
    version, _space, digest = text.strip().partition(" ")
    if digest != hashlib.sha256(sent).hexdigest():
        raise Failed(f"echo of something else: {text[:60]!r}")
    return version


class Connection:
    def __init__(self, wish: Wish, entrance: tuple[str, int], context: ssl.SSLContext | None) -> None:
        self._wish = wish
        self._entrance = entrance
        self._context = context

    async def open(self) -> Connection:
        name = self._wish.name if self._context else None
        self.reader, self.writer = await asyncio.open_connection(
            *self._entrance, ssl=self._context, server_hostname=name
        )
        return self

    @property
    def closed(self) -> bool:
        """Whether it is known that the server has closed it."""
        return self.reader.at_eof() or self.writer.is_closing()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.writer.transport.abort()

    async def ask(self, method: str, path: str, sent: bytes = b"", *headers: str) -> tuple[int, dict[str, str], str]:
        """The status, the headers and the body of the answer."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._wish.name}", *headers]
        if sent:
            head.append(f"Content-Length: {len(sent)}")
        try:
            self.writer.write("\r\n".join([*head, "", ""]).encode() + sent)
            await self.writer.drain()
            first = await self.reader.read(1)
        except (ConnectionError, ssl.SSLError, BrokenPipeError) as error:
            raise NoAnswer(repr(error)) from error
        if not first:
            raise NoAnswer("closed without an answer")
        lines = (first + await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        found = {name.strip().lower(): value.strip() for name, _c, value in (line.partition(":") for line in lines[1:])}
        if status == 101:
            return status, found, ""
        if found.get("transfer-encoding", "").lower() == "chunked":
            return status, found, (await self._chunks()).decode()
        return status, found, (await self.reader.readexactly(int(found.get("content-length", 0)))).decode()

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int((await self.reader.readuntil(b"\r\n")).strip(), 16)
            body += (await self.reader.readexactly(size + 2))[:-2]
            if size == 0:
                return body

    async def whole(self, method: str, path: str, sent: bytes = b"", *headers: str) -> tuple[str, bool]:
        """The body of an answer of 200, and whether the connection may be used again."""
        status, found, body = await self.ask(method, path, sent, *headers)
        if status != 200:
            raise Failed(f"status {status}")
        return body, found.get("connection", "").lower() != "close"


class Load:
    def __init__(self, wish: Wish, output: TextIO) -> None:
        self.wish = wish
        self.output = output
        self.over = asyncio.Event()
        self.next = 0
        self.context: ssl.SSLContext | None = None
        if wish.tls:
            self.context = ssl.create_default_context()
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    def entrance(self) -> tuple[str, int]:
        self.next += 1
        address, port = self.wish.entrances[self.next % len(self.wish.entrances)]
        return address, port

    def connection(self, entrance: tuple[str, int]) -> Connection:
        return Connection(self.wish, entrance, self.context)

    def write(self, answer: Answer) -> None:
        self.output.write(json.dumps(asdict(answer)) + "\n")

    @contextlib.contextmanager
    def told(self, kind: str, entrance: tuple[str, int]) -> Iterator[dict[str, Any]]:
        """Write down what comes of the block, however it ends."""
        begun = time.monotonic()
        found: dict[str, Any] = {}
        try:
            yield found
        except Failed as error:
            found["failure"] = str(error)
        except NoAnswer as error:
            found["failure"] = f"no answer: {error}"
        except TimeoutError:
            found["failure"] = f"no answer within {TIMEOUT_SECONDS:g} s"
        except asyncio.IncompleteReadError as error:
            found["failure"] = f"cut short after {len(error.partial)} bytes"
        except OSError as error:
            found["failure"] = f"{type(error).__name__}: {error}"
        finally:
            self.write(Answer(kind, begun, time.monotonic(), entrance=entrance[0], **found))

    async def paced(self, a_second: float, act: Callable[[], Awaitable[None]]) -> None:
        """So many a second, however long each takes."""
        due = time.monotonic()
        running: set[asyncio.Future[None]] = set()
        while not self.over.is_set():
            task = asyncio.ensure_future(act())
            running.add(task)
            task.add_done_callback(running.discard)
            due += 1 / a_second
            await self.wait(due - time.monotonic())
        await asyncio.gather(*running)

    async def wait(self, seconds: float) -> None:
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), seconds)

    async def fresh(self) -> None:
        entrance = self.entrance()
        with self.told(FRESH, entrance) as found:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                there = await self.connection(entrance).open()
                try:
                    body, _again = await there.whole("GET", "/version", b"", "Connection: close")
                    found["version"] = one_version(body)
                finally:
                    there.close()

    async def post(self) -> None:
        entrance, sent = self.entrance(), os.urandom(4096)
        with self.told(POST, entrance) as found:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                there = await self.connection(entrance).open()
                try:
                    body, _again = await there.whole("POST", "/echo", sent, "Connection: close")
                    found["version"] = echoed(body, sent)
                finally:
                    there.close()

    async def kept(self, a_second: float) -> None:
        """One request after the other on one connection."""
        there: Connection | None = None
        due = time.monotonic()
        entrance = self.entrance()
        while not self.over.is_set():
            again = False
            with self.told(KEPT, entrance) as found:
                try:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        used = there is not None and not there.closed
                        if there is None or not used:
                            there = await self.reopened(there, entrance)
                        try:
                            body, again = await there.whole("GET", "/version")
                        except NoAnswer:
                            if not used:
                                raise
                            found["repeated"] = True
                            there = await self.reopened(there, entrance)
                            body, again = await there.whole("GET", "/version")
                        found["version"] = one_version(body)
                except BaseException:
                    again = False
                    raise
            if not again and there is not None:
                there.close()
                there = None
                entrance = self.entrance()
            due = max(due + 1 / a_second, time.monotonic() - 1)
            await self.wait(due - time.monotonic())

    async def reopened(self, there: Connection | None, entrance: tuple[str, int]) -> Connection:
        if there is not None:
            there.close()
        return await self.connection(entrance).open()

    async def slow(self) -> None:
        while not self.over.is_set():
            entrance = self.entrance()
            with self.told(SLOW, entrance) as found:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    there = await self.connection(entrance).open()
                    try:
                        body, _again = await there.whole("GET", f"/slow?{self.wish.slow_seconds:g}")
                        found["version"] = one_version(body)
                    finally:
                        there.close()
            await self.wait(0.05)

    async def socket(self, number: int) -> None:
        """A websocket that lives until the server ends it, and is then opened anew."""
        await self.wait(number * 0.1)
        while not self.over.is_set():
            entrance = self.entrance()
            with self.told(SOCKET, entrance) as found:
                await self.one_socket(entrance, found)
            await self.wait(0.1)

    async def one_socket(self, entrance: tuple[str, int], found: dict[str, Any]) -> None:
        there = self.connection(entrance)
        key = base64.b64encode(os.urandom(16)).decode()
        asked = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await there.open()
                status, _headers, _body = await there.ask("GET", "/socket", b"", *asked)
            if status != 101:
                raise Failed(f"status {status}")
            while True:
                if self.over.is_set():
                    found["end"] = "ours"
                    return
                text = os.urandom(8).hex()
                try:
                    async with asyncio.timeout(TIMEOUT_SECONDS):
                        there.writer.write(masked(text.encode()))
                        await there.writer.drain()
                        opcode, data = await read_frame(there.reader)
                except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                    found["end"] = "untold"
                    return
                if opcode == 8:
                    found["end"] = "told"
                    return
                found["version"], _space, echo = data.decode().partition(" ")
                if echo != text:
                    raise Failed(f"echo of something else: {data[:60]!r}")
                # The server's goodbye is to be noted when it comes, not at the next text.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(ECHO_SECONDS):
                        try:
                            opcode, _data = await read_frame(there.reader)
                        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
                            found["end"] = "untold"
                            return
                        found["end"] = "told" if opcode == 8 else "untold"
                        return
        finally:
            there.close()

    async def run(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.over.set)
        wish = self.wish
        connections = max(1, round(wish.kept_a_second / 5))
        work: list[Awaitable[None]] = [self.slow() for _number in range(wish.slow)]
        work += [self.socket(number) for number in range(wish.sockets)]
        if wish.kept_a_second:
            work += [self.kept(wish.kept_a_second / connections) for _number in range(connections)]
        if wish.fresh_a_second:
            work.append(self.paced(wish.fresh_a_second, self.fresh))
        if wish.post_a_second:
            work.append(self.paced(wish.post_a_second, self.post))
        await asyncio.gather(*work)


def masked(payload: bytes) -> bytes:
    """RFC 6455, section 5.3: a text as a client sends it."""
    mask = os.urandom(4)
    head = struct.pack("!BB", 0x81, 0x80 | len(payload))
    return head + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, size = await reader.readexactly(2)
    return first & 0x0F, await reader.readexactly(size & 0x7F)


def main() -> None:
    """The wish on the first line of standard input; ends at SIGTERM, once everything asked has ended."""
    plain = json.loads(sys.stdin.readline())
    wish = Wish(**{**plain, "entrances": list(map(tuple, plain["entrances"]))})
    # The clients are other machines in life: what deploys here must not slow them down.
    with contextlib.suppress(OSError):
        os.nice(-5)
    with open(sys.argv[1], "w", encoding="utf-8", buffering=1) as output:
        asyncio.run(Load(wish, output).run())


if __name__ == "__main__":
    main()

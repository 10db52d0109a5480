#!/usr/bin/env python3
"""The application of the release proofs: every answer says which version gave it, whole and checkable.

GET /health      200, or 503 by a fault
GET /version     the version, many times over
GET /slow?N      the same in ten pieces over N seconds
POST /echo       the version and the SHA-256 of what came
GET /socket      a websocket: each text comes back behind the version
`server.py migrate` is the migration: it takes MIGRATE_SECONDS and ends with MIGRATE_EXIT.

By environment:
  STOP=graceful       (default) on SIGTERM: no more connections, requests in flight end, websockets hear 1001
  STOP=at_once        on SIGTERM the process is gone
  BOOT_SECONDS=N      listens only after N seconds
  FAULT=exits         ends before it listens
  FAULT=unhealthy     health says 503
  FAULT=dies:N        healthy, and gone N seconds after its start
  FAULT=errors:N      answers 500 (not health) from N seconds after its start
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import signal
import struct
import sys
import time

PORT = 8000
WORDS = 200
PIECES = 10
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REASONS = {200: "OK", 404: "Not Found", 500: "Internal Server Error", 503: "Service Unavailable"}


def frame(opcode: int, payload: bytes) -> bytes:
    """RFC 6455, section 5.2: unmasked, as a server sends; short texts only."""
    return struct.pack("!BB", 0x80 | opcode, len(payload)) + payload


class Server:
    def __init__(self, environment: dict[str, str]) -> None:
        self.version = environment.get("PROOF_VERSION", "0")
        self.graceful = environment.get("STOP", "graceful") != "at_once"
        self.fault, _colon, after = environment.get("FAULT", "").partition(":")
        self.fault_seconds = float(after or 0)
        self.started = time.monotonic()
        self.busy = 0
        self.stopping = asyncio.Event()
        self.idle: set[asyncio.StreamWriter] = set()
        self.sockets: set[asyncio.StreamWriter] = set()

    def faulty(self, name: str) -> bool:
        return self.fault == name and time.monotonic() - self.started >= self.fault_seconds

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.stopping.set if self.graceful else lambda: os._exit(0))
        if self.fault == "dies":
            loop.call_later(self.fault_seconds, os._exit, 1)
        server = await asyncio.start_server(self.connected, "0.0.0.0", PORT, backlog=512)
        print(f"version {self.version} listens", flush=True)
        await self.stopping.wait()
        server.close()
        for writer in list(self.idle):
            writer.close()
        for writer in list(self.sockets):
            with contextlib.suppress(OSError):
                writer.write(frame(8, struct.pack("!H", 1001)))
                await writer.drain()
        while self.busy or self.sockets:
            await asyncio.sleep(0.02)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError)
        with contextlib.suppress(*ended):
            while not self.stopping.is_set():
                self.idle.add(writer)
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                self.idle.discard(writer)
                self.busy += 1
                try:
                    again = await self.respond(head, reader, writer)
                finally:
                    self.busy -= 1
                if not again:
                    break
        self.idle.discard(writer)
        writer.close()

    async def respond(self, head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        method, target, _protocol = head[0].split(" ")
        headers = {
            name.strip().lower(): value.strip() for name, _c, value in (line.partition(":") for line in head[1:])
        }
        path, _mark, query = target.partition("?")
        sent = await reader.readexactly(int(headers.get("content-length", 0)))
        whole = f"{self.version} " * WORDS
        if path == "/health":
            status = 503 if self.faulty("unhealthy") else 200
            return await self.answer(writer, status, "health\n")
        if self.faulty("errors"):
            return await self.answer(writer, 500, f"{self.version}\n")
        if path == "/version":
            return await self.answer(writer, 200, whole)
        if path == "/echo" and method == "POST":
            return await self.answer(writer, 200, f"{self.version} {hashlib.sha256(sent).hexdigest()}\n")
        if path == "/slow":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            piece = f"{self.version} " * (WORDS // PIECES)
            for _number in range(PIECES):
                writer.write(f"{len(piece):x}\r\n{piece}\r\n".encode())
                await writer.drain()
                await asyncio.sleep(float(query or 1) / PIECES)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        if path == "/socket" and headers.get("upgrade", "").lower() == "websocket":
            await self.talk(headers["sec-websocket-key"], reader, writer)
            return False
        return await self.answer(writer, 404, "nothing\n")

    async def answer(self, writer: asyncio.StreamWriter, status: int, body: str) -> bool:
        last = "Connection: close\r\n" if self.stopping.is_set() else ""
        head = f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Length: {len(body)}\r\n{last}\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        return True

    async def talk(self, key: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        writer.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        self.busy -= 1  # a websocket is told that the server goes away; it is not waited for
        self.sockets.add(writer)
        try:
            while True:
                opcode, size = await reader.readexactly(2)
                mask = await reader.readexactly(4)
                text = bytes(byte ^ mask[index % 4] for index, byte in enumerate(await reader.readexactly(size & 0x7F)))
                if opcode & 0x0F == 8:
                    writer.write(frame(8, text[:2]))
                    return
                writer.write(frame(1, f"{self.version} ".encode() + text))
                await writer.drain()
        finally:
            self.sockets.discard(writer)
            self.busy += 1


def main() -> int:
    if sys.argv[1:] == ["migrate"]:
        time.sleep(float(os.environ.get("MIGRATE_SECONDS", "0")))
        print(f"migration to version {os.environ.get('PROOF_VERSION')}", flush=True)
        return int(os.environ.get("MIGRATE_EXIT", "0"))
    if os.environ.get("FAULT") == "exits":
        print("cannot start", flush=True)
        return 3
    time.sleep(float(os.environ.get("BOOT_SECONDS", "0")))
    asyncio.run(Server(dict(os.environ)).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A proxy in front of the lab's S3 server that makes the weather of a network: errors, slowness, cut connections.

It stands for what goes wrong between a host and a provider. What it lets pass, it passes as it is: the host in front of
the port is part of what S3 signs, and the server behind checks the signature by what it was sent.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 1 << 16
HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection")


@dataclass(frozen=True)
class Weather:
    """What happens to requests. The default is fair."""

    # This status is answered to one of `every` requests with one of these methods.
    status: int = 0
    every: int = 1
    methods: tuple[str, ...] = ("GET", "HEAD", "PUT", "POST", "DELETE")
    # Each answer waits so long.
    delay_seconds: float = 0.0
    # Bytes of bodies that pass (counted over all requests) before every connection is cut, and none is taken.
    cut_after_bytes: int = -1

    def hits(self, number: int, method: str) -> bool:
        """Whether the request with this number, from 1 on, is answered with the status."""
        return bool(self.status) and method in self.methods and number % self.every == 0


FAIR = Weather()


class CutError(Exception):
    """The connection ends here."""


class Proxy:
    """The proxy, in threads of this process."""

    def __init__(self, listen: str, port: int, server: tuple[str, int]) -> None:
        self.weather = FAIR
        self.server = server
        self.asked = itertools.count(1)
        self.passed = 0
        self.refused = 0
        self._lock = threading.Lock()
        self._listener = _Listener((listen, port), _Handler, self)
        self.address = f"{listen}:{self._listener.server_address[1]}"
        threading.Thread(target=self._listener.serve_forever, args=(0.1,), daemon=True).start()

    @contextlib.contextmanager
    def having(self, weather: Weather) -> Iterator[None]:
        """This weather, for the block."""
        self.asked, self.passed, self.refused = itertools.count(1), 0, 0
        self.weather = weather
        try:
            yield
        finally:
            self.weather = FAIR

    def count(self, size: int) -> None:
        """So many bytes of a body have passed; raises when that was all that may."""
        with self._lock:
            self.passed += size
            if 0 <= self.weather.cut_after_bytes < self.passed:
                self.refused += 1
                raise CutError

    def close(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(address, handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Listener
    timeout = 120

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the proof says what matters."""

    def _pass(self) -> None:
        proxy = self.server.proxy
        weather = proxy.weather
        try:
            proxy.count(0)
            if weather.delay_seconds:
                time.sleep(weather.delay_seconds)
            if weather.hits(next(proxy.asked), self.command):
                proxy.refused += 1
                self._refuse(weather.status)
            else:
                self._forward()
        except (CutError, OSError, http.client.HTTPException):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass

    def _refuse(self, status: int) -> None:
        """As a provider does it: the body of the request is taken, and the answer is XML."""
        for _piece in self._body():
            pass
        name = "SlowDown" if status == 503 else "InternalError"
        body = f'<?xml version="1.0"?><Error><Code>{name}</Code><Message>{name}</Message></Error>'.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _body(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(CHUNK, left))
            if not piece:
                raise CutError
            left -= len(piece)
            self.server.proxy.count(len(piece))
            yield piece

    def _forward(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
        upstream = http.client.HTTPConnection(*self.server.proxy.server, timeout=120)
        with contextlib.closing(upstream):
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in (*HOP_BY_HOP, "expect"):
                    upstream.putheader(name, value)
            upstream.endheaders()
            for piece in self._body():
                upstream.send(piece)
            answer = upstream.getresponse()
            self.send_response_only(answer.status, answer.reason)
            length = answer.getheader("Content-Length")
            for name, value in answer.getheaders():
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            if length is None:
                self.send_header("Connection", "close")
                self.close_connection = True
            self.end_headers()
            while piece := answer.read(CHUNK):
                self.server.proxy.count(len(piece))
                self.wfile.write(piece)

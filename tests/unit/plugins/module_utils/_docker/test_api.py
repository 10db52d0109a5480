# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to a dockerd that is a socket of ours."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import Api, ApiError


def request_of(connection: socket.socket) -> bytes:
    """The whole of it: whoever answers sooner breaks the sender's pipe."""
    heard = b""
    while True:
        head, end, body = heard.partition(b"\r\n\r\n")
        length = re.search(rb"Content-Length: (\d+)", head)
        if end and len(body) >= int(length.group(1) if length else 0):
            return heard
        heard += connection.recv(65536)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[list[bytes]]:
    """Answers each request with the status in its path's answers; keeps what was asked."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(str(tmp_path / "socket"))
    server.listen()
    heard: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _address = server.accept()
            except OSError:
                return
            with connection:
                heard.append(request_of(connection))
                good = b"GET /info" in heard[-1]
                body = (
                    b'{"LoggingDriver": "local"}' if good else b'{"message": "get https://r.test/v2/:\\n unauthorized"}'
                )
                status = b"200 OK" if good else b"401 Unauthorized"
                connection.sendall(b"HTTP/1.0 " + status + b"\r\n\r\n" + body)

    threading.Thread(target=serve, daemon=True).start()
    yield heard
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_asks_and_reads(asked: list[bytes], tmp_path: Path) -> None:
    assert Api(str(tmp_path / "socket")).information() == {"LoggingDriver": "local"}
    assert asked[0].startswith(b"GET /info HTTP/1.1")


def test_what_a_registry_says_is_one_line(asked: list[bytes], tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"^get https://r\.test/v2/: unauthorized$"):
        Api(str(tmp_path / "socket")).check_login("r.test", "u", "p")
    assert b"POST /auth" in asked[0]


def test_no_engine_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"does not answer at .*; see journalctl -u docker"):
        Api(str(tmp_path / "missing")).information()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The gateway against real servers on the loopback address."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._exposure import gateway
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.end_headers()
            return
        body = (
            json.dumps({"status": "ok", "checks": {"database": True}}).encode() if self.path == "/health" else b"hello"
        )
        self.send_response(200 if self.path in ("/", "/health") else 502)
        self.send_header("Content-Type", "application/json" if self.path == "/health" else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Frame-Options", "SAMEORIGIN")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the loopback address, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=5))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("pem") / "both.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.fixture(scope="module")
def port(pem: Path) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pem)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(pem: Path, port: int) -> gateway.Client:
    return gateway.Client("127.0.0.1", port, gateway.trusting_context(str(pem)), 5)


def test_verified_handshake(client: gateway.Client) -> None:
    seen = client.handshake()
    assert seen["verified"]
    assert len(seen["fingerprint"]) == 64
    assert seen["not_after"] > 0


def test_untrusted_chain_is_named(port: int) -> None:
    seen = gateway.Client("127.0.0.1", port, gateway.trusting_context(""), 5).handshake()
    assert not seen["verified"]
    assert "not trusted" in seen["error"]


def test_versions_of_tls(client: gateway.Client) -> None:
    assert client.tls_versions() == {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": True, "TLSv1.3": True}


def test_observe_name(client: gateway.Client) -> None:
    routes = [{"path": "/"}, {"path": "/socket", "websocket": True}, {"path": "/broken"}]
    seen = gateway.observe_name(client, "/health", routes, 5, (20, 4))
    assert seen["start"]["status"] == 200
    assert seen["start"]["headers"]["x-frame-options"] == "SAMEORIGIN"
    assert seen["health"]["json"] == {"status": "ok", "checks": {"database": True}}
    assert [route["status"] for route in seen["routes"]] == [200, 101, 502]
    assert (seen["times"]["requests"], seen["times"]["failed"]) == (5, 0)
    assert (seen["load"]["requests"], seen["load"]["failed"], seen["load"]["concurrency"]) == (20, 0, 4)


def test_what_does_not_answer_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]
    seen = gateway.observe_name(
        gateway.Client("127.0.0.1", closed, gateway.trusting_context(""), 1), "/health", [], 1, None
    )
    assert seen["handshake"]["error"] == "refused"
    assert seen["health"] == {}
    assert not any(seen["tls_versions"].values())


def test_names_that_do_not_resolve() -> None:
    assert gateway.resolve("name.invalid") == []

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at a system as its users do: names, handshakes, pages, response times."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import socket
import ssl
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._exposure.measure import summarize

TLS_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_BODY_BYTES = 65536
_HEADERS = (
    "strict-transport-security",
    "x-frame-options",
    "x-content-type-options",
    "content-security-policy",
    "location",
    "server",
)


def resolve(name: str) -> list[str]:
    """Return the addresses that a name has for a user of this machine."""
    try:
        return sorted({str(entry[4][0]) for entry in socket.getaddrinfo(name, None, proto=socket.IPPROTO_TCP)})
    except OSError:
        return []


def trusting_context(ca_file: str) -> ssl.SSLContext:
    """Return a context that verifies the chain: by this file, or by the machine's authorities."""
    return ssl.create_default_context(cafile=ca_file or None)


class Client:
    """One host name of the system, asked over HTTPS with a verified chain."""

    def __init__(self, name: str, port: int, context: ssl.SSLContext, timeout_seconds: float) -> None:
        self.name = name
        self.port = port
        self.context = context
        self.timeout_seconds = timeout_seconds

    def connection(self) -> http.client.HTTPSConnection:
        """Return a new connection."""
        return http.client.HTTPSConnection(self.name, self.port, timeout=self.timeout_seconds, context=self.context)

    def _secured(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain = socket.create_connection((self.name, self.port), timeout=self.timeout_seconds)
        try:
            return context.wrap_socket(plain, server_hostname=self.name)
        except BaseException:
            plain.close()
            raise

    def get(self, path: str) -> dict[str, Any]:
        """Ask for one page over a connection of its own."""
        connection = self.connection()
        try:
            return _get(connection, path)
        finally:
            connection.close()

    def handshake(self) -> dict[str, Any]:
        """Return the certificate that the verified handshake showed, or why it failed."""
        observed: dict[str, Any] = {"verified": False, "error": "", "not_after": 0, "fingerprint": "", "version": ""}
        try:
            with self._secured(self.context) as secured:
                shown = secured.getpeercert() or {}
                encoded = secured.getpeercert(binary_form=True) or b""
                observed.update(
                    verified=True,
                    not_after=int(ssl.cert_time_to_seconds(str(shown["notAfter"]))),
                    fingerprint=hashlib.sha256(encoded).hexdigest(),
                    version=secured.version() or "",
                )
        except ssl.SSLCertVerificationError as error:
            observed["error"] = f"the certificate is not trusted: {error.verify_message}"
        except OSError as error:
            observed["error"] = _reason(error)
        return observed

    def tls_versions(self) -> dict[str, bool]:
        """Tell for each version of TLS whether a client that speaks only that one is served."""
        return {label: self._speaks(version) for label, version in TLS_VERSIONS.items()}

    def _speaks(self, version: ssl.TLSVersion) -> bool:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # which versions are spoken does not depend on the chain
        try:
            # OpenSSL 3 keeps the old versions behind security level 0, in the client as well.
            context.set_ciphers("ALL:@SECLEVEL=0")
            with warnings.catch_warnings():
                # Python advises against the old versions, which are asked for here to see that they are refused.
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = version
                context.maximum_version = version
            with self._secured(context):
                return True
        except (OSError, ValueError):
            return False

    def upgrade(self, path: str) -> dict[str, Any]:
        """Ask for a websocket."""
        connection = self.connection()
        key = base64.b64encode(os.urandom(16)).decode("ascii")
        headers = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key,
        }
        try:
            connection.request("GET", path, headers=headers)
            return {"status": connection.getresponse().status, "error": ""}
        except (OSError, http.client.HTTPException) as error:
            return {"status": 0, "error": _reason(error)}
        finally:
            connection.close()

    def times(self, path: str, requests: int) -> dict[str, Any]:
        """Time some requests, one after the other over one connection, as a browser keeps it."""
        connection = self.connection()
        try:
            answers = [_get(connection, path) for _number in range(requests)]
        finally:
            connection.close()
        return summarize(answers)

    def load(self, path: str, requests: int, concurrency: int) -> dict[str, Any]:
        """Time many requests from several users at once, each with a connection of its own."""
        shares = [requests // concurrency + (1 if user < requests % concurrency else 0) for user in range(concurrency)]
        begun = time.monotonic()
        with ThreadPoolExecutor(max_workers=concurrency) as pool:
            answers = [answer for user in pool.map(lambda share: self._use(path, share), shares) for answer in user]
        summary = summarize(answers)
        seconds = time.monotonic() - begun
        summary["requests_per_second"] = round(len(answers) / seconds, 1) if seconds else 0
        summary["concurrency"] = concurrency
        return summary

    def _use(self, path: str, requests: int) -> list[dict[str, Any]]:
        connection = self.connection()
        try:
            return [_get(connection, path) for _number in range(requests)]
        finally:
            connection.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, socket.timeout):
        return "timed out"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _get(connection: http.client.HTTPConnection, path: str) -> dict[str, Any]:
    begun = time.monotonic()
    try:
        connection.request("GET", path, headers={"User-Agent": "slipway-audit", "Accept": "*/*"})
        response = connection.getresponse()
        body = response.read(_BODY_BYTES)
        if response.read(1):
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return {"status": 0, "error": _reason(error), "milliseconds": _since(begun), "headers": {}, "json": None}
    headers = {name: response.getheader(name) or "" for name in _HEADERS if response.getheader(name)}
    return {
        "status": response.status,
        "error": "",
        "milliseconds": _since(begun),
        "headers": headers,
        "json": _json(response, body),
    }


def _since(begun: float) -> float:
    return round((time.monotonic() - begun) * 1000, 1)


def _json(response: http.client.HTTPResponse, body: bytes) -> Optional[Any]:
    if "json" not in (response.getheader("Content-Type") or ""):
        return None
    try:
        return json.loads(body)
    except ValueError:
        return None


def redirect(name: str, port: int, timeout_seconds: float) -> dict[str, Any]:
    """Ask for the start page without TLS."""
    connection = http.client.HTTPConnection(name, port, timeout=timeout_seconds)
    try:
        answer = _get(connection, "/")
    finally:
        connection.close()
    return {"status": answer["status"], "location": answer["headers"].get("location", ""), "error": answer["error"]}


def observe_name(
    client: Client, health_path: str, routes: Sequence[dict[str, Any]], requests: int, load: Optional[tuple[int, int]]
) -> dict[str, Any]:
    """Return everything about one host name."""
    observed: dict[str, Any] = {
        "addresses": resolve(client.name),
        "handshake": client.handshake(),
        "redirect": redirect(client.name, 80, client.timeout_seconds),
        "tls_versions": client.tls_versions(),
        "start": {},
        "health": {},
        "routes": [],
        "times": {},
        "load": {},
    }
    if not observed["handshake"]["verified"]:
        return observed
    observed["start"] = {key: value for key, value in client.get("/").items() if key != "json"}
    observed["health"] = client.get(health_path)
    for route in routes:
        answer = client.upgrade(route["path"]) if route.get("websocket") else client.get(route["path"])
        observed["routes"].append(
            {
                "path": route["path"],
                "websocket": bool(route.get("websocket")),
                "status": answer["status"],
                "error": answer["error"],
            }
        )
    if observed["health"]["status"] == 200:
        observed["times"] = client.times(health_path, requests)
        if load:
            observed["load"] = client.load(health_path, *load)
    return observed

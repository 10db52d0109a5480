# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests to dockerd over its socket. Its SDK takes longer to import than they take to be answered."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

SOCKET = "/var/run/docker.sock"
PID_FILE = "/var/run/docker.pid"
TIMEOUT_SECONDS = 60


class ApiError(Exception):
    """dockerd did not answer (status 0), or refused; one line."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Api:
    def __init__(self, path: str = SOCKET) -> None:
        self._path = path

    def information(self) -> dict[str, Any]:
        return dict(self.ask("GET", "/info"))

    def containers(self) -> list[dict[str, Any]]:
        """Those that run."""
        found: list[dict[str, Any]] = self.ask("GET", "/containers/json")
        return found

    def check_login(self, address: str, username: str, password: str) -> None:
        """Log in at the registry for real, from dockerd, and keep nothing. Raises what the registry says."""
        self.ask("POST", "/auth", {"username": username, "password": password, "serveraddress": address})

    def ask(self, method: str, path: str, body: Any = None, timeout: float = TIMEOUT_SECONDS) -> Any:
        """One request; what is no JSON comes back as text. Raises ApiError."""
        connection = _Connection(self._path, timeout)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {} if sent is None else {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(f"dockerd does not answer at {self._path} ({error}); see journalctl -u docker") from error
        finally:
            connection.close()
        try:
            found = json.loads(said) if said.strip() else {}
        except ValueError:
            found = {"message": said}
        if answer.status >= 400:
            told = found.get("message") if isinstance(found, dict) else ""
            raise ApiError(" ".join(str(told or f"status {answer.status}").split()), answer.status)
        return found

#!/usr/bin/python3
"""Stands for a stack's services: tells what it was asked, and shakes hands for websockets."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Application(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    name = ""

    def do_GET(self) -> None:
        if self.headers.get("Upgrade", "").lower() == "websocket":
            self.shake_hands()
            return
        path = urlsplit(self.path).path
        if path.startswith("/slow"):
            time.sleep(2)
        headers = {key.lower(): value for key, value in self.headers.items()}
        body = json.dumps({"service": self.name, "path": self.path, "headers": headers}).encode()
        self.send_response(503 if path == "/health/degraded" else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Frame-Options", "ALLOWALL")
        self.send_header("X-Powered-By", "PHP/8.3")
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def shake_hands(self) -> None:
        """RFC 6455, section 1.3; then every byte is sent back."""
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.connection.sendall(self.connection.recv(64))
        self.close_connection = True

    def log_message(self, *arguments: object) -> None:
        pass


if __name__ == "__main__":
    Application.name = sys.argv[1]
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Application).serve_forever()

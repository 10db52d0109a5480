#!/usr/bin/python3
"""A mail server, a webhook and a small site: what the checks ask and what the alerts arrive at.

SMTP on 127.0.0.1:2525. HTTP on 127.0.0.1:8025, and HTTPS with the shop's certificate on 127.0.0.1:8443: GET /messages
lists what came in, DELETE /messages forgets it, POST takes a webhook, GET of anything else answers with the status in
/run/sink-status (200 when there is no such file).
"""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

CERTIFICATE = Path("/etc/slipway/certificates/shop.example.test/current")
STATUS = Path("/run/sink-status")
messages: list[dict[str, Any]] = []


class Smtp(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.say("220 sink")
        while line := self.rfile.readline():
            verb = line.strip().upper()[:4]
            if verb == b"DATA":
                self.say("354 go on")
                self.take()
                self.say("250 taken")
            elif verb == b"QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 sink")

    def take(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        mail = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        body = mail.get_body()
        text = body.get_content() if body else ""
        messages.append({"kind": "email", "to": mail["To"], "subject": mail["Subject"], "body": text})

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


class Http(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/messages":
            self.answer(200, messages)
        else:
            self.answer(int(STATUS.read_text()) if STATUS.exists() else 200, {"path": self.path})

    def do_DELETE(self) -> None:
        messages.clear()
        self.answer(200, [])

    def do_POST(self) -> None:
        value = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages.append({"kind": "webhook", "subject": value["text"], "value": value})
        self.answer(200, [])

    def answer(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        pass


class SmtpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    threading.Thread(target=SmtpServer(("127.0.0.1", 2525), Smtp).serve_forever, daemon=True).start()
    secure = ThreadingHTTPServer(("127.0.0.1", 8443), Http)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE / "fullchain.pem", CERTIFICATE / "privkey.pem")
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    threading.Thread(target=secure.serve_forever, daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", 8025), Http).serve_forever()

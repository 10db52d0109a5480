#!/usr/bin/python3
"""A sink for what systems send: mail by SMTP, webhooks by POST /hook.

GET /messages lists what has arrived (?kind=mail or hook), DELETE /messages forgets it.
"""

from __future__ import annotations

import argparse
import email
import email.policy
import json
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Messages:
    """What has arrived, oldest first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: list[dict[str, Any]] = []
        self._count = 0

    def add(self, item: dict[str, Any]) -> None:
        with self._lock:
            self._count += 1
            self._items.append({"number": self._count, "received": round(time.time(), 3), **item})

    def all(self, kind: str | None = None) -> list[dict[str, Any]]:
        with self._lock:
            return [item for item in self._items if kind in (None, item["kind"])]

    def clear(self) -> None:
        with self._lock:
            self._items.clear()


def describe_mail(sender: str, recipients: list[str], data: bytes) -> dict[str, Any]:
    message = email.message_from_bytes(data, policy=email.policy.default)
    body = message.get_body(preferencelist=("plain", "html"))
    text = body.get_content() if body is not None else ""
    return {
        "kind": "mail",
        "sender": sender,
        "recipients": recipients,
        "subject": str(message.get("subject", "")),
        "headers": {key: str(value) for key, value in message.items()},
        "body": text,
    }


def describe_hook(path: str, headers: dict[str, str], data: bytes) -> dict[str, Any]:
    text = data.decode("utf-8", errors="replace")
    try:
        body: Any = json.loads(text)
    except ValueError:
        body = text
    return {"kind": "hook", "path": path, "headers": headers, "body": body}


def address(argument: str) -> str:
    """The mailbox in `FROM:<a@b> SIZE=1` or `TO:<a@b>`."""
    return argument.partition(":")[2].strip().partition(" ")[0].strip("<>")


class Smtp(socketserver.StreamRequestHandler):
    """As much of RFC 5321 as a sender needs."""

    messages: Messages
    timeout = 60

    def reply(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        sender = ""
        recipients: list[str] = []
        self.reply("220 sink.lab ready")
        while line := self.rfile.readline(4096):
            verb, _space, argument = line.decode("utf-8", errors="replace").strip().partition(" ")
            verb = verb.upper()
            if verb in ("HELO", "EHLO"):
                self.reply("250 sink.lab")
            elif verb == "MAIL":
                sender, recipients = address(argument), []
                self.reply("250 sender ok")
            elif verb == "RCPT":
                recipients.append(address(argument))
                self.reply("250 recipient ok")
            elif verb == "DATA":
                if not recipients:
                    self.reply("503 name a recipient first")
                    continue
                self.reply("354 end with a line holding a single dot")
                self.messages.add(describe_mail(sender, recipients, self.read_data()))
                self.reply("250 kept")
            elif verb == "RSET":
                sender, recipients = "", []
                self.reply("250 forgotten")
            elif verb == "NOOP":
                self.reply("250 fine")
            elif verb == "QUIT":
                self.reply("221 goodbye")
                return
            else:
                self.reply("502 not spoken here")

    def read_data(self) -> bytes:
        lines = []
        while (line := self.rfile.readline(65536)) not in (b".\r\n", b".\n", b""):
            lines.append(line[1:] if line.startswith(b"..") else line)
        return b"".join(lines)


class Http(BaseHTTPRequestHandler):
    """POST /hook[/...] keeps; GET /messages[?kind=mail|hook] lists; DELETE /messages forgets."""

    messages: Messages
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: Any) -> None:
        data = (json.dumps(body, indent=1) + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path != "/hook" and not path.startswith("/hook/"):
            self.answer(404, {"error": "post to /hook"})
            return
        self.messages.add(describe_hook(self.path, dict(self.headers.items()), data))
        self.answer(200, {"kept": True})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path != "/messages":
            self.answer(404, {"error": "get /messages"})
            return
        kind = url.query.partition("kind=")[2] or None
        self.answer(200, self.messages.all(kind))

    def do_DELETE(self) -> None:
        self.messages.clear()
        self.answer(200, {"messages": 0})

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: the messages are the log."""


class SmtpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(smtp_port: int, http_port: int, bind: str = "") -> tuple[SmtpServer, ThreadingHTTPServer]:
    Smtp.messages = Http.messages = Messages()
    smtp = SmtpServer((bind, smtp_port), Smtp)
    http = ThreadingHTTPServer((bind, http_port), Http)
    for server in (smtp, http):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return smtp, http


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smtp-port", type=int, default=25)
    parser.add_argument("--http-port", type=int, default=8025)
    options = parser.parse_args()
    serve(options.smtp_port, options.http_port)
    threading.Event().wait()


if __name__ == "__main__":
    main()

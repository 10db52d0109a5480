"""The sink keeps what it is sent, over real sockets on loopback."""

from __future__ import annotations

import json
import smtplib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import sink


@pytest.fixture
def ports() -> Iterator[tuple[int, int]]:
    smtp, http = sink.serve(0, 0, "127.0.0.1")
    yield smtp.server_address[1], http.server_address[1]
    for server in (smtp, http):
        server.shutdown()
        server.server_close()


def ask(port: int, path: str, method: str = "GET", data: bytes | None = None) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, method=method)
    with opener.open(asked, timeout=5) as answer:
        return json.loads(answer.read())


def test_mail_and_hooks_are_listed_and_forgotten(ports: tuple[int, int]) -> None:
    smtp, http = ports
    with smtplib.SMTP("127.0.0.1", smtp, timeout=5) as sender:
        sender.sendmail("a@lab", ["b@lab", "c@lab"], "Subject: Disk\r\n\r\nfull\r\n.a line with a dot\r\n")
    ask(http, "/hook/pager", "POST", b'{"alert": "disk"}')
    mail, hook = ask(http, "/messages")
    assert (mail["sender"], mail["recipients"], mail["subject"]) == ("a@lab", ["b@lab", "c@lab"], "Disk")
    assert mail["body"].splitlines() == ["full", ".a line with a dot"]
    assert (hook["path"], hook["body"]) == ("/hook/pager", {"alert": "disk"})
    assert [item["kind"] for item in ask(http, "/messages?kind=hook")] == ["hook"]
    assert ask(http, "/messages", "DELETE") == {"messages": 0}
    assert ask(http, "/messages") == []


def test_other_paths_are_refused(ports: tuple[int, int]) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(ports[1], "/elsewhere", "POST", b"x")


@pytest.mark.parametrize(
    ("argument", "mailbox"),
    [("FROM:<a@b> SIZE=10", "a@b"), ("TO: <c@d>", "c@d"), ("FROM:<>", ""), ("TO:e@f", "e@f")],
)
def test_addresses(argument: str, mailbox: str) -> None:
    assert sink.address(argument) == mailbox


def test_a_body_that_is_no_json_stays_text() -> None:
    assert sink.describe_hook("/hook", {}, b"plain")["body"] == "plain"

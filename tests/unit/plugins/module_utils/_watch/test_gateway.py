"""The gateway against real sockets, and against small programs in the place of docker and openssl."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import Place
from ansible_collections.slipway.ops.plugins.module_utils._watch import gateway
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import CHECKS, Email, parse_checks
from ansible_collections.slipway.ops.plugins.module_utils._watch.reading import (
    BackupStatus,
    Certificates,
    DiskUse,
    FollowedLog,
    FollowedLogs,
    HttpAnswer,
    LogLines,
    Reading,
    Standing,
    Unreadable,
)


def read(kind: str, **options: Any) -> Reading:
    problems: list[str] = []
    (check,) = parse_checks([{"name": "x", "kind": kind, **options}], problems)
    assert problems == []
    return gateway.read(check)


class Site(BaseHTTPRequestHandler):
    asked: list[tuple[str, str, str]] = []

    def do_GET(self) -> None:
        self.asked.append((self.command, self.path, self.headers["Host"]))
        self.send_response(int(self.path[1:4]) if self.path[1:4].isdigit() else 200)
        self.end_headers()
        self.wfile.write(b"all is well")

    def do_POST(self) -> None:
        self.asked.append(("POST", self.path, self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.send_response(int(self.path[1:4]))
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def site() -> Iterator[int]:
    Site.asked = []
    with HTTPServer(("127.0.0.1", 0), Site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_http_answer(site: int) -> None:
    answer = read("http", url=f"http://127.0.0.1:{site}/503?deep=1")
    assert isinstance(answer, HttpAnswer)
    assert answer.status == 503
    assert Site.asked == [("GET", "/503?deep=1", f"127.0.0.1:{site}")]


def test_http_reads_the_body_when_it_matters(site: int) -> None:
    answer = read("http", url=f"http://127.0.0.1:{site}/", contains="well")
    assert isinstance(answer, HttpAnswer)
    assert answer.body == "all is well"


def test_http_connects_to_the_given_address_under_the_name(site: int) -> None:
    answer = read("http", url=f"http://shop.example.test:{site}/", address="127.0.0.1")
    assert isinstance(answer, HttpAnswer)
    assert Site.asked[0][2] == f"shop.example.test:{site}"


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("http://127.0.0.1:1/", "refused"),
        ("https://127.0.0.1:{site}/", "did not answer"),
        ("http://x.invalid/", "x.invalid"),
    ],
)
def test_http_that_does_not_answer_is_unreadable(site: int, url: str, part: str) -> None:
    answer = read("http", url=url.format(site=site))
    assert isinstance(answer, Unreadable)
    assert part in answer.reason


def test_http_with_missing_authorities_is_unreadable(tmp_path: Path) -> None:
    answer = read("http", url="https://127.0.0.1:1/", ca_file=str(tmp_path / "ca.pem"))
    assert isinstance(answer, Unreadable)
    assert answer.reason.startswith("could not be measured: No such file")


def program(folder: Path, name: str, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_logs_of_all_containers_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = f"""
echo "$@" >> {tmp_path}/asked
case "$1 $4" in
    "ps "*) echo c1; echo c2 ;;
    "logs c1") echo "ERROR one"; echo "an error two" >&2; echo fine ;;
    "logs c2") printf 'Error \\377 three' ;;
esac"""
    program(tmp_path, "docker", script, monkeypatch)
    assert read("logs", stack="fleet", service="app", window_minutes=30) == LogLines(3, 2)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert "--all" in asked[0]
    assert "label=com.docker.compose.project=fleet" in asked[0]
    assert asked[1] == "logs --since 30m c1"


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo daemon is away >&2; exit 1", "docker ps failed: daemon is away"),
        (
            '[ "$1" = ps ] && echo c1 || { echo no such driver >&2; exit 1; }',
            "docker logs failed: no such driver",
        ),
    ],
)
def test_logs_that_cannot_be_had_are_unreadable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    program(tmp_path, "docker", script, monkeypatch)
    assert read("logs", stack="fleet", service="app") == Unreadable(reason)


def test_host_without_docker_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert read("logs", stack="a", service="b") == Unreadable(
        "could not be measured: No such file or directory (docker)"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, BackupStatus(None)),
        ('{"last_success": null}', BackupStatus(None)),
        ('{"last_success": 0}', BackupStatus(None)),
        ("{}", BackupStatus(None)),
        ('{"last_success": 1800000000, "ok": true, "error": ""}', BackupStatus(1800000000.0)),
        ('{"last_success": 1800000000, "ok": false, "error": "a\\nb"}', BackupStatus(1800000000.0, "a")),
        ('{"ok": false}', BackupStatus(None, "no reason was recorded")),
        ('{"last_success": 1800000000.5}', BackupStatus(1800000000.5)),
        ('{"last_success": "2027-01-15T08:00:00Z"}', BackupStatus(1800000000.0)),
        ('{"last_success": "2027-01-15T08:00:00"}', BackupStatus(1800000000.0)),
        ('{"last_success": "2027-01-15T09:00:00+01:00"}', BackupStatus(1800000000.0)),
    ],
)
def test_backup_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, expected: BackupStatus) -> None:
    monkeypatch.setattr(gateway, "BACKUP_STATUS_FILE", str(tmp_path / "{stack}.json"))
    if content is not None:
        (tmp_path / "fleet.json").write_text(content)
    assert read("backup", stack="fleet") == expected


def test_a_killed_backup_is_a_failed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = {"since": "2026-11-15T02:00:00+00:00", "pid": 1, "process_start": 0, "boot_id": "an earlier one"}
    (tmp_path / "fleet.json").write_text(json.dumps({"ok": True, "running": running}))
    monkeypatch.setattr(gateway, "BACKUP_STATUS_FILE", str(tmp_path / "{stack}.json"))
    found = read("backup", stack="fleet")
    assert isinstance(found, BackupStatus)
    assert "did not come to its end" in found.failure


@pytest.mark.parametrize("content", ["{", "[]", '{"last_success": "yesterday"}', '{"last_success": []  , "x": 1}'])
def test_damaged_backup_status_is_not_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setattr(gateway, "BACKUP_STATUS_FILE", str(tmp_path / "{stack}.json"))
    (tmp_path / "fleet.json").write_text(content)
    assert isinstance(read("backup", stack="fleet"), Unreadable) or read("backup", stack="fleet") == BackupStatus(None)


# openssl 3.5: x509 -noout -startdate -enddate -subject -issuer
OPENSSL = """notBefore=Nov 21 02:53:00 2026 GMT
notAfter=Feb  9 02:53:00 2027 GMT
subject=CN=shop.example.test
issuer=CN=Pebble Intermediate CA
"""


def test_certificate_is_read_from_what_openssl_prints() -> None:
    file = gateway.certificate("/c.pem", OPENSSL)
    assert (file.not_after - file.not_before) / 86400 == 80
    assert not file.self_signed
    assert gateway.certificate("/c.pem", OPENSSL.replace("Pebble Intermediate CA", "shop.example.test")).self_signed


def test_certificate_that_is_not_understood_is_quoted() -> None:
    with pytest.raises(ValueError, match="'notBefore=soon'"):
        gateway.certificate("/c.pem", "notBefore=soon\n")


def test_certificates_by_wildcard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "openssl", f"cat <<'END'\n{OPENSSL}END", monkeypatch)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c.pem").touch()
    found = read("certificate", path=f"{tmp_path}/*/c.pem")
    assert isinstance(found, Certificates)
    assert [file.path for file in found.files] == [f"{tmp_path}/a/c.pem", f"{tmp_path}/b/c.pem"]
    assert read("certificate", path=f"{tmp_path}/*/none.pem") == Certificates(())


def test_certificate_that_openssl_refuses_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "openssl", "echo unable to load certificate >&2; exit 1", monkeypatch)
    (tmp_path / "c.pem").touch()
    answer = read("certificate", path=f"{tmp_path}/c.pem")
    assert answer == Unreadable(f"{tmp_path}/c.pem cannot be read: unable to load certificate")


def test_disk() -> None:
    use = read("disk", path="/")
    assert isinstance(use, DiskUse)
    assert 0 < use.used_percent <= 100
    assert isinstance(read("disk", path="/does/not/exist"), Unreadable)


class Smtp(socketserver.StreamRequestHandler):
    refuse = ""
    lines: list[str] = []

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline().decode().rstrip("\r\n"):
            self.lines.append(line)
            if line.upper() == "DATA":
                self.wfile.write(b"354 go on\r\n")
                while self.rfile.readline() != b".\r\n":
                    pass
                self.wfile.write(b"250 taken\r\n")
            elif self.refuse and line.upper().startswith(self.refuse):
                self.wfile.write(b"550 no\r\n")
            else:
                self.wfile.write(b"250 yes\r\n")


@pytest.fixture
def smtp() -> Iterator[int]:
    Smtp.refuse, Smtp.lines = "", []
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Smtp) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def email(port: int) -> Email:
    return Email(("a@example.org", "b@example.org"), "web1@example.org", "127.0.0.1", port)


def test_mail_is_handed_over(smtp: int) -> None:
    gateway.send_email(email(smtp), "[slipway] web1 BAD: site", "text\n")
    assert any(line.upper().startswith("MAIL FROM:<WEB1@EXAMPLE.ORG>") for line in Smtp.lines)
    assert sum(line.upper().startswith("RCPT TO:") for line in Smtp.lines) == 2


@pytest.mark.parametrize(
    ("refuse", "reason"),
    [
        ("RCPT TO:<B", r"refused b@example\.org$"),
        ("RCPT TO", r"refused a@example\.org, b@example\.org$"),
        ("MAIL FROM", r"^mail server 127\.0\.0\.1:\d+: 550 no$"),
    ],
)
def test_mail_that_is_refused_is_not_sent(smtp: int, refuse: str, reason: str) -> None:
    Smtp.refuse = refuse
    with pytest.raises(gateway.NotSent, match=reason):
        gateway.send_email(email(smtp), "s", "b")


def test_mail_server_that_is_away_is_named() -> None:
    with pytest.raises(gateway.NotSent, match=r"mail server 127\.0\.0\.1:1: Connection refused"):
        gateway.send_email(email(1), "s", "b")


def test_webhook_is_posted_as_json(site: int) -> None:
    gateway.call(f"http://127.0.0.1:{site}/200", {"text": "x"})
    assert Site.asked[0][0] == "POST"
    assert json.loads(Site.asked[0][2]) == {"text": "x"}


def test_heartbeat_is_asked_for(site: int) -> None:
    gateway.call(f"http://127.0.0.1:{site}/200")
    assert Site.asked[0][0] == "GET"


@pytest.mark.parametrize("port_is_open", [True, False])
def test_webhook_that_fails_does_not_show_its_path(site: int, port_is_open: bool) -> None:
    url = f"http://127.0.0.1:{site}/500/T0KEN" if port_is_open else "http://127.0.0.1:1/T0KEN"
    with pytest.raises(gateway.NotSent) as caught:
        gateway.call(url, {})
    assert "127.0.0.1" in str(caught.value)
    assert "T0KEN" not in str(caught.value)


def test_every_kind_has_a_reader() -> None:
    assert set(gateway._READERS) == set(CHECKS)


def test_followed_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "LOG_SETTINGS_FILE", str(tmp_path / "{stack}-settings.json"))
    monkeypatch.setattr(gateway, "LOG_STATUS_FILE", str(tmp_path / "{stack}.json"))
    status = tmp_path / "fleet.json"
    assert read("backup_log", stack="fleet") == FollowedLogs(False)
    (tmp_path / "fleet-settings.json").write_text("{}", encoding="utf-8")
    assert read("backup_log", stack="fleet") == FollowedLogs(True)
    sources = {
        "pg": {
            "loss_seconds": 3,
            "holes": ["segment 1"],
            "problems": ["no way in"],
            "repositories": {"main": {"missing": ["segment 2"]}},
        },
        "db": {"loss_seconds": None, "repositories": {}},
    }
    status.write_text(json.dumps({"epoch": 1000.5, "held": True, "sources": sources}), encoding="utf-8")
    assert read("backup_log", stack="fleet") == FollowedLogs(
        True,
        1000.5,
        True,
        (FollowedLog("db", None), FollowedLog("pg", 3.0, ("segment 1", "segment 2"), ("no way in",))),
    )
    for damaged in ("[]", "{"):
        status.write_text(damaged, encoding="utf-8")
        found = read("backup_log", stack="fleet")
        assert isinstance(found, Unreadable) or found == FollowedLogs(True)


def test_what_promises_are_judged_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place("fleet", configuration_root=str(tmp_path), state_root=str(tmp_path))
    monkeypatch.setattr(gateway, "Place", lambda stack: place)
    assert read("drill", stack="fleet") == Standing(None)
    (tmp_path / "fleet").mkdir()
    for content, words in (("{", "is not JSON"), ("{}", "sources: is empty")):
        Path(place.settings).write_text(content, encoding="utf-8")
        found = read("promise", stack="fleet", promise="rpo")
        assert isinstance(found, Unreadable)
        assert words in found.reason

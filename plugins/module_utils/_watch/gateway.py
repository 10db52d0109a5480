# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The only code of the watch that touches anything: it reads the host and hands messages over."""

from __future__ import annotations

import contextlib
import glob
import http.client
import json
import os
import re
import smtplib
import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.slipway.ops.plugins.module_utils._backup import promises
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Place
from ansible_collections.slipway.ops.plugins.module_utils._backup.status import killed
from ansible_collections.slipway.ops.plugins.module_utils._log.status import gaps
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import (
    BACKUP,
    BACKUP_LOG,
    CERTIFICATE,
    DISK,
    DRILL,
    HTTP,
    LOGS,
    PROMISE,
    SECURITY_STARTTLS,
    SECURITY_TLS,
    Check,
    Email,
)
from ansible_collections.slipway.ops.plugins.module_utils._watch.reading import (
    BackupStatus,
    CertificateFile,
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

BACKUP_STATUS_FILE = "/var/lib/slipway/backup/{stack}/status.json"
LOG_SETTINGS_FILE = "/etc/slipway/backup/{stack}/log.json"
LOG_STATUS_FILE = "/var/lib/slipway/backup/{stack}/log.json"

_BODY_LIMIT_BYTES = 1024 * 1024
_TOOL_SECONDS = 60
_SEND_SECONDS = 20


class NotSent(Exception):
    """A message could not be handed over; the text says to whom and why, without any secret."""


def read(check: Check) -> Reading:
    """Measure one thing. What goes wrong is part of the answer and never ends the pass."""
    try:
        return _READERS[check.kind](check.options)
    except (OSError, ValueError, subprocess.SubprocessError, http.client.HTTPException) as error:
        return Unreadable(f"could not be measured: {_reason(error)}")


class _Connection(http.client.HTTPConnection):
    """A connection to a given address, under the name that the URL has."""

    def __init__(self, host: str, port: int, address: str, timeout: int, context: ssl.SSLContext | None) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address or host
        self._context = context

    def connect(self) -> None:
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)


def _read_http(options: Mapping[str, Any]) -> Reading:
    url = urlsplit(options["url"])
    secure = url.scheme == "https"
    context = _trust(options["ca_file"]) if secure else None
    port = url.port or (443 if secure else 80)
    started = time.monotonic()
    connection = _Connection(str(url.hostname), port, options["address"], options["timeout_seconds"], context)
    try:
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("GET", path, headers={"Host": url.netloc.rpartition("@")[2], "User-Agent": "slipway-watch"})
        answer = connection.getresponse()
        body = answer.read(_BODY_LIMIT_BYTES) if options["contains"] else b""
        return HttpAnswer(answer.status, time.monotonic() - started, body.decode("utf-8", "replace"))
    except (OSError, http.client.HTTPException) as error:
        return Unreadable(f"{options['url']} did not answer: {_reason(error)}")
    finally:
        connection.close()


def _trust(ca_file: str) -> ssl.SSLContext:
    """Trust the system's authorities and those of the file."""
    context = ssl.create_default_context()
    # From 3.13 on, Python alone refuses authorities without certain extensions; the site's visitors do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def _read_logs(options: Mapping[str, Any]) -> Reading:
    pattern = re.compile(options["pattern"], re.IGNORECASE)
    where = [
        part
        for label in (f"project={options['stack']}", f"service={options['service']}")
        for part in ("--filter", f"label=com.docker.compose.{label}")
    ]
    listed = subprocess.run(
        ["docker", "ps", "--all", "--quiet", *where],
        capture_output=True,
        text=True,
        timeout=_TOOL_SECONDS,
        check=False,
    )
    if listed.returncode != 0:
        return Unreadable(f"docker ps failed: {_first_line(listed.stderr)}")
    containers = listed.stdout.split()
    matches = 0
    for container in containers:
        count = _count_lines(["docker", "logs", "--since", f"{options['window_minutes']}m", container], pattern)
        if isinstance(count, Unreadable):
            return count
        matches += count
    return LogLines(matches, len(containers))


def _count_lines(command: list[str], pattern: re.Pattern[str]) -> int | Unreadable:
    """Count without keeping: an hour of a busy service's log may be large."""
    count, last = 0, ""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        limit = threading.Timer(_TOOL_SECONDS, process.kill)
        limit.start()
        try:
            for line in process.stdout or ():
                last = line
                count += pattern.search(line) is not None
        finally:
            limit.cancel()
        if process.wait() != 0:
            return Unreadable(f"{' '.join(command[:2])} failed: {_first_line(last) or 'it took too long'}")
    return count


def _read_backup(options: Mapping[str, Any]) -> Reading:
    status = files.read_json(BACKUP_STATUS_FILE.format(stack=options["stack"]))
    if status is None:
        return BackupStatus(None)
    if not isinstance(status, dict):
        return Unreadable(f"{BACKUP_STATUS_FILE.format(stack=options['stack'])} is not a mapping")
    failure = "" if status.get("ok", True) else _first_line(str(status.get("error", ""))) or "no reason was recorded"
    failure = killed(status) or failure
    repositories = status.get("repositories")
    for name, record in sorted(repositories.items()) if isinstance(repositories, dict) else []:
        if not failure and isinstance(record, dict) and not record.get("ok", True):
            failure = f"repository {name}: {_first_line(str(record.get('error', ''))) or 'no reason was recorded'}"
    return BackupStatus(moment(status.get("last_success")), failure)


def _read_backup_log(options: Mapping[str, Any]) -> Reading:
    if files.read_json(LOG_SETTINGS_FILE.format(stack=options["stack"])) is None:
        return FollowedLogs(False)
    status = files.read_json(LOG_STATUS_FILE.format(stack=options["stack"]))
    if status is None:
        return FollowedLogs(True)
    if not isinstance(status, dict):
        return Unreadable(f"{LOG_STATUS_FILE.format(stack=options['stack'])} is not a mapping")
    logs = []
    for name, record in sorted((status.get("sources") or {}).items()):
        loss = record.get("loss_seconds")
        known = isinstance(loss, (int, float)) and not isinstance(loss, bool)
        logs.append(
            FollowedLog(
                name,
                float(loss) if known else None,
                tuple(gaps(record)),
                tuple(str(item) for item in record.get("problems") or []),
                str(record.get("receiver") or "") if record.get("waits_for_receiver") is False else "",
            )
        )
    return FollowedLogs(True, moment(status.get("epoch")), bool(status.get("held")), tuple(logs))


def _read_standing(options: Mapping[str, Any]) -> Reading:
    try:
        return Standing(promises.observe(Place(str(options["stack"]))))
    except BackupError as error:
        return Unreadable(_first_line(str(error)))


def moment(value: object) -> float | None:
    """Seconds since 1970, from a number or from an ISO 8601 text; a text without a zone is UTC."""
    if isinstance(value, bool) or not value:
        return None
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not a time")
    # Python before 3.11 does not read the Z.
    parsed = datetime.fromisoformat(value[:-1] + "+00:00" if value.endswith("Z") else value)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=timezone.utc)).timestamp()


def _read_certificates(options: Mapping[str, Any]) -> Reading:
    found = []
    for path in sorted(glob.glob(options["path"])):
        asked = subprocess.run(
            ["openssl", "x509", "-in", path, "-noout", "-startdate", "-enddate", "-subject", "-issuer"],
            capture_output=True,
            text=True,
            timeout=_TOOL_SECONDS,
            check=False,
        )
        if asked.returncode != 0:
            return Unreadable(f"{path} cannot be read: {_first_line(asked.stderr)}")
        found.append(certificate(path, asked.stdout))
    return Certificates(tuple(found))


def certificate(path: str, output: str) -> CertificateFile:
    """Read what openssl printed: lines of key=value."""
    values = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
    try:
        return CertificateFile(
            path,
            ssl.cert_time_to_seconds(values["notBefore"]),
            ssl.cert_time_to_seconds(values["notAfter"]),
            values["subject"] == values["issuer"],
        )
    except (KeyError, ValueError):
        raise ValueError(f"openssl's answer about {path} is not understood: {_first_line(output)!r}") from None


def _read_disk(options: Mapping[str, Any]) -> Reading:
    stat = os.statvfs(options["path"])
    # As df counts: what root alone may use is not free.
    usable = stat.f_blocks - stat.f_bfree + stat.f_bavail
    space = 100 * (stat.f_blocks - stat.f_bfree) / usable if usable else 0.0
    inodes = 100 * (stat.f_files - stat.f_ffree) / stat.f_files if stat.f_files else 0.0
    return DiskUse(space, inodes)


_READERS: dict[str, Callable[[Mapping[str, Any]], Reading]] = {
    HTTP: _read_http,
    LOGS: _read_logs,
    BACKUP: _read_backup,
    BACKUP_LOG: _read_backup_log,
    DRILL: _read_standing,
    PROMISE: _read_standing,
    CERTIFICATE: _read_certificates,
    DISK: _read_disk,
}


def send_email(email: Email, subject: str, body: str) -> None:
    """Hand one mail over to the server, or raise NotSent."""
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = email.sender
    message["To"] = ", ".join(email.to)
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=email.sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(body)
    where = f"mail server {email.host}:{email.port}"
    try:
        with contextlib.ExitStack() as stack:
            server = _smtp(email)
            stack.callback(_leave, server)
            if email.security == SECURITY_STARTTLS:
                server.starttls(context=ssl.create_default_context())
            if email.user:
                server.login(email.user, email.password)
            refused = server.send_message(message)
    except smtplib.SMTPAuthenticationError as error:
        raise NotSent(f"{where} refused the user {email.user} (code {error.smtp_code})") from None
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        told = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise NotSent(f"{where}: {error.smtp_code} {_first_line(told)}") from None
    except (OSError, smtplib.SMTPException) as error:
        raise NotSent(f"{where}: {_reason(error)}") from None
    if refused:
        raise NotSent(f"{where} refused {', '.join(refused)}")


def _smtp(email: Email) -> smtplib.SMTP:
    # The name is given so that no lookup of the host's own name delays the mail, when DNS is what is broken.
    name = socket.gethostname()
    if email.security == SECURITY_TLS:
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(email.host, email.port, name, timeout=_SEND_SECONDS, context=context)
    return smtplib.SMTP(email.host, email.port, name, timeout=_SEND_SECONDS)


def _leave(server: smtplib.SMTP) -> None:
    """Say goodbye. Whatever the answer, the mail was taken or refused before."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        server.quit()
    server.close()


def call(url: str, value: Mapping[str, Any] | None = None) -> None:
    """POST a JSON value, or GET when there is none; raise NotSent unless the answer is a success.

    The path of such a URL is often the secret, so that messages name the host alone.
    """
    where = f"{urlsplit(url).scheme}://{urlsplit(url).hostname}"
    data = None if value is None else json.dumps(value).encode("utf-8")
    headers = {"User-Agent": "slipway-watch", **({} if data is None else {"Content-Type": "application/json"})}
    # The scheme was checked when the configuration was read: http or https.
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310
    try:
        with contextlib.closing(urllib.request.build_opener().open(request, timeout=_SEND_SECONDS)) as answer:
            answer.read(1)
    except urllib.error.HTTPError as error:
        raise NotSent(f"{where} answered {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        raise NotSent(f"{where}: {_reason(error)}") from None


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    if isinstance(error, (socket.timeout, TimeoutError, subprocess.TimeoutExpired)):
        return "it took too long"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror + (f" ({error.filename})" if error.filename else "")
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")

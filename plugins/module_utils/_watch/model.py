# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is watched and who is told, as values; read from plain data with all problems at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

CONFIG_FILE = "/etc/slipway/watch.json"
SECRETS_FILE = "/etc/slipway/watch-secrets.json"
STATE_FILE = "/var/lib/slipway/watch/state.json"
CERTIFICATES = "/etc/slipway/certificates/*/current/fullchain.pem"

HTTP = "http"
LOGS = "logs"
BACKUP = "backup"
BACKUP_LOG = "backup_log"
DRILL = "drill"
PROMISE = "promise"
CERTIFICATE = "certificate"
DISK = "disk"

EMAIL = "email"
WEBHOOK = "webhook"

SECURITY_NONE = "none"
SECURITY_STARTTLS = "starttls"
SECURITY_TLS = "tls"

RTO = "rto"
RPO = "rpo"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,99}")


class InvalidWatch(ValueError):
    """The configuration cannot be honoured; every problem is listed, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Field:
    """One key of a check: how it is checked, and its default (None when it must be given)."""

    problem: Callable[[Any], str]
    default: Any = None


@dataclass(frozen=True)
class Check:
    """One thing that is watched. The options are complete: defaults are filled in."""

    name: str
    kind: str
    options: Mapping[str, Any]
    # The alert goes out at this many failures in a row.
    failures: int = 1


@dataclass(frozen=True)
class Email:
    to: tuple[str, ...]
    sender: str
    host: str
    port: int = 25
    security: str = SECURITY_NONE
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Configuration:
    """Everything that a pass needs."""

    host: str
    checks: tuple[Check, ...]
    interval_seconds: int
    repeat_seconds: int
    textfile: str = ""
    email: Email | None = None
    webhook_url: str = field(default="", repr=False)
    heartbeat_url: str = field(default="", repr=False)

    @property
    def channels(self) -> tuple[str, ...]:
        return (*([EMAIL] if self.email else []), *([WEBHOOK] if self.webhook_url else []))


def _text(value: Any) -> str:
    return "" if isinstance(value, str) and value else "must be a text that is not empty"


def _any_text(value: Any) -> str:
    return "" if isinstance(value, str) else "must be a text"


def _path(value: Any) -> str:
    return "" if isinstance(value, str) and value.startswith("/") else "must be an absolute path"


def _optional_path(value: Any) -> str:
    return "" if value == "" else _path(value)


def _boolean(value: Any) -> str:
    return "" if isinstance(value, bool) else "must be true or false"


def _whole(low: int, high: int) -> Callable[[Any], str]:
    def problem(value: Any) -> str:
        fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return "" if fits else f"must be a whole number from {low} to {high}"

    return problem


def _url(value: Any) -> str:
    if isinstance(value, str):
        try:
            parts = urlsplit(value)
            # The port is only read, and found to be wrong, when it is asked for.
            if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
                return ""
        except ValueError:
            pass
    return "must be a URL that starts with http:// or https://"


def _optional_url(value: Any) -> str:
    return "" if value == "" else _url(value)


def _statuses(value: Any) -> str:
    problem = _whole(100, 599)
    fits = isinstance(value, (list, tuple)) and value and not any(problem(item) for item in value)
    return "" if fits else "must be a list of HTTP statuses, for example [200]"


def _promise(value: Any) -> str:
    return "" if value in (RTO, RPO) else f"must be {RTO} or {RPO}"


def _pattern(value: Any) -> str:
    try:
        re.compile(value)
    except (re.error, TypeError) as error:
        return f"must be a regular expression ({error})"
    return _text(value)


CHECKS: dict[str, dict[str, Field]] = {
    HTTP: {
        "url": Field(_url),
        "status": Field(_statuses, [200]),
        "contains": Field(_any_text, ""),
        "timeout_seconds": Field(_whole(1, 60), 10),
        "ca_file": Field(_optional_path, ""),
        "address": Field(_any_text, ""),
    },
    LOGS: {
        "stack": Field(_text),
        "service": Field(_text),
        "pattern": Field(_pattern, "error"),
        "max_lines": Field(_whole(0, 1000000), 10),
        "window_minutes": Field(_whole(1, 10080), 60),
    },
    BACKUP: {
        "stack": Field(_text),
        "max_age_hours": Field(_whole(1, 8760), 26),
    },
    BACKUP_LOG: {
        "stack": Field(_text),
        "max_loss_seconds": Field(_whole(5, 86400), 60),
    },
    # When a drill is expected, and what was promised, stands where the backup itself is set up.
    DRILL: {"stack": Field(_text)},
    PROMISE: {"stack": Field(_text), "promise": Field(_promise)},
    CERTIFICATE: {
        "path": Field(_path, CERTIFICATES),
        # 0: a fifth of the certificate's own life, which is right for 90, 45 and 6 days alike, because renewal comes
        # at a third of it or earlier.
        "min_days": Field(_whole(0, 365), 0),
        "allow_self_signed": Field(_boolean, False),
    },
    DISK: {
        "path": Field(_path, "/"),
        "max_percent": Field(_whole(1, 100), 85),
    },
}

_COMMON = {"failures": Field(_whole(1, 1000), 1)}


def parse_checks(values: object, problems: list[str], path: str = "checks") -> tuple[Check, ...]:
    """Read the list of checks; problems are appended with their path."""
    if not isinstance(values, (list, tuple)):
        problems.append(f"{path}: must be a list of checks")
        return ()
    checks: list[Check] = []
    for position, value in enumerate(values):
        check = _check(value, f"{path}[{position}]", problems)
        if check is None:
            continue
        if check.name in [other.name for other in checks]:
            problems.append(f"{path}[{position}].name: {check.name} is already the name of a check; choose another")
        checks.append(check)
    return tuple(checks)


def _check(value: object, path: str, problems: list[str]) -> Check | None:
    if not isinstance(value, Mapping):
        problems.append(f"{path}: must be a mapping with name and kind")
        return None
    name, kind = value.get("name"), value.get("kind")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.append(f"{path}.name: must be a name of letters, digits, '_', '.', ':' and '-'")
    if not isinstance(kind, str) or kind not in CHECKS:
        problems.append(f"{path}.kind: must be one of {', '.join(CHECKS)}{_near(str(kind), CHECKS)}")
        return None
    fields = {**CHECKS[kind], **_COMMON}
    for key in value:
        if key not in fields and key not in ("name", "kind"):
            problems.append(f"{path}.{key}: a check of kind {kind} has no such key{_near(str(key), fields)}")
    options: dict[str, Any] = {}
    for key, wanted in fields.items():
        if key not in value and wanted.default is None:
            problems.append(f"{path}.{key}: missing; a check of kind {kind} needs it")
            continue
        options[key] = value.get(key, wanted.default)
        problem = wanted.problem(options[key])
        if problem:
            problems.append(f"{path}.{key}: {problem}")
    failures = options.pop("failures", 1)
    return Check(str(name), kind, options, failures if isinstance(failures, int) else 1)


def _near(word: str, words: Mapping[str, Any]) -> str:
    match = difflib.get_close_matches(word, list(words), n=1)
    return f"; did you mean {match[0]}?" if match else ""


def parse(config: Mapping[str, Any], secrets: Mapping[str, Any] | None = None) -> Configuration:
    """Read the two files' contents, or raise InvalidWatch with all problems."""
    secrets = secrets or {}
    problems: list[str] = []

    def take(source: Mapping[str, Any], key: str, problem: Callable[[Any], str], default: Any) -> Any:
        value = source.get(key, default)
        reason = problem(value)
        if reason:
            problems.append(f"{key}: {reason}")
        return value

    host = take(config, "host", _text, "")
    interval = take(config, "interval_minutes", _whole(1, 1440), 5)
    repeat = take(config, "repeat_hours", _whole(1, 720), 24)
    textfile = take(config, "textfile", _optional_path, "")
    webhook = take(secrets, "webhook_url", _optional_url, "")
    heartbeat = take(secrets, "heartbeat_url", _optional_url, "")
    checks = parse_checks(config.get("checks", []), problems)
    email = _email(config.get("email"), secrets, problems)
    if problems:
        raise InvalidWatch(problems)
    return Configuration(host, checks, interval * 60, repeat * 3600, textfile, email, webhook, heartbeat)


def _email(value: object, secrets: Mapping[str, Any], problems: list[str]) -> Email | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        problems.append("email: must be a mapping with to, from, host and port")
        return None
    to, sender, host = value.get("to"), value.get("from", ""), value.get("host", "")
    port, security = value.get("port", 25), value.get("security", SECURITY_NONE)
    if not isinstance(to, (list, tuple)) or any(not _is_address(item) for item in to):
        problems.append("email.to: must be a list of mail addresses")
        to = []
    if not to:
        return None
    if not _is_address(sender):
        problems.append(f"email.from: {sender!r} is not a mail address")
    if _text(host):
        problems.append("email.host: must be the name or address of a mail server")
    if _whole(1, 65535)(port):
        problems.append("email.port: must be a port from 1 to 65535")
    if security not in (SECURITY_NONE, SECURITY_STARTTLS, SECURITY_TLS):
        problems.append(f"email.security: must be {SECURITY_NONE}, {SECURITY_STARTTLS} or {SECURITY_TLS}")
    user, password = secrets.get("smtp_user", ""), secrets.get("smtp_password", "")
    if user and security == SECURITY_NONE:
        problems.append("email.security: a password would cross the network in the clear; use starttls or tls")
    return Email(tuple(to), str(sender), str(host), port, str(security), str(user), str(password))


def _is_address(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[^@\s<>,;\"]+@[^@\s<>,;\"]+", value) is not None

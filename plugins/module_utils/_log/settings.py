# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is followed for a stack, and where that lies on the host."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SERVICE_NAME,
    SOURCE_MARIADB,
    SOURCE_MYSQL,
    SOURCE_POSTGRESQL,
    STACK_NAME,
    VARIABLE_NAME,
    Place,
    RefusedError,
    parse_repositories,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.rclone import LogRepository

KINDS = (SOURCE_POSTGRESQL, SOURCE_MYSQL, SOURCE_MARIADB)
# PostgreSQL's image has its own in the container's variable POSTGRES_USER.
DEFAULT_USERS = {SOURCE_POSTGRESQL: "", SOURCE_MYSQL: "root", SOURCE_MARIADB: "root"}
DEFAULT_VARIABLES = {
    SOURCE_POSTGRESQL: "POSTGRES_PASSWORD",
    SOURCE_MYSQL: "MYSQL_ROOT_PASSWORD",
    SOURCE_MARIADB: "MARIADB_ROOT_PASSWORD",
}
USER_NAME = re.compile(r"[^\x00-\x1f`'\"\\/]{1,64}\Z")


RECEIVER_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")
ADDRESS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:-]*[A-Za-z0-9])?\Z")
IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*\Z")
REMOTE_KEYS = {"address", "port", "image", "name", "password_file", "ca_file"}


@dataclass(frozen=True)
class Remote:
    """A PostgreSQL server on another host. `name` is under which it knows this receiver; `image` holds the programs
    that speak to it; with `ca_file` its certificate and name are verified."""

    address: str
    image: str
    password_file: str
    name: str
    port: int = 5432
    ca_file: str = ""


@dataclass(frozen=True)
class LogSource:
    """One database server whose log is followed: that of a service. `directory` is where a MySQL or MariaDB server
    writes its log in its container; it is asked when it is empty. The user must be allowed to replicate (PostgreSQL) or
    to read the server's variables.

    `receiver` is the one on another host that the server's commits wait for; when it has been away for longer than the
    patience, they do not any more, unless that is 0. `remote` is set on that other host.
    """

    kind: str
    service: str
    user: str = ""
    password_variable: str = ""
    directory: str = ""
    receiver: str = ""
    receiver_patience_seconds: float = 0.0
    remote: Remote | None = None

    @property
    def key(self) -> str:
        """The name of the source in a repository and on the host: a service has one server."""
        return self.service

    @property
    def label(self) -> str:
        return f"log of {self.service} ({self.kind})"

    @property
    def login(self) -> tuple[str, str]:
        """The user (empty: the one of the container's own variable), and the container's variable that holds its
        password (or whose _FILE names a file with it)."""
        return self.user or DEFAULT_USERS[self.kind], self.password_variable or DEFAULT_VARIABLES[self.kind]


@dataclass(frozen=True)
class LogSettings:
    """What `slipway backup follow` does for a stack.

    `budget_bytes` is how much may wait for a repository before small objects are no longer made for it; `reserve_bytes`
    is how much of the disk stays free: before it is used up, nothing is received or cut any more.
    """

    stack: str
    sources: tuple[LogSource, ...]
    repositories: tuple[LogRepository, ...]
    interval_seconds: float = 1.0
    audit_seconds: float = 60.0
    inspect_seconds: float = 3600.0
    budget_bytes: int = 1 << 30
    reserve_bytes: int = 512 << 20
    # Remove objects that another one, which was read back, makes superfluous; never where credentials may only add.
    tidy: bool = True


@dataclass(frozen=True)
class LogPlace:
    """Where the files of a stack's logs are."""

    place: Place

    @property
    def settings(self) -> str:
        """What is followed. Without it nothing is."""
        return f"{self.place.configuration}/log.json"

    @property
    def root(self) -> str:
        return f"{self.place.state}/log"

    @property
    def status(self) -> str:
        return f"{self.place.state}/log.json"

    @property
    def lock(self) -> str:
        return f"{self.root}/follow.lock"

    def source(self, key: str) -> str:
        return f"{self.root}/{key}"

    def known_hosts(self, repository: str) -> str:
        return f"{self.root}/{repository}.known_hosts"


def _number(value: Mapping[str, Any], key: str, default: float, least: float, where: str, problems: list[str]) -> float:
    found = value.get(key, default)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or found < least:
        problems.append(f"{where}.{key}: {found!r} must be a number, {least:g} or more")
        return default
    return float(found)


def parse_log_settings(document: Any, place: Place) -> LogSettings:
    """Read `log.json`: the sources, each server once, the repositories, and the mapping `log` with what differs from
    the defaults. All problems are reported at once."""
    name = LogPlace(place).settings
    problems: list[str] = []
    if not isinstance(document, Mapping):
        raise RefusedError(f"{name}: must hold a mapping; run the play with the role backup again")
    stack = document.get("stack")
    if not isinstance(stack, str) or not STACK_NAME.match(stack):
        problems.append(f"stack: {stack!r} is not a name of a stack")
    elif stack != place.stack:
        problems.append(f"stack: is {stack} and not {place.stack}")
    log = document.get("log") or {}
    if not isinstance(log, Mapping):
        problems.append("log: must be a mapping such as {interval_seconds: 1}")
        log = {}
    sources: dict[str, LogSource] = {}
    raw_sources = document.get("sources")
    for index, value in enumerate(raw_sources if isinstance(raw_sources, list) else []):
        if isinstance(value, Mapping) and value.get("kind") in KINDS:
            source = _source(value, f"sources[{index}]", problems)
            if source is not None:
                present = sources.setdefault(source.service, source)
                if present.kind != source.kind:
                    problems.append(f"sources[{index}].kind: service {source.service} is {present.kind} above")
    repositories = parse_repositories(document.get("repositories"), problems)
    defaults = LogSettings("x", (), ())
    settings = LogSettings(
        stack=place.stack,
        sources=tuple(sources.values()),
        repositories=tuple(
            LogRepository(
                name=repository.name,
                url=repository.url,
                password_file=place.repository(repository.name).password,
                environment_file=place.repository(repository.name).environment,
                options=repository.options,
                ca_file=repository.ca_file,
                upload_limit_kib=repository.upload_limit_kib,
                append_only=repository.append_only,
            )
            for repository in repositories
        ),
        interval_seconds=_number(log, "interval_seconds", defaults.interval_seconds, 0.1, "log", problems),
        audit_seconds=_number(log, "audit_seconds", defaults.audit_seconds, 1, "log", problems),
        inspect_seconds=_number(log, "inspect_seconds", defaults.inspect_seconds, 60, "log", problems),
        budget_bytes=int(_number(log, "budget_bytes", defaults.budget_bytes, 16 << 20, "log", problems)),
        reserve_bytes=int(_number(log, "reserve_bytes", defaults.reserve_bytes, 0, "log", problems)),
        tidy=bool(log.get("tidy", defaults.tidy)),
    )
    if problems:
        raise RefusedError(f"{name}: " + "; ".join(problems))
    return settings


def _source(value: Mapping[str, Any], where: str, problems: list[str]) -> LogSource | None:
    found = {
        key: str(value.get(key) or "") for key in ("kind", "service", "user", "password_variable", "log_directory")
    }
    before = len(problems)
    if not SERVICE_NAME.match(found["service"]):
        problems.append(f"{where}.service: {found['service']!r} is not a name of a service")
    if found["user"] and not USER_NAME.match(found["user"]):
        problems.append(f"{where}.user: {found['user']!r} is not a name of a database user")
    if found["password_variable"] and not VARIABLE_NAME.match(found["password_variable"]):
        problems.append(f"{where}.password_variable: {found['password_variable']!r} is not a name of a variable")
    if found["log_directory"] and not found["log_directory"].startswith("/"):
        problems.append(f"{where}.log_directory: {found['log_directory']!r} is not an absolute path")
    receiver = str(value.get("receiver") or "")
    if receiver and (found["kind"] != SOURCE_POSTGRESQL or not RECEIVER_NAME.match(receiver)):
        problems.append(
            f"{where}.receiver: {receiver!r} must be a name of small letters, digits and _, and only PostgreSQL's"
            f" commits can wait for a receiver, not {found['kind']}'s"
        )
    patience = _number(value, "receiver_patience_seconds", 0, 0, where, problems)
    remote = _remote(value["remote"], f"{where}.remote", problems) if value.get("remote") is not None else None
    if remote is not None and (found["kind"] != SOURCE_POSTGRESQL or not found["user"]):
        problems.append(f"{where}: what is received from another host is of kind postgresql, and has a user")
    if len(problems) > before:
        return None
    return LogSource(
        found["kind"],
        found["service"],
        found["user"],
        found["password_variable"],
        found["log_directory"],
        receiver,
        patience,
        remote,
    )


def _remote(value: Any, where: str, problems: list[str]) -> Remote | None:
    if not isinstance(value, Mapping):
        problems.append(f"{where}: must be a mapping such as {{address: 192.0.2.1, image: 'postgres:17'}}")
        return None
    before = len(problems)
    unknown = sorted(set(value) - REMOTE_KEYS)
    if unknown:
        problems.append(f"{where}.{unknown[0]}: is not known; these are: {', '.join(sorted(REMOTE_KEYS))}")
    text = {key: str(value.get(key) or "") for key in REMOTE_KEYS - {"port"}}
    for key, pattern, what in (
        ("address", ADDRESS, "an address or a host's name"),
        ("image", IMAGE, "an image"),
        ("name", RECEIVER_NAME, "a name of small letters, digits and _"),
    ):
        if not pattern.match(text[key]):
            problems.append(f"{where}.{key}: {text[key]!r} is not {what}")
    for key in ("password_file", "ca_file"):
        if not text[key].startswith("/") and (text[key] or key == "password_file"):
            problems.append(f"{where}.{key}: {text[key]!r} is not an absolute path")
    port = value.get("port", 5432)
    if isinstance(port, bool) or not isinstance(port, int) or not 0 < port < 65536:
        problems.append(f"{where}.port: {port!r} is not a port")
    return Remote(port=port, **text) if len(problems) == before else None

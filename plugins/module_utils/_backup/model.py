# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup is made of, as values: settings, sources, points, and the errors of this package."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlsplit

CONFIGURATION_DIRECTORY = "/etc/slipway/backup"
STATE_DIRECTORY = "/var/lib/slipway/backup"
STACKS_DIRECTORY = "/etc/slipway/stacks"
RELEASES_DIRECTORY = "/var/lib/slipway/stacks"
CACHE_DIRECTORY = "/var/cache/slipway/restic"
METRICS_DIRECTORY = "/var/lib/prometheus/node-exporter"

KIND_SCHEDULED = "scheduled"
KIND_MANUAL = "manual"
KIND_BEFORE_RESTORE = "before-restore"
KIND_BEFORE_RELEASE = "before-release"
POINT_KINDS = (KIND_SCHEDULED, KIND_MANUAL, KIND_BEFORE_RESTORE, KIND_BEFORE_RELEASE)

SOURCE_MYSQL = "mysql"
SOURCE_MARIADB = "mariadb"
SOURCE_POSTGRESQL = "postgresql"
SOURCE_VOLUME = "volume"
SOURCE_FILE = "file"
SOURCE_REDIS = "redis"
SOURCE_HOST_DUMP = "host_dump"

STACK_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")
SERVICE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*\Z")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
DATABASE_NAME = re.compile(r"[^\x00-\x1f`'\"\\/]{1,64}\Z")
REPOSITORY_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}\Z")
POINT_NAME = re.compile(r"\d{8}T\d{6}Z\Z")
POINT_FORMAT = "%Y%m%dT%H%M%SZ"


class BackupError(Exception):
    """A job was tried and failed."""

    exit_status = 1


class UsageError(BackupError):
    """The wish cannot be understood."""

    exit_status = 2


class RefusedError(BackupError):
    """A job was refused before it touched anything."""

    exit_status = 3


class BusyError(BackupError):
    """Another job works on the same stack."""

    exit_status = 4


class RepositoryError(BackupError):
    """A repository cannot be used: there may be another one."""


class StoppedError(BackupError):
    """The job was told to stop: whatever else there is to try is not tried."""


class RepositoryMissing(RepositoryError):
    """There is no repository at the address yet."""


@dataclass(frozen=True)
class Source:
    """One thing that a recovery point holds. Which fields are set depends on the kind."""

    kind: str
    service: str = ""
    user: str = ""
    password_variable: str = ""
    volume: str = ""
    path: str = ""
    # `always` when a dump is to be in each point beside the physical backup.
    dump: str = ""
    # Which server it is that runs on the host itself.
    engine: str = ""

    @property
    def label(self) -> str:
        """How messages name the source."""
        if self.kind == SOURCE_VOLUME:
            return f"volume {self.volume}"
        if self.kind == SOURCE_FILE:
            return f"file {self.path}"
        if self.kind == SOURCE_HOST_DUMP:
            return f"the host's own databases ({self.engine})"
        return f"the databases of service {self.service} ({self.kind})"

    @property
    def key(self) -> str:
        """How parts, directories and the log name the source: letters, digits, `.`, `_` and `-` alone."""
        words = (self.kind, self.engine, self.service, self.volume, self.path)
        text = "-".join(word for word in words if word)
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", text)
        # Two names that differ only in what was replaced must not become one.
        return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def as_dict(self) -> dict[str, str]:
        """Only what is set."""
        return {name: value for name, value in vars(self).items() if value}


@dataclass(frozen=True)
class Retention:
    """How many days, weeks, months and years that have a point keep one."""

    daily: int = 30
    weekly: int = 0
    monthly: int = 0
    yearly: int = 0


@dataclass(frozen=True)
class Smoke:
    """The application's own check of a drill: a command in a service's image, as that service runs."""

    service: str
    command: tuple[str, ...]
    timeout_seconds: int = 300


@dataclass(frozen=True)
class DrillSettings:
    """How restores are tried. Without an interval no drill is expected; `tries` is how many points are tried until one
    is good, and `cpus` the processors that the servers of a drill may use (0: as many as nobody else wants)."""

    interval_seconds: int = 0
    tries: int = 7
    cpus: float = 0.0
    smoke: Smoke | None = None

    def as_dict(self) -> dict[str, Any]:
        """As backup.json says it."""
        found = {name: value for name, value in vars(self).items() if name != "smoke"}
        if self.smoke is not None:
            found["smoke"] = {**vars(self.smoke), "command": list(self.smoke.command)}
        return found


@dataclass(frozen=True)
class Promises:
    """What the system's owner was promised, in seconds; 0 is nothing. RTO: how long a restore takes. RPO: how much of
    what was written last a loss of the host costs."""

    rto_seconds: int = 0
    rpo_seconds: int = 0


@dataclass(frozen=True)
class RepositorySettings:
    """One repository of a stack. Limits are in KiB a second, and 0 is none."""

    name: str
    url: str
    retention: Retention = field(default_factory=Retention)
    options: tuple[str, ...] = ()
    ca_file: str = ""
    upload_limit_kib: int = 0
    download_limit_kib: int = 0
    # The host's credentials may add and not remove: old points are let go from elsewhere.
    append_only: bool = False

    @property
    def kind(self) -> str:
        """The backend: `local`, `sftp`, `s3`, or what else the address begins with."""
        scheme, separator, _rest = self.url.partition(":")
        return scheme if separator and not local_path(self.url) else "local"

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "retention": dict(vars(self.retention)), "options": list(self.options)}


@dataclass(frozen=True)
class Settings:
    """What a stack's backup is, as the role wrote it. Points are made in the first repository."""

    stack: str
    sources: tuple[Source, ...]
    repositories: tuple[RepositorySettings, ...]
    interval_seconds: int = 86400
    check_interval_seconds: int = 86400
    drill: DrillSettings = field(default_factory=DrillSettings)
    promises: Promises = field(default_factory=Promises)

    @property
    def primary(self) -> RepositorySettings:
        return self.repositories[0]

    def repository(self, name: str) -> RepositorySettings:
        """The repository of this name; without one, the primary."""
        for found in self.repositories:
            if found.name == name or not name:
                return found
        known = ", ".join(found.name for found in self.repositories)
        raise UsageError(f"repository {name}: stack {self.stack} has none of this name; it has {known}")


@dataclass(frozen=True)
class RepositoryFiles:
    """Where the secrets of a repository are on the host."""

    directory: str

    @property
    def password(self) -> str:
        return f"{self.directory}/password"

    @property
    def environment(self) -> str:
        return f"{self.directory}/environment"


@dataclass(frozen=True)
class Place:
    """Where a stack's files are on the host. Tests put them elsewhere."""

    stack: str
    configuration_root: str = CONFIGURATION_DIRECTORY
    state_root: str = STATE_DIRECTORY
    stacks_root: str = STACKS_DIRECTORY
    releases_root: str = RELEASES_DIRECTORY
    cache: str = CACHE_DIRECTORY
    metrics: str = METRICS_DIRECTORY

    @property
    def configuration(self) -> str:
        return f"{self.configuration_root}/{self.stack}"

    @property
    def settings(self) -> str:
        return f"{self.configuration}/backup.json"

    @property
    def repositories(self) -> str:
        """A directory for each repository, by its name."""
        return f"{self.configuration}/repositories"

    def repository(self, name: str) -> RepositoryFiles:
        return RepositoryFiles(f"{self.repositories}/{name}")

    @property
    def releases(self) -> str:
        """What the releases of the stack noted of themselves, with the recovery points that they made."""
        return f"{self.releases_root}/{self.stack}"

    @property
    def state(self) -> str:
        return f"{self.state_root}/{self.stack}"

    @property
    def spool(self) -> str:
        return f"{self.state}/spool"

    @property
    def status(self) -> str:
        return f"{self.state}/status.json"

    @property
    def last_manifest(self) -> str:
        return f"{self.state}/manifest.json"

    @property
    def drill(self) -> str:
        """How drills stand: the last one, and the last good one."""
        return f"{self.state}/drill.json"

    @property
    def drills(self) -> str:
        """The last drills, one a line."""
        return f"{self.state}/drills.jsonl"

    @property
    def drill_journal(self) -> str:
        """The drill that runs, or was killed."""
        return f"{self.state}/drilling.json"

    @property
    def drill_work(self) -> str:
        """Where a drill unpacks files."""
        return f"{self.state}/drill"

    @property
    def look(self) -> str:
        """What was put together beside the live data for a look."""
        return f"{self.state}/look.json"

    @property
    def journal(self) -> str:
        return f"{self.state}/restore.json"

    @property
    def unfinished(self) -> str:
        """The points that jobs began and did not end."""
        return f"{self.state}/unfinished.json"

    @property
    def history(self) -> str:
        return f"{self.state}/history.jsonl"

    @property
    def stack_files(self) -> str:
        return f"{self.stacks_root}/{self.stack}"


@dataclass(frozen=True)
class Part:
    """A stream of a point, as a snapshot of its own. `original` is what a copy is of, and what the manifest names."""

    key: str
    snapshot: str
    original: str = ""

    def is_named(self, name: str) -> bool:
        """Whether a record means this part."""
        return (self.original or self.snapshot).startswith(name)


@dataclass(frozen=True)
class StoredPart:
    """What was stored of a stream. restic before 0.17 gives the first eight digits of the snapshot's name alone."""

    snapshot: str
    bytes: int
    sha256: str
    added: int


@dataclass(frozen=True)
class Orphan:
    """A part whose point is not there: a job that was killed left it, or one that works just now. `proved` says that
    its point was there and good once."""

    point: str
    key: str
    snapshot: str
    proved: bool = False


@dataclass(frozen=True)
class Point:
    """One recovery point: a snapshot with the manifest and the files, its parts, and whether it was read back."""

    name: str
    kind: str
    snapshot: str
    verified: bool
    evidence: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()

    @property
    def time(self) -> datetime:
        return point_time(self.name)

    @property
    def good(self) -> bool:
        """Whether it was read back, and does not hold what a restore replaced."""
        return self.verified and self.kind != KIND_BEFORE_RESTORE

    def as_dict(self) -> dict[str, Any]:
        return {
            "point": self.name,
            "time": self.time.isoformat(),
            "kind": self.kind,
            "verified": self.verified,
            "snapshot": self.snapshot,
        }


@dataclass(frozen=True)
class Catalogue:
    """What a repository holds of a stack. It is not whole when restic could not read every snapshot's description."""

    points: tuple[Point, ...] = ()
    orphans: tuple[Orphan, ...] = ()
    whole: bool = True


def point_name(moment: datetime) -> str:
    """The name of a point that is begun at this moment."""
    return moment.astimezone(timezone.utc).strftime(POINT_FORMAT)


def point_time(name: str) -> datetime:
    """When the point was begun."""
    return datetime.strptime(name, POINT_FORMAT).replace(tzinfo=timezone.utc)


def human_bytes(count: float) -> str:
    """A size for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def human_seconds(seconds: float) -> str:
    """A duration for people, in its two largest units."""
    rest = max(0, int(seconds))
    parts: list[str] = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, rest = divmod(rest, size)
        if amount or (name == "s" and not parts):
            parts.append(f"{amount} {name}")
    return " ".join(parts[:2])


def public_url(url: str) -> str:
    """The repository's address without a password that may stand in it."""
    scheme, separator, rest = url.partition(":")
    if scheme in ("rest", "s3") and separator and "//" in rest:
        parts = urlsplit(rest)
        if parts.password:
            host = parts.hostname or ""
            rest = rest.replace(parts.netloc, f"{parts.username}@{host}" + (f":{parts.port}" if parts.port else ""))
    return f"{scheme}{separator}{rest}"


def local_path(url: str) -> str:
    """The directory of a repository on the host's own disk; empty for one elsewhere."""
    if url.startswith("local:"):
        return url[len("local:") :]
    return url if url.startswith("/") else ""


def _text(value: Mapping[str, Any], key: str, pattern: re.Pattern[str], where: str, problems: list[str]) -> str:
    found = value.get(key)
    if not isinstance(found, str) or not pattern.match(found):
        problems.append(f"{where}.{key}: {found!r} is not a valid name; give one that matches {pattern.pattern}")
        return ""
    return str(found)


# A server with all its databases: a base backup knows no single one.
_SERVER = {"service": SERVICE_NAME, "user": DATABASE_NAME, "password_variable": VARIABLE_NAME}
_DUMPED = {**_SERVER, "dump": re.compile(r"always\Z")}
SOURCE_FIELDS: dict[str, dict[str, re.Pattern[str]]] = {
    SOURCE_POSTGRESQL: _DUMPED,
    SOURCE_MYSQL: _DUMPED,
    SOURCE_MARIADB: _DUMPED,
    SOURCE_REDIS: _SERVER,
    SOURCE_VOLUME: {"volume": VOLUME_NAME},
    SOURCE_FILE: {"path": re.compile(r"/\S.*\Z")},
    SOURCE_HOST_DUMP: {"engine": re.compile(r"(postgresql|mysql|mariadb)\Z"), "user": USER_NAME},
}
SOURCE_DEFAULTS = {
    # Without a user, the one that owns the server by the distributions' packages.
    SOURCE_HOST_DUMP: {"user": ""},
    SOURCE_MYSQL: {"user": "root", "password_variable": "MYSQL_ROOT_PASSWORD", "dump": ""},
    SOURCE_MARIADB: {"user": "root", "password_variable": "MARIADB_ROOT_PASSWORD", "dump": ""},
    # Without a user, the container's own POSTGRES_USER.
    SOURCE_POSTGRESQL: {"user": "", "password_variable": "POSTGRES_PASSWORD", "dump": ""},
    # Without a variable, those that images and Compose files usually have.
    SOURCE_REDIS: {"user": "", "password_variable": ""},
}
# What the stack says of a source besides, and a backup does not need.
SOURCE_REMARKS = ("kind", "name", "stack", "services", "volumes", "log_directory")


def parse_source(value: Any, where: str, problems: list[str]) -> Source | None:
    """One element of the source list; what is wrong with it is added to `problems`."""
    if not isinstance(value, Mapping):
        problems.append(f"{where}: must be a mapping such as {{kind: volume, volume: fleet_uploads}}")
        return None
    kind = value.get("kind")
    if kind not in SOURCE_FIELDS:
        known = ", ".join(sorted(SOURCE_FIELDS))
        problems.append(f"{where}.kind: {kind!r} is not known; use one of {known}")
        return None
    fields = SOURCE_FIELDS[str(kind)]
    unknown = sorted(set(value) - set(fields) - set(SOURCE_REMARKS))
    if unknown:
        problems.append(
            f"{where}: {', '.join(unknown)} not known for kind {kind}; it takes {', '.join(sorted(fields))}"
        )
    defaults = SOURCE_DEFAULTS.get(str(kind), {})
    filled = {key: value.get(key) or defaults.get(key) for key in fields}
    return Source(
        kind=str(kind),
        **{key: _text(filled, key, fields[key], where, problems) for key in fields if filled[key] != ""},
    )


def _count(value: Mapping[str, Any], key: str, default: int, where: str, problems: list[str]) -> int:
    found = value.get(key, default)
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        problems.append(f"{where}{key}: {found!r} must be a whole number, 0 or more")
        return default
    return int(found)


REPOSITORY_FIELDS = tuple(RepositorySettings.__dataclass_fields__)
PERIODS = tuple(Retention.__dataclass_fields__)


def parse_retention(value: Any, where: str, problems: list[str]) -> Retention:
    """How many points of each period are kept."""
    if not isinstance(value, Mapping) or set(value) - set(PERIODS):
        problems.append(f"{where}: must be a mapping of {', '.join(PERIODS)}")
        return Retention()
    # Who names a period has said what is wanted: the default is for those who name none.
    defaults = {"daily": Retention().daily} if not value else {}
    found = Retention(**{key: _count(value, key, defaults.get(key, 0), f"{where}.", problems) for key in PERIODS})
    if not any(vars(found).values()):
        problems.append(f"{where}: keeps nothing; give at least one of {', '.join(PERIODS)} more than 0")
    return found


def parse_repositories(value: Any, problems: list[str]) -> tuple[RepositorySettings, ...]:
    """The list of repositories, the primary first; what is wrong with it is added to `problems`."""
    if not isinstance(value, list) or not value:
        problems.append("repositories: is empty, so there is nowhere to keep a backup; name at least one")
        return ()
    found: list[RepositorySettings] = []
    for index, item in enumerate(value):
        where = f"repositories[{index}]"
        if not isinstance(item, Mapping):
            problems.append(f"{where}: must be a mapping such as {{name: main, url: /srv/backup}}")
            continue
        unknown = sorted(str(key) for key in set(item) - set(REPOSITORY_FIELDS))
        if unknown:
            problems.append(f"{where}: {', '.join(unknown)} not known; it takes {', '.join(REPOSITORY_FIELDS)}")
        repository = _repository(item, where, problems)
        for other in found:
            if repository.name == other.name:
                problems.append(f"{where}.name: {repository.name} is the name of another one above")
            if repository.url == other.url:
                problems.append(f"{where}.url: {public_url(repository.url)} is the address of {other.name} as well")
            if repository.kind == other.kind == "sftp" and repository.options != other.options:
                problems.append(
                    f"{where}.options: restic takes only one set for two SFTP repositories; put what differs from"
                    f" {other.name} into root's ~/.ssh/config"
                )
        found.append(repository)
    return tuple(found)


def _repository(item: Mapping[str, Any], where: str, problems: list[str]) -> RepositorySettings:
    url = item.get("url")
    if not isinstance(url, str) or not url.strip():
        problems.append(f"{where}.url: is missing; give a path, sftp:user@host:/path or s3:https://host/bucket")
        url = ""
    options = item.get("options") or []
    if not isinstance(options, list) or not all(isinstance(option, str) and "=" in option for option in options):
        problems.append(f"{where}.options: must be a list of texts such as s3.bucket-lookup=path")
        options = []
    append_only = item.get("append_only", False)
    if not isinstance(append_only, bool):
        problems.append(f"{where}.append_only: {append_only!r} must be true or false")
    elif append_only and url and local_path(url.strip()):
        problems.append(
            f"{where}.append_only: root can remove what is on the host's own disk; use a repository elsewhere for it"
        )
    return RepositorySettings(
        name=_text(item, "name", REPOSITORY_NAME, where, problems),
        url=url.strip(),
        retention=parse_retention(item.get("retention") or {}, f"{where}.retention", problems),
        options=tuple(options),
        ca_file=str(item.get("ca_file") or ""),
        upload_limit_kib=_count(item, "upload_limit_kib", 0, f"{where}.", problems),
        download_limit_kib=_count(item, "download_limit_kib", 0, f"{where}.", problems),
        append_only=append_only is True,
    )


def parse_drill(document: Any, problems: list[str]) -> DrillSettings:
    """Read what backup.json says of drills."""
    defaults = DrillSettings()
    if not isinstance(document, Mapping):
        problems.append("drill: must be a mapping such as {interval_seconds: 604800}")
        return defaults
    cpus = document.get("cpus", defaults.cpus)
    if isinstance(cpus, bool) or not isinstance(cpus, (int, float)) or cpus < 0:
        problems.append(f"drill.cpus: {cpus!r} must be a number, 0 or more")
        cpus = defaults.cpus
    return DrillSettings(
        interval_seconds=_count(document, "interval_seconds", defaults.interval_seconds, "drill.", problems),
        tries=max(1, _count(document, "tries", defaults.tries, "drill.", problems)),
        cpus=float(cpus),
        smoke=_smoke(document.get("smoke"), problems),
    )


def _smoke(value: Any, problems: list[str]) -> Smoke | None:
    if value is None:
        return None
    command = value.get("command") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(command, list) or not command:
        problems.append("drill.smoke: must have a service and a command, a list of words; take it out for no check")
        return None
    if not all(isinstance(word, str) and "\0" not in word for word in command):
        problems.append("drill.smoke.command: must be a list of words")
    return Smoke(
        service=_text(value, "service", SERVICE_NAME, "drill.smoke", problems),
        command=tuple(str(word) for word in command),
        timeout_seconds=_count(value, "timeout_seconds", 300, "drill.smoke.", problems) or 300,
    )


def parse_promises(document: Any, problems: list[str]) -> Promises:
    """Read what backup.json says of promises."""
    if not isinstance(document, Mapping):
        problems.append("promises: must be a mapping such as {rto_seconds: 14400, rpo_seconds: 86400}")
        return Promises()
    return Promises(
        rto_seconds=_count(document, "rto_seconds", 0, "promises.", problems),
        rpo_seconds=_count(document, "rpo_seconds", 0, "promises.", problems),
    )


def parse_settings(document: Any, name: str) -> Settings:
    """Read backup.json; all problems are reported at once."""
    problems: list[str] = []
    if not isinstance(document, Mapping):
        raise RefusedError(f"{name}: must hold a mapping; run the play with the role backup again")
    stack = _text(document, "stack", STACK_NAME, "backup", problems)
    raw_sources = document.get("sources")
    sources: list[Source] = []
    if not isinstance(raw_sources, list) or not raw_sources:
        problems.append("sources: is empty, so a backup would hold nothing; name at least one database, volume or file")
    else:
        for index, value in enumerate(raw_sources):
            source = parse_source(value, f"sources[{index}]", problems)
            if source is not None and source in sources:
                problems.append(f"sources[{index}]: {source.label} is listed twice; remove one")
            elif source is not None:
                sources.append(source)
    settings = Settings(
        stack=stack,
        sources=tuple(sources),
        repositories=parse_repositories(document.get("repositories"), problems),
        interval_seconds=_count(document, "interval_seconds", 86400, "", problems),
        check_interval_seconds=_count(document, "check_interval_seconds", 86400, "", problems),
        drill=parse_drill(document.get("drill", {}), problems),
        promises=parse_promises(document.get("promises", {}), problems),
    )
    if problems:
        raise RefusedError(f"{name}: " + "; ".join(problems))
    return settings

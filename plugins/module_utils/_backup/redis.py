# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis (and Valkey): what is asked of it, what its snapshot file holds, and how the isolated server is that restores
it. Nothing here runs anything.

A snapshot is what the server itself writes on BGSAVE: one moment of all databases, in one file, put into its place by a
rename. `redis-cli --rdb -` would spare the file, but a server of today streams to it without knowing the length, and
the tool cannot cut off the end mark of 40 characters that then stands behind the snapshot when it writes to a pipe.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DATA_DIRECTORY = "/data"
INSIDE_RUN = "/slipway/run"
SOCKET = f"{INSIDE_RUN}/redis.sock"
# Names under which images and Compose files hand over the password when the stack does not say which.
PASSWORD_VARIABLES = ("REDIS_PASSWORD", "REDISCLI_AUTH", "VALKEY_PASSWORD", "VALKEYCLI_AUTH", "REDIS_REQUIREPASS")

# The password is the first line on stdin: it stands on no command line and in no environment that can be looked at.
_CLIENT = """\
IFS= read -r REDISCLI_AUTH
if [ -n "$REDISCLI_AUTH" ]; then export REDISCLI_AUTH; VALKEYCLI_AUTH="$REDISCLI_AUTH"; export VALKEYCLI_AUTH
else unset REDISCLI_AUTH; fi
tool=redis-cli
command -v "$tool" >/dev/null 2>&1 || tool=valkey-cli
exec "$tool" --no-auth-warning "$@" </dev/null
"""


def client_command(words: Sequence[str], user: str = "", socket: str = "", port: int = 0) -> list[str]:
    """Run one command of the server; the password comes on stdin."""
    options = ["-s", socket] if socket else ["-p", str(port)] if port else []
    if user:
        options += ["--user", user]
    return ["sh", "-c", _CLIENT, "slipway", *options, *words]


@dataclass(frozen=True)
class Launch:
    """How a container starts its server, as far as it can be told from outside."""

    # The words behind the program's name: options, perhaps a file of settings first.
    options: tuple[str, ...] = ()
    configuration: str = ""
    # Whether a shell stands in between, so that options cannot be added behind.
    through_shell: bool = False

    def option(self, name: str) -> str:
        """The value of an option; empty when it is not given."""
        wanted = f"--{name}"
        found = ""
        for index, word in enumerate(self.options):
            if word == wanted and index + 1 < len(self.options):
                found = self.options[index + 1]
        return found


_SERVERS = ("redis-server", "valkey-server", "keydb-server")


def launch(command: Sequence[str], environment: Mapping[str, str]) -> Launch:
    """Read entrypoint and arguments of a container."""
    words, shell = list(command), False
    for index, word in enumerate(words):
        if word == "-c" and index + 1 < len(words) and any(name in words[index + 1] for name in _SERVERS):
            try:
                words, shell = shlex.split(words[index + 1], comments=True), True
            except ValueError:
                return Launch(through_shell=True)
            break
    for index, word in enumerate(words):
        if word.rsplit("/", 1)[-1] in _SERVERS:
            words = words[index + 1 :]
            break
    else:
        # The image's entrypoint takes options alone for the server's.
        first = next(
            (place for place, word in enumerate(words) if word.startswith("--") or word.endswith(".conf")), None
        )
        words = words[first:] if first is not None else []
    words = [_expand(word, environment) if shell else word for word in words]
    configuration = words[0] if words and not words[0].startswith("-") else ""
    return Launch(tuple(words), configuration, shell)


def _expand(word: str, environment: Mapping[str, str]) -> str:
    return re.sub(
        r"\$(?:\{(\w+)(?::?[-?][^}]*)?\}|(\w+))",
        lambda found: environment.get(found.group(1) or found.group(2), ""),
        word,
    )


@dataclass(frozen=True)
class Password:
    """Where the password is: here, or in a file within the container."""

    value: str = ""
    file: str = ""
    # A file of settings in which it may stand.
    configuration: str = ""


def find_password(environment: Mapping[str, str], command: Sequence[str], variable: str = "") -> Password:
    """Where a server has its password from; empty when it has none that is known."""
    for name in (variable,) if variable else PASSWORD_VARIABLES:
        if environment.get(name):
            return Password(environment[name])
        if environment.get(f"{name}_FILE"):
            return Password(file=environment[f"{name}_FILE"])
    found = launch(command, environment)
    if found.option("requirepass"):
        return Password(found.option("requirepass"))
    return Password(configuration=found.configuration)


def password_in(configuration: str) -> str:
    """The password in a file of settings; the last one counts, as it does for the server."""
    found = ""
    for line in configuration.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        if len(words) == 2 and words[0].lower() == "requirepass":
            found = words[1]
    return found


def parse_info(answer: str) -> dict[str, str]:
    """What INFO brought back."""
    pairs = (line.strip().partition(":") for line in answer.splitlines() if not line.startswith("#"))
    return {name: value for name, colon, value in pairs if colon}


def parse_config(answer: str) -> dict[str, str]:
    """What CONFIG GET brought back: names and values, a line each."""
    lines = [line.rstrip("\r") for line in answer.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return dict(zip(lines[::2], lines[1::2]))


def parse_keys(info: Mapping[str, str]) -> dict[str, int]:
    """The keys of each database, from INFO keyspace."""
    found = {}
    for name, value in info.items():
        keys = re.match(r"keys=(\d+)", value)
        if re.fullmatch(r"db\d+", name) and keys:
            found[name] = int(keys.group(1))
    return found


CONFIG_NAMES = ("dir", "dbfilename", "appendonly", "appenddirname", "appendfilename")


def is_error(answer: str) -> bool:
    """Whether the server refused: the client of old versions ends with status 0 then."""
    return (
        re.match(r"(\(error\) )?(ERR|NOAUTH|NOPERM|WRONGPASS|MISCONF|LOADING|BUSY|READONLY|DENIED)\b", answer)
        is not None
    )


def in_progress(info: Mapping[str, str]) -> bool:
    """Whether the server writes a snapshot just now."""
    return info.get("rdb_bgsave_in_progress") != "0" or info.get("loading", "0") != "0"


def saved(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether a snapshot was written since `before`; its time alone has only whole seconds."""
    newer = int(now.get("rdb_last_save_time") or 0) > int(before.get("rdb_last_save_time") or 0)
    counted = int(now.get("rdb_saves") or 0) > int(before.get("rdb_saves") or 0)
    return not in_progress(now) and (newer or counted)


def save_failed(info: Mapping[str, str]) -> bool:
    return info.get("rdb_last_bgsave_status", "ok") != "ok"


# The snapshot.

_MAGIC = re.compile(rb"(REDIS|VALKEY)\d{3,4}")
_END = 0xFF
_CHECKSUM_BYTES = 8
SMALLEST_BYTES = 9 + 1 + _CHECKSUM_BYTES


class NotWhole(ValueError):
    """A snapshot that is not complete."""


class SnapshotReader:
    """Reads a snapshot as it flows by: its beginning and its end. Its checksum (CRC64) is left to the server's own
    tool, which is a hundred times as quick."""

    def __init__(self) -> None:
        self.bytes = 0
        self._head = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self.bytes += len(chunk)
        if len(self._head) < SMALLEST_BYTES:
            self._head = (self._head + chunk)[:SMALLEST_BYTES]
        self._tail = (self._tail + chunk)[-1 - _CHECKSUM_BYTES :]

    def finish(self) -> str:
        """The snapshot has ended: its format, if it is whole."""
        found = _MAGIC.match(self._head)
        if not found:
            raise NotWhole(f"it does not begin as a snapshot does: {self._head[:9].hex() or 'it is empty'}")
        if self.bytes < SMALLEST_BYTES or self._tail[0] != _END:
            raise NotWhole("it has no end mark, so it is cut off")
        return found.group().decode("ascii")


@dataclass(frozen=True)
class Check:
    """What the server's tool says of a snapshot."""

    whole: bool
    keys: int = 0
    expired: int = 0
    reason: str = ""


def check_command(path: str) -> list[str]:
    """Have the server's own tool read a snapshot, with its checksum."""
    script = 'tool=redis-check-rdb\ncommand -v "$tool" >/dev/null 2>&1 || tool=valkey-check-rdb\nexec "$tool" "$1"\n'
    return ["sh", "-c", script, "slipway", path]


def parse_check(status: int, answer: str) -> Check:
    """What `check_command` said."""
    numbers = {
        name: int(found.group(1)) if found else 0
        for name in ("keys read", "already expired")
        for found in [re.search(rf"\[info\] (\d+) {name}", answer)]
    }
    whole = status == 0 and "RDB looks OK" in answer
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    wrong = [
        line for line in lines if "error" in line.lower() or "mismatch" in line.lower() or "failed" in line.lower()
    ]
    reason = "" if whole else " ".join((wrong or lines[-1:] or ["it said nothing"])[:2])
    return Check(whole, numbers["keys read"], numbers["already expired"], reason)


# The isolated server.


@dataclass(frozen=True)
class Settings:
    """What of the live server's settings a restore needs."""

    dbfilename: str = "dump.rdb"
    appendonly: bool = False
    options: tuple[str, ...] = field(default=())


_KEPT = ("loadmodule", "appenddirname", "appendfilename", "databases")


def kept_options(found: Launch) -> tuple[str, ...]:
    """The options without which a snapshot may not be readable, or not be found again: modules, names, databases."""
    kept: list[str] = []
    words = list(found.options[1:] if found.configuration else found.options)
    index = 0
    while index < len(words):
        name = words[index]
        end = index + 1
        while end < len(words) and not words[end].startswith("--"):
            end += 1
        if name.startswith("--") and name[2:].lower() in _KEPT:
            kept += words[index:end]
        index = end
    return tuple(kept)


def server_arguments(settings: Settings, data_directory: str) -> list[str]:
    """The isolated server reads the snapshot, drops nothing for want of memory, and writes nothing by itself."""
    return [
        *settings.options,
        *("--port", "0", "--unixsocket", SOCKET, "--unixsocketperm", "700", "--dir", data_directory),
        *("--dbfilename", settings.dbfilename, "--appendonly", "no", "--save", "", "--daemonize", "no"),
        *("--maxmemory", "0", "--maxmemory-policy", "noeviction", "--logfile", ""),
    ]


def last_words(lines: Sequence[str]) -> str:
    """The lines of a server's log that say why it ended, or its last ones: it closes with a list of figures."""
    wrong = [
        line for line in lines if re.search(r"error|wrong|corrupt|crc|can't|fail|fatal|denied", line, re.IGNORECASE)
    ]
    found = " / ".join(" ".join(line.split()) for line in (wrong[:3] or list(lines)[-3:]))
    return found[:500] or "nothing"


SERVER_SCRIPT = """\
tool=redis-server
command -v "$tool" >/dev/null 2>&1 || tool=valkey-server
exec "$tool" "$@"
"""

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL and MariaDB: the scripts that run inside the container, and what a dump holds. Nothing here runs anything."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

SINGLE_TRANSACTION = "--single-transaction"
DUMP_ARGUMENTS = (
    SINGLE_TRANSACTION,
    "--quick",
    "--routines",
    "--triggers",
    "--events",
    "--hex-blob",
    "--no-tablespaces",
    # The date in the last line would make each dump a new one, to be stored again.
    "--skip-dump-date",
    "--default-character-set=utf8mb4",
)
TRAILER = b"-- Dump completed"

# The password goes from the container's own variable (or the file that <variable>_FILE names) to the environment of the
# tool: it never leaves the container and stands on no command line. MariaDB's images of today have only the mariadb-*
# names, and where its old names exist beside them they are links.
_LOGIN = """\
password="${%(variable)s-}"
if [ -z "$password" ] && [ -n "${%(variable)s_FILE-}" ]; then password="$(cat "$%(variable)s_FILE")"; fi
MYSQL_PWD="$password"
export MYSQL_PWD
"""


def login(password_variable: str) -> str:
    """The lines of a shell script that give the tools their password."""
    return _LOGIN % {"variable": password_variable}


CLIENT_SCRIPT = (
    _LOGIN
    + """\
if command -v mariadb >/dev/null 2>&1; then exec mariadb "$@"; fi
exec mysql "$@"
"""
)


def client_command(user: str, password_variable: str, database: str = "") -> list[str]:
    """Run SQL from stdin; rows come back tab-separated without a header."""
    script = CLIENT_SCRIPT % {"variable": password_variable}
    command = ["sh", "-c", script, "slipway", f"--user={user}", "--batch", "--skip-column-names", "--binary-mode"]
    command.append("--default-character-set=utf8mb4")
    return [*command, database] if database else command


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


@dataclass
class DumpFacts:
    """What was found in a dump."""

    bytes: int = 0
    complete: bool = False
    tables: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(self.tables.values())


class DumpReader:
    """Reads a dump as it flows by: its size, its tables and how many rows the dump itself has for each.

    Counting in the dump, not in the live database, gives numbers that a restored database must show exactly. The dump
    tools escape line breaks inside values, so a line that begins with INSERT INTO begins a statement.
    """

    _CREATE = re.compile(rb"CREATE TABLE (?:IF NOT EXISTS )?`((?:[^`]|``)+)`")
    _INSERT = re.compile(rb"(?:INSERT|REPLACE) (?:IGNORE )?INTO `((?:[^`]|``)+)`")
    _QUOTED = re.compile(rb"'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'|`[^`]*`|\"[^\"\\]*(?:\\.[^\"\\]*)*\"", re.DOTALL)

    def __init__(self) -> None:
        self.facts = DumpFacts()
        self._rest = b""
        self._last = b""
        self._table: str | None = None
        self._values = False

    def feed(self, chunk: bytes) -> None:
        """Take the next piece of the dump."""
        self.facts.bytes += len(chunk)
        lines = (self._rest + chunk if self._rest else chunk).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            self._line(line)

    def finish(self) -> DumpFacts:
        """The dump has ended."""
        if self._rest:
            self._line(self._rest)
            self._rest = b""
        self.facts.complete = self._last.startswith(TRAILER)
        return self.facts

    def _line(self, line: bytes) -> None:
        if line.strip():
            self._last = line
        if self._table is None:
            created = self._CREATE.match(line)
            if created:
                self.facts.tables.setdefault(self._name(created.group(1)), 0)
                return
            insert = self._INSERT.match(line)
            if not insert:
                return
            self._table = self._name(insert.group(1))
            self._values = False
        bare = self._QUOTED.sub(b"", line)
        if not self._values:
            _header, found, bare = bare.partition(b"VALUES")
            self._values = bool(found)
        self.facts.tables[self._table] = self.facts.tables.get(self._table, 0) + bare.count(b"(")
        if bare.rstrip().endswith(b";"):
            self._table = None

    @staticmethod
    def _name(raw: bytes) -> str:
        return raw.replace(b"``", b"`").decode("utf-8", "surrogateescape")


def complaints(stderr: str) -> list[str]:
    """The lines that the dump tool wrote on stderr and that mean the dump is not whole."""
    return [
        line.strip()
        for line in stderr.splitlines()
        if re.search(r"\b(error|couldn't|can't|denied|lost connection)\b", line, re.IGNORECASE)
    ]

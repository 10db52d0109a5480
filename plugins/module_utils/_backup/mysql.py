# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL and MariaDB: the scripts that run inside the container, and what a dump holds. Nothing here runs anything."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import DATABASE_NAME

DUMP_ARGUMENTS = (
    "--single-transaction",
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


DUMP_SCRIPT = (
    _LOGIN
    + """\
if command -v mariadb-dump >/dev/null 2>&1; then exec mariadb-dump "$@"; fi
exec mysqldump --set-gtid-purged=OFF "$@"
"""
)
CLIENT_SCRIPT = (
    _LOGIN
    + """\
if command -v mariadb >/dev/null 2>&1; then exec mariadb "$@"; fi
exec mysql "$@"
"""
)


def dump_command(user: str, password_variable: str, database: str) -> list[str]:
    """Dump one database to stdout, without CREATE DATABASE, so that it can be loaded under any name."""
    script = DUMP_SCRIPT % {"variable": password_variable}
    return ["sh", "-c", script, "slipway", f"--user={user}", *DUMP_ARGUMENTS, database]


def client_command(user: str, password_variable: str, database: str = "") -> list[str]:
    """Run SQL from stdin; rows come back tab-separated without a header."""
    script = CLIENT_SCRIPT % {"variable": password_variable}
    command = ["sh", "-c", script, "slipway", f"--user={user}", "--batch", "--skip-column-names", "--binary-mode"]
    command.append("--default-character-set=utf8mb4")
    return [*command, database] if database else command


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return "`" + name.replace("`", "``") + "`"


def literal(text: str) -> str:
    """A database's name as SQL writes a text. No name that the settings accept needs escaping."""
    if not DATABASE_NAME.match(text):
        raise ValueError(f"{text!r} cannot be a database's name")
    return f"'{text}'"


def describe_sql(database: str) -> str:
    """Version, character set, collation and the size that the server believes the database to have."""
    name = literal(database)
    return (
        "SELECT VERSION(), default_character_set_name, default_collation_name,"  # noqa: S608 (the name is checked)
        " (SELECT CAST(COALESCE(SUM(data_length), 0) AS UNSIGNED) FROM information_schema.tables"
        f" WHERE table_schema = {name})"
        f" FROM information_schema.schemata WHERE schema_name = {name};\n"
    )


def count_sql(database: str, tables: Sequence[str]) -> str:
    """One row a table: its place in the list and how many rows it has."""
    return "".join(
        f"SELECT {index}, COUNT(*) FROM {identifier(database)}.{identifier(table)};\n"  # noqa: S608 (both are quoted)
        for index, table in enumerate(tables)
    )


def parse_counts(text: str, tables: Sequence[str]) -> dict[str, int]:
    """What `count_sql` brought back."""
    found = {}
    for line in text.splitlines():
        index, _separator, count = line.partition("\t")
        if index.isdigit() and count.isdigit():
            found[tables[int(index)]] = int(count)
    return found


def recreate_sql(database: str, character_set: str, collation: str) -> str:
    """An empty database of this name."""
    name = identifier(database)
    options = ""
    if re.fullmatch(r"\w+", character_set) and re.fullmatch(r"\w+", collation):
        options = f" CHARACTER SET {character_set} COLLATE {collation}"
    return f"DROP DATABASE IF EXISTS {name};\nCREATE DATABASE {name}{options};\n"


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

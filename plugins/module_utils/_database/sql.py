# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The statements of each kind of server, and how its answers are read."""

# Every name in a statement was validated by the model and is quoted here; names cannot be bound as parameters.
# ruff: noqa: S608

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from ansible_collections.slipway.ops.plugins.module_utils._database.model import (
    MARIADB,
    MYSQL,
    POSTGRESQL,
    Found,
    FoundIndex,
    FoundTable,
    Index,
    Table,
)

# A statement that waits for a table's metadata lock makes every later query on that table wait behind it.
LOCK_WAIT_SECONDS = 30

_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "\\": "\\"}


class Dialect(ABC):
    """What the planner and the gateway need to know of one kind of server."""

    # Run first in every session.
    session: str = ""

    @abstractmethod
    def fold(self, name: str) -> str:
        """A name as this server compares it."""

    @abstractmethod
    def observe(self, tables: Sequence[Table]) -> str:
        """Queries whose rows start with table, column or index; see read()."""

    @abstractmethod
    def create(self, table: Table, engine: str, indexes: Sequence[Index]) -> list[str]:
        """Create these indexes without locking readers and writers out, where the engine can."""

    @abstractmethod
    def repair(self, table: Table, name: str) -> str:
        """Rebuild an index that an interrupted build left unusable."""

    @abstractmethod
    def maintain(self, table: Table) -> list[str]:
        """Bring the optimizer's statistics up to date after the table's indexes changed."""

    @abstractmethod
    def client(self, database: str, user: str, password_variable: str) -> list[str]:
        """The command inside the container that reads SQL from standard input and writes rows, tabs between."""

    def failures(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Failures that the server reports as rows of a result and not as errors."""
        return []


class MySql(Dialect):
    """MySQL and MariaDB: as far as indexes go, one language."""

    session = f"SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS};"

    def fold(self, name: str) -> str:
        return name.casefold()

    def observe(self, tables: Sequence[Table]) -> str:
        scope = f"table_schema = DATABASE() AND table_name IN ({', '.join(_literal(table.name) for table in tables)})"
        return "\n".join(
            [
                "SELECT 'table', table_name, COALESCE(engine, '') FROM information_schema.tables "
                f"WHERE {scope} AND table_type = 'BASE TABLE';",
                f"SELECT 'column', table_name, column_name FROM information_schema.columns WHERE {scope};",
                # An index that the optimizer was told to ignore helps no query. Each server reads its own comment.
                "SELECT 'index', table_name, index_name, index_type = 'BTREE' "
                "/*!80000 AND is_visible = 'YES' */ /*M!100600 AND ignored = 'NO' */, 1, "
                # An expression has no column name: an empty one equals no wanted column.
                "CONCAT(COALESCE(column_name, ''), COALESCE(CONCAT('(', sub_part, ')'), '')) "
                f"FROM information_schema.statistics WHERE {scope} ORDER BY table_name, index_name, seq_in_index;",
            ]
        )

    def create(self, table: Table, engine: str, indexes: Sequence[Index]) -> list[str]:
        if not indexes:
            return []
        # One statement a table: the table is read once for all of its new indexes.
        parts = [f"ADD INDEX {_backtick(index.name)} ({self._columns(index)})" for index in indexes]
        if engine.lower() in ("", "innodb"):
            parts += ["ALGORITHM=INPLACE", "LOCK=NONE"]
        return [f"ALTER TABLE {_backtick(table.name)} {', '.join(parts)};"]

    def repair(self, table: Table, name: str) -> str:
        raise AssertionError(f"{name}: an index build that is interrupted leaves nothing behind here")

    def maintain(self, table: Table) -> list[str]:
        return [f"OPTIMIZE TABLE {_backtick(table.name)};", f"ANALYZE TABLE {_backtick(table.name)};"]

    def client(self, database: str, user: str, password_variable: str) -> list[str]:
        script = (
            f"{_password('MYSQL_PWD', password_variable)} || exit 64; "
            # MariaDB's images have dropped the name mysql (11.0), MySQL's never had the other.
            'client="$(command -v mysql || command -v mariadb)" || '
            '{ echo "there is no mysql client in the image" >&2; exit 127; }; '
            'exec "$client" --batch --skip-column-names --default-character-set=utf8mb4 --user="$0" "$1"'
        )
        return ["sh", "-c", script, user, database]

    def failures(self, rows: Sequence[Sequence[str]]) -> list[str]:
        # OPTIMIZE and ANALYZE answer rows of table, operation, type, text, and exit with success whatever they say.
        return [f"{row[1]} of {row[0]}: {row[3]}" for row in rows if len(row) == 4 and row[2].lower() == "error"]

    @staticmethod
    def _columns(index: Index) -> str:
        return ", ".join(
            _backtick(column.name) + ("" if column.length is None else f"({column.length})") for column in index.columns
        )


class PostgreSql(Dialect):
    """PostgreSQL 12 and later."""

    def fold(self, name: str) -> str:
        return name

    def observe(self, tables: Sequence[Table]) -> str:
        # to_regclass answers as the session's search path would, and null for a table that is not there.
        names = ", ".join(f"({_literal(str(table))}, to_regclass({_literal(_relation(table))}))" for table in tables)
        source = f"(VALUES {names}) AS wanted (name, oid)"
        queries = [
            f"SELECT 'table', wanted.name, '' FROM {source} WHERE wanted.oid IS NOT NULL",
            f"SELECT 'column', wanted.name, a.attname FROM {source} JOIN pg_attribute a ON a.attrelid = wanted.oid "
            "WHERE a.attnum > 0 AND NOT a.attisdropped",
            "SELECT 'index', wanted.name, c.relname, "
            "(m.amname = 'btree' AND i.indpred IS NULL AND i.indisvalid)::int, i.indisvalid::int, "
            # A column of an expression has number 0 and no name; columns that are only included are left out.
            f"COALESCE(a.attname, '') FROM {source} JOIN pg_index i ON i.indrelid = wanted.oid "
            "JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam "
            "CROSS JOIN LATERAL unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (number, position) "
            "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number AND k.number > 0 "
            "WHERE k.position <= i.indnkeyatts ORDER BY wanted.name, c.relname, k.position",
        ]
        return "\n".join(f"COPY ({query}) TO STDOUT;" for query in queries)

    def create(self, table: Table, engine: str, indexes: Sequence[Index]) -> list[str]:
        return [
            f"CREATE INDEX CONCURRENTLY {_quote(index.name)} ON {_relation(table)} "
            f"({', '.join(_quote(column.name) for column in index.columns)});"
            for index in indexes
        ]

    def repair(self, table: Table, name: str) -> str:
        schema = f"{_quote(table.schema)}." if table.schema else ""
        return f"REINDEX INDEX CONCURRENTLY {schema}{_quote(name)};"

    def maintain(self, table: Table) -> list[str]:
        # The counterpart of OPTIMIZE, VACUUM FULL, locks readers out; autovacuum does its work.
        return [f"ANALYZE {_relation(table)};"]

    def client(self, database: str, user: str, password_variable: str) -> list[str]:
        script = (
            f"{_password('PGPASSWORD', password_variable)} || exit 64; "
            'exec psql --no-psqlrc --no-password --quiet --set=ON_ERROR_STOP=1 --username="$0" --dbname="$1"'
        )
        return ["sh", "-c", script, user, database]


_DIALECTS: dict[str, Dialect] = {MYSQL: MySql(), MARIADB: MySql(), POSTGRESQL: PostgreSql()}


def dialect(kind: str) -> Dialect:
    return _DIALECTS[kind]


def rows(output: str) -> list[list[str]]:
    """Split the clients' common format: a line a row, tabs between fields, backslash escapes inside."""
    return [[_unescape(field) for field in line.split("\t")] for line in output.splitlines() if line]


def read(output: str) -> Found:
    """Build the found tables from the rows of observe(). A row of another shape is an error that quotes it."""
    engines: dict[str, str] = {}
    columns: dict[str, set[str]] = {}
    indexes: dict[str, dict[str, tuple[bool, bool, list[str]]]] = {}
    for row in rows(output):
        if row[0] == "table" and len(row) == 3:
            engines[row[1]] = row[2]
        elif row[0] == "column" and len(row) == 3:
            columns.setdefault(row[1], set()).add(row[2])
        elif row[0] == "index" and len(row) == 6:
            entry = indexes.setdefault(row[1], {}).setdefault(row[2], (row[3] == "1", row[4] == "1", []))
            entry[2].append(row[5])
        else:
            raise ValueError(f"the database client answered with a line that is not understood: {row!r}")
    return {
        name: FoundTable(
            engine,
            frozenset(columns.get(name, ())),
            tuple(
                FoundIndex(index, tuple(fields), covers, valid)
                for index, (covers, valid, fields) in indexes.get(name, {}).items()
            ),
        )
        for name, engine in engines.items()
    }


def _password(target: str, variable: str) -> str:
    """Shell that exports a password which the container has in its own environment, or in the file that it names."""
    return (
        f'export {target}="${{{variable}:-}}"; '
        f'if [ -z "${target}" ] && [ -n "${{{variable}_FILE:-}}" ]; then {target}="$(cat "${variable}_FILE")"; fi'
    )


def _unescape(field: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(0)), field)


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _backtick(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _relation(table: Table) -> str:
    return f"{_quote(table.schema)}.{_quote(table.name)}" if table.schema else _quote(table.name)

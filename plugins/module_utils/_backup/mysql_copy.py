# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database or one table of MySQL or MariaDB, from an opened copy into the live server.

No change of a table's shape can be rolled back there. So a table is loaded into a database of its own and counted
there; the one RENAME TABLE by which it then takes its place, and the live one another name, happens whole or not at
all. What the servers tie to a name (triggers, foreign keys) follows; what of that fails is said, and the rows are
there.

A database cannot be renamed: one that is there stays as it is, and the old one is loaded under a name beside it.
"""

# ruff: noqa: S608 (every name and text in the SQL of this file is quoted by `identifier` or `text`)

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server as server
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql import identifier
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_dump import DumpJudge
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import text
from ansible_collections.slipway.ops.plugins.module_utils._backup.progress import Meter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools, Wanted, last_line

NAME_CHARACTERS = 64
# How long a table's users are waited for.
LOCK_SECONDS = 60


def kept_name(name: str, copy_id: str) -> str:
    """What the live table is called from now on."""
    ending = f"_before_{copy_id.lower()}"
    return name[: NAME_CHARACTERS - len(ending)] + ending


def restored_name(name: str, copy_id: str) -> str:
    """What a database is called that is loaded beside the live one."""
    ending = f"_restored_{copy_id.lower()}"
    return name[: NAME_CHARACTERS - len(ending)] + ending


def _name(database: str, table: str) -> str:
    return f"{identifier(database)}.{identifier(table)}"


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of a table."""

    name: str
    columns: tuple[str, ...]
    database: str
    table: str
    referenced: tuple[str, ...]
    on_update: str
    on_delete: str

    def clause(self) -> str:
        """As a table is given it."""
        columns, referenced = (", ".join(map(identifier, names)) for names in (self.columns, self.referenced))
        return (
            f"ADD CONSTRAINT {identifier(self.name)} FOREIGN KEY ({columns}) REFERENCES"
            f" {_name(self.database, self.table)} ({referenced}) ON UPDATE {self.on_update} ON DELETE {self.on_delete}"
        )


def foreign_keys_sql(database: str, table: str) -> str:
    """One row a column of each foreign key of a table."""
    return (
        "SELECT k.constraint_name, k.column_name, k.referenced_table_schema, k.referenced_table_name,"
        " k.referenced_column_name, r.update_rule, r.delete_rule FROM information_schema.key_column_usage k"
        " JOIN information_schema.referential_constraints r ON r.constraint_schema = k.constraint_schema"
        " AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name"
        f" WHERE k.table_schema = {text(database)} AND k.table_name = {text(table)}"
        " AND k.referenced_table_name IS NOT NULL ORDER BY 1, k.ordinal_position;\n"
    )


def parse_foreign_keys(answer: str) -> tuple[ForeignKey, ...]:
    """What `foreign_keys_sql` brought back."""
    found: dict[str, ForeignKey] = {}
    for row in server.rows(answer):
        name, column, database, table, referenced, on_update, on_delete = row
        before = found.get(name)
        found[name] = ForeignKey(
            name,
            (*(before.columns if before else ()), column),
            database,
            table,
            (*(before.referenced if before else ()), referenced),
            on_update,
            on_delete,
        )
    return tuple(found.values())


def users_sql(database: str, table: str) -> str:
    """The other tables whose foreign keys lead to a table."""
    return (
        "SELECT DISTINCT CONCAT(table_schema, '.', table_name) FROM information_schema.key_column_usage"
        f" WHERE referenced_table_schema = {text(database)} AND referenced_table_name = {text(table)}"
        f" AND NOT (table_schema = {text(database)} AND table_name = {text(table)}) ORDER BY 1;\n"
    )


def triggers_sql(database: str, table: str) -> str:
    """The triggers of a table."""
    return (
        "SELECT trigger_name FROM information_schema.triggers"
        f" WHERE event_object_schema = {text(database)} AND event_object_table = {text(table)} ORDER BY 1;\n"
    )


def kind_sql(database: str, table: str) -> str:
    """What a table is; nothing when there is none."""
    return (
        "SELECT table_type FROM information_schema.tables"
        f" WHERE table_schema = {text(database)} AND table_name = {text(table)};\n"
    )


def database_sql(name: str) -> str:
    """Character set and collation of a database; nothing when there is none."""
    return (
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata"
        f" WHERE schema_name = {text(name)};\n"
    )


COUNTER = re.compile(r"\) ENGINE=.*\bAUTO_INCREMENT=(\d+)")


def counter_sql(database: str, table: str) -> str:
    """How a table was made, which says what number its next row gets."""
    return f"SHOW CREATE TABLE {_name(database, table)};\n"


def count_sql(database: str, table: str) -> str:
    return f"SELECT COUNT(*) FROM {_name(database, table)};\n"


def exchange_sql(database: str, table: str, scratch: str, kept: str) -> str:
    """Let the loaded table take its place; `kept` is empty when nothing is there."""
    moves = [f"{_name(database, table)} TO {_name(database, kept)}"] if kept else []
    moves.append(f"{_name(scratch, table)} TO {_name(database, table)}")
    return f"SET SESSION lock_wait_timeout = {LOCK_SECONDS};\nRENAME TABLE {', '.join(moves)};\n"


def drop_keys_sql(database: str, table: str, keys: Sequence[ForeignKey]) -> str:
    """Take foreign keys away from a table; nothing when there are none."""
    if not keys:
        return ""
    words = ", ".join(f"DROP FOREIGN KEY {identifier(key.name)}" for key in keys)
    return f"ALTER TABLE {_name(database, table)} {words};\n"


_DUMP = """\
tool=mariadb-dump
if ! command -v "$tool" >/dev/null 2>&1; then tool=mysqldump; set -- "$1" --set-gtid-purged=OFF "${@:2}"; fi
exec "$tool" "$@"
"""


def dump_command(*words: str) -> list[str]:
    """The dump tool within the opened server's container."""
    options = [word for word in mysql.DUMP_ARGUMENTS if word not in ("--routines", "--events", "--triggers")]
    return ["bash", "-c", _DUMP, "slipway", f"--defaults-extra-file={server.CLIENT_FILE}", *options, *words]


@dataclass(frozen=True)
class _Live:
    """What the live server has under a table's name."""

    exists: bool
    keys: tuple[ForeignKey, ...] = ()
    triggers: tuple[str, ...] = field(default=())


class Copier:
    """Copies from an opened server into the live one."""

    def __init__(self, tools: Tools, label: str, opened: Container, live: Container, user: str, variable: str) -> None:
        self._tools = tools
        self._label = label
        self._opened = opened
        self._live = live
        self._login = (user, variable)

    def _old(self, sql: str, attempt: str) -> str:
        outcome = self._tools.docker.execute(self._opened, server.isolated_client(), sql)
        if outcome.status != 0:
            raise BackupError(f"{self._label}: {self._opened.name}: {attempt}: {last_line(outcome.stderr)}")
        return outcome.stdout

    def _do(self, sql: str, attempt: str, database: str = "") -> str:
        outcome = self._tools.docker.execute(self._live, mysql.client_command(*self._login, database), sql)
        if outcome.status != 0:
            raise BackupError(f"{self._label}: {attempt}: {last_line(outcome.stderr)}")
        return outcome.stdout

    def _flow(self, what: str, database: str, *words: str) -> None:
        docker, stack = self._tools.docker, self._tools.settings.stack
        judge = _Metered(DumpJudge(self._label), Meter(self._tools.progress, f"copying {what}"))
        stream = docker.stream(self._opened, dump_command(*words), stack)
        outcome = docker.pipe(stream, judge, self._live, mysql.client_command(*self._login, database), stack)
        if outcome.status != 0:
            raise BackupError(f"{self._label}: {what} could not be copied: {last_line(outcome.stderr)}")

    def _create(self, name: str, like: str) -> None:
        found = server.rows(self._old(database_sql(like), "look at the database"))
        charset, collation = found[0]
        self._do(f"CREATE DATABASE {identifier(name)} CHARACTER SET {charset} COLLATE {collation};\n", f"make {name}")

    # One table.

    def table(self, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        """One table; the live one is kept beside it."""
        database, table = wanted.database, wanted.table
        what = f"{database}.{table}"
        self._check_opened(wanted)
        if not self._do(database_sql(database), "look for the database").strip():
            raise RefusedError(f"{what}: the live server has no database {database}; copy the whole database")
        live = self._look(database, table)
        keys = parse_foreign_keys(self._old(foreign_keys_sql(database, table), "look at its foreign keys"))
        rows = int(self._old(count_sql(database, table), "count its rows"))
        scratch, kept = restored_name("slipway", copy_id), kept_name(table, copy_id) if live.exists else ""
        try:
            self._load_table(database, table, scratch, rows, keys)
            if live.exists:
                self._count_on(database, table, scratch)
            self._do(exchange_sql(database, table, scratch, kept), f"exchange {what}")
        except BaseException as error:
            self._drop(scratch)
            if isinstance(error, BackupError):
                raise BackupError(f"{error}. Nothing was changed") from error
            raise
        warnings = self._follow(database, table, kept, live, keys)
        self._drop(scratch)
        return {
            "copied": what,
            "kept": f"{database}.{kept}" if kept else "",
            "rows": rows,
            "warnings": warnings,
        }

    def count(self, wanted: Wanted) -> tuple[int, int | None]:
        """How many rows it has there, and in the live server."""
        database, table = wanted.database, wanted.table
        self._check_opened(wanted)
        rows = int(self._old(count_sql(database, table), "count its rows"))
        if not self._do(kind_sql(database, table), "look for the table").strip():
            return rows, None
        return rows, int(self._do(count_sql(database, table), "count its rows"))

    def _check_opened(self, wanted: Wanted) -> None:
        database, table = wanted.database, wanted.table
        if wanted.schema not in ("", database):
            raise RefusedError(f"{wanted.text}: these servers know no schema; name database and table")
        if self._old(kind_sql(database, table), "look for the table").strip() != "BASE TABLE":
            raise RefusedError(f"{database}.{table}: is no table there; look: docker exec -it {self._opened.name} sh")

    def _look(self, database: str, table: str) -> _Live:
        kind = self._do(kind_sql(database, table), "look for the table").strip()
        if not kind:
            return _Live(False)
        if kind != "BASE TABLE":
            raise RefusedError(
                f"{database}.{table}: is a {kind.lower()} in the live server; give it another name first"
            )
        users = [row[0] for row in server.rows(self._do(users_sql(database, table), "look who leads to it"))]
        if users:
            raise RefusedError(
                f"{database}.{table}: foreign keys of {', '.join(users)} would go on with the old table; take them away"
                " first and make them again after it, or copy the rows that are missing by hand"
            )
        keys = parse_foreign_keys(self._do(foreign_keys_sql(database, table), "look at its foreign keys"))
        triggers = [row[0] for row in server.rows(self._do(triggers_sql(database, table), "look at its triggers"))]
        return _Live(True, keys, tuple(triggers))

    def _load_table(self, database: str, table: str, scratch: str, rows: int, keys: Sequence[ForeignKey]) -> None:
        self._create(scratch, database)
        self._flow(f"{database}.{table}", scratch, "--skip-triggers", database, table)
        # There they lead nowhere.
        self._do(drop_keys_sql(scratch, table, keys), "free its foreign keys")
        found = int(self._do(count_sql(scratch, table), "count its rows"))
        if found != rows:
            raise BackupError(f"{self._label}: {database}.{table} came with {found} rows instead of {rows}")

    def _count_on(self, database: str, table: str, scratch: str) -> None:
        """No number that was given to a row of the live table is given to another row."""
        found = COUNTER.search(self._do(counter_sql(database, table), "look at its counter"))
        if found:
            self._do(f"ALTER TABLE {_name(scratch, table)} AUTO_INCREMENT = {found[1]};\n", "let its counter go on")

    def _follow(self, database: str, table: str, kept: str, live: _Live, keys: Sequence[ForeignKey]) -> list[str]:
        """What is tied to a name: the new table gets it, and the kept one goes without."""
        warnings = []
        names = {key.name for key in keys}
        gone = [key for key in live.keys if key.name in names] if kept else []
        steps: list[tuple[str, str]] = []
        if live.triggers:
            text_ = "".join(f"DROP TRIGGER IF EXISTS {_name(database, name)};\n" for name in live.triggers)
            steps.append((text_, f"triggers {', '.join(live.triggers)} could not be taken from the kept table"))
        if gone:
            steps.append((drop_keys_sql(database, kept, gone), "foreign keys could not be taken from the kept table"))
        for key in keys:
            clause = f"ALTER TABLE {_name(database, table)} {key.clause()};\n"
            steps.append((clause, f"foreign key {key.name} is not on it; when the rows allow it: {clause.strip()}"))
        for sql, said in steps:
            try:
                self._do(sql, "tie it")
            except BackupError as error:
                warnings.append(f"{said} ({error})")
        try:
            self._flow(
                f"the triggers of {table}", database, "--no-data", "--no-create-info", "--triggers", database, table
            )
        except BackupError as error:
            warnings.append(f"its triggers could not be brought: {error}")
        return warnings

    def _drop(self, database: str) -> None:
        command = mysql.client_command(*self._login)
        self._tools.docker.execute(self._live, command, f"DROP DATABASE IF EXISTS {identifier(database)};\n")

    # One database.

    def database(self, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        """One database: in its place when that is free, or else beside the live one."""
        name = wanted.database
        if name.lower() in server.SYSTEM_DATABASES:
            raise RefusedError(f"{name}: is the server's own, and cannot be copied")
        if not self._old(database_sql(name), "look for the database").strip():
            raise RefusedError(f"{name}: is no database there; look: docker exec -it {self._opened.name} sh")
        exists = bool(self._do(database_sql(name), "look for the database").strip())
        target = restored_name(name, copy_id) if exists else name
        try:
            self._create(target, name)
            self._flow(name, target, "--routines", "--events", "--triggers", name)
            rows = self._compare(name, target)
        except BaseException as error:
            self._drop(target)
            if isinstance(error, BackupError):
                raise BackupError(f"{error}. Nothing was changed") from error
            raise
        said = f"{name} is there and stays as it is; the old one is beside it as {target}, to take from what is missing"
        return {"copied": name, "kept": "", "as": target, "rows": rows, "warnings": [said] if exists else []}

    def _compare(self, name: str, target: str) -> int:
        """The rows of the loaded database, beside the one that it comes from."""
        tables = server.parse_tables(self._old(server.tables_sql(), "look at its tables"))
        mine = [item for item in tables if item.database == name]
        if not mine:
            return 0
        old = _by_table(server.parse_counts(self._old(server.counts_sql(mine), "count the rows"), mine))
        theirs = [server.Table(target, item.name, item.engine, 0, 0) for item in mine]
        new = _by_table(server.parse_counts(self._do(server.counts_sql(theirs), "count the rows"), theirs))
        differs = [table for table, count in old.items() if new.get(table) != count]
        if differs or len(new) != len(old):
            raise BackupError(f"{self._label}: {name} came with other rows in {', '.join(differs)}")
        return sum(new.values())


def _by_table(counts: Mapping[str, int]) -> dict[str, int]:
    return {key.partition(".")[2]: count for key, count in counts.items()}


class _Metered:
    """A judge that says how far the stream is."""

    def __init__(self, judge: DumpJudge, meter: Meter) -> None:
        self._judge = judge
        self._meter = meter

    def feed(self, chunk: bytes) -> None:
        self._judge.feed(chunk)
        self._meter.add(len(chunk))

    def judge(self, outcome: Any) -> None:
        self._judge.judge(outcome)

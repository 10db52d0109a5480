# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One database or one table of PostgreSQL, from an opened copy into the live server.

A table comes in one transaction: the live one gets another name, with its indexes and sequences; the old one is loaded
under the name that is free now; foreign keys and views that led to the table are led to the new one; the rows are
counted; and only then is it committed. What fails, or is killed, has changed nothing.

A database is loaded under a third name first, and takes its place by two renames in one transaction.
"""

# ruff: noqa: S608 (every name and text in the SQL of this file is quoted by `pg.identifier` or `pg.literal`)

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import postgresql as pg
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.progress import Meter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools, Wanted, last_line

NAME_BYTES = 63
# How long a table's users are waited for, and the sessions of a database that is renamed.
LOCK_SECONDS = 60
TERMINATE_TRIES = 20


def kept_name(name: str, copy_id: str) -> str:
    """What the live object is called from now on: a name that needs no quotes if its own does not."""
    ending = f"_before_{copy_id.lower()}"
    return _cut(name, ending) + ending


def restored_name(name: str, copy_id: str) -> str:
    """What a database is called while it is loaded."""
    ending = f"_restored_{copy_id.lower()}"
    return _cut(name, ending) + ending


def _cut(name: str, ending: str) -> str:
    return name.encode()[: NAME_BYTES - len(ending.encode())].decode("utf-8", "ignore")


def table_sql(schema: str, table: str) -> str:
    """What hangs on a table, as one line of JSON; nothing when there is no such table."""

    def every(value: str, rest: str) -> str:
        return f"(SELECT coalesce(json_agg({value}), '[]') {rest})"

    on_table = "d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid"
    on_type = "d.refclassid = 'pg_type'::regclass AND d.refobjid IN (c.reltype, t.typarray)"
    views = (
        "jsonb_build_object('name', v.oid::regclass::text, 'kind', v.relkind, 'options',"
        " coalesce(array_to_string(v.reloptions, ', '), ''), 'definition', pg_get_viewdef(v.oid))"
    )
    return (
        "SELECT set_config('search_path', '', false);\n"
        "SELECT json_build_object('kind', c.relkind, 'partition', c.relispartition,"
        " 'inherits', EXISTS (SELECT 1 FROM pg_inherits WHERE c.oid IN (inhrelid, inhparent)),"
        " 'indexes', "
        + every("ic.relname", "FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid WHERE i.indrelid = c.oid")
        + ", 'sequences', "
        + every(
            "json_build_array(sn.nspname, s.relname)",
            "FROM pg_depend d JOIN pg_class s ON s.oid = d.objid JOIN pg_namespace sn ON sn.oid = s.relnamespace"
            f" WHERE d.classid = 'pg_class'::regclass AND {on_table} AND d.deptype IN ('a', 'i') AND s.relkind = 'S'",
        )
        + ", 'statistics', "
        + every(
            "json_build_array(sn.nspname, stxname)",
            "FROM pg_statistic_ext JOIN pg_namespace sn ON sn.oid = stxnamespace WHERE stxrelid = c.oid",
        )
        + ", 'foreign_keys', "
        + every(
            "json_build_object('table', conrelid::regclass::text, 'name', conname,"
            " 'definition', pg_get_constraintdef(k.oid))",
            "FROM pg_constraint k WHERE confrelid = c.oid AND contype = 'f' AND conrelid <> c.oid AND conparentid = 0",
        )
        + ", 'views', "
        + every(
            f"DISTINCT {views}",
            "FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class v ON v.oid = r.ev_class"
            f" WHERE d.classid = 'pg_rewrite'::regclass AND {on_table} AND v.oid <> c.oid",
        )
        + ", 'functions', "
        + every(
            "DISTINCT p.oid::regprocedure::text",
            f"FROM pg_depend d JOIN pg_proc p ON p.oid = d.objid WHERE d.classid = 'pg_proc'::regclass"
            f" AND (({on_table}) OR ({on_type}))",
        )
        + ", 'columns', "
        + every(
            "DISTINCT d.objid::regclass::text",
            f"FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND {on_type} AND d.objid <> c.oid",
        )
        + ", 'publications', "
        + every(
            "p.pubname", "FROM pg_publication_rel m JOIN pg_publication p ON p.oid = m.prpubid WHERE m.prrelid = c.oid"
        )
        + ") FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_type t ON t.oid = c.reltype"
        f" WHERE n.nspname = {pg.literal(schema)} AND c.relname = {pg.literal(table)};\n"
    )


def hindrances(facts: Mapping[str, Any]) -> list[str]:
    """What hangs on a live table and would go on with the old one, because it cannot be led to another."""
    found = []
    if facts["kind"] != "r" or facts["partition"] or facts["inherits"]:
        found.append("it is no plain table (partitioned, a partition, inherited, or foreign)")
    materialized = [view["name"] for view in facts["views"] if view["kind"] != "v"]
    for what, names in (
        ("materialized views", materialized),
        ("functions", facts["functions"]),
        ("columns of its type in", facts["columns"]),
    ):
        if names:
            found.append(f"{what} {', '.join(names)}")
    return found


def rename_sql(schema: str, table: str, facts: Mapping[str, Any] | None, copy_id: str) -> str:
    """The transaction's beginning: the live table out of the way, with what has a name of its own in the schema."""
    text = f"BEGIN;\nSET LOCAL lock_timeout = '{LOCK_SECONDS}s';\n"
    if facts is None:
        return text
    where = f"{pg.identifier(schema)}."

    def new(name: str) -> str:
        return pg.identifier(kept_name(name, copy_id))

    text += f"ALTER TABLE {where}{pg.identifier(table)} RENAME TO {new(table)};\n"
    for name in facts["indexes"]:
        # The constraint of an index is renamed with it.
        text += f"ALTER INDEX {where}{pg.identifier(name)} RENAME TO {new(name)};\n"
    for word, names in (("SEQUENCE", facts["sequences"]), ("STATISTICS", facts["statistics"])):
        for namespace, name in names:
            text += f"ALTER {word} {pg.identifier(namespace)}.{pg.identifier(name)} RENAME TO {new(name)};\n"
    return text


def commit_sql(schema: str, table: str, facts: Mapping[str, Any] | None, rows: int, copy_id: str) -> str:
    """The end of the transaction: what led to the old table leads to the new one, and all rows are there. No number
    that was given to a row of the old table is given to another row."""
    text = ""
    for namespace, name in (facts or {}).get("sequences", ()):
        new, old = (f"{pg.identifier(namespace)}.{pg.identifier(each)}" for each in (name, kept_name(name, copy_id)))
        text += (
            f"DO $slipway$ BEGIN IF to_regclass({pg.literal(new)}) IS NOT NULL THEN"
            f" PERFORM pg_catalog.setval({pg.literal(new)}, greatest((SELECT last_value FROM {new}),"
            f" (SELECT last_value FROM {old}))); END IF; END $slipway$;\n"
        )
    for key in (facts or {}).get("foreign_keys", ()):
        name = pg.identifier(key["name"])
        text += f"ALTER TABLE {key['table']} DROP CONSTRAINT {name};\n"
        text += f"ALTER TABLE {key['table']} ADD CONSTRAINT {name} {key['definition']};\n"
    for view in (facts or {}).get("views", ()):
        options = f" WITH ({view['options']})" if view["options"] else ""
        text += f"CREATE OR REPLACE VIEW {view['name']}{options} AS {view['definition'].strip().rstrip(';')};\n"
    where = f"{pg.identifier(schema)}.{pg.identifier(table)}"
    return text + (
        f"DO $slipway$ BEGIN IF (SELECT count(*) FROM {where}) <> {rows} THEN"
        f" RAISE EXCEPTION 'the table has not the {rows} rows that it had'; END IF; END $slipway$;\nCOMMIT;\n"
    )


def dump_command(user: str, wanted: Wanted) -> list[str]:
    """Dump one table, or a whole database, within the opened server's container."""
    words = ["pg_dump", "--no-password", "--no-subscriptions"]
    if wanted.table:
        words += ["--no-publications", "--strict-names"]
        words.append(f"--table={pg.identifier(wanted.schema)}.{pg.identifier(wanted.table)}")
    return pg.within(user, "", "-c lc_messages=C", *words, f"--dbname={pg.conninfo(wanted.database)}")


def load_command(user: str, variable: str, database: str) -> list[str]:
    """Take SQL from stdin and end at the first error. At the end of its input nothing is committed by itself."""
    words = ["psql", "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1"]
    return pg.within(user, variable, "-c lc_messages=C", *words, f"--dbname={pg.conninfo(database)}")


def create_sql(facts: Mapping[str, Any], name: str) -> str:
    """An empty database with the owner, encoding and locale of another."""
    text = f"CREATE DATABASE {pg.identifier(name)} TEMPLATE template0 OWNER {pg.identifier(facts['owner'])}"
    text += f" ENCODING {pg.literal(facts['encoding'])} LC_COLLATE {pg.literal(facts['collate'])}"
    text += f" LC_CTYPE {pg.literal(facts['ctype'])}"
    if facts["provider"] == "i" and facts["locale"]:
        text += f" LOCALE_PROVIDER icu ICU_LOCALE {pg.literal(facts['locale'])}"
    if facts["provider"] == "b" and facts["locale"]:
        text += f" LOCALE_PROVIDER builtin BUILTIN_LOCALE {pg.literal(facts['locale'])}"
    return f"{text};\n"


def database_sql(name: str) -> str:
    """What a database is, as one line of JSON; nothing when there is none. The columns of its locale have other names
    from version to version, so the row is taken as it is."""
    return (
        "SELECT json_build_object('owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),"
        " 'collate', d.datcollate, 'ctype', d.datctype, 'provider', coalesce(to_jsonb(d) ->> 'datlocprovider', 'c'),"
        " 'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))"
        f" FROM pg_database d WHERE datname = {pg.literal(name)};\n"
    )


def exchange_sql(name: str, restored: str, kept: str, exists: bool) -> str:
    """Let the restored database take its place. Nobody may come in while the sessions are ended."""
    live, new, old = (pg.identifier(word) for word in (name, restored, kept))
    if not exists:
        return f"ALTER DATABASE {new} RENAME TO {live};\n"
    return (
        f"ALTER DATABASE {live} WITH ALLOW_CONNECTIONS false;\n"
        f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = {pg.literal(name)};\n"
        f"BEGIN;\nALTER DATABASE {live} RENAME TO {old};\nALTER DATABASE {new} RENAME TO {live};\nCOMMIT;\n"
        f"ALTER DATABASE {old} WITH ALLOW_CONNECTIONS true;\n"
    )


def own_statements(dump: str) -> str:
    """What belongs to a database itself, from a dump that creates it: settings and rights. One statement a line, as
    pg_dump writes them."""
    lines = [line for line in dump.splitlines() if line.endswith(";")]
    return "".join(
        f"{line}\n"
        for line in lines
        if (line.startswith("ALTER DATABASE ") and " SET " in line)
        or (line.startswith("ALTER ROLE ") and " IN DATABASE " in line)
        or (line.startswith(("GRANT ", "REVOKE ")) and " ON DATABASE " in line)
    )


def sql_reason(stderr: str) -> str:
    """The error that a server gave to psql, with its detail."""
    lines = [line.strip() for line in stderr.splitlines()]
    found = [line for line in lines if "ERROR: " in line or line.startswith("DETAIL: ")]
    said = " ".join(re.sub(r"^.*(?=(ERROR|DETAIL): )", "", line) for line in found[:2]) or last_line(stderr)
    return " ".join(said.split()).rstrip(".")


class _DumpJudge:
    """Takes a dump for whole when the tool ended well."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def feed(self, chunk: bytes) -> None:
        self._meter.add(len(chunk))

    def judge(self, outcome: Outcome) -> None:
        if outcome.status != 0:
            raise BackupError(f"the dump ended with exit status {outcome.status}: {last_line(outcome.stderr)}")


class Copier:
    """Copies from an opened server into the live one."""

    def __init__(self, tools: Tools, label: str, opened: Container, opened_user: str, live: Container) -> None:
        self._tools = tools
        self._label = label
        self._opened = opened
        self._opened_user = opened_user
        self._live = live
        self._user = ""
        self._variable = ""

    def by(self, user: str, variable: str) -> Copier:
        """Who the live server is told to be."""
        self._user, self._variable = user, variable
        return self

    def _ask(self, live: bool, text: str, database: str = "postgres") -> list[dict[str, Any]]:
        container = self._live if live else self._opened
        user, variable = (self._user, self._variable) if live else (self._opened_user, "")
        outcome = self._tools.docker.execute(container, pg.client_command(user, variable, database), text)
        if outcome.status != 0 and not outcome.stdout.strip():
            raise BackupError(f"{self._label}: {container.name}: {last_line(outcome.stderr)}")
        return pg.parse_lines(outcome.stdout)

    def _do(self, text: str, attempt: str, database: str = "postgres") -> None:
        command = load_command(self._user, self._variable, database)
        outcome = self._tools.docker.execute(self._live, command, text)
        if outcome.status != 0:
            raise BackupError(f"{self._label}: {attempt}: {sql_reason(outcome.stderr)}")

    def _flow(self, wanted: Wanted, database: str, before: str, after: str) -> None:
        docker, stack = self._tools.docker, self._tools.settings.stack
        stream = docker.stream(self._opened, dump_command(self._opened_user, wanted), stack)
        judge = _DumpJudge(Meter(self._tools.progress, f"copying {wanted.text}"))
        command = load_command(self._user, self._variable, database)
        outcome = docker.pipe(stream, judge, self._live, command, stack, before, after)
        if outcome.status != 0:
            raise BackupError(f"{self._label}: {wanted.text} could not be copied: {sql_reason(outcome.stderr)}")

    def table(self, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        """One table, in one transaction."""
        wanted = replace(wanted, schema=wanted.schema or "public")
        self._check_opened(wanted)
        facts = next(iter(self._ask(True, table_sql(wanted.schema, wanted.table), wanted.database)), None)
        hindered = hindrances(facts) if facts else []
        if hindered:
            raise RefusedError(
                f"{wanted.text}: {'; '.join(hindered)} would go on with the old table; take them away first and make"
                " them again after it, or copy the rows that are missing by hand"
            )
        rows = self._rows(False, wanted)
        before = rename_sql(wanted.schema, wanted.table, facts, copy_id)
        after = commit_sql(wanted.schema, wanted.table, facts, rows, copy_id)
        try:
            self._flow(wanted, wanted.database, before, after)
        except BackupError as error:
            raise BackupError(f"{error}. Nothing was changed") from error
        kept = f"{wanted.schema}.{kept_name(wanted.table, copy_id)}" if facts else ""
        return {"copied": wanted.text, "kept": kept, "rows": rows, "warnings": self._remarks(facts)}

    def count(self, wanted: Wanted) -> tuple[int, int | None]:
        """How many rows it has there, and in the live server."""
        wanted = replace(wanted, schema=wanted.schema or "public")
        self._check_opened(wanted)
        live = self._ask(True, table_sql(wanted.schema, wanted.table), wanted.database)
        return self._rows(False, wanted), self._rows(True, wanted) if live else None

    def _check_opened(self, wanted: Wanted) -> None:
        old = next(iter(self._ask(False, table_sql(wanted.schema, wanted.table), wanted.database)), None)
        if old is None or old["kind"] != "r":
            raise RefusedError(f"{wanted.text}: is no table there; look: docker exec -it {self._opened.name} psql")

    def _rows(self, live: bool, wanted: Wanted) -> int:
        where = f"{pg.identifier(wanted.schema)}.{pg.identifier(wanted.table)}"
        counted = self._ask(live, f"SELECT json_build_object('rows', count(*)) FROM {where};\n", wanted.database)
        if not counted:
            name = self._live.name if live else self._opened.name
            raise BackupError(f"{wanted.text}: its rows could not be counted; look at the log of {name}")
        return int(counted[0]["rows"])

    @staticmethod
    def _remarks(facts: Mapping[str, Any] | None) -> list[str]:
        publications: Sequence[str] = facts["publications"] if facts else ()
        return [f"publication {name} goes on with the old table; alter it" for name in publications]

    def database(self, wanted: Wanted, copy_id: str) -> dict[str, Any]:
        """One database: loaded under another name, then renamed."""
        name = wanted.database
        if name in ("postgres", "template0", "template1"):
            raise RefusedError(f"{name}: is the server's own, and cannot be exchanged")
        facts = next(iter(self._ask(False, database_sql(name))), None)
        if facts is None:
            raise RefusedError(f"{name}: is no database there; look: docker exec -it {self._opened.name} psql --list")
        exists = bool(self._ask(True, database_sql(name)))
        restored, kept = restored_name(name, copy_id), kept_name(name, copy_id)
        self._do(create_sql(facts, restored), f"make {restored}")
        try:
            self._flow(wanted, restored, "", "")
            rows = self._compare(name, restored)
            self._exchange(name, restored, kept, exists)
        except BaseException:
            self._tools.docker.execute(
                self._live,
                load_command(self._user, self._variable, "postgres"),
                f"DROP DATABASE IF EXISTS {pg.identifier(restored)};\n",
            )
            raise
        return {"copied": name, "kept": kept if exists else "", "rows": rows, "warnings": self._settings(name)}

    def _compare(self, name: str, restored: str) -> int:
        """The loaded database beside the one it comes from."""
        old = pg.parse_content(self._ask(False, pg.content_sql([name])))
        self._do("ANALYZE;\n", "analyze it", restored)
        new = pg.parse_content(self._ask(True, pg.content_sql([restored])))
        wanted = {key.partition(".")[2]: count for key, count in old.counts.items()}
        found = {key.partition(".")[2]: count for key, count in new.counts.items()}
        tables = old.databases.get(name, {}).get("tables"), new.databases.get(restored, {}).get("tables")
        differs = [key for key, count in wanted.items() if found.get(key, count) != count]
        if tables[0] != tables[1] or differs:
            raise BackupError(
                f"{self._label}: {name} came with {tables[1]} tables instead of {tables[0]}"
                + (f", and other rows in {', '.join(differs)}" if differs else "")
                + ". Nothing was changed"
            )
        return new.rows

    def _exchange(self, name: str, restored: str, kept: str, exists: bool) -> None:
        text = exchange_sql(name, restored, kept, exists)
        tries = 0
        try:
            while True:
                tries += 1
                try:
                    self._do(text, f"exchange {name}")
                    return
                except BackupError as error:
                    if "being accessed by other users" not in str(error) or tries == TERMINATE_TRIES:
                        raise
                self._tools.host.sleep(0.5)
        except BaseException:
            if exists:
                # Whatever it was: the live database must take its users again.
                self._do(f"ALTER DATABASE {pg.identifier(name)} WITH ALLOW_CONNECTIONS true;\n", f"open {name} again")
            raise

    def _settings(self, name: str) -> list[str]:
        """The database's own settings and rights, which a load does not bring."""
        words = pg.within(self._opened_user, "", "-c lc_messages=C", "pg_dump", "--no-password", "--create")
        words += ["--schema-only", "--exclude-schema=*", f"--dbname={pg.conninfo(name)}"]
        outcome = self._tools.docker.execute(self._opened, words)
        try:
            if outcome.status != 0:
                raise BackupError(last_line(outcome.stderr))
            self._do(own_statements(outcome.stdout), "set it", name)
        except BackupError as error:
            return [f"{name}: its settings and rights could not be brought: {error}"]
        return []

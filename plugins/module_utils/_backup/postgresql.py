# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL as values: what runs inside its container, what its files and its log say. Nothing here runs anything.

From PostgreSQL 13 on: its base backups have a manifest (`backup_manifest`), and recovery is told by settings and the
file `recovery.signal` (12).
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

OLDEST_MAJOR = 13
DEFAULT_DATA_DIRECTORY = "/var/lib/postgresql/data"
DEFAULT_PASSWORD_VARIABLE = "POSTGRES_PASSWORD"  # noqa: S105 (a variable's name)

# Facts are asked for in passing: they must not wait behind a lock, nor count for long. Messages come in English,
# because they are read.
_OPTIONS = (
    "-c lc_messages=C -c jit=off -c lock_timeout=2s -c statement_timeout=20s -c idle_in_transaction_session_timeout=0"
)
# How many tables of a database are counted, and how large one may be for that.
COUNTED_TABLES = 20
COUNTED_BYTES = 1 << 20
# How a dump of a cluster ends; what follows it are empty comments.
DUMP_TRAILER = b"-- PostgreSQL database cluster dump complete"
DUMP_TAIL_BYTES = 512
# What the server that recovers must have as well, or would lose (track_commit_timestamp: what was kept until then).
SETTINGS = (
    "max_connections",
    "max_prepared_transactions",
    "max_locks_per_transaction",
    "shared_preload_libraries",
    "track_commit_timestamp",
    "wal_level",
    "wal_segment_size",
)

# User and password are the container's own, as the image's entry point takes them; the password goes to the tool
# through its environment, and stands on no command line.
_LOGIN = """\
user="$1"
shift
if [ -z "$user" ]; then user="${POSTGRES_USER-}"; fi
if [ -z "$user" ] && [ -n "${POSTGRES_USER_FILE-}" ]; then user="$(cat "$POSTGRES_USER_FILE")"; fi
PGUSER="${user:-postgres}"
PGPASSWORD="${%(variable)s-}"
if [ -z "$PGPASSWORD" ] && [ -n "${%(variable)s_FILE-}" ]; then PGPASSWORD="$(cat "$%(variable)s_FILE")"; fi
PGOPTIONS='%(options)s'
PGCONNECT_TIMEOUT=30
LC_ALL=C
export PGUSER PGPASSWORD PGOPTIONS PGCONNECT_TIMEOUT LC_ALL
exec "$@"
"""


def within(user: str, variable: str, options: str, *words: str) -> list[str]:
    """A tool within the server's container, logged in as the image's own user unless another is named."""
    script = _LOGIN % {"variable": variable or DEFAULT_PASSWORD_VARIABLE, "options": options}
    return ["sh", "-c", script, "slipway", user, *words]


def client_command(user: str, variable: str = "", database: str = "postgres") -> list[str]:
    """Run SQL from stdin; rows come back bare. What fails is on stderr, and the rest is run all the same."""
    words = ["psql", "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]
    return within(user, variable, _OPTIONS, *words, f"--dbname={conninfo(database)}")


def backup_command(user: str, variable: str, point: str) -> list[str]:
    """A base backup to stdout, with the WAL that it needs and a manifest at its end."""
    words = ["pg_basebackup", "--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast"]
    words += ["--manifest-checksums=SHA256", f"--label=slipway {point}", "--no-password"]
    return within(user, variable, "-c lc_messages=C", *words)


def dump_command(user: str, variable: str) -> list[str]:
    """The whole cluster as SQL, with its roles: what a later version can read, and any person."""
    return within(user, variable, "-c lc_messages=C", "pg_dumpall", "--no-password")


def conninfo(database: str) -> str:
    """A database's name as a connection string, so that none is taken for one."""
    quoted = database.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{quoted}'"


def identifier(name: str) -> str:
    """A name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as SQL writes it, whatever standard_conforming_strings says."""
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'" if "\\" in text else f"'{quoted}'"


def describe_sql() -> str:
    """What is known of a cluster before it is saved, as one line of JSON."""
    names = ", ".join(literal(name) for name in SETTINGS)
    return (
        "SELECT json_build_object('version', current_setting('server_version'),"  # noqa: S608 (all of it is our own)
        " 'number', current_setting('server_version_num')::int, 'user', current_user,"
        " 'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),"
        " 'replica', pg_is_in_recovery(), 'data_directory', current_setting('data_directory'),"
        " 'max_wal_senders', current_setting('max_wal_senders')::int,"
        " 'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]') FROM pg_tablespace"
        " WHERE spcname NOT IN ('pg_default', 'pg_global')),"
        " 'slots', (SELECT coalesce(json_agg(slot_name ORDER BY slot_name), '[]') FROM pg_replication_slots"
        " WHERE NOT temporary),"
        f" 'settings', (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name IN ({names})),"
        " 'databases', (SELECT json_object_agg(datname, pg_database_size(oid)) FROM pg_database"
        " WHERE datallowconn AND NOT datistemplate));\n"
    )


_ROWS = (
    "CASE WHEN c.reltuples >= 0 OR s.n_live_tup > 0 THEN greatest(c.reltuples, s.n_live_tup, 0)"
    " ELSE pg_relation_size(c.oid) / 100 END"
)
_TABLES = (
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid"
    " WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'information_schema'"
    " AND n.nspname !~ '^pg_(catalog$|toast|temp)'"
)


def content_sql(databases: Sequence[str]) -> str:
    """How much is in each database: tables, rows as the server estimates them, and small tables counted. Lines of JSON.

    `reltuples` is -1 until a table was analyzed for the first time, and what the statistics know is lost in a crash.
    """
    text = ""
    for name in databases:
        if re.search(r"[\x00-\x1f\"\\']", name):
            # psql's own quoting has no sure way to say these.
            continue
        text += f'\\connect -reuse-previous=on "{conninfo(name)}"\n'
        text += (
            "SELECT json_build_object('database', current_database(), 'tables', count(*), 'rows',"
            " coalesce(sum(greatest(c.reltuples, s.n_live_tup,"
            " CASE WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100 END, 0)), 0)::bigint)" + _TABLES + ";\n"
        )
        text += (
            "SELECT format('SELECT json_build_object(''database'', current_database(), ''table'', %L,"  # noqa: S608
            " ''estimate'', %s, ''count'', count(*)) FROM ONLY %I.%I', n.nspname || '.' || c.relname,"
            " greatest(c.reltuples, s.n_live_tup, CASE WHEN c.reltuples < 0 THEN pg_relation_size(c.oid) / 100 END, 0)"
            "::bigint, n.nspname, c.relname)" + _TABLES + f" AND pg_relation_size(c.oid) <= {COUNTED_BYTES}"
            f" ORDER BY n.nspname, c.relname LIMIT {COUNTED_TABLES} \\gexec\n"
        )
    return text


MOMENT_SQL = (
    "SELECT json_build_object('time', to_char(clock_timestamp() AT TIME ZONE 'UTC',"
    " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"'), 'xid', txid_snapshot_xmax(txid_current_snapshot())::text);\n"
)
RECOVERY_SQL = (
    "SELECT json_build_object('replica', pg_is_in_recovery(),"
    " 'system_identifier', (SELECT system_identifier::text FROM pg_control_system()),"
    " 'timeline', (SELECT timeline_id FROM pg_control_checkpoint()));\n"
)


def parse_lines(text: str) -> list[dict[str, Any]]:
    """The lines of JSON among what psql brought back."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


@dataclass
class Content:
    """How much is in a cluster's databases."""

    databases: dict[str, dict[str, int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return sum(found["rows"] for found in self.databases.values())


def parse_content(lines: Sequence[Mapping[str, Any]]) -> Content:
    """What `content_sql` brought back: the estimates, with what was counted in the place of what was estimated."""
    content = Content()
    for line in lines:
        name = str(line.get("database"))
        if "tables" in line:
            content.databases[name] = {"tables": int(line["tables"]), "rows": int(line["rows"])}
        elif "table" in line and name in content.databases:
            content.counts[f"{name}.{line['table']}"] = int(line["count"])
            rows = content.databases[name]["rows"] + int(line["count"]) - int(line["estimate"])
            content.databases[name]["rows"] = max(0, rows)
    return content


# Positions.


def lsn_number(text: str) -> int:
    """An LSN as the number of bytes that it is."""
    high, _separator, low = text.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def lsn_text(number: int) -> str:
    return f"{number >> 32:X}/{number & 0xFFFFFFFF:X}"


def segment_name(timeline: int, number: int, segment_bytes: int) -> str:
    """The file of the WAL that holds this byte."""
    segment = number // segment_bytes
    each = (1 << 32) // segment_bytes
    return f"{timeline:08X}{segment // each:08X}{segment % each:08X}"


def segment_names(timeline: int, start: str, end: str, segment_bytes: int) -> list[str]:
    """The files of the WAL from one position up to another, which is not itself in it."""
    first, last = lsn_number(start) // segment_bytes, (lsn_number(end) - 1) // segment_bytes
    return [segment_name(timeline, number * segment_bytes, segment_bytes) for number in range(first, last + 1)]


# Files.


class NotWhole(ValueError):
    """Something in a base backup is not as it must be."""


@dataclass(frozen=True)
class Label:
    """The file backup_label."""

    start_lsn: str
    timeline: int
    begun: str


def parse_label(text: str) -> Label:
    """What the file says of where a base backup begins."""
    found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
    start = re.match(r"([0-9A-F]+/[0-9A-F]+) \(file [0-9A-F]{24}\)", found.get("START WAL LOCATION", ""))
    timeline = found.get("START TIMELINE", "")
    if not start or not timeline.isdigit():
        raise NotWhole("backup_label does not say where the backup begins")
    if found.get("BACKUP FROM") != "primary":
        raise NotWhole(f"the backup was taken from a {found.get('BACKUP FROM')}, and only a primary's can be used")
    return Label(start.group(1), int(timeline), found.get("START TIME", ""))


@dataclass(frozen=True)
class Manifest:
    """The file backup_manifest: each file of the backup with its size and SHA-256, and the WAL that it needs."""

    files: Mapping[str, tuple[int, str]]
    timeline: int
    start_lsn: str
    end_lsn: str
    system_identifier: str = ""


_CHECKSUM_LINE = re.compile(rb'"Manifest-Checksum": "([0-9a-f]{64})"\}\s*\Z')


def parse_manifest(data: bytes) -> Manifest:
    """The manifest, when it is the one that the server wrote: its last line has the checksum of all that is above."""
    start = data.rfind(b'"Manifest-Checksum"')
    line = _CHECKSUM_LINE.match(data, start) if start >= 0 else None
    if not line:
        raise NotWhole("backup_manifest has no last line")
    if hashlib.sha256(data[:start]).hexdigest().encode() != line.group(1):
        raise NotWhole("backup_manifest has another checksum than its own")
    value = json.loads(data)
    files = {}
    for entry in value["Files"]:
        path = (
            entry["Path"]
            if "Path" in entry
            else bytes.fromhex(entry["Encoded-Path"]).decode("utf-8", "surrogateescape")
        )
        if entry.get("Checksum-Algorithm") != "SHA256":
            raise NotWhole(f"backup_manifest has no SHA-256 of {path}")
        files[path] = (int(entry["Size"]), str(entry["Checksum"]))
    ranges = value.get("WAL-Ranges") or []
    if len(ranges) != 1:
        raise NotWhole(f"backup_manifest names {len(ranges)} ranges of WAL, and a primary's backup needs one")
    return Manifest(
        files,
        int(ranges[0]["Timeline"]),
        str(ranges[0]["Start-LSN"]),
        str(ranges[0]["End-LSN"]),
        str(value.get("System-Identifier") or ""),
    )


STATE_SHUT_DOWN = 1
_STATES = {
    0: "starting up",
    STATE_SHUT_DOWN: "shut down",
    2: "shut down in recovery",
    3: "shutting down",
    4: "in crash recovery",
    5: "in archive recovery",
    6: "in production",
}


@dataclass(frozen=True)
class Control:
    """The beginning of the file global/pg_control, the same since PostgreSQL 11 (catalog/pg_control.h)."""

    system_identifier: str
    version: int
    state: int
    checkpoint_lsn: str
    timeline: int

    @property
    def state_text(self) -> str:
        return _STATES.get(self.state, f"in state {self.state}")


def parse_control(data: bytes) -> Control:
    """The control file of a server on the same kind of machine."""
    if len(data) < 64:
        raise NotWhole("pg_control is cut off")
    system, version, _catalog, state, _pad, _time, checkpoint = struct.unpack_from("<QIIIIqQ", data)
    (timeline,) = struct.unpack_from("<I", data, 48)
    if not 1100 <= version < 10000 or state not in _STATES:
        raise NotWhole(f"pg_control is of no known version ({version})")
    return Control(str(system), version, state, lsn_text(checkpoint), timeline)


# Recovery.


@dataclass(frozen=True)
class Recovery:
    """What a server's log says of its recovery."""

    # The last file of the log that it took.
    file: str = ""
    # Where it stopped, and the commit time of the last transaction that is in it.
    stopped: str = ""
    position: str = ""
    last_time: str = ""
    timeline: str = ""
    # It came to the end of the log and had not met its target.
    missed: bool = False
    fatal: str = ""


def parse_recovery(lines: Sequence[str]) -> Recovery:
    """Read the lines that a server wrote, with messages in English and no prefix."""
    found: dict[str, Any] = {}
    for line in lines:
        for name, pattern in _RECOVERY.items():
            matched = pattern.search(line)
            if matched:
                found[name] = matched.group(1)
    if "last_time" in found:
        found["last_time"] = _iso(found["last_time"])
    found["missed"] = any(_MISSED in line for line in lines)
    return Recovery(**found)


_MISSED = "recovery ended before configured recovery target was reached"
_RECOVERY = {
    "file": re.compile(r'restored log file "([0-9A-F]{24})" from archive'),
    "stopped": re.compile(r"(recovery stopping (?:before|after) .+)"),
    "position": re.compile(r"(?:redo done at|current LSN:) ([0-9A-F]+/[0-9A-F]+)"),
    "last_time": re.compile(r"last completed transaction was at log time (.+)"),
    "timeline": re.compile(r"selected new timeline ID: (\d+)"),
    "fatal": re.compile(r"((?:FATAL|PANIC):  .+)"),
}


def _iso(text: str) -> str:
    """`2026-11-22 01:34:06.546566+00` as ISO 8601 in UTC."""
    text = re.sub(r"([+-]\d{2})$", r"\1:00", text.strip())
    for pattern in ("%Y-%m-%d %H:%M:%S.%f%z", "%Y-%m-%d %H:%M:%S%z"):
        try:
            return datetime.strptime(text, pattern).astimezone(timezone.utc).isoformat()
        except ValueError:
            continue
    text = re.sub(r" (GMT|UTC)$", "", text)
    try:
        return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).isoformat()
    except ValueError:
        return ""

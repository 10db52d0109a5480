# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole server of MySQL or MariaDB: what is asked of it, and how the isolated one is that restores it. Nothing here
runs anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql import identifier

DATA_DIRECTORY = "/var/lib/mysql"
# What the isolated server sees of the workspace, beside its data.
INSIDE_RUN = "/slipway/run"
INSIDE_LOG = "/slipway/log"
SOCKET = f"{INSIDE_RUN}/mysqld.sock"
CLIENT_FILE = f"{INSIDE_RUN}/client.cnf"
INIT_FILE = f"{INSIDE_RUN}/init.sql"
# The user that works in the isolated server. It goes before the data is put to rest.
RESTORE_USER = "slipway-restore"
# Own schemas of the servers; what is in `mysql` is restored as well, but nobody counts its rows.
SYSTEM_DATABASES = ("information_schema", "mysql", "performance_schema", "sys")
# Up to here all rows are counted; beyond, the servers' own estimates have to do.
COUNTED_BYTES = 1 << 30
# Nothing in a log has this server's number: an applier passes over what it takes for its own, without a word.
SERVER_ID = (1 << 32) - 2

VARIABLES = (
    *("version", "version_comment", "datadir", "server_id", "server_uuid", "read_only", "hostname"),
    *("log_bin", "log_bin_basename", "binlog_format", "sync_binlog", "gtid_mode", "gtid_executed", "gtid_binlog_pos"),
    *("binlog_expire_logs_seconds", "expire_logs_days", "binlog_encryption", "encrypt_binlog", "log_bin_compress"),
    *("innodb_flush_log_at_trx_commit", "innodb_page_size", "innodb_data_file_path", "innodb_data_home_dir"),
    *("innodb_log_group_home_dir", "innodb_undo_directory", "innodb_encrypt_tables", "lower_case_table_names"),
    *("character_set_server", "collation_server", "default_storage_engine", "explicit_defaults_for_timestamp"),
    *("innodb_checksum_algorithm", "innodb_compression_algorithm", "max_allowed_packet"),
)
# What a server must be given again to read the same files, and to mean the same by a statement of the log.
_KEPT = (
    *("lower_case_table_names", "innodb_page_size", "innodb_data_file_path", "character_set_server"),
    *("collation_server", "default_storage_engine", "explicit_defaults_for_timestamp"),
)
_VALUE = re.compile(r"[A-Za-z0-9_.:;/-]*\Z")


def variables_sql() -> str:
    """One row a variable. Which of them there are depends on the server; the others are left out."""
    names = ", ".join(f"'{name}'" for name in VARIABLES)
    return f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names});\n"


def unescape(text: str) -> str:
    """A value as the client writes it with --batch."""
    marks = {"n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
    return re.sub(r"\\(.)", lambda found: marks.get(found.group(1), found.group(1)), text)


NEW_FILE_SQL = "FLUSH BINARY LOGS;\n"


def rows(text: str) -> list[list[str]]:
    """What the client brought back."""
    return [[unescape(value) for value in line.split("\t")] for line in text.split("\n") if line]


def parse_variables(text: str) -> dict[str, str]:
    """What `variables_sql` brought back."""
    return {row[0]: row[1] for row in rows(text) if len(row) == 2 and row[0] in VARIABLES}


def is_on(value: str | None) -> bool:
    """Whether a switch is on, as either server writes it."""
    return (value or "").upper() in ("ON", "1", "YES", "TRUE")


def version_of(text: str) -> tuple[int, ...]:
    """`11.8.6-MariaDB-log` as numbers."""
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)


def basename(variables: Mapping[str, str]) -> str:
    """What the names of the log's files begin with."""
    return (variables.get("log_bin_basename") or "binlog").rsplit("/", 1)[-1]


def log_warnings(variables: Mapping[str, str], label: str, wanted: bool = True) -> list[str]:
    """What in a server's settings makes its log worth less than one would think; `wanted` when it is to be kept."""
    found: list[str] = []
    if not is_on(variables.get("log_bin")):
        if wanted:
            found.append(
                f"{label}: writes no binary log, so only points can be restored; add to its command in Compose:"
                " --log-bin=binlog --server-id=1 --sync-binlog=1 --binlog-format=ROW"
            )
        return found
    for name in ("binlog_encryption", "encrypt_binlog"):
        if wanted and is_on(variables.get(name)):
            found.append(
                f"{label}: {name} is on, and its keys are not saved, so its log cannot be used and only points can be"
                f" restored; set {name}=OFF: the repository encrypts what it is given"
            )
    if variables.get("binlog_format", "").upper() == "STATEMENT":
        found.append(
            f"{label}: binlog_format is STATEMENT, so a replay may give other rows than the original had (UUID(), LIMIT"
            " without ORDER BY); set binlog_format=ROW"
        )
    if variables.get("sync_binlog") == "0":
        found.append(
            f"{label}: sync_binlog is 0, so a loss of power may take transactions from the log that stay in the data;"
            " set sync_binlog=1"
        )
    flushed = variables.get("innodb_flush_log_at_trx_commit")
    if flushed in ("0", "2"):
        found.append(
            f"{label}: innodb_flush_log_at_trx_commit is {flushed}, so a loss of power loses up to a second of data;"
            " set it to 1"
        )
    return found


def kept_settings(variables: Mapping[str, str]) -> dict[str, str]:
    """The part of the settings that belongs into a record."""
    names = (*_KEPT, "version", "gtid_mode", "binlog_format", "log_bin")
    return {name: variables[name] for name in names if name in variables and _VALUE.match(variables[name])}


def server_arguments(settings: Mapping[str, str]) -> list[str]:
    """How any isolated server is. No file of settings is read: what there is belongs to a host that may be another one.
    It takes no connection but over its socket, runs no event, and may lose everything in a crash: what it worked on is
    thrown away then."""
    found = [
        "--no-defaults",
        f"--socket={SOCKET}",
        f"--pid-file={INSIDE_RUN}/mysqld.pid",
        "--skip-networking",
        "--event-scheduler=OFF",
        "--skip-log-bin",
        f"--server-id={SERVER_ID}",
        "--max-allowed-packet=1G",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-buffer-pool-size=256M",
        f"--init-file={INIT_FILE}",
    ]
    for name in _KEPT:
        value = settings.get(name)
        if value is not None and _VALUE.match(value):
            found.append(f"--loose-{name.replace('_', '-')}={value}")
    return found


def text(value: str) -> str:
    """A text as SQL writes it, whatever is in it."""
    plain = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\0", "\\0")
    return f"'{plain}'"


def init_sql(password: str) -> str:
    """What the isolated server does before anything else. One statement a line: the servers demand it."""
    user = f"{text(RESTORE_USER)}@'localhost'"
    return (
        f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {text(password)};\n"
        f"ALTER USER {user} IDENTIFIED BY {text(password)};\n"
        f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n"
    )


def client_file(password: str) -> str:
    """The file by which the clients in the isolated container log in."""
    return f"[client]\nuser={RESTORE_USER}\npassword={password}\nsocket={SOCKET}\n"


DROP_USER_SQL = f"DROP USER IF EXISTS {text(RESTORE_USER)}@'localhost';\n"

# How a person looks into an isolated server.
VISIT = f'exec "$(command -v mariadb || command -v mysql)" --defaults-extra-file={CLIENT_FILE}'

_CLIENT = """\
if command -v mariadb >/dev/null 2>&1; then exec mariadb "$@"; fi
exec mysql "$@"
"""


def isolated_client() -> list[str]:
    """Run SQL from stdin in the isolated container, as our own user."""
    options = ["--batch", "--skip-column-names", "--binary-mode", "--default-character-set=utf8mb4"]
    return ["sh", "-c", _CLIENT, "slipway", f"--defaults-extra-file={CLIENT_FILE}", *options]


_TRY = (
    """\
IFS= read -r MYSQL_PWD
export MYSQL_PWD
"""
    + _CLIENT
)


def try_login(user: str) -> list[str]:
    """Log in as another user, whose password is the first line on stdin."""
    return ["sh", "-c", _TRY, "slipway", f"--socket={SOCKET}", f"--user={user}", "--batch", "--execute=SELECT 1"]


def hosts_sql(user: str) -> str:
    """From where a user may log in."""
    return f"SELECT host FROM mysql.user WHERE user = {text(user)} ORDER BY host;\n"  # noqa: S608 (it is quoted)


def password_sql(user: str, hosts: Iterable[str], password: str) -> str:
    """Give a user this password."""
    return "".join(f"ALTER USER {text(user)}@{text(host)} IDENTIFIED BY {text(password)};\n" for host in hosts)


# What is in it.


@dataclass(frozen=True)
class Table:
    """A table, as the server describes it."""

    database: str
    name: str
    engine: str
    # An estimate for InnoDB.
    rows: int
    bytes: int

    @property
    def key(self) -> str:
        return f"{self.database}.{self.name}"


def tables_sql() -> str:
    """One row a table of the applications. MySQL would tell the sizes that it knew a day ago; MariaDB passes over a
    comment of a version from 50700 to 99999."""
    system = ", ".join(f"'{name}'" for name in SYSTEM_DATABASES)
    return (
        "/*!80000 SET SESSION information_schema_stats_expiry = 0 */;\n"
        "SELECT table_schema, table_name, COALESCE(engine, ''), COALESCE(table_rows, 0),"
        " COALESCE(data_length, 0) + COALESCE(index_length, 0) FROM information_schema.tables"
        f" WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ({system}) ORDER BY 1, 2;\n"
    )


def databases_sql() -> str:
    """The databases of the applications."""
    system = ", ".join(f"'{name}'" for name in SYSTEM_DATABASES)
    return (
        "SELECT schema_name FROM information_schema.schemata"  # noqa: S608 (our own names)
        f" WHERE schema_name NOT IN ({system}) ORDER BY 1;\n"
    )


def parse_tables(answer: str) -> list[Table]:
    """What `tables_sql` brought back."""
    return [Table(row[0], row[1], row[2], int(row[3]), int(row[4])) for row in rows(answer) if len(row) == 5]


def counts_sql(tables: Sequence[Table]) -> str:
    """One row a table: its place in the list and how many rows it has."""
    return "".join(
        f"SELECT {index}, COUNT(*) FROM {identifier(table.database)}.{identifier(table.name)};\n"  # noqa: S608
        for index, table in enumerate(tables)
    )


def parse_counts(answer: str, tables: Sequence[Table]) -> dict[str, int]:
    """What `counts_sql` brought back, by the tables' keys."""
    return {tables[int(row[0])].key: int(row[1]) for row in rows(answer) if len(row) == 2 and row[1].isdigit()}


@dataclass(frozen=True)
class Content:
    """What a server holds."""

    databases: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    # Rows by table, when they were counted.
    counts: Mapping[str, int] = field(default_factory=dict)
    # Tables that a physical copy of InnoDB alone would leave out.
    foreign: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        return sum(facts["rows"] for facts in self.databases.values())

    @property
    def bytes(self) -> int:
        return sum(facts["bytes"] for facts in self.databases.values())


def content(names: Iterable[str], tables: Sequence[Table], counts: Mapping[str, int]) -> Content:
    """Put together from the answers."""
    databases: dict[str, dict[str, int]] = {name: {"tables": 0, "rows": 0, "bytes": 0} for name in names}
    for table in tables:
        facts = databases.setdefault(table.database, {"tables": 0, "rows": 0, "bytes": 0})
        facts["tables"] += 1
        facts["rows"] += counts.get(table.key, table.rows)
        facts["bytes"] += table.bytes
    foreign = tuple(table.key for table in tables if table.engine.upper() not in ("INNODB", "MEMORY", "BLACKHOLE"))
    return Content(databases, dict(counts), foreign)


def check_sql(tables: Sequence[Table]) -> str:
    """Have the server read and check every table, of its own as well."""
    names = [f"{identifier(table.database)}.{identifier(table.name)}" for table in tables]
    return "".join(f"CHECK TABLE {name} EXTENDED;\n" for name in names)


# What a check may say of a sound table: some engines know no check, and a view may name what is gone.
_SOUND = re.compile(r"(OK|The storage engine for the table doesn't support check|Table is already up to date)\Z")


def parse_check(answer: str) -> list[str]:
    """The complaints in what CHECK TABLE brought back."""
    return [
        f"{row[0]}: {row[3]}"
        for row in rows(answer)
        if len(row) == 4 and row[1] == "check" and row[2] in ("status", "error", "Error") and not _SOUND.match(row[3])
    ]


def checksum_sql(tables: Sequence[Table]) -> str:
    """A checksum of every row of each table, which another server of the same version gives as well."""
    return "".join(f"CHECKSUM TABLE {identifier(table.database)}.{identifier(table.name)};\n" for table in tables)


def parse_checksums(answer: str) -> dict[str, str]:
    """What `checksum_sql` brought back."""
    return {row[0]: row[1] for row in rows(answer) if len(row) == 2}


@dataclass(frozen=True)
class LogPlace:
    """A place in a binary log: what comes before it is in the data, what comes after it is not."""

    file: str
    position: int
    # The transactions that were executed, as the server writes a set of them.
    gtid: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.position}"


# GTIDs, as far as they have to be compared.


def gtid_set(text: str) -> dict[str, list[tuple[int, int]]]:
    """MySQL's set of GTIDs: for each source (and tag) the ranges of numbers."""
    found: dict[str, list[tuple[int, int]]] = {}
    for member in re.sub(r"\s", "", text).split(","):
        if not member:
            continue
        source, *words = member.split(":")
        name = source.lower()
        for word in words:
            if not re.fullmatch(r"\d+(-\d+)?", word):
                name = f"{source.lower()}:{word.lower()}"
                continue
            first, _dash, last = word.partition("-")
            found.setdefault(name, []).append((int(first), int(last or first)))
    return found


def gtid_contained(part: str, whole: str) -> bool:
    """Whether all of a set is in another one."""
    outer = gtid_set(whole)
    for name, ranges in gtid_set(part).items():
        merged = _merge(outer.get(name, []))
        if not all(any(first >= low and last <= high for low, high in merged) for first, last in ranges):
            return False
    return True


def _merge(ranges: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def gtid_position(text: str) -> dict[int, int]:
    """MariaDB's position: the last number of each domain."""
    found: dict[int, int] = {}
    for member in re.sub(r"\s", "", text).split(","):
        words = member.split("-")
        if len(words) == 3 and all(word.isdigit() for word in words):
            found[int(words[0])] = max(found.get(int(words[0]), 0), int(words[2]))
    return found


def position_contained(part: str, whole: str) -> bool:
    """Whether a position is not after another one, in any domain."""
    outer = gtid_position(whole)
    return all(number <= outer.get(domain, -1) for domain, number in gtid_position(part).items())


def shorten(value: Any, limit: int = 500) -> str:
    """A message in one line, of a length that can be read."""
    plain = " ".join(str(value).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"

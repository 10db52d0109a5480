# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MariaDB: its own physical backup, how it is made ready, and the replay of its binary log. Nothing here runs anything.

`mariadb-backup` is in the server's image. It streams the data files while they are written to, with the redo log that
makes them one moment again, and holds commits back only while it writes down where the binary log is then.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import (
    CLIENT_FILE,
    INSIDE_LOG,
    LogPlace,
    server_arguments,
    text,
)

OLDEST = (10, 5)
OK = "completed OK!"
# What the backup tool leaves in the data directory, and the server has no use for.
LEFT_OVER = re.compile(r"(mariadb_backup_|xtrabackup_|backup-my\.cnf\Z)")
# Where the log was at the end of the backup, by the tool's names of today and of before MariaDB 11.
BINLOG_INFO = ("mariadb_backup_binlog_info", "xtrabackup_binlog_info")
INFO = ("mariadb_backup_info", "xtrabackup_info")
CHECKPOINTS = ("mariadb_backup_checkpoints", "xtrabackup_checkpoints")
# What --prepare writes: where InnoDB itself says that the log was.
BINLOG_INNODB = "xtrabackup_binlog_pos_innodb"
# The file that the image's healthcheck.sh logs in with. No backup tool takes it along.
HEALTHCHECK_FILE = ".my-healthcheck.cnf"
HEALTHCHECK_USER = "healthcheck"

# Tablespaces whose keys only the server has.
ENCRYPTED_SQL = (
    "SELECT COUNT(*) FROM information_schema.innodb_tablespaces_encryption WHERE current_key_id <> 0"
    " AND encryption_scheme = 1;\n"
)
_TOOL = """\
tool=mariadb-backup
command -v "$tool" >/dev/null 2>&1 || tool=mariabackup
"""


def backup_command(user: str, password_variable: str) -> list[str]:
    """Stream the whole server to stdout. The target directory is only named: with a stream nothing is written to it."""
    script = mysql.login(password_variable) + _TOOL + 'exec "$tool" --backup --stream=xbstream "$@"\n'
    return ["sh", "-c", script, "slipway", f"--user={user}", "--target-dir=/tmp/slipway-backup"]


# 128 and the number of the signal: KILL and TERM.
_KILLED = (137, 143)
_EXPLANATIONS = (
    (
        ("missing required privilege", "access denied; you need"),
        "this user may not make a backup; name root in x-slipway.database.user, or grant RELOAD, PROCESS, LOCK TABLES"
        " and BINLOG MONITOR on *.*",
    ),
    (("access denied for user",), "the password in the container's environment is wrong for this user"),
    (("not found", "no such file"), "the image has no mariadb-backup; use the official image, or one that has it"),
    (("server has gone away", "lost connection"), "the server ended, or closed the connection, during the backup"),
    (("no space left on device",), "a disk of the container is full"),
)


_STAMP = re.compile(r"^\[\d+\] (FATAL ERROR: )?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\s+")


def explain(stderr: str, status: int = 1) -> str:
    """The reason in the tool's complaint, with the remedy where there is a known one."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    # It lists hundreds of files; the last lines say why.
    last = [_STAMP.sub(r"\1", line) for line in lines[-12:]]
    said = "\n".join(last).lower()
    fatal = [line for line in last if re.search(r"\berror\b|failed|denied", line, re.IGNORECASE)]
    if not fatal and status in _KILLED:
        return "it was killed: the container was stopped meanwhile, or had no memory left"
    reason = (fatal or last[-1:] or ["no reason was given"])[0]
    for needles, remedy in _EXPLANATIONS:
        if any(needle in said for needle in needles):
            return f"{remedy} ({reason})"
    return reason


def parse_binlog_info(answer: str) -> LogPlace | None:
    """The tool's note of the place, `binlog.000002<tab>545<tab>0-1-4`. None when the server writes no log."""
    words = answer.strip().split("\t")
    if len(words) < 2 or not words[1].isdigit():
        return None
    gtid = words[2] if len(words) > 2 else ""
    return LogPlace(words[0].rsplit("/", 1)[-1], int(words[1]), re.sub(r"\s", "", gtid))


def parse_info(answer: str) -> dict[str, str]:
    """The tool's note of what it did."""
    pairs = (line.partition(" = ") for line in answer.splitlines())
    return {name.strip(): value.strip() for name, _equals, value in pairs if name.strip()}


def later(first: LogPlace, second: LogPlace | None) -> LogPlace:
    """Which of two places of one log comes later."""
    if second is None or (second.file, second.position) <= (first.file, first.position):
        return first
    return second


# The dump beside it.

_DUMP = """\
tool=mariadb-dump
command -v "$tool" >/dev/null 2>&1 || tool=mysqldump
exec "$tool" "$@"
"""


def dump_command(user: str, password_variable: str) -> list[str]:
    """Dump all databases with the users, as of one moment."""
    script = mysql.login(password_variable) + _DUMP
    return ["sh", "-c", script, "slipway", f"--user={user}", "--all-databases", *mysql.DUMP_ARGUMENTS]


def initialize_arguments(settings: dict[str, str], data_directory: str) -> list[str]:
    """Make an empty data directory, for a dump to be loaded into."""
    kept = [word for word in server_arguments(settings) if word.startswith("--loose-")]
    options = ["--no-defaults", f"--datadir={data_directory}", "--auth-root-authentication-method=normal"]
    return ["-c", 'exec mariadb-install-db "$@"\n', "slipway", *options, "--skip-test-db", "--skip-name-resolve", *kept]


def upgrade_command() -> list[str]:
    """Bring the server's own tables up to date, in the isolated container."""
    return ["mariadb-upgrade", f"--defaults-extra-file={CLIENT_FILE}", "--force", "--silent"]


# Making ready.

INSIDE_DATA = "/slipway/data"


def prepare_command() -> list[str]:
    """Bring the data files to one moment, in a container that has nothing but them."""
    script = _TOOL + 'exec "$tool" "$@"\n'
    # In place of the service's settings, which name files of a host that may be another one.
    options = ["--no-defaults", "--prepare", f"--target-dir={INSIDE_DATA}", "--use-memory=256M"]
    return ["-c", script, "slipway", *options]


def isolated_arguments(settings: dict[str, str], data_directory: str) -> list[str]:
    """The isolated server's arguments."""
    return [*server_arguments(settings), f"--datadir={data_directory}", "--skip-slave-start"]


_REPLAY = """\
start="$1"
shift
tool=mariadb-binlog
command -v "$tool" >/dev/null 2>&1 || tool=mysqlbinlog
client=mariadb
command -v "$client" >/dev/null 2>&1 || client=mysql
"$tool" --no-defaults --verify-binlog-checksum --start-position="$start" "$@" \\
  | "$client" --defaults-extra-file="$SLIPWAY_CLIENT" --batch --binary-mode --max-allowed-packet=1G
"""


def replay_command(place: LogPlace, names: Sequence[str]) -> list[str]:
    """Replay these files, the first from this place on. All of them in one go: a temporary table lives as long as the
    connection that made it (wal-g/wal-g#888). The files end where the target is."""
    files = [f"{INSIDE_LOG}/{name}" for name in names]
    script = f"SLIPWAY_CLIENT={CLIENT_FILE}\n{_REPLAY}"
    return ["bash", "-o", "pipefail", "-c", script, "slipway", str(place.position), *files]


_REPLAY_ERRORS = (
    (
        ("error 1062", "duplicate entry"),
        "it holds rows already that the log inserts: base and log overlap. Choose another point",
    ),
    (
        ("error 1950", "out-of-order sequence"),
        "the log's GTIDs do not follow on those of the data; choose another point",
    ),
    (
        ("error 1146", "doesn't exist", "error 1032", "can't find record"),
        "the log changes what is not there: something is missing between base and log. Choose another point",
    ),
    (
        ("error 1050", "already exists"),
        "the log makes what is there already: base and log overlap. Choose another point",
    ),
    (("checksum", "crc"), "a file of the log is damaged; choose a target before it"),
    (("no space left on device", "error 1114"), "the disk is full; make room there"),
)


def explain_replay(stderr: str) -> str:
    """The reason why a replay stopped."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and set(line.strip()) != {"-"}]
    decisive = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
    reason = " ".join(decisive[:2]) or "no reason was given"
    said = reason.lower()
    for needles, remedy in _REPLAY_ERRORS:
        if any(needle in said for needle in needles):
            return f"{remedy} ({reason})"
    return reason


# What the image wants besides.


def healthcheck_sql(hosts: Sequence[str], password: str) -> str:
    """Give the user of the image's healthcheck.sh a new password: the one it had is in a file that was not saved."""
    return "".join(
        f"ALTER USER {text(HEALTHCHECK_USER)}@{text(host)} IDENTIFIED BY {text(password)};\n" for host in hosts
    )


def healthcheck_file(password: str, socket: str = "/run/mysqld/mysqld.sock") -> str:
    """The file in the data directory that healthcheck.sh logs in with, as the image's entrypoint writes it."""
    return f"[mariadb-client]\nport=3306\nsocket={socket}\nuser={HEALTHCHECK_USER}\npassword={password}\n\n"

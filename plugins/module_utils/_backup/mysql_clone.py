# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL: a physical copy of the server by its own clone plugin, and a dump of all databases where that cannot be.

`CLONE LOCAL DATA DIRECTORY` writes a data directory that another server starts on. It neither blocks writes nor is it
spoilt by an ALTER TABLE, as a dump is, and that other server knows exactly where in the binary log the copy ends. It
copies InnoDB alone, needs as much room again in the container, and nothing that lies in the data directory beside the
tables: what of that is wanted is saved along with it. Nothing here runs anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace, rows, text, version_of

OLDEST = (8, 0, 17)
BASE_CLONE = "clone"
BASE_DUMP = "dump"
# Within the container, not in its data directory, where the server does not allow it.
PARENT = "/tmp"  # noqa: S108 (the container's own)
DIRECTORY = f"{PARENT}/slipway-clone"
# What a copy holds beside the tables of the applications.
SYSTEM_BYTES = 256 << 20
# Files of the data directory that a clone has not: settings of SET PERSIST, and the keys that clients may have learnt.
BESIDES = (
    "mysqld-auto.cnf",
    *("ca.pem", "ca-key.pem", "server-cert.pem", "server-key.pem", "client-cert.pem", "client-key.pem"),
    *("private_key.pem", "public_key.pem"),
)

# An engine that is not there is made ready for as long as the server runs and after; it does nothing by itself.
PLUGIN_SQL = "SELECT plugin_status FROM information_schema.plugins WHERE plugin_name = 'clone';\n"
INSTALL_SQL = "INSTALL PLUGIN clone SONAME 'mysql_clone.so';\n"
CLONE_SQL = f"CLONE LOCAL DATA DIRECTORY = {text(DIRECTORY)};\n"
ENCRYPTED_SQL = "SELECT COUNT(*) FROM information_schema.innodb_tablespaces WHERE encryption = 'Y';\n"
STATUS_SQL = (
    "SELECT state, error_no, binlog_file, binlog_position, gtid_executed FROM performance_schema.clone_status;\n"
)
PLACE_SQL = {True: "SHOW BINARY LOG STATUS;\n", False: "SHOW MASTER STATUS;\n"}

_ROOM = f"""\
rm -rf {DIRECTORY}
df -Pk {PARENT} | tail -n 1
"""


def place_sql(version: str) -> str:
    """Ask where the log is, in the words of the server's version."""
    return PLACE_SQL[version_of(version) >= (8, 2)]


def room_command() -> list[str]:
    """Remove what an earlier try left, and tell how much room there is."""
    return ["sh", "-c", _ROOM]


def parse_room(answer: str) -> int:
    """The free bytes in what `room_command` printed; 0 when it cannot be understood."""
    words = answer.split()
    return int(words[3]) * 1024 if len(words) >= 6 and words[3].isdigit() else 0


def besides_command(data_directory: str) -> list[str]:
    """Put the other files of the data directory to the copy, where they exist."""
    names = " ".join(BESIDES)
    script = f'cd "$1" || exit 1\nmkdir -p {DIRECTORY}/#slipway || exit 1\n'
    script += f'for name in {names}; do\n  [ ! -f "$name" ] || cp "$name" {DIRECTORY}/#slipway/ || exit 1\ndone\n'
    return ["sh", "-c", script, "slipway", data_directory]


def remove_command() -> list[str]:
    return ["rm", "-rf", DIRECTORY]


def parse_place(answer: str) -> LogPlace | None:
    """What `place_sql` brought back; None when the server writes no log."""
    for row in rows(answer):
        if len(row) >= 2 and row[1].isdigit():
            return LogPlace(row[0], int(row[1]), re.sub(r"\s", "", row[4]) if len(row) > 4 else "")
    return None


@dataclass(frozen=True)
class CloneStatus:
    """What the server says about the copy that it made, or that it was started on."""

    state: str
    error: int
    place: LogPlace | None


def parse_status(answer: str) -> CloneStatus | None:
    """What `STATUS_SQL` brought back. The place is known to a server that was started on the copy."""
    for row in rows(answer):
        if len(row) == 5:
            place = None
            if row[2] not in ("", "NULL") and row[3].isdigit():
                place = LogPlace(row[2].rsplit("/", 1)[-1], int(row[3]), re.sub(r"\s", "", row[4].replace("NULL", "")))
            return CloneStatus(row[0], int(row[1]) if row[1].lstrip("-").isdigit() else 0, place)
    return None


def why_not(
    variables: Mapping[str, str], foreign: tuple[str, ...], data_bytes: int, free_bytes: int, plugin: str
) -> str:
    """Why a clone cannot be made of this server; empty when it can."""
    if version_of(variables.get("version", "")) < OLDEST:
        return f"MySQL {variables.get('version')} has no clone plugin"
    if foreign:
        return f"it has tables that are not InnoDB's ({', '.join(foreign[:3])}), which a clone leaves empty"
    if plugin != "ACTIVE":
        return f"the clone plugin cannot be used: {plugin or 'it is not in the image'}"
    needed = data_bytes + data_bytes // 10 + SYSTEM_BYTES
    if free_bytes < needed:
        return f"{PARENT} of the container has {free_bytes >> 20} MiB free, and a clone needs {needed >> 20} MiB"
    return ""


# The dump of everything.

_DUMP = 'exec mysqldump "$@"\n'


def dump_command(user: str, password_variable: str, version: str, logs: bool, locked: bool = False) -> list[str]:
    """Dump all databases with the users, as of one moment, with the place in the log if there is one. Tables without
    transactions have no moment but that of a lock on everything (`locked`)."""
    number = version_of(version)
    arguments = ["--all-databases", f"--set-gtid-purged={'COMMENTED' if number >= (8, 0, 17) else 'OFF'}"]
    if logs:
        arguments.append("--source-data=2" if number >= (8, 0, 26) else "--master-data=2")
    script = mysql.login(password_variable) + _DUMP
    how = [word for word in mysql.DUMP_ARGUMENTS if not (locked and word == mysql.SINGLE_TRANSACTION)]
    arguments += ["--lock-all-tables"] if locked else []
    return ["sh", "-c", script, "slipway", f"--user={user}", *arguments, *how]


_SOURCE = re.compile(
    rb"^-- CHANGE (?:REPLICATION SOURCE|MASTER) TO (?:SOURCE|MASTER)_LOG_FILE='([^']+)',"
    rb" (?:SOURCE|MASTER)_LOG_POS=(\d+);",
    re.MULTILINE,
)
_PURGED = re.compile(rb"GTID_PURGED=(?:/\*!80000 '\+'\*/ )?\s*'\+?([^']*)'")
# The place stands behind the settings at the beginning.
HEAD_BYTES = 1 << 20


def dump_place(head: bytes) -> LogPlace | None:
    """The place in the log in the beginning of a dump."""
    found = _SOURCE.search(head)
    if not found:
        return None
    purged = _PURGED.search(head)
    gtid = re.sub(r"\s", "", purged.group(1).decode("ascii", "replace")) if purged else ""
    return LogPlace(found.group(1).decode("utf-8", "replace"), int(found.group(2)), gtid)

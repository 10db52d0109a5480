# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MySQL: the replay of its binary log without mysqlbinlog, which its image has no more (docker-library/mysql#907).

The files of the log become the relay logs of the isolated server, and its own applier reads them, as it would those of
a source. Three things it does not say, and each would lose transactions in silence (all measured on 9.7):

* a file that is missing between two others is passed over: the names are compared here, before;
* an event that is damaged or cut in the last file is taken for the log's end: the applier's position must come to the
  last byte of the last file, which therefore has to end with a transaction;
* events that bear the server's own number are passed over: the isolated server has one that nobody else has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql import identifier
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import (
    INSIDE_LOG,
    LogPlace,
    rows,
    server_arguments,
    shorten,
    text,
    version_of,
)

# CHANGE REPLICATION SOURCE is of 8.0.23, the names of the settings of 8.0.26.
OLDEST = (8, 0, 26)
INDEX = "relay.index"
_FILE = re.compile(r"(?P<base>.+)\.(?P<number>\d{6,10})\Z")


@dataclass(frozen=True)
class LogFile:
    """A file of the log, as it lies in the workspace."""

    name: str
    size: int
    # Where its last transaction ends; 0 when it has none.
    transactions_end: int
    # The file that it says comes next; empty when it does not say.
    rotates_to: str = ""


def is_old(version: str) -> bool:
    """Whether a server cannot replay in this way."""
    return version_of(version) < OLDEST


def follow(files: Sequence[LogFile], first: str, position: int) -> tuple[LogFile, ...]:
    """The files that are to be replayed from a position on, in order. Raises ValueError when they do not follow each
    other, or do not begin there. Files at the end that hold no transaction are left away: a server never says that it
    has read to their end."""
    found = sorted(files, key=lambda file: _number(file.name))
    found = [file for file in found if _number(file.name) >= _number(first)]
    if not found or found[0].name != first:
        raise ValueError(f"{first} is missing, in which the data's end lies")
    for before, after in zip(found, found[1:]):
        if _number(after.name) != _number(before.name) + 1:
            raise ValueError(f"between {before.name} and {after.name} a file is missing")
        if before.rotates_to and before.rotates_to != after.name:
            raise ValueError(f"{before.name} goes on in {before.rotates_to}, and {after.name} comes after it")
    while found and (not found[-1].transactions_end or (len(found) == 1 and found[0].transactions_end <= position)):
        found.pop()
    return tuple(found)


def _number(name: str) -> int:
    found = _FILE.match(name)
    if not found:
        raise ValueError(f"{name!r} is no name of a file of a binary log")
    return int(found["number"])


def behind(files: Sequence[LogFile], place: LogPlace) -> tuple[LogFile, ...]:
    """Those of the files that hold something behind a place, from its own file on. Raises ValueError when that is not
    among them, and later ones are."""
    if not place.file:
        return ()
    number = _number(place.file)
    found = tuple(file for file in files if _number(file.name) >= number)
    if not found or (len(found) == 1 and found[0].name == place.file and found[0].size <= place.position):
        return ()
    if found[0].name != place.file:
        raise ValueError(f"{place.file} is missing, in which the data's end lies")
    return found


def index_text(files: Iterable[LogFile]) -> str:
    """The index of the relay logs."""
    return "".join(f"{INSIDE_LOG}/{file.name}\n" for file in files)


def isolated_arguments(settings: Mapping[str, str], data_directory: str, relay: str = "") -> list[str]:
    """The isolated server's arguments; `relay` is what the names of the log's files begin with, when there are any.

    OFF_PERMISSIVE takes transactions with and without a GTID, whichever way the source had it, and keeps them.
    """
    found = [
        *server_arguments(settings),
        f"--datadir={data_directory}",
        "--loose-mysqlx=OFF",
        # What it is by default is a directory that the image need not have.
        "--secure-file-priv=NULL",
        "--loose-persisted-globals-load=OFF",
        "--gtid-mode=OFF_PERMISSIVE",
        "--enforce-gtid-consistency=OFF",
        "--loose-skip-replica-start=ON",
    ]
    if relay:
        found += [
            f"--relay-log={INSIDE_LOG}/{relay}",
            f"--relay-log-index={INSIDE_LOG}/{INDEX}",
            "--relay-log-recovery=OFF",
            "--relay-log-purge=OFF",
        ]
    return found


def initialize_arguments(settings: Mapping[str, str], data_directory: str) -> list[str]:
    """Make an empty data directory, as a dump is loaded into it."""
    kept = [word for word in server_arguments(settings) if word.startswith("--loose-")]
    options = [
        "--no-defaults",
        "--initialize-insecure",
        "--secure-file-priv=NULL",
        f"--datadir={data_directory}",
        *kept,
    ]
    return ["-c", 'exec mysqld "$@"\n', "slipway", *options]


def start_sql(first: LogFile, position: int) -> str:
    """Replay from a position in the first file on. The source's name is never asked: no thread connects to it."""
    return (
        f"CHANGE REPLICATION SOURCE TO RELAY_LOG_FILE={text(first.name)}, RELAY_LOG_POS={position:d},"
        " SOURCE_HOST='slipway', SOURCE_AUTO_POSITION=0;\n"
        "START REPLICA SQL_THREAD;\n"
    )


# Names and values one below the other, and no warning of a client about its own options.
STATUS_SQL = "SHOW REPLICA STATUS;\n"
WORKERS_SQL = (
    "SELECT last_error_number, last_error_message FROM performance_schema.replication_applier_status_by_worker"
    " WHERE last_error_number <> 0 ORDER BY last_error_timestamp LIMIT 1;\n"
)
STOP_SQL = "STOP REPLICA;\nRESET REPLICA ALL;\n"


@dataclass(frozen=True)
class Status:
    """How far the applier is."""

    file: str = ""
    position: int = 0
    running: bool = False
    error_number: int = 0
    error: str = ""
    state: str = ""

    @property
    def idle(self) -> bool:
        """Whether it waits for more, or believes so: transactions may still be under way in its workers."""
        return "read all relay log" in self.state.lower()


def parse_status(answer: str) -> Status:
    """What `STATUS_SQL` brought back, with the names of its columns."""
    lines = rows(answer)
    if len(lines) < 2:
        return Status()
    found = dict(zip(lines[0], lines[1]))
    return Status(
        file=found.get("Relay_Log_File", "").rsplit("/", 1)[-1],
        position=int(found.get("Relay_Log_Pos") or 0),
        running=found.get("Replica_SQL_Running") == "Yes",
        error_number=int(found.get("Last_SQL_Errno") or 0),
        error=found.get("Last_SQL_Error", ""),
        state=found.get("Replica_SQL_Running_State", ""),
    )


def at_end(status: Status, last: LogFile) -> bool:
    """Whether everything is applied: up to the last byte of the last file, which its last transaction ends."""
    return status.file == last.name and status.position == last.size


def stuck(status: Status, last: LogFile) -> str:
    """Why it will not come to the end; empty while it may. An applier that waits for more without having come to the
    end has met something that it cannot read (it may be asked twice: its position is written down a little later)."""
    if not status.running:
        return status.error or "it stopped and says no reason"
    if status.idle and not at_end(status, last):
        return f"it takes byte {status.position} of {status.file} for the end, and {last.name} has {last.size} bytes"
    return ""


_EXPLANATIONS: tuple[tuple[tuple[int, ...], str], ...] = (
    ((1062,), "it holds rows already that the log inserts: base and log overlap. Choose another point"),
    (
        (1032, 1146, 1049, 1051, 1091),
        "the log changes what is not there: something is missing between base and log. Choose another point",
    ),
    ((1007, 1050, 1060, 1061), "the log makes what is there already: base and log overlap. Choose another point"),
    ((13121, 1594, 1593), "a file of the log cannot be read here: it is damaged, or the position lies within an event"),
    ((3, 28, 1021, 1114), "the disk is full; make room there"),
    ((1153, 1301, 1197), "a transaction is larger than the server takes"),
    ((1782, 1781, 3032), "the log has transactions with and without GTIDs in a way that cannot be replayed"),
)


_WORKER = re.compile(r"^Worker \d+ failed executing transaction '[^']*' at source log \S*, end_log_pos \d+; ")


def explain(status: Status, worker: str = "") -> str:
    """The reason why the applier stopped, and what helps. The coordinator only points at its workers."""
    number, reason = status.error_number, status.error
    found = rows(worker)
    if found and len(found[0]) == 2 and found[0][0].isdigit():
        number, reason = int(found[0][0]), found[0][1]
    reason = re.sub(
        r"^(Worker \d+ failed executing transaction '[^']*' at source log \S*, end_log_pos \d+; )", "", reason
    )
    for numbers, remedy in _EXPLANATIONS:
        if number in numbers:
            return f"{remedy} ({number}: {shorten(reason, 300)})"
    return f"{number}: {shorten(reason)}" if number else shorten(reason)


# Events.

# An event that a replay makes or changes is switched off, and the server does not remember how it was meant to be
# (Event_parse_data::check_originator_id). The statements of the log say it.
_EVENT = re.compile(
    r"\s*(?:/\*.*?\*/\s*)*(?P<verb>CREATE|ALTER|DROP)\s+(?:DEFINER\s*=\s*(?:`[^`]*`|'[^']*'|[^\s@`']+)"
    r"(?:\s*@\s*(?:`[^`]*`|'[^']*'|\S+))?\s+)?EVENT\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?"
    r"(?:(?P<quoted_db>`(?:[^`]|``)+`|[^\s.`]+)\s*\.\s*)?(?P<name>`(?:[^`]|``)+`|[^\s`;(]+)(?P<rest>.*)\Z",
    re.IGNORECASE | re.DOTALL,
)
_BODY = re.compile(r"\bDO\b.*\Z", re.IGNORECASE | re.DOTALL)
_TEXTS = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"|`(?:[^`]|``)*`", re.DOTALL)
_RENAMED = re.compile(
    r"\bRENAME\s+TO\s+(?:(?P<db>`(?:[^`]|``)+`|[^\s.`]+)\s*\.\s*)?(?P<name>`(?:[^`]|``)+`|[^\s`;]+)", re.IGNORECASE
)

EVENTS_SQL = "SELECT event_schema, event_name, status FROM information_schema.events ORDER BY 1, 2;\n"
ENABLED, DISABLED = "ENABLED", "DISABLED"
OFF_BY_REPLAY = ("SLAVESIDE_DISABLED", "REPLICA_SIDE_DISABLED")


def _bare(name: str | None) -> str:
    if not name:
        return ""
    return name[1:-1].replace("``", "`") if name.startswith("`") else name


def is_event_statement(statement: str) -> bool:
    """Whether a statement may make, change or drop an event."""
    return re.search(r"\bEVENT\b", statement[:500], re.IGNORECASE) is not None


def parse_events(answer: str) -> dict[tuple[str, str], str]:
    """What `EVENTS_SQL` brought back."""
    return {(row[0], row[1]): row[2].upper() for row in rows(answer) if len(row) == 3}


def event_states(
    before: Mapping[tuple[str, str], str], statements: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], str]:
    """How the events were meant to be after these statements (each with its database), from what they were before. An
    event whose statement cannot be understood is not in it."""
    states = dict(before)
    for database, statement in statements:
        found = _EVENT.match(statement)
        if not found:
            continue
        key = (_bare(found["quoted_db"]) or database, _bare(found["name"]))
        verb = found["verb"].upper()
        if verb == "DROP":
            states.pop(key, None)
            continue
        clauses = _TEXTS.sub("''", _BODY.sub("", _TEXTS.sub(lambda text_: "'" * len(text_.group()), found["rest"])))
        state = _state(clauses)
        if verb == "CREATE":
            states[key] = state or ENABLED
        else:
            before_state = states.pop(key, "")
            renamed = _RENAMED.search(_BODY.sub("", found["rest"]))
            if renamed:
                key = (_bare(renamed["db"]) or key[0], _bare(renamed["name"]))
            if state or before_state:
                states[key] = state or before_state
    return states


def _state(clauses: str) -> str:
    if re.search(r"\bDISABLE\s+ON\s+(SLAVE|REPLICA)\b", clauses, re.IGNORECASE):
        return OFF_BY_REPLAY[1]
    if re.search(r"\bDISABLE\b", clauses, re.IGNORECASE):
        return DISABLED
    return ENABLED if re.search(r"\bENABLE\b", clauses, re.IGNORECASE) else ""


def mend_events(found: Mapping[tuple[str, str], str], meant: Mapping[tuple[str, str], str]) -> tuple[str, list[str]]:
    """The statements that give the events their states back; and the names of those whose state is not known."""
    statements, unknown = [], []
    for key, state in found.items():
        wanted = meant.get(key, "")
        if state not in OFF_BY_REPLAY or wanted in OFF_BY_REPLAY:
            continue
        name = ".".join(identifier(word) for word in key)
        if wanted == ENABLED:
            statements.append(f"ALTER EVENT {name} ENABLE;\n")
        elif wanted == DISABLED:
            statements.append(f"ALTER EVENT {name} DISABLE;\n")
        else:
            unknown.append(".".join(key))
    return "".join(statements), unknown

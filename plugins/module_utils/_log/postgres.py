# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's log, received by its own image's pg_receivewal in a container beside the server's.

It shares the server's network, so 127.0.0.1 reaches the server, and writes into `received/<lineage>/`, one directory
for each lineage. A replication slot keeps on the server what was not received yet. What pg_receivewal starts from is in
that directory (its newest file), or, when it is empty, the slot's position (PostgreSQL 15 and later; before that the
server's present one, and what lies between is copied from the server's own pg_wal).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import wal
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import LABEL_RECEIVER, Server, host_path
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage
from ansible_collections.slipway.ops.plugins.module_utils._log.source import Source, WaitingError
from ansible_collections.slipway.ops.plugins.module_utils._log.synchrony import Synchrony
from ansible_collections.slipway.ops.plugins.module_utils._log.tail import Found, Tail, TurnedBackError
from ansible_collections.slipway.ops.plugins.module_utils._state import files

KEPT_SEGMENTS = 2
FILL_SEGMENTS = 64
BACKOFF_SECONDS = (1, 2, 4, 8, 15, 30)
# How long a receiver must have run to be called a working one.
STEADY_SECONDS = 5
LOST = "lost"
SYNCHRONOUS = "synchronous"  # among the facts: the receiver that commits were told to wait for

# The password goes from the container's own variable (or the file that <variable>_FILE names) into psql's environment.
# Without a user's name it is the one that the container was given.
_FIND = """\
user="${1:-${POSTGRES_USER:-postgres}}"
password="${%(variable)s-}"
if [ -z "$password" ] && [ -n "${%(variable)s_FILE-}" ]; then password="$(cat "$%(variable)s_FILE")"; fi
"""
_ASK = (
    _FIND
    + """\
PGPASSWORD="$password" PGCONNECT_TIMEOUT=10 PGAPPNAME=slipway
export PGPASSWORD PGCONNECT_TIMEOUT PGAPPNAME
exec psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --host=127.0.0.1 --username="$user" \\
  --dbname=postgres
"""
)
_TELL = _FIND + 'printf "%%s\\n%%s" "$user" "$password"\n'

# What pg_receivewal or the server says when the newest file here is of no use to go on from.
NOT_OURS = ("is not in this server's history", "has already been removed", "is ahead of the wal flush position")
EXPLANATIONS = (
    ("no pg_hba.conf entry for replication", "add to pg_hba.conf: host replication {user} 127.0.0.1/32 scram-sha-256"),
    ("password authentication failed", "the container's variable {variable} does not hold the password of {user}"),
    ("no password supplied", "the container has no variable {variable} with the password of {user}"),
    ("permission denied", "give the role more rights: ALTER ROLE {user} REPLICATION; GRANT pg_monitor TO {user}"),
    ("must be superuser or", "give the role more rights: ALTER ROLE {user} REPLICATION; GRANT pg_monitor TO {user}"),
    ("exceeds max_wal_senders", "raise max_wal_senders and restart the server"),
    ("all replication slots are in use", "raise max_replication_slots and restart the server"),
    (
        "executable file not found",
        "the server's image has no pg_receivewal; use one that is made from the official image",
    ),
)


def ask_command(user: str, variable: str) -> list[str]:
    """Run SQL from stdin in the server's container."""
    return ["sh", "-c", _ASK % {"variable": variable}, "slipway", user]


def tell_command(user: str, variable: str) -> list[str]:
    """Print the user, and in the lines after it the password that the server's container was given."""
    return ["sh", "-c", _TELL % {"variable": variable}, "slipway", user]


def slot_name(key: str) -> str:
    """The replication slot of who receives under this name."""
    return "slipway_" + re.sub(r"[^a-z0-9_]", "_", key.lower())[:50]


def receiver_slot(key: str, name: str) -> str:
    """The slot of a receiver on another host: it makes it, and the server's own host drops it in the end."""
    return slot_name(f"{key}_{name}")


def facts_sql(slot: str) -> str:
    """All that is to be known of a server, as JSON. What fails while it recovers is not called then."""
    return f"""\
SELECT json_build_object(
  'system', (SELECT system_identifier::text FROM pg_control_system()),
  'version', current_setting('server_version_num')::int,
  'level', current_setting('wal_level'),
  'senders', current_setting('max_wal_senders')::int,
  'segment', (SELECT setting::bigint FROM pg_settings WHERE name = 'wal_segment_size'),
  'directory', current_setting('data_directory'),
  'recovery', pg_is_in_recovery(),
  'timeline', CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END,
  'flush', CASE WHEN pg_is_in_recovery() THEN '' ELSE pg_current_wal_flush_lsn()::text END,
  'keep', current_setting('max_slot_wal_keep_size'),
  'slot', (SELECT row_to_json(found) FROM (
     SELECT active, wal_status, restart_lsn::text, safe_wal_size FROM pg_replication_slots
     WHERE slot_name = '{slot}') AS found)
);
"""  # noqa: S608 (the name is made of letters, digits and _)


def make_slot_sql(slot: str, drop: bool) -> str:
    """A physical slot that keeps the log from now on, not only from its first use on."""
    first = f"SELECT pg_drop_replication_slot('{slot}');\n" if drop else ""
    return f"{first}SELECT pg_create_physical_replication_slot('{slot}', true);\n"


@dataclass(frozen=True)
class Way:
    """How a program of the server's image reaches the server: the network of its container, and libpq's settings."""

    network: str
    host: str = "127.0.0.1"
    port: int = 5432
    application: str = "slipway"
    ca_file: str = ""

    def words(self, passfile: str) -> list[str]:
        """Words for `docker run`."""
        words = [
            *("--network", self.network, "--user", "0:0", "--read-only"),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--mount", f"type=bind,source={passfile},target=/slipway/passfile,readonly"),
            *("--env", "PGPASSFILE=/slipway/passfile", "--env", f"PGAPPNAME={self.application}"),
            *("--env", f"PGHOST={self.host}", "--env", f"PGPORT={self.port}", "--env", "PGCONNECT_TIMEOUT=10"),
        ]
        if self.ca_file:
            words += ["--mount", f"type=bind,source={self.ca_file},target=/slipway/ca.pem,readonly"]
            words += ["--env", "PGSSLMODE=verify-full", "--env", "PGSSLROOTCERT=/slipway/ca.pem"]
        return words


def receive_command(
    image: str, way: Way, label: str, name: str, received: str, passfile: str, user: str, slot: str
) -> list[str]:
    """The container that receives. It ends with the connection, and is started again by who watches it."""
    return [
        *("docker", "run", "--rm", "--name", name, "--label", f"{LABEL_RECEIVER}={label}", "--log-driver", "none"),
        *way.words(passfile),
        *("--mount", f"type=bind,source={received},target=/slipway/received"),
        *("--entrypoint", "pg_receivewal", image),
        *(f"--username={user}", "--no-password", f"--slot={slot}", "--synchronous", "--no-loop"),
        "--directory=/slipway/received",
    ]


def passfile_line(user: str, password: str) -> str:
    """A line of libpq's password file."""
    fields = ["*", "*", "*", user, password]
    return ":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields) + "\n"


@contextlib.contextmanager
def passfile(path: str, user: str, password: str) -> Iterator[str]:
    """libpq's password file, for the block."""
    files.write_whole(path, passfile_line(user, password))
    try:
        yield path
    finally:
        files.remove(path)


class PostgresLog(Source):
    """The adapter."""

    # Before the next try, after so many that failed.
    backoff_seconds: tuple[int, ...] = BACKOFF_SECONDS

    def __init__(self, source: Any, tools: Any) -> None:
        super().__init__(source, tools)
        self.slot = self._own_slot()
        self._told_user = ""
        self._receiving_since: float | None = None
        self.silent_since: float | None = None
        self.facts: dict[str, Any] = dict(self.state.facts)
        self._receiver = f"slipway-log-{tools.settings.stack}-{source.key}"
        self._label = f"{tools.settings.stack}/{source.key}"
        self._clear_wanted = False
        self._behind_since: float | None = None
        self._flush_before = 0
        self.synchrony = Synchrony(
            source.receiver,
            source.receiver_patience_seconds,
            str(self.state.facts.get(SYNCHRONOUS) or ""),
            lambda name: receiver_slot(source.key, name),
            self._remember_receiver,
            lambda line: tools.say(f"{self.label}: {line}"),
            tools.now,
        )
        present = self.state.document["lineage"]
        if present:
            self.use_lineage(Lineage.named(tools.settings.stack, source.key, present))
        # A killed follower may have left something of an older lineage to be cut.
        for name in self.tools.host.names(f"{self.directory}/received"):
            with contextlib.suppress(ValueError):
                if name != present:
                    self.older.append(self.make_tail(Lineage.named(tools.settings.stack, source.key, name)))

    def _own_slot(self) -> str:
        return slot_name(self.source.key)

    def _remember_receiver(self, name: str) -> None:
        with self.state.lock:
            self.state.facts[SYNCHRONOUS] = name
            self.state.save()

    def watch(self) -> None:
        """Let commits wait for the receiver on another host while it is there."""
        server = self.server
        if self.synchrony.idle or server is None or not self._is_there(server):
            return
        try:
            self.synchrony.step(lambda sql: self.ask(server, sql, f"ask {server.name}"))
        except BackupError as error:
            self.note("receiver on another host", str(error))
        else:
            self.note("receiver on another host", self.synchrony.problem)

    @property
    def receiving(self) -> bool:
        return self._receiving_since is not None

    @property
    def segment_size(self) -> int:
        return int(self.facts.get("segment") or wal.SEGMENT_BYTES)

    def received(self, lineage: Lineage) -> str:
        return f"{self.directory}/received/{lineage.name}"

    def make_tail(self, lineage: Lineage) -> Tail:
        files.ensure_directory(self.received(lineage))
        return Tail(lineage, self.outbox, self.state, self._successor)

    def _successor(self, name: str) -> str | None:
        segment = wal.Segment.parse(name, self.segment_size)
        return segment.next.name if segment else None

    # Asking the server

    def ask(self, server: Server, sql: str, attempt: str) -> str:
        """What the server answers, without the line's end. Raises BackupError with the reason."""
        outcome = self._run(server, sql)
        if outcome.status != 0:
            raise BackupError(f"{attempt}: {self._explain(outcome)}")
        return outcome.stdout.strip()

    def _run(self, server: Server, sql: str) -> Outcome:
        return self.tools.engine.ask(server, ask_command(*self.source.login), sql)

    def _is_there(self, server: Server) -> bool:
        return self.tools.alive(server)

    def _explanations(self) -> tuple[tuple[str, str], ...]:
        """What a message holds → the remedy."""
        return EXPLANATIONS

    def _explain(self, outcome: Outcome) -> str:
        user, variable = self.source.login
        user = user or self._told_user or "<POSTGRES_USER>"
        for needle, remedy in self._explanations():
            if needle in outcome.stderr.lower():
                return remedy.format(user=user, variable=variable)
        lines = [line.strip() for line in outcome.stderr.splitlines() if line.strip()]
        return lines[-1] if lines else f"exit status {outcome.status}"

    def ask_facts(self, server: Server) -> dict[str, Any]:
        """What the server says of itself."""
        text = self.ask(server, facts_sql(self.slot), f"ask {server.name}")
        try:
            facts = json.loads(text)
        except ValueError:
            raise BackupError(f"ask {server.name}: answered {text[:200]!r}, which is no answer") from None
        if facts["recovery"]:
            raise WaitingError(f"waits until {server.name} has ended its recovery; a standby's log is not followed")
        if facts["level"] == "minimal" or int(facts["senders"]) < 1:
            raise RefusedError(
                f"{server.name} has wal_level={facts['level']} and max_wal_senders={facts['senders']}: set"
                " wal_level=replica and max_wal_senders=10, and restart it"
            )
        return dict(facts)

    # Receiving

    def receive(self) -> None:
        failures = 0
        while not self.stopping.is_set():
            try:
                if self.held:
                    raise WaitingError("does not receive: the disk is nearly full")
                self.receive_once()
            except WaitingError as error:
                self.note("receiver", str(error))
                failures = 0
            except (BackupError, OSError, ValueError) as error:
                failures = 1 if self._settle_receiver() else failures + 1
                if self.silent_since is None:
                    self.silent_since = self.tools.now()
                self.note("receiver", str(error))
            self._receiving_since = None
            self.stopping.wait(self.backoff_seconds[min(max(failures - 1, 0), len(self.backoff_seconds) - 1)])

    def _settle_receiver(self) -> bool:
        """Whether the receiver has run long enough to be called a working one; then its last problem has ended."""
        since = self._receiving_since
        if since is None or self.tools.now() - since < STEADY_SECONDS:
            return False
        self.silent_since = None
        self.note("receiver", "")
        return True

    def receive_once(self) -> None:
        """Prepare what is needed and receive until the connection ends. Raises BackupError with the reason."""
        server = self.find_server()
        self.tools.engine.remove_receivers(self._label)
        facts = self.ask_facts(server)
        tail = self._prepare(server, facts)
        with self._credentials(server) as (user, secret):
            command = receive_command(
                server.image_id,
                self._way(server),
                self._label,
                self._receiver,
                self.received(tail.lineage),
                secret,
                user,
                self.slot,
            )
            if self.stopping.is_set():
                return
            tail.distrust()
            self._receiving_since = self.tools.now()
            outcome = self.tools.engine.receive(command)
        if self.stopping.is_set():
            return
        said = outcome.stderr.lower()
        if any(text in said for text in NOT_OURS):
            self._clear_wanted = True
        raise BackupError(f"the receiver ended: {self._explain(outcome)}")

    def _way(self, server: Server) -> Way:
        return Way(f"container:{server.id}")

    @contextlib.contextmanager
    def _credentials(self, server: Server) -> Iterator[tuple[str, str]]:
        """The user, and libpq's password file, which is there for the block."""
        outcome = self.tools.engine.ask(server, tell_command(*self.source.login))
        user, found, password = outcome.stdout.partition("\n")
        if outcome.status != 0 or not found:
            raise BackupError(f"read the password in {server.name}: {self._explain(outcome)}")
        self._told_user = user
        with passfile(f"{self.directory}/passfile", user, password) as path:
            yield user, path

    def _prepare(self, server: Server, facts: dict[str, Any]) -> Tail:
        """The lineage, its directory and the slot, as this server needs them."""
        with self.state.lock:
            self.facts = facts
            self.state.facts.update({key: facts[key] for key in ("segment", "directory", "version", "timeline")})
        wal.check_segment_size(self.segment_size)
        tail = self.use_lineage(self.lineage_of(str(facts["system"])))
        timeline, flush = int(facts["timeline"], 16), wal.parse_lsn(facts["flush"])
        newest = self._newest(tail)
        if newest is not None and (newest[0] > timeline or (newest[0] == timeline and newest[1] > flush)):
            there = f"{facts['flush']} on timeline {timeline}"
            here = f"{wal.print_lsn(newest[1])} on timeline {newest[0]}"
            with contextlib.suppress(TurnedBackError):
                self.poll(tail, self.scan(tail))
            self.begin_anew(
                tail, TurnedBackError(f"was received up to {here} and the server is at {there}: it went back")
            )
            tail = self.tail or tail
        if self._clear_wanted:
            self._clear(tail)
        self._remove_unfinished(tail)
        slot = facts["slot"]
        if slot is None or slot["wal_status"] == LOST:
            self.ask(server, make_slot_sql(self.slot, slot is not None), "make the replication slot")
            if slot is not None:
                self.tools.say(
                    f"{self.label}: the server gave up the replication slot and dropped log that was not received"
                )
        return tail

    def _newest(self, tail: Tail) -> tuple[int, int] | None:
        """The timeline and the position up to which something was received."""
        ends = []
        closed = [(last, self.segment_size) for _first, last in tail.runs]
        for name, end in [*closed, *tail.open_streams.items(), *((item.name, item.end) for item in self.scan(tail))]:
            segment = wal.Segment.parse(name, self.segment_size)
            if segment is not None and end:
                ends.append((segment.timeline, segment.start + end))
        return max(ends, default=None)

    def _remove_unfinished(self, tail: Tail) -> None:
        """A receiver that was killed while it filled a new file with zeros leaves one that the next will not take."""
        directory = self.received(tail.lineage)
        for name in os.listdir(directory):
            path = f"{directory}/{name}"
            if name.endswith(wal.PARTIAL) and os.path.getsize(path) not in (0, self.segment_size):
                with open(path, "rb") as stream:
                    empty = not stream.read(wal.PAGE_BYTES).strip(b"\0")
                if empty:
                    files.remove(path)

    def lineage_changed(self, before: Tail) -> None:
        """What was received since the server went back belongs to the new lineage, and the directory it was written to
        is the old one's. It is received again, or copied from the server's own directory."""
        self.tools.engine.remove_receivers(self._label)
        self.tools.host.remove_tree(self.received(before.lineage))

    @property
    def receives(self) -> bool:
        return True

    def hold(self, held: bool) -> None:
        super().hold(held)
        if held:
            self.tools.engine.remove_receivers(self._label)

    # Cutting

    def scan(self, tail: Tail) -> list[Found]:
        """The files that were received."""
        directory = self.received(tail.lineage)
        found: dict[str, Found] = {}
        for name in sorted(os.listdir(directory)):
            path = f"{directory}/{name}"
            base = name[: -len(wal.PARTIAL)] if name.endswith(wal.PARTIAL) else name
            segment = wal.Segment.parse(base, self.segment_size)
            if wal.HISTORY_NAME.match(name):
                found[name] = Found(name, path, os.path.getsize(path), True)
            elif segment is not None and name == base:
                if os.path.getsize(path) == segment.size:
                    found[name] = Found(name, path, segment.size, True)
            elif segment is not None and base not in found:
                with contextlib.suppress(FileNotFoundError), open(path, "rb") as stream:
                    end = wal.valid_end(stream, segment.start, tail.cut_end(base))
                    found[base] = Found(base, path, min(end, segment.size), False)
        return list(found.values())

    def tick(self) -> int:
        if self.held:
            return 0
        now = self.tools.now()
        self._settle_receiver()
        for tail in list(self.older):
            self._finish(tail)
        present = self.tail
        if present is None:
            return 0
        try:
            size = self.poll(present, self.scan(present))
            self._prune(present)
        except TurnedBackError as error:
            self.begin_anew(present, error, finish=True)
            return 0
        except FileNotFoundError:
            # The receiver, or a new lineage, took a name away that was there a moment ago.
            return 0
        self.seen = now
        return size

    def _finish(self, tail: Tail) -> None:
        """Cut the rest of an older lineage, and then remove what was received of it."""
        with contextlib.suppress(FileNotFoundError, TurnedBackError):
            self.poll(tail, self.scan(tail))
            if not tail.settled:
                return
        self.older = [item for item in self.older if item is not tail]
        self.tools.host.remove_tree(self.received(tail.lineage))

    def _prune(self, tail: Tail) -> None:
        """Remove what was received and cut; the newest stays, since the receiver goes on from there."""
        directory = self.received(tail.lineage)
        names = sorted(name for name in os.listdir(directory) if wal.Segment.parse(name, self.segment_size))
        for name in names[:-KEPT_SEGMENTS]:
            if tail.is_done(name):
                files.remove(f"{directory}/{name}")
        partials = sorted(
            (wal.Segment.parse(name[: -len(wal.PARTIAL)], self.segment_size), name)
            for name in os.listdir(directory)
            if name.endswith(wal.PARTIAL) and wal.Segment.parse(name[: -len(wal.PARTIAL)], self.segment_size)
        )
        for segment, name in partials[:-1]:
            # The last file of a timeline that was left: it will never be finished.
            newest = partials[-1][0]
            left = segment and newest and segment.timeline < newest.timeline and segment.number <= newest.number
            if left and tail.settled:
                files.remove(f"{directory}/{name}")

    def _clear(self, tail: Tail) -> None:
        """Let the receiver begin from its slot again: what is here cannot be gone on from, and goes when it is cut."""
        self.poll(tail, self.scan(tail))
        if not tail.settled:
            raise WaitingError("waits until what was received is cut, to begin at the slot's position")
        directory = self.received(tail.lineage)
        for name in os.listdir(directory):
            if not wal.HISTORY_NAME.match(name):
                files.remove(f"{directory}/{name}")
        tail.poll([], self.seen, ())
        self._clear_wanted = False
        self.tools.say(f"{self.label}: what was received is of no use to go on from; begins at the slot's position")

    # Holes

    def missing(self) -> list[wal.Segment]:
        """The segments that are missing on each timeline between its first one and the last one that was cut."""
        if self.tail is None:
            return []
        size, found = self.segment_size, []
        held: dict[int, set[int]] = {}
        for first, last in self.tail.closed:
            low, high = wal.Segment.parse(first, size), wal.Segment.parse(last, size)
            if low and high:
                held.setdefault(low.timeline, set()).update(range(low.number, high.number + 1))
        unfinished: dict[int, set[int]] = {}
        for name in self.tail.unfinished:
            segment = wal.Segment.parse(name, size)
            if segment:
                unfinished.setdefault(segment.timeline, set()).add(segment.number)
        for timeline in sorted({*held, *unfinished}):
            numbers = held.get(timeline, set())
            known = numbers | unfinished.get(timeline, set())
            begin, newest = min(known), max(known)
            history = files.read_text(f"{self.received(self.tail.lineage)}/{timeline:08X}.history")
            if history and timeline > min([*held, *unfinished]):
                begin = min(begin, wal.parse_history(history, timeline).path[-1][1] // size)
            # A segment without a known end that others follow has lost it; the last one just goes on.
            found += [wal.Segment(timeline, number, size) for number in range(begin, newest) if number not in numbers]
        return found

    def fill(self, server: Server) -> int:
        """Copy missing segments from the server's own directory, as far as it still has them; returns how many."""
        if self.tail is None or not self.facts.get("directory"):
            return 0
        source = host_path(server, f"{self.facts['directory']}/pg_wal")
        target = self.received(self.tail.lineage)
        count, begun = 0, dict[int, int]()
        for segment in self.missing()[:FILL_SEGMENTS]:
            if segment.timeline not in begun:
                begun[segment.timeline] = self._begun(source, segment.timeline)
            if segment.number < begun[segment.timeline] and self._copy_segment(source, target, segment):
                count += 1
        if count:
            self.tools.say(f"{self.label}: filled {count} missing segments from the server's own directory")
        return count

    def _begun(self, source: str, timeline: int) -> int:
        """The last segment that the server has begun: those before it are complete. It keeps old files under the names
        of segments to come; these do not bear their own position."""
        segments = [wal.Segment.parse(name, self.segment_size) for name in self.tools.host.names(source)]
        for segment in sorted((item for item in segments if item and item.timeline == timeline), reverse=True):
            with contextlib.suppress(OSError, RefusedError):
                header = wal.read_header(f"{source}/{segment.name}")
                if header is not None and header.address == segment.start:
                    return segment.number
        return 0

    def _copy_segment(self, source: str, target: str, segment: wal.Segment) -> bool:
        """The copy is looked at, not the original, which the server may give another name and use again meanwhile."""
        try:
            temporary = f"{target}/.{segment.name}"
            original = os.open(f"{source}/{segment.name}", os.O_RDONLY | os.O_NOFOLLOW)
            copy = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(original, "rb") as reader, open(copy, "r+b") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
                complete = wal.segment_is_complete(writer, segment)
                writer.flush()
                os.fsync(writer.fileno())
        except FileNotFoundError:
            return False
        if not complete:
            files.remove(temporary)
            return False
        os.rename(temporary, f"{target}/{segment.name}")
        files.sync_directory(target)
        return True

    # Telling

    def audit(self) -> dict[str, Any]:
        server = self.server
        if server is None or not self._is_there(server):
            return {"server": ""}
        facts = self.ask_facts(server)
        if self.missing():
            self.fill(server)
        flush = wal.parse_lsn(facts["flush"])
        newest = self._newest(self.tail) if self.tail else None
        received = newest[1] if newest else 0
        now = self.tools.now()
        if received >= self._flush_before:
            self._behind_since = None
        elif self._behind_since is None:
            self._behind_since = now
        self._flush_before = flush
        slot = facts["slot"] or {}
        found: dict[str, Any] = {
            "server": server.name,
            "timeline": int(facts["timeline"], 16),
            "server_lsn": facts["flush"],
            "received_lsn": wal.print_lsn(received),
            "receiving": self.receiving,
            "slot_active": bool(slot.get("active")),
            "wal_status": slot.get("wal_status") or LOST,
            "safe_wal_size": slot.get("safe_wal_size"),
            "max_slot_wal_keep_size": facts["keep"],
            "behind_seconds": round(now - self._behind_since) if self._behind_since else 0,
            "unreceived_seconds": round(now - self.silent_since) if self.silent_since else 0,
        }
        if slot.get("restart_lsn"):
            found["retained_bytes"] = max(0, flush - wal.parse_lsn(slot["restart_lsn"]))
        doubtful = found["wal_status"] in ("unreserved", LOST)
        self.note("slot", f"the replication slot is {found['wal_status']}: the server drops log" if doubtful else "")
        return found

    def holes(self) -> list[str]:
        return [f"segment {segment.name}" for segment in self.missing()]

    def position(self) -> str:
        ends = []
        for name, end in self._cut_ends():
            segment = wal.Segment.parse(name, self.segment_size)
            if segment is not None:
                ends.append((segment.timeline, segment.start + end))
        return wal.print_lsn(max(ends)[1]) if ends else ""

    def _cut_ends(self) -> list[tuple[str, int]]:
        if self.tail is None:
            return []
        return [*((last, self.segment_size) for _first, last in self.tail.runs), *self.tail.open_streams.items()]

    def stop(self) -> None:
        super().stop()
        with contextlib.suppress(BackupError):
            self.tools.engine.remove_receivers(self._label)

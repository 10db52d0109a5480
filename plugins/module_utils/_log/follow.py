# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Follow the logs of a stack: receive, cut, send, look after it, and say how it stands.

Each of these has threads of its own, so that none waits for another: a repository that does not answer, a server that
does not, or a large file that is packed, never stops what comes from being received and cut. What waits is on the disk,
bounded in two steps: when more than the budget waits for a repository, only whole files are made for it (each byte once
instead of up to four times); when the disk is nearly full, nothing is received or cut any more, and the servers keep
their logs themselves: PostgreSQL by its replication slot (within max_slot_wal_keep_size), MySQL and MariaDB until they
expire.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup import metrics
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_POSTGRESQL,
    BackupError,
    BusyError,
    RefusedError,
    human_bytes,
    human_seconds,
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._log import status as statuses
from ansible_collections.slipway.ops.plugins.module_utils._log.binlogs import BinaryLog
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Piece, by_stream, coverage, superfluous
from ansible_collections.slipway.ops.plugins.module_utils._log.outbox import Waiting
from ansible_collections.slipway.ops.plugins.module_utils._log.postgres import PostgresLog
from ansible_collections.slipway.ops.plugins.module_utils._log.postgres_remote import RemotePostgresLog
from ansible_collections.slipway.ops.plugins.module_utils._log.rclone import DENIALS, LogRepository
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools, Source, WaitingError
from ansible_collections.slipway.ops.plugins.module_utils._log.store import Access, Sender, Sent, Store
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# Small objects go by themselves, so that none of them waits for a large one.
BULK_BYTES = 1 << 20
URGENT_OBJECTS = 500
BULK_OBJECTS = 4
BACKOFF_SECONDS = (1, 2, 4, 8, 15, 30)
STATUS_SECONDS = 5.0
IDLE_SECONDS = 1.0
STOP_SECONDS = 15.0
# How much more than the reserve must be free for writing to begin again.
RELEASE_FACTOR = 1.25
TIDY_AT_ONCE = 2000


class Sending(Protocol):
    """What sends: `store.Sender`."""

    def send(self, root: str, pieces: Sequence[Piece]) -> Sent: ...

    def close(self) -> None: ...


class Reading(Protocol):
    """What reads a repository: `store.Store`."""

    def pieces(self, prefix: str = "") -> list[Piece]: ...

    def directories(self, prefix: str) -> list[str]: ...

    def check(self, piece: Piece) -> int: ...

    def delete(self, pieces: Sequence[Piece]) -> None: ...


def make_source(source: LogSource, tools: LogTools, stores: Sequence[Reading] = ()) -> Source:
    """The adapter of a source's kind. `stores` are the stack's repositories."""
    if source.remote is not None:
        return RemotePostgresLog(source, tools, [store.directories for store in stores])
    return PostgresLog(source, tools) if source.kind == SOURCE_POSTGRESQL else BinaryLog(source, tools)


def is_bulk(item: Waiting) -> bool:
    return item.piece.whole or item.stored >= BULK_BYTES


class Shipper:
    """Sends what waits for one repository: small objects in one lane, large ones in the other."""

    def __init__(self, repository: LogRepository, sources: Sequence[Source], sender: Sending, tools: LogTools) -> None:
        self.repository = repository
        self._sources = sources
        self._sender = sender
        self._tools = tools
        self._lock = threading.Lock()
        self._failing_since: dict[bool, float] = {}
        self.error = ""
        self.last_sent: dict[str, float] = {}
        self._news = {bulk: threading.Event() for bulk in (False, True)}

    def wake(self) -> None:
        """Something may wait."""
        for event in self._news.values():
            event.set()

    def step(self, bulk: bool) -> bool:
        """Send one batch of a lane, if something waits; whether it did. Raises BackupError."""
        name = self.repository.name
        for source in self._sources:
            waiting = [item.piece for item in source.outbox.waiting(name) if is_bulk(item) == bulk]
            batch = waiting[: BULK_OBJECTS if bulk else URGENT_OBJECTS]
            if not batch:
                continue
            try:
                sent = self._sender.send(source.outbox.directory(name), batch)
            except BackupError as error:
                self._failed(bulk, str(error))
                raise
            self._works(bulk)
            source.outbox.remove(name, sent.done)
            if sent.conflicts:
                source.outbox.set_aside(name, sent.conflicts)
                self._tools.say(
                    f"{source.label}: {sent.conflicts[0].path} is in the repository {name} with another content, and"
                    f" was put aside here ({len(sent.conflicts)} of this kind); look whether two hosts write one log"
                )
            if sent.done:
                self.last_sent[source.source.key] = self._tools.now()
            return True
        return False

    def _failed(self, bulk: bool, error: str) -> None:
        with self._lock:
            self._failing_since.setdefault(bulk, self._tools.now())
            if error != self.error:
                self.error = error
                self._tools.say(error)

    def _works(self, bulk: bool) -> None:
        with self._lock:
            since = self._failing_since.pop(bulk, None)
            if since is not None and not self._failing_since:
                self.error = ""
                where = public_url(self.repository.url)
                self._tools.say(f"repository {where}: works again after {human_seconds(self._tools.now() - since)}")

    def run(self, bulk: bool, stopping: threading.Event) -> None:
        """A lane's thread."""
        failures = 0
        while not stopping.is_set():
            try:
                if self.step(bulk):
                    failures = 0
                    continue
                self._news[bulk].wait(IDLE_SECONDS)
                self._news[bulk].clear()
            except BackupError:
                stopping.wait(BACKOFF_SECONDS[min(failures, len(BACKOFF_SECONDS) - 1)])
                failures += 1

    def status(self, source: Source, now: float) -> dict[str, Any]:
        """How this repository stands for a source."""
        name = self.repository.name
        objects, size = source.outbox.totals(name)
        oldest = source.outbox.oldest(name)
        found: dict[str, Any] = {
            "url": public_url(self.repository.url),
            "unsent_objects": objects,
            "unsent_bytes": size,
            "unsent_seconds": max(0, round(now - oldest)) if oldest else 0,
            "conflicts": source.outbox.conflicts(name),
            "error": self.error,
        }
        if source.source.key in self.last_sent:
            found["sent_timestamp_seconds"] = round(self.last_sent[source.source.key])
        return found


class Inspector:
    """Looks into one repository now and then: is there what was sent, and what is superfluous there?"""

    def __init__(self, repository: LogRepository, sources: Sequence[Source], store: Reading, tools: LogTools) -> None:
        self.repository = repository
        self._sources = sources
        self._store = store
        self._tools = tools
        self._may_delete = tools.settings.tidy and not repository.append_only
        self.missing: dict[str, list[str]] = {}
        self.inspected: dict[str, float] = {}

    def step(self) -> None:
        """Look once. Raises BackupError when the repository cannot be read."""
        for source in self._sources:
            tail = source.tail
            if tail is None:
                continue
            pieces = self._store.pieces(tail.lineage.path)
            held = {stream.name: coverage(group) for stream, group in by_stream(pieces).items()}
            waiting = {item.piece.stream.name for item in source.outbox.waiting(self.repository.name)}
            names = [name for name in tail.closed_names() if name not in waiting]
            # What is older than everything that is there was let go.
            begin = next((index for index, name in enumerate(names) if name in held), 0)
            gone = [name for name in names[begin:] if name not in held or not held[name].complete]
            key = source.source.key
            if gone and gone != self.missing.get(key):
                self._tools.say(
                    f"{source.label}: {gone[0]} was sent to the repository {self.repository.name} and is not whole"
                    f" there ({len(gone)} of this kind); look for a rule that deletes. Make a new recovery point"
                )
            self.missing[key] = gone
            self.inspected[key] = self._tools.now()
            if self._may_delete:
                self._tidy(pieces)

    def _tidy(self, pieces: Sequence[Piece]) -> None:
        """Delete what another object holds as well, once that was read back."""
        useless: list[Piece] = []
        for group in by_stream(pieces).values():
            victims = superfluous(group)
            keepers = [piece for piece in group if piece not in victims]
            needed = [keeper for keeper in keepers if any(_covers(keeper, victim) for victim in victims)]
            for keeper in needed:
                self._store.check(keeper)
            useless += victims
            if len(useless) >= TIDY_AT_ONCE:
                break
        if not useless:
            return
        try:
            self._store.delete(useless)
        except BackupError as error:
            if not any(remedy in str(error) for remedy in DENIALS):
                raise
            self._may_delete = False
            self._tools.say(f"{error}; superfluous objects of the log stay there")

    def run(self, stopping: threading.Event) -> None:
        """The thread."""
        while not stopping.wait(self._tools.settings.inspect_seconds):
            try:
                self.step()
            except BackupError as error:
                self._tools.say(str(error))


def _covers(keeper: Piece, victim: Piece) -> bool:
    return keeper.start <= victim.start and victim.end <= keeper.end


@contextmanager
def alone(path: str, stack: str) -> Iterator[None]:
    """One follower a stack: two would cut the same streams."""
    files.ensure_directory(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BusyError(
                f"the logs of stack {stack} are followed already: systemctl status slipway-backup-follow-{stack}"
            ) from None
        yield
    finally:
        os.close(descriptor)


class Follower:
    """All of it. `senders` and `stores` are given by tests."""

    def __init__(
        self,
        tools: LogTools,
        senders: Callable[[LogRepository], Sending] | None = None,
        stores: Callable[[LogRepository], Reading] | None = None,
    ) -> None:
        settings = tools.settings
        if not settings.sources:
            raise RefusedError(
                f"stack {settings.stack}: has no database whose log could be followed; stop this service"
            )
        self.tools = tools
        self.stopping = threading.Event()
        accesses = {item.name: Access(item, tools.place.known_hosts(item.name)) for item in settings.repositories}
        reading = [stores(item) if stores else Store(accesses[item.name]) for item in settings.repositories]
        self.sources = [make_source(source, tools, reading) for source in settings.sources]
        self._senders = {
            item.name: senders(item) if senders else Sender(Store(accesses[item.name]))
            for item in settings.repositories
        }
        self.shippers = [Shipper(item, self.sources, self._senders[item.name], tools) for item in settings.repositories]
        self.inspectors = [
            Inspector(item, self.sources, store, tools) for item, store in zip(settings.repositories, reading)
        ]
        self._audits: dict[str, dict[str, Any]] = {}
        self._audited: dict[str, float] = {}
        # When last everything that was there had been cut.
        self._seen: dict[str, float] = {}
        self._held = False
        self._failure: BaseException | None = None

    # One round of each kind of work; tests call them one by one

    def tick(self) -> int:
        """Look after the disk and all sources once; returns how many bytes were cut."""
        self.guard_disk()
        return sum(self.tick_source(source) for source in self.sources)

    def tick_source(self, source: Source) -> int:
        begun = self.tools.now()
        try:
            size = source.tick()
        except WaitingError as error:
            source.note("follow", str(error))
            source.stuck_since = None
            return 0
        except (BackupError, OSError) as error:
            source.note("follow", str(error))
            source.stuck_since = source.stuck_since or self.tools.now()
            return 0
        source.note("follow", "")
        source.stuck_since = None
        if not self._held:
            self._seen[source.source.key] = begun
        if size:
            for shipper in self.shippers:
                shipper.wake()
        return size

    def guard_disk(self) -> None:
        """Stop writing before the disk is full, and go on when there is room again."""
        reserve = self.tools.settings.reserve_bytes
        free = self.tools.host.free_bytes(self.tools.place.root)
        held = free < reserve * (RELEASE_FACTOR if self._held else 1)
        if held == self._held:
            return
        self._held = held
        state = "nothing is received or cut any more, the servers keep their logs" if held else "goes on"
        kept = f"{human_bytes(free)} are free of {human_bytes(reserve)} to be kept"
        self.tools.say(f"{self.tools.place.root}: {kept}: {state}")
        for source in self.sources:
            source.hold(held)

    def audit(self) -> None:
        """Ask all servers how they see it."""
        for source in self.sources:
            key = source.source.key
            # From before: what it tells of the server is at least as new.
            begun = self.tools.now()
            source.changed = False
            try:
                self._audits[key] = source.audit()
                self._audited[key] = begun
                source.note("audit", "")
            except WaitingError as error:
                source.note("audit", str(error))
                source.changed = True
            except (BackupError, OSError, ValueError) as error:
                source.note("audit", f"could not be looked after: {error}")
            missing = source.holes()
            advice = "a restore cannot pass it; make a new recovery point"
            source.note("holes", f"{missing[0]} is missing ({len(missing)} in all): {advice}" if missing else "")

    def status(self) -> dict[str, Any]:
        """How it stands."""
        now = self.tools.now()
        found: dict[str, Any] = {"stack": self.tools.settings.stack, "epoch": round(now, 3), "pid": os.getpid()}
        found["interval_seconds"] = self.tools.settings.interval_seconds
        found["held"] = self._held
        sources: dict[str, Any] = {}
        for source in self.sources:
            key = source.source.key
            record: dict[str, Any] = {
                "kind": source.source.kind,
                "service": source.source.service,
                "lineage": source.tail.lineage.name if source.tail else "",
                "position": source.position(),
                "holes": source.holes(),
                "problems": source.problems,
                "repositories": {},
                **self._audits.get(key, {}),
            }
            if isinstance(source, PostgresLog):
                record["receiving"] = source.receiving
                if source.synchrony.name:
                    record["receiver"] = source.synchrony.name
                    record["waits_for_receiver"] = source.synchrony.waits and not source.synchrony.problem
            if key in self._seen:
                record["seen_timestamp_seconds"] = math.floor(self._seen[key])
            record["uncut_seconds"] = round(now - source.stuck_since) if source.stuck_since else 0
            if key in self._audited:
                record["audit_timestamp_seconds"] = math.floor(self._audited[key])
            for shipper, inspector in zip(self.shippers, self.inspectors):
                state = shipper.status(source, now)
                state["missing"] = inspector.missing.get(key, [])
                record["repositories"][shipper.repository.name] = state
            record["loss_seconds"] = statuses.loss_seconds(record)
            sources[key] = record
        found["sources"] = sources
        return found

    def publish(self) -> None:
        """Write the status, and the figures of all stacks for node_exporter when it is there."""
        place = self.tools.place
        files.ensure_directory(os.path.dirname(place.status))
        files.write_json(place.status, self.status())
        metrics.publish(place.place, "log.json", "slipway_log.prom", statuses.render_metrics)

    # The threads

    def run(self, outdated: Callable[[], bool] = lambda: False) -> None:
        """Follow until `stop` is called, or until this program is outdated. Raises what ended a thread, so that the
        service is started again."""
        settings = self.tools.settings
        names = ", ".join(source.source.service for source in self.sources)
        self.tools.say(f"follows the logs of stack {settings.stack}: {names}")
        threads = self._start()
        try:
            while not self.stopping.wait(IDLE_SECONDS):
                self.guard_disk()
                if outdated():
                    self.tools.say("this program was replaced: ends, to be started anew")
                    self.stop()
        finally:
            self._end(threads)
        if self._failure is not None:
            raise self._failure
        self.tools.say(f"the logs of stack {settings.stack} are followed no more: {self._left()}")

    def stop(self) -> None:
        self.stopping.set()

    def _start(self) -> list[threading.Thread]:
        jobs: list[tuple[str, Callable[[], None]]] = [("audit", self._look_after)]
        for source in self.sources:
            jobs.append((f"follow {source.source.key}", lambda source=source: self._follow(source)))  # type: ignore[misc]
            jobs.append((f"work {source.source.key}", lambda source=source: self._work(source)))  # type: ignore[misc]
            if source.receives:
                jobs.append((f"receive {source.source.key}", source.receive))
        for shipper in self.shippers:
            for bulk in (False, True):
                jobs.append(
                    ("send", lambda shipper=shipper, bulk=bulk: shipper.run(bulk, self.stopping))  # type: ignore[misc]
                )
        for inspector in self.inspectors:
            jobs.append(("inspect", lambda inspector=inspector: inspector.run(self.stopping)))  # type: ignore[misc]
        threads = [threading.Thread(target=self._guarded(job), name=name, daemon=True) for name, job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _guarded(self, job: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                job()
            except BaseException as error:
                self._failure = self._failure or error
                self.stopping.set()

        return run

    def _follow(self, source: Source) -> None:
        interval = self.tools.settings.interval_seconds
        while not self.stopping.is_set():
            begun = time.monotonic()
            self.tick_source(source)
            self.stopping.wait(max(0.0, interval - (time.monotonic() - begun)))

    def _work(self, source: Source) -> None:
        while not self.stopping.is_set():
            try:
                if source.work():
                    for shipper in self.shippers:
                        shipper.wake()
                    continue
                source.note("work", "")
            except (BackupError, OSError) as error:
                source.note("work", str(error))
            self.stopping.wait(IDLE_SECONDS)

    def _look_after(self) -> None:
        audited = float("-inf")
        while not self.stopping.is_set():
            late = time.monotonic() - audited >= self.tools.settings.audit_seconds
            # What was told of another server is not true any more.
            if late or any(source.changed for source in self.sources):
                audited = time.monotonic()
                self.audit()
            for source in self.sources:
                source.watch()
            with contextlib.suppress(OSError):
                self.publish()
            self.stopping.wait(STATUS_SECONDS)

    def _end(self, threads: Sequence[threading.Thread]) -> None:
        """Stop receiving, cut what came last, and try once to send it."""
        self.stopping.set()
        for source in self.sources:
            source.stop()
        limit = threading.Timer(STOP_SECONDS, self._close_senders)
        limit.daemon = True
        limit.start()
        try:
            self.tick()
            for shipper in self.shippers:
                with contextlib.suppress(BackupError):
                    while shipper.step(bulk=False):
                        pass
        finally:
            limit.cancel()
            self._close_senders()
        for thread in threads:
            thread.join(timeout=2)
        with contextlib.suppress(OSError, BackupError):
            self.publish()

    def _close_senders(self) -> None:
        for sender in self._senders.values():
            sender.close()

    def _left(self) -> str:
        objects = sum(source.outbox.totals(name)[0] for source in self.sources for name in source.outbox.repositories)
        return f"{objects} objects wait to be sent" if objects else "all of it is sent"


def follow(
    tools: LogTools,
    ready: Callable[[Follower], None] = lambda follower: None,
    outdated: Callable[[], bool] = lambda: False,
) -> None:
    """Follow as the stack's only follower. `ready` is told of it before it begins: that is who may stop it. It ends by
    itself when `outdated` says so."""
    with alone(tools.place.lock, tools.settings.stack):
        follower = Follower(tools)
        ready(follower)
        follower.run(outdated)

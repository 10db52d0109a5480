# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One lease for every job that changes a stack: release, backup, restore, prune.

The record names its owner, process, boot, heartbeat and fencing number. It is read and written under flock and is
never unlinked (a waiter could otherwise hold the lock of an orphaned file). A holder that died, or whose heartbeat is
older than its TTL, is taken over; the fencing number then tells the old holder that it lost the lease.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._state import files

DIRECTORY = files.STATE_DIRECTORY + "/lease"
INIT_PROCESS = 1  # lives as long as the machine is up


class LeaseError(Exception):
    """The lease cannot be had or was lost."""


class LeaseHeld(LeaseError):
    """Another living job holds the lease."""


class LeaseLost(LeaseError):
    """Another job took the lease over, because our heartbeat stopped for longer than the TTL."""


def boot_id() -> str:
    return (files.read_text("/proc/sys/kernel/random/boot_id") or "").strip()


def process_start(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when it is not alive. Tells a reused number apart."""
    stat = files.read_text(f"/proc/{pid}/stat")
    if stat is None:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])


def holder_died(record: dict[str, Any], boot: str) -> bool:
    """Whether the process that took it, on this machine, is gone."""
    return record.get("boot_id") != boot or process_start(int(record["pid"])) != record.get("process_start")


def is_stale(record: dict[str, Any], now: float, boot: str) -> bool:
    """True when nobody holds the lease any more: released, holder dead, machine rebooted, or TTL passed."""
    if not record.get("owner") or holder_died(record, boot):
        return True
    return now - float(record["heartbeat"]) > float(record["ttl_seconds"])


def describe(record: dict[str, Any]) -> str:
    since = datetime.fromtimestamp(float(record["since"]), timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    place = f" on {record['host']}" if record.get("host") else ""
    return f"{record['owner']} (process {record['pid']}{place}) since {since}"


class Slot(Protocol):
    """Where the record of one lease lies."""

    def exchange(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Replace the record by what `edit` makes of it, in one step; what `edit` raises leaves it as it is."""


class Lease:
    """A held lease. `check()` before a step that must not run after a take-over."""

    # What a heartbeat may meet without an end: the next one tries again.
    passing: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, name: str, slot: Slot, record: dict[str, Any]) -> None:
        self.name = name
        self.record = record
        self._slot = slot
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{name}", daemon=True)

    @property
    def fencing(self) -> int:
        return int(self.record["fencing"])

    def check(self) -> None:
        self._slot.exchange(self._ours)

    def renew(self) -> None:
        self._slot.exchange(lambda current: dict(self._ours(current), heartbeat=time.time()))

    def _ours(self, current: dict[str, Any]) -> dict[str, Any]:
        if current.get("fencing") != self.fencing or not current.get("owner"):
            holder = describe(current) if current.get("owner") else "another job"
            raise LeaseLost(
                f"lease {self.name}: lost to {holder}; nothing more is changed. Run again when it has ended"
            )
        return current

    def _beat(self) -> None:
        while not self._stop.wait(float(self.record["ttl_seconds"]) / 4):
            with contextlib.suppress(LeaseLost, *self.passing):
                self.renew()

    def start(self) -> None:
        self._thread.start()

    def leave_until_reboot(self, owner: str, ttl_seconds: float) -> None:
        """Hold on beyond this process as `owner`, until the machine has booted anew or the time has passed."""
        self._end()
        init = {"pid": INIT_PROCESS, "process_start": process_start(INIT_PROCESS)}
        # The number after ours: releasing what we held does not touch it.
        ours = {
            **init,
            "owner": owner,
            "heartbeat": time.time(),
            "ttl_seconds": ttl_seconds,
            "fencing": self.fencing + 1,
        }
        self._slot.exchange(lambda current: {**self._ours(current), **ours})

    def release(self) -> None:
        self._end()
        empty = {"name": self.name, "fencing": self.fencing}
        self._slot.exchange(lambda current: empty if current.get("fencing") == self.fencing else current)

    def _end(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)


class _File:
    """A record in a file, changed under flock."""

    def __init__(self, name: str, directory: str) -> None:
        self._name = name
        self._directory = directory

    def exchange(self, edit: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        with _locked(self._name, self._directory) as current:
            changed = edit(current)
            if changed is not current:
                _store(self._name, self._directory, changed)


@contextlib.contextmanager
def _locked(name: str, directory: str) -> Iterator[dict[str, Any]]:
    descriptor = os.open(os.path.join(directory, f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield _load(name, directory)
    finally:
        os.close(descriptor)


def _load(name: str, directory: str) -> dict[str, Any]:
    try:
        record = files.read_json(os.path.join(directory, f"{name}.json"))
    except ValueError:
        record = None
    return record if isinstance(record, dict) else {}


def _store(name: str, directory: str, record: dict[str, Any]) -> None:
    files.sweep(directory, f".{name}.json.")
    files.write_json(os.path.join(directory, f"{name}.json"), record, 0o600)


def holder(name: str, directory: str = DIRECTORY) -> dict[str, Any] | None:
    """The record of the living holder, or None. Reads only."""
    record = _load(name, directory)
    return None if is_stale(record, time.time(), boot_id()) else record


class _Taken(Exception):
    def __init__(self, record: dict[str, Any]) -> None:
        super().__init__()
        self.record = record


def claim(
    slot: Slot,
    name: str,
    owner: str,
    ttl_seconds: float,
    wait_seconds: float,
    is_free: Callable[[dict[str, Any]], bool],
    holder_of: Callable[[str, Slot, dict[str, Any]], Lease] = Lease,
    more: Mapping[str, Any] | None = None,
) -> Lease:
    """Take what `is_free` calls free, or raise LeaseHeld with its owner after `wait_seconds`."""
    deadline = time.monotonic() + wait_seconds
    token = uuid.uuid4().hex
    mine: dict[str, Any] = {}

    def take(current: dict[str, Any]) -> dict[str, Any]:
        if current.get("token") == token:
            return current  # an attempt that seemed to fail had come through
        if not is_free(current):
            raise _Taken(current)
        now = time.time()
        mine.update(
            more or {},
            name=name,
            owner=owner,
            token=token,
            pid=os.getpid(),
            process_start=process_start(os.getpid()),
            boot_id=boot_id(),
            since=now,
            heartbeat=now,
            ttl_seconds=ttl_seconds,
            fencing=int(current.get("fencing", 0)) + 1,
        )
        return dict(mine)

    while True:
        try:
            slot.exchange(take)
        except _Taken as taken:
            if time.monotonic() >= deadline:
                raise LeaseHeld(
                    f"lease {name}: held by {describe(taken.record)}, so {owner} cannot start; "
                    "wait until it has ended and run again"
                ) from None
            time.sleep(min(1.0, max(0.05, deadline - time.monotonic())))
            continue
        held = holder_of(name, slot, mine)
        held.start()
        return held


def acquire(
    name: str,
    owner: str,
    ttl_seconds: float = 300,
    wait_seconds: float = 0,
    directory: str = DIRECTORY,
    steers: bool = True,
) -> Lease:
    """Take the lease, or raise LeaseHeld with its owner after `wait_seconds`.

    `steers`: the job says itself where requests go, so nobody else may meanwhile.
    """
    files.ensure_directory(directory, 0o700)
    return claim(
        _File(name, directory),
        name,
        owner,
        ttl_seconds,
        wait_seconds,
        lambda record: is_stale(record, time.time(), boot_id()),
        more={"steers": steers},
    )


@contextlib.contextmanager
def lease(
    name: str,
    owner: str,
    ttl_seconds: float = 300,
    wait_seconds: float = 0,
    directory: str = DIRECTORY,
    steers: bool = True,
) -> Iterator[Lease]:
    """`with lease("fleet", "backup", ttl_seconds=300):` runs the block as the stack's only job."""
    held = acquire(name, owner, ttl_seconds, wait_seconds, directory, steers)
    try:
        yield held
    finally:
        held.release()

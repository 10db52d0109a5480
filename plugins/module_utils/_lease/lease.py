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
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

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


def is_stale(record: dict[str, Any], now: float, boot: str) -> bool:
    """True when nobody holds the lease any more: released, holder dead, machine rebooted, or TTL passed."""
    if not record.get("owner"):
        return True
    if record.get("boot_id") != boot:
        return True
    if process_start(int(record["pid"])) != record.get("process_start"):
        return True
    return now - float(record["heartbeat"]) > float(record["ttl_seconds"])


def describe(record: dict[str, Any]) -> str:
    since = datetime.fromtimestamp(float(record["since"]), timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"{record['owner']} (process {record['pid']}) since {since}"


class Lease:
    """A held lease. `check()` before a step that must not run after a take-over."""

    def __init__(self, name: str, directory: str, record: dict[str, Any]) -> None:
        self.name = name
        self.record = record
        self._directory = directory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{name}", daemon=True)

    @property
    def fencing(self) -> int:
        return int(self.record["fencing"])

    def check(self) -> None:
        with _locked(self.name, self._directory) as current:
            self._assert_ours(current)

    def _assert_ours(self, current: dict[str, Any]) -> None:
        if current.get("fencing") != self.fencing or not current.get("owner"):
            holder = describe(current) if current.get("owner") else "another job"
            raise LeaseLost(
                f"lease {self.name}: lost to {holder}; nothing more is changed. Run again when it has ended"
            )

    def _beat(self) -> None:
        while not self._stop.wait(float(self.record["ttl_seconds"]) / 4):
            with contextlib.suppress(OSError, LeaseLost), _locked(self.name, self._directory) as current:
                self._assert_ours(current)
                _store(self.name, self._directory, dict(current, heartbeat=time.time()))

    def start(self) -> None:
        self._thread.start()

    def leave_until_reboot(self, owner: str, ttl_seconds: float) -> None:
        """Hold on beyond this process as `owner`, until the machine has booted anew or the time has passed."""
        self._stop.set()
        self._thread.join(timeout=5)
        with _locked(self.name, self._directory) as current:
            self._assert_ours(current)
            init = {"pid": INIT_PROCESS, "process_start": process_start(INIT_PROCESS)}
            kept = dict(current, **init, owner=owner, heartbeat=time.time(), ttl_seconds=ttl_seconds)
            # The number after ours: releasing what we held does not touch it.
            _store(self.name, self._directory, dict(kept, fencing=self.fencing + 1))

    def release(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)
        with _locked(self.name, self._directory) as current:
            if current.get("fencing") == self.fencing:
                _store(self.name, self._directory, {"name": self.name, "fencing": self.fencing})


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
    files.write_json(os.path.join(directory, f"{name}.json"), record, 0o600)


def holder(name: str, directory: str = DIRECTORY) -> dict[str, Any] | None:
    """The record of the living holder, or None. Reads only."""
    record = _load(name, directory)
    return None if is_stale(record, time.time(), boot_id()) else record


def acquire(
    name: str, owner: str, ttl_seconds: float = 300, wait_seconds: float = 0, directory: str = DIRECTORY
) -> Lease:
    """Take the lease, or raise LeaseHeld with its owner after `wait_seconds`."""
    files.ensure_directory(directory, 0o700)
    deadline = time.monotonic() + wait_seconds
    while True:
        with _locked(name, directory) as current:
            now = time.time()
            if is_stale(current, now, boot_id()):
                record = {
                    "name": name,
                    "owner": owner,
                    "pid": os.getpid(),
                    "process_start": process_start(os.getpid()),
                    "boot_id": boot_id(),
                    "since": now,
                    "heartbeat": now,
                    "ttl_seconds": ttl_seconds,
                    "fencing": int(current.get("fencing", 0)) + 1,
                }
                _store(name, directory, record)
                held = Lease(name, directory, record)
                held.start()
                return held
        if time.monotonic() >= deadline:
            raise LeaseHeld(
                f"lease {name}: held by {describe(current)}, so {owner} cannot start; "
                "wait until it has ended and run again"
            )
        time.sleep(min(1.0, max(0.05, deadline - time.monotonic())))


@contextlib.contextmanager
def lease(
    name: str, owner: str, ttl_seconds: float = 300, wait_seconds: float = 0, directory: str = DIRECTORY
) -> Iterator[Lease]:
    """`with lease("fleet", "backup", ttl_seconds=300):` runs the block as the stack's only job."""
    held = acquire(name, owner, ttl_seconds, wait_seconds, directory)
    try:
        yield held
    finally:
        held.release()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Armed changes on this host: files under /var/lib/slipway/armed, a transient timer, a unit for the next boot."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._armed import snapshot as snapshots
from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import Snapshot
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError, sync_directory
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import FILE, PathState

SYSTEM = "/etc/systemd/system"
CONFIRMED = "confirmed"
REVERTED = "reverted"
ARMED = "armed"
NOTHING = "nothing"
NEXT = "armed.json.next"


@dataclass(frozen=True)
class Status:
    name: str
    state: str
    why: str = ""
    at: float = 0.0  # when it was armed or put back
    left_seconds: float = 0.0
    failed: str = ""

    @property
    def line(self) -> str:
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.at))
        if self.state == ARMED:
            return f"{self.name}: armed at {when}, puts itself back in {max(0, round(self.left_seconds))} s"
        if self.state == REVERTED:
            rest = f"; could not put back:{self.failed}" if self.failed else ""
            return f"{self.name}: put back at {when}, {self.why}{rest}"
        if self.state == NOTHING:
            return f"{self.name}: nothing is armed by this name"
        return f"{self.name}: {self.state}"


class Store:
    def __init__(self, host: Host) -> None:
        self.host = host

    @contextlib.contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        os.makedirs(snapshots.ROOT, mode=0o700, exist_ok=True)
        with open(f"{snapshots.directory_of(name)}.lock", "w", encoding="ascii") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def arm(self, snapshot: Snapshot) -> None:
        """Have everything in place that puts the change back, before it is made."""
        with self._locked(snapshot.name):
            self._refuse_shared(snapshot)
            old = self._read(snapshot.name)
            whole = snapshots.merged(old, snapshot)
            state = snapshots.directory_of(whole.name)
            try:
                self._remember(whole)
                self._start_timer(whole)
                # last, so that nothing is armed without a timer, wherever this process may be killed
                os.replace(f"{state}/{NEXT}", f"{state}/armed.json")
                sync_directory(state)
            except (OSError, HostError) as error:
                if old is None:
                    self._forget(whole.name)
                reason = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
                raise HostError(
                    f"armed change {whole.name}: it could not be armed, so nothing was changed: {reason}"
                ) from error

    def _remember(self, whole: Snapshot) -> None:
        """What an earlier arming stored stays as it is until the new list takes its place."""
        state = snapshots.directory_of(whole.name)
        os.makedirs(f"{state}/files", mode=0o700, exist_ok=True)
        os.makedirs(f"{state}/data", mode=0o700, exist_ok=True)
        for index, (_path, before) in enumerate(whole.paths):
            if before.kind == FILE:
                self.host.write_file(
                    f"{state}/files/{index}", before.content or b"", before.mode, before.owner, before.group
                )
        for name, text in whole.data:
            self._write(f"{state}/data/{name}", text, "0600")
        self._write(f"{state}/revert.sh", snapshots.script(whole), "0700")
        unit = snapshots.boot_unit_of(whole.name)
        self._write(f"{SYSTEM}/{unit}", snapshots.boot_unit(whole.name), "0644")
        os.makedirs(f"{SYSTEM}/sysinit.target.wants", mode=0o755, exist_ok=True)
        self.host.make_link(f"{SYSTEM}/sysinit.target.wants/{unit}", f"../{unit}")
        self._write(f"{state}/{NEXT}", snapshots.manifest(whole, time.time()), "0600")

    def _start_timer(self, whole: Snapshot) -> None:
        timer = snapshots.timer_of(whole.name)
        self.host.run(["systemctl", "stop", f"{timer}.timer"])
        self.host.run(["systemctl", "reset-failed", f"{timer}.timer", f"{timer}.service"])
        done = self.host.run(
            [
                "systemd-run", "--quiet", "--collect", f"--unit={timer}",
                f"--on-active={whole.limit_seconds}s", "--timer-property=AccuracySec=500ms",
                "/bin/sh", f"{snapshots.directory_of(whole.name)}/revert.sh",
            ]
        )  # fmt: skip
        if done.code != 0:
            raise HostError(f"its timer could not be started: {done.said}")

    def _refuse_shared(self, snapshot: Snapshot) -> None:
        for name in self.names():
            other = self._read(name) if name != snapshot.name and self.status(name).state == ARMED else None
            both = snapshots.shared_paths(snapshot, other) if other is not None else []
            if both:
                raise HostError(
                    f"armed change {snapshot.name}: {both[0]} belongs to the armed change {name} too, which waits for"
                    f" its confirmation; run `slipway confirm {name}` or `slipway confirm {name} --revert` first"
                )

    def confirm(self, name: str) -> Status:
        with self._locked(name):
            status = self.status(name)
            if status.state == ARMED:
                self._forget(name)
                return Status(name, CONFIRMED)
            return status

    def told(self, name: str) -> Status:
        """What was put back since the last run, once it is over; the next time there is nothing to tell."""
        status = self.settled(name)
        if status.state == REVERTED:
            with self._locked(name):
                self._drop_told(name)
        return status

    def _drop_told(self, name: str) -> None:
        if self.status(name).state == REVERTED:
            shutil.rmtree(snapshots.directory_of(name), ignore_errors=True)

    def revert(self, name: str, why: str) -> Status:
        """Put it back now. The script takes the lock itself."""
        if self.status(name).state == ARMED:
            told = " ".join(why.replace('"', "'").replace("\\", "/").split())[
                :500
            ]  # it becomes a JSON string in the shell
            self.host.run(["/bin/sh", f"{snapshots.directory_of(name)}/revert.sh", told])
        return self.status(name)

    def status(self, name: str) -> Status:
        state = snapshots.directory_of(name)
        armed = self._json(f"{state}/armed.json")
        if armed:
            at = float(armed.get("armed_at", 0))
            return Status(name, ARMED, at=at, left_seconds=at + float(armed.get("limit_seconds", 0)) - time.time())
        back = self._json(f"{state}/reverted.json")
        if back:
            return Status(
                name,
                REVERTED,
                why=str(back.get("why", "")),
                at=float(back.get("reverted_at", 0)),
                failed=str(back.get("failed", "")),
            )
        return Status(name, NOTHING)

    def settled(self, name: str) -> Status:
        """The status once a script that is putting things back right now has ended."""
        if not os.path.isdir(snapshots.ROOT):
            return Status(name, NOTHING)
        with self._locked(name):
            return self.status(name)

    def names(self) -> list[str]:
        try:
            entries = sorted(os.listdir(snapshots.ROOT))
        except FileNotFoundError:
            return []
        return [name for name in entries if os.path.isdir(snapshots.directory_of(name))]

    def _read(self, name: str) -> Snapshot | None:
        state = snapshots.directory_of(name)
        found = self._json(f"{state}/armed.json")
        if not found:
            shutil.rmtree(state, ignore_errors=True)
            return None
        paths: list[tuple[str, PathState]] = []
        for index, item in enumerate(found["paths"]):
            before = PathState(item["kind"], item["mode"], item["owner"], item["group"], target=item["target"])
            if before.kind == FILE:
                with open(f"{state}/files/{index}", "rb") as handle:
                    before = replace(before, content=handle.read())
            paths.append((item["path"], before))
        return Snapshot(
            name=name,
            limit_seconds=int(found["limit_seconds"]),
            paths=tuple(paths),
            sysctls=tuple(found["sysctls"].items()),
            commands=tuple(tuple(command) for command in found["commands"]),
            live=tuple((what, tuple(lines)) for what, lines in found.get("live", [])),
            data=tuple((item, self.host.text(f"{state}/data/{item}")) for item in found.get("data", [])),
            lock=found.get("lock", ""),
        )

    def _forget(self, name: str) -> None:
        """The removal of armed.json is the moment of confirmation; the rest is tidying."""
        state = snapshots.directory_of(name)
        with contextlib.suppress(FileNotFoundError):
            self.host.remove(f"{state}/armed.json")
        self.host.run(["systemctl", "stop", f"{snapshots.timer_of(name)}.timer"])
        unit = snapshots.boot_unit_of(name)
        for path in (f"{SYSTEM}/sysinit.target.wants/{unit}", f"{SYSTEM}/{unit}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        shutil.rmtree(state, ignore_errors=True)

    def _write(self, path: str, text: str, mode: str) -> None:
        self.host.write_file(path, text.encode("utf-8", "surrogateescape"), mode, "root", "root")

    def _json(self, path: str) -> dict[str, Any]:
        try:
            found = json.loads(self.host.text(path) or "{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

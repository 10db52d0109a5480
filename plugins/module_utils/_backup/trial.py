# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One trial of a drill: one point, one target, put together, started, checked, measured, and thrown away."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import Choice, adapters_of
from ansible_collections.slipway.ops.plugins.module_utils._backup.manifest import stored
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_MARIADB,
    SOURCE_MYSQL,
    BackupError,
    RefusedError,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import RESERVE_BYTES, space_problems
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_DRILL,
    Adapter,
    Beside,
    Prepared,
    Tools,
    Workspace,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.stage import Stage, missing_service
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target

# What each server of a drill needs at least, however little data it has.
MEMORY_BYTES = 384 << 20


class NotHere(RefusedError):
    """This host cannot hold the drill now: that says nothing of any point."""


@dataclass(frozen=True)
class Scope:
    """What of a point is tried: everything, or the databases alone, of them these; and whether the stack's own servers
    are started on them."""

    files: bool = True
    serve: bool = True
    thorough: bool = True
    keys: frozenset[str] | None = None


@dataclass
class Findings:
    """What was found and measured, in seconds."""

    databases: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    smoke: dict[str, Any] | None = None
    # How long each part took until it served, and how old the newest of it was when the drill began.
    rto: dict[str, float] = field(default_factory=dict)
    rpo: dict[str, float] = field(default_factory=dict)
    rto_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def rpo_seconds(self) -> float | None:
        return max(self.rpo.values()) if self.rpo else None

    def as_dict(self) -> dict[str, Any]:
        return {**vars(self), "rpo_seconds": self.rpo_seconds}


class Trial:
    """A trial. `run` leaves nothing behind, however it ends, but for a kill."""

    def __init__(
        self, tools: Tools, drill_id: str, began: datetime, choice: Choice, target: Target, scope: Scope
    ) -> None:
        self.tools = tools
        self.drill_id = drill_id
        self.began = began
        self.choice = choice
        self.target = target
        self.scope = scope
        self.found = Findings()
        self._adapters = adapters_of(tools, choice.manifest)
        smoke = tools.settings.drill.smoke
        self._smoke = smoke if scope.files and scope.serve else None
        self._stage = Stage(tools, drill_id, tools.place.drill_work, shared=self._smoke is not None)
        # Checking all of it takes time that a restore does not spend.
        self._checking = 0.0

    @property
    def besides(self) -> list[tuple[Beside, dict[str, Any]]]:
        keys = self.scope.keys
        return [
            (adapter, record)
            for adapter, record in self._adapters
            if isinstance(adapter, Beside) and (keys is None or adapter.source.key in keys)
        ]

    @property
    def others(self) -> list[tuple[Adapter, dict[str, Any]]]:
        return [(a, record) for a, record in self._adapters if not isinstance(a, Beside)] if self.scope.files else []

    def preflight(self) -> None:
        """Refuse what this host has no room for."""
        problems = space_problems(self.tools, self.besides, self.choice, None)
        free, servers = self.tools.host.free_memory(), len(self.besides)
        needed = MEMORY_BYTES * (servers if self._smoke else min(servers, 1))
        if free is not None and free < needed:
            problems.append(
                f"{human_bytes(free)} of memory are free and the drill's servers need {human_bytes(needed)}; choose a"
                " quieter hour (backup_drill_schedule)"
            )
        if self._smoke is not None:
            if self.tools.container(self._smoke.service) is None:
                problems.append(missing_service(self._smoke.service))
            families = [_family(adapter) for adapter, _record in self.besides]
            for family in sorted({name for name in families if families.count(name) > 1}):
                problems.append(
                    f"the stack has several servers of kind {family}, which cannot listen on one port in the drill's"
                    " network; leave backup_drill_smoke_command empty"
                )
        if problems:
            raise NotHere("; ".join(problems))

    def run(self) -> Findings:
        """Do it. Raises BackupError with the reason why the point, or the log, does not lead to the target."""
        self.preflight()
        self.tools.host.make_empty(self.tools.place.drill_work)
        begun = self.tools.host.now()
        try:
            self._run()
            self.found.rto_seconds = round(self._since(begun) - self._checking, 1)
            if self._smoke is not None:
                volumes = {record["volume"]: record["unpacked"] for record in self.found.files.values()}
                self.found.smoke = self._stage.smoke(self._smoke, volumes)
            return self.found
        finally:
            self.clear()

    def _run(self) -> None:
        prepared = [(adapter, record, *self._prepare(adapter, record)) for adapter, record in self.besides]
        for adapter, record in self.others:
            begun = self.tools.host.now()
            key = adapter.source.key
            for item in stored(record):
                self.tools.fetch(self.choice.point, item, adapter.label)
            for path in adapter.paths(record):
                self._unpack(adapter, record, path)
            self.found.rto[key] = round(self._since(begun), 1)
            self.found.rpo[key] = round((self.began - self.choice.point.time).total_seconds(), 1)
        for adapter, record, workspace, found in prepared if self.scope.serve else []:
            begun = self.tools.host.now()
            served = self._stage.serve(adapter, record, found, workspace)
            self.found.databases[adapter.source.key]["served_by"] = served["image"]
            self.found.rto[adapter.source.key] = round(self.found.rto[adapter.source.key] + self._since(begun), 1)

    def _prepare(self, adapter: Beside, record: Mapping[str, Any]) -> tuple[Workspace, Prepared]:
        begun = self.tools.host.now()
        key = adapter.source.key
        workspace = adapter.workspace(self.drill_id, PURPOSE_DRILL)
        prepared = adapter.prepare(record, self.choice.point, self.target, workspace, self.scope.thorough)
        seconds, checking = self._since(begun), float(prepared.facts.get("checking_seconds") or 0)
        self._checking += checking
        reach = self.choice.reaches.get(key)
        coverage = reach.coverage if reach else None
        until = (coverage.end_time if coverage else None) or datetime.fromisoformat(str(record["end_time"]))
        self.found.rto[key] = round(seconds - checking, 1)
        self.found.rpo[key] = round(max(0.0, (self.began - until).total_seconds()), 1)
        self.found.warnings += prepared.warnings
        self.found.databases[key] = {
            **{name: value for name, value in prepared.as_dict().items() if name not in ("data", "key", "warnings")},
            "seconds": round(seconds, 1),
            "until": until.isoformat(),
            "by_log": coverage is not None,
        }
        return workspace, prepared

    def _unpack(self, adapter: Adapter, record: Mapping[str, Any], path: str) -> None:
        """Write the files as a restore does, and compare them with the repository's list and the manifest. Their
        contents are compared by restic, which takes no block whose SHA-256 is not its name."""
        host, point = self.tools.host, self.choice.point
        where = f"{self.tools.place.drill_work}/files"
        size = int(record.get("bytes") or 0)
        free = host.free_bytes(self.tools.place.state)
        if free < size + RESERVE_BYTES:
            raise NotHere(
                f"{self.tools.place.state}: {human_bytes(free)} are free and {adapter.label} needs"
                f" {human_bytes(size + RESERVE_BYTES)}; make room there"
            )
        self.tools.progress(f"unpacking {adapter.label}: {human_bytes(size)}")
        self.tools.repository.unpack(point.snapshot, where, path)
        listed = self.tools.repository.count(point.snapshot, [path])[path]
        unpacked = host.tally(where + path)
        if unpacked != listed or (record.get("files") and not listed[0]):
            raise BackupError(
                f"point {point.name}: {adapter.label} comes back as {unpacked[0]} files with {unpacked[1]} bytes; the"
                f" point lists {listed[0]} with {listed[1]}, its manifest {record.get('files')}"
            )
        self.found.files[adapter.source.key] = {
            "volume": str(record.get("volume") or ""),
            "unpacked": where + path,
            "files": unpacked[0],
            "bytes": unpacked[1],
        }

    def _since(self, begun: datetime) -> float:
        return (self.tools.host.now() - begun).total_seconds()

    def clear(self) -> None:
        """Remove all that the trial made; what cannot be removed now goes with the next drill."""
        for adapter, _record in self.besides:
            with suppress(BackupError, OSError):
                adapter.discard(adapter.workspace(self.drill_id, PURPOSE_DRILL))
        with suppress(BackupError, OSError):
            self._stage.end()


def _family(adapter: Adapter) -> str:
    return SOURCE_MYSQL if adapter.source.kind == SOURCE_MARIADB else adapter.source.kind

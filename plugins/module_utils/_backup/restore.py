# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a stack's data back from a recovery point.

Nothing is overwritten before the point's data is on the host and compared with its manifest. What is replaced is kept:
the database as a point of its own (or, when it cannot be read, as its files, put aside), volumes as directories beside
the live ones. A journal says how far a restore came; after a kill the same command goes on and ends it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import manifest as manifests
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point, read_status
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_BEFORE_RESTORE,
    BackupError,
    Point,
    RefusedError,
    human_bytes,
    human_seconds,
    point_name,
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_source import MysqlAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PREVIOUS,
    Adapter,
    InPlace,
    SourceError,
    Tools,
    adapter_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

LATEST = "latest"
HEALTHY_SECONDS = 300
RESERVE_BYTES = 256 << 20
# Images that hold a cache or a queue: they are left running, what they hold is not part of a point.
STORES = ("redis", "valkey", "keydb", "dragonfly", "memcached", "rabbitmq")

STEP_BEGUN = "begun"
STEP_SAVED = "present data saved"
STEP_STOPPED = "services stopped"
STEP_RESTORED = "data restored"
STEP_STARTED = "services started"
STEP_ENDED = "ended"


@dataclass
class Plan:
    """What a restore will do."""

    point: Point
    manifest: dict[str, Any]
    lines: list[str]
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {**self.point.as_dict(), "plan": self.lines, "problems": self.problems, "warnings": self.warnings}


def choose(points: Sequence[Point], wanted: str, stack: str) -> tuple[Point, list[str]]:
    """The point that was asked for, and what should be known about the choice. The latest is the newest one that was
    read back, and never one that holds what an earlier restore replaced."""
    if wanted != LATEST:
        for point in points:
            if point.name == wanted:
                doubt = [] if point.verified else [f"point {point.name} was never read back"]
                return point, doubt
        near = ", ".join(point.name for point in list(points)[-3:]) or "none"
        raise RefusedError(
            f"point {wanted}: there is none of this name for stack {stack} (newest: {near});"
            f" list them: slipway backup points --stack {stack}"
        )
    regular = [point for point in points if point.kind != KIND_BEFORE_RESTORE]
    good = [point for point in regular if point.verified]
    if not good:
        rest = f"{len(regular)} that were never read back" if regular else "none at all"
        raise RefusedError(
            f"point latest: stack {stack} has no point that was read back ({rest}); name one with --point"
        )
    passed = [point.name for point in regular if point.name > good[-1].name]
    warnings = [f"passed over {', '.join(passed)}: never read back"] if passed else []
    return good[-1], warnings


def is_store(container: Container) -> bool:
    """Whether a container is a cache or a queue."""
    name = container.image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
    return name.startswith(STORES)


def _adapters(tools: Tools, found: dict[str, Any]) -> list[tuple[Adapter, dict[str, Any]]]:
    return [(adapter_of(record, tools), record) for record in found["sources"]]


def to_stop(tools: Tools, adapters: Sequence[tuple[Adapter, dict[str, Any]]]) -> list[Container]:
    """The running containers that work with the data."""
    databases = {adapter.source.service for adapter, _record in adapters if adapter.is_database}
    return [
        container
        for container in tools.docker.containers(tools.settings.stack)
        if container.running and container.service not in databases and not is_store(container)
    ]


def make_plan(tools: Tools, wanted: str, safety: bool = True) -> Plan:
    """Look at everything a restore needs; changes nothing."""
    journal = read_journal(tools)
    point, warnings = choose(tools.repository.points(), wanted, tools.settings.stack)
    if journal and wanted == LATEST and journal["point"] != point.name:
        raise RefusedError(
            f"a restore of point {journal['point']} was interrupted ({journal['step']}); end it first: slipway restore"
            f" --point {journal['point']} --confirm {tools.settings.stack}, or name the other point"
        )
    path = f"{tools.place.spool}/{manifests.NAME}"
    try:
        value = json.loads(tools.repository.fetch_text(point.snapshot, path))
    except ValueError as error:
        raise RefusedError(f"point {point.name}: its manifest cannot be read; choose another point") from error
    found = manifests.check_manifest(value, tools.settings.stack, point.name)
    adapters = _adapters(tools, found)
    problems = [problem for adapter, record in adapters for problem in adapter.check_target(record)]
    if not problems:
        problems += _space_problems(tools, adapters)
    age = (tools.host.now() - point.time).total_seconds()
    stopped = [container.name for container in to_stop(tools, adapters)]
    total = manifests.totals(found["sources"])
    lines = [
        f"point {point.name} ({point.kind}, {human_seconds(age)} old, {total['rows']} rows, {total['files']} files,"
        f" {human_bytes(total['bytes'])}) from {public_url(tools.settings.url)}",
        f"everything that was written after {point.time.isoformat()} is replaced",
    ]
    if journal:
        lines.append(f"goes on with the restore that was interrupted: {journal['step']}")
    elif safety:
        lines.append("save the present data as a point of its own (before-restore)")
    else:
        lines.append("the present database is NOT saved first")
    lines.append(f"stop {', '.join(stopped)}" if stopped else "no service has to be stopped")
    lines += [adapter.plan(record) for adapter, record in adapters]
    lines.append("start the services again and wait until they are healthy")
    return Plan(point, found, lines, problems, warnings)


def _space_problems(tools: Tools, adapters: Sequence[tuple[Adapter, dict[str, Any]]]) -> list[str]:
    needed: dict[str, int] = {}
    for adapter, record in adapters:
        path, size = adapter.space_needed(record)
        needed[path] = needed.get(path, 0) + size
    problems = []
    for path, size in sorted(needed.items()):
        free = tools.host.free_bytes(path)
        if size and free < size + RESERVE_BYTES:
            problems.append(
                f"{path}: {human_bytes(free)} are free and the restore needs {human_bytes(size + RESERVE_BYTES)};"
                " make room there"
            )
    return problems


def read_journal(tools: Tools) -> dict[str, Any] | None:
    """The journal of a restore that did not come to its end."""
    value = files.read_json(tools.place.journal)
    return value if isinstance(value, dict) and value.get("step") != STEP_ENDED else None


def restore(tools: Tools, wanted: str, confirm: str, safety: bool = True) -> dict[str, Any]:
    """Do it. The caller holds the stack's lease."""
    stack = tools.settings.stack
    check_confirmed(stack, confirm)
    plan = make_plan(tools, wanted, safety)
    if plan.problems:
        raise RefusedError("; ".join(plan.problems))
    started = tools.host.now()
    for line in [*plan.warnings, *plan.lines]:
        tools.progress(line)
    journal = read_journal(tools)
    if journal is None or journal["point"] != plan.point.name:
        earlier = journal or {}
        journal = {
            "id": earlier.get("id") or point_name(started),
            "point": plan.point.name,
            "started": started.isoformat(),
            # What an interrupted restore saved, put aside and stopped stays so when another point is chosen after it.
            "saved": earlier.get("saved", ""),
            "previous": earlier.get("previous", []),
            "stopped": earlier.get("stopped", []),
            "anew": [],
        }
    work = _Restore(tools, plan, journal)
    try:
        summary = work.run(started, safety)
    except BaseException as error:
        message = str(error) or f"stopped by {type(error).__name__}"
        files.append_json_line(tools.place.history, work.event("failed", message))
        raise
    files.append_json_line(tools.place.history, work.event("done", ""))
    return summary


def check_confirmed(stack: str, confirm: str) -> None:
    """A restore replaces live data: its target must have been named."""
    if confirm != stack:
        named = f"'{confirm}' was named" if confirm else "nothing was named"
        raise RefusedError(
            f"restore of stack {stack}: {named}, so nothing is overwritten; say --confirm {stack} when you mean it"
        )


class _Restore:
    """One restore: its steps, each of which may run again."""

    def __init__(self, tools: Tools, plan: Plan, journal: dict[str, Any]) -> None:
        self.tools = tools
        self.plan = plan
        self.journal = journal
        self.adapters = _adapters(tools, plan.manifest)

    def note(self, step: str) -> None:
        self.journal["step"] = step
        files.write_json(self.tools.place.journal, self.journal)

    def event(self, outcome: str, error: str) -> dict[str, Any]:
        return {
            "event": "restore",
            "outcome": outcome,
            "error": error,
            "time": self.tools.host.now().isoformat(),
            **{name: self.journal.get(name) for name in ("id", "point", "saved", "previous", "step")},
        }

    def run(self, started: datetime, safety: bool) -> dict[str, Any]:
        tools, journal = self.tools, self.journal
        files.ensure_directory(tools.place.state, 0o700)
        self.note(journal.get("step") or STEP_BEGUN)
        self.fetch()
        self.save_present(safety)
        self.note(STEP_SAVED)
        self.stop()
        self.note(STEP_STOPPED)
        restored = self.replace()
        self.note(STEP_RESTORED)
        warnings = self.start()
        # What was restored is what the next backup is compared with.
        files.write_json(tools.place.last_manifest, self.plan.manifest)
        self.note(STEP_ENDED)
        tools.host.remove_tree(tools.place.fetched)
        duration = round((tools.host.now() - started).total_seconds(), 1)
        tools.progress(f"point {self.plan.point.name} is restored in {human_seconds(duration)}")
        return {
            "stack": tools.settings.stack,
            "point": self.plan.point.name,
            "saved": journal["saved"],
            "previous": journal["previous"],
            "restored": restored,
            "started_services": journal["stopped"],
            "duration_seconds": duration,
            "warnings": [*self.plan.warnings, *warnings],
        }

    def fetch(self) -> None:
        """Get the dumps and compare them, before anything is touched."""
        tools, point = self.tools, self.plan.point
        tools.host.make_empty(tools.place.fetched)
        for adapter, record in self.adapters:
            if "part" in record and isinstance(adapter, InPlace):
                tools.progress(f"fetching {adapter.label}: {human_bytes(record['bytes'])}")
                try:
                    tools.fetch(point, record, adapter.label, f"{tools.place.fetched}/{record['file']}")
                except BackupError as error:
                    raise BackupError(f"{error}. Nothing was touched; choose another point") from error

    def save_present(self, safety: bool) -> None:
        """Save what is there; where the database cannot even be read, remember that it has to begin anew."""
        if self.journal["saved"] or self.journal["anew"]:
            return
        for adapter in self._databases():
            if not adapter.start():
                self.journal["anew"].append(adapter.label)
        if self.journal["anew"] or not safety:
            return
        try:
            self.journal["saved"] = make_point(self.tools, KIND_BEFORE_RESTORE)["point"]
        except SourceError as error:
            self.tools.progress(f"the present data cannot be read: {error}")
            self.journal["anew"] = [adapter.label for adapter in self._databases()]

    def _databases(self) -> list[MysqlAdapter]:
        return [adapter for adapter, _record in self.adapters if isinstance(adapter, MysqlAdapter)]

    def stop(self) -> None:
        running = to_stop(self.tools, self.adapters)
        if running:
            self.tools.progress(f"stopping {', '.join(item.name for item in running)}")
        # Written down before it is done: after a kill in between they must be started again.
        self.journal["stopped"] = sorted({*self.journal["stopped"], *(item.name for item in running)})
        self.note(self.journal["step"])
        self.tools.docker.stop(running)

    def replace(self) -> list[dict[str, Any]]:
        tools, journal = self.tools, self.journal
        for database in self._databases():
            if database.label in journal["anew"] or not database.restart():
                self._keep(database.begin_anew(journal["id"]))
                journal["anew"] = [label for label in journal["anew"] if label != database.label]
                self.note(journal["step"])
        restored = []
        for adapter, record in self.adapters:
            if not isinstance(adapter, InPlace):
                continue
            result = adapter.restore(record, self.plan.point, journal["id"])
            restored.append(result)
            if result.get("previous") and tools.host.exists(result["previous"]):
                self._keep([result["previous"]])
        return restored

    def _keep(self, previous: list[str]) -> None:
        self.journal["previous"] = sorted({*self.journal["previous"], *previous})
        self.note(self.journal["step"])

    def start(self) -> list[str]:
        """Start what was stopped and wait until it is healthy; returns warnings."""
        tools = self.tools
        wanted = set(self.journal["stopped"])
        present = [item for item in tools.docker.containers(tools.settings.stack) if item.name in wanted]
        gone = sorted(wanted - {item.name for item in present})
        if present:
            tools.progress(f"starting {', '.join(item.name for item in present)}")
        tools.docker.start([item for item in present if not item.running])
        self.note(STEP_STARTED)
        deadline = tools.host.now().timestamp() + HEALTHY_SECONDS
        while True:
            waiting = [
                item.name
                for item in tools.docker.containers(tools.settings.stack)
                if item.name in wanted and not item.ready
            ]
            if not waiting:
                break
            if tools.host.now().timestamp() >= deadline:
                raise BackupError(
                    f"the data is restored, but {', '.join(waiting)} did not become healthy within {HEALTHY_SECONDS} s;"
                    f" look at: docker logs {waiting[0]}"
                )
            tools.host.sleep(1)
        return [f"{name} is not there any more and was not started" for name in gone]


def previous_directories(tools: Tools) -> list[str]:
    """Old data that restores put aside and that is still there."""
    found: set[str] = set()
    for record in files.read_json_lines(tools.place.history):
        found.update(record.get("previous") or [])
    found.update((files.read_json(tools.place.journal) or {}).get("previous") or [])
    return sorted(path for path in found if PREVIOUS in path and tools.host.exists(path))


def discard_previous(tools: Tools, confirm: str) -> list[str]:
    """Remove the old data that restores put aside."""
    check_confirmed(tools.settings.stack, confirm)
    journal = read_journal(tools)
    if journal:
        raise RefusedError(f"the restore of point {journal['point']} was interrupted ({journal['step']}); end it first")
    found = previous_directories(tools)
    for path in found:
        tools.progress(f"removing {path}")
        tools.host.remove_tree(path)
    return found


def extract(tools: Tools, wanted: str, target: str) -> dict[str, Any]:
    """Write all that a point holds into an empty directory, for a look or to take single files out."""
    point, warnings = choose(tools.repository.points(), wanted, tools.settings.stack)
    if tools.host.names(target):
        raise RefusedError(f"{target}: is not empty; name a directory that does not exist yet")
    tools.repository.unpack(point.snapshot, target)
    found = json.loads(tools.repository.fetch_text(point.snapshot, f"{tools.place.spool}/{manifests.NAME}"))
    for adapter, record in _adapters(tools, manifests.check_manifest(found, tools.settings.stack, point.name)):
        if "part" in record:
            tools.progress(f"fetching {adapter.label}: {human_bytes(record['bytes'])}")
            tools.fetch(point, record, adapter.label, f"{target}/{record['file']}")
    return {**point.as_dict(), "directory": target, "warnings": warnings}


def restore_status(tools: Tools) -> dict[str, Any]:
    """What is left of restores: one that was interrupted, and old data that was put aside."""
    journal = read_journal(tools)
    return {
        "interrupted_restore": {"point": journal["point"], "step": journal["step"]} if journal else None,
        "previous": previous_directories(tools),
        "last": read_status(tools.place).get("point", ""),
    }

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a stack's data back from a recovery point, and from there along the log.

Nothing live is touched before a database is put together beside the live one, recovered and checked. What is replaced
is kept: directories beside the live ones, and the files of volumes as a point of their own as well.

A journal says how far a restore came. After a kill the same command goes on and ends it; `abort` takes it back. A
restore that fails once it has stopped the services takes itself back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import manifest as manifests
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point, read_status
from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import (
    Choice,
    adapters_of,
    choose_again,
    choose_for,
    newest_good,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_BEFORE_RESTORE,
    KIND_MANUAL,
    BackupError,
    Point,
    RefusedError,
    RepositoryError,
    Source,
    human_bytes,
    human_seconds,
    point_name,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PREVIOUS,
    Adapter,
    Beside,
    InPlace,
    Prepared,
    Tools,
    Workspace,
    prepared_from,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_LATEST,
    Target,
    human_time,
    target_from,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

HEALTHY_SECONDS = 300
RESERVE_BYTES = 256 << 20
# Images that hold a cache or a queue: they are left running, what they hold is not part of a point.
STORES = ("redis", "valkey", "keydb", "dragonfly", "memcached", "rabbitmq")

STEP_BEGUN = "begun"
STEP_PREPARED = "databases prepared"
STEP_SAVED = "present data saved"
STEP_STOPPED = "services stopped"
STEP_RESTORED = "data restored"
STEP_STARTED = "services started"
STEP_ABORTING = "taking back"
STEP_ENDED = "ended"


@dataclass
class Plan:
    """What a restore will do."""

    target: Target
    choice: Choice
    lines: list[str]
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def point(self) -> Point:
        return self.choice.point

    @property
    def manifest(self) -> dict[str, Any]:
        return self.choice.manifest

    def as_dict(self) -> dict[str, Any]:
        return {
            **self.point.as_dict(),
            "target": self.target.as_dict(),
            "plan": self.lines,
            "problems": self.problems,
            "warnings": self.warnings,
        }


def is_store(container: Container) -> bool:
    """Whether a container is a cache or a queue."""
    name = container.image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]
    return name.startswith(STORES)


def to_stop(tools: Tools, adapters: Sequence[tuple[Adapter, dict[str, Any]]]) -> list[Container]:
    """The running containers that work with the data."""
    databases = {adapter.source.service for adapter, _record in adapters if adapter.is_database}
    return [
        container
        for container in tools.docker.containers(tools.settings.stack)
        if container.running and container.service not in databases and not is_store(container)
    ]


def make_plan(tools: Tools, target: Target, safety: bool = True) -> Plan:
    """Look at everything a restore needs; changes nothing."""
    journal = read_journal(tools)
    try:
        target, choice = _choose(tools, target, journal)
    except RepositoryError as error:
        raise RepositoryError(f"{error}{elsewhere(tools, 'slipway restore --plan')}") from error
    adapters = adapters_of(tools, choice.manifest)
    problems = [problem for adapter, record in adapters for problem in adapter.check_target(record)]
    problems += [problem for reach in choice.reaches.values() for problem in reach.problems]
    # What was prepared is on the disk already.
    prepared = bool(journal) and _continues(journal or {}, target) and bool((journal or {}).get("prepared"))
    if not problems and not prepared:
        problems += space_problems(tools, adapters, choice, journal)
    lines = [origin(tools, choice), *way(target, choice), *_losses(target, choice)]
    if journal:
        lines.append(f"goes on with the restore that was interrupted: {journal['step']}")
    elif not any(adapter.overwrites for adapter, _record in adapters):
        lines.append("the present data is kept beside, as files")
    elif safety:
        lines.append("save the present data as a point of its own (before-restore)")
    else:
        lines.append("the present files are NOT saved first")
    stopped = [container.name for container in to_stop(tools, adapters)]
    steps = [(adapter.plan(record), isinstance(adapter, Beside)) for adapter, record in adapters]
    lines += [line for line, beside in steps if beside]
    lines.append(f"stop {', '.join(stopped)}" if stopped else "no service has to be stopped")
    lines += [line for line, beside in steps if not beside]
    lines.append("start the services again and wait until they are healthy")
    return Plan(target, choice, lines, problems, choice.warnings)


def elsewhere(tools: Tools, command: str) -> str:
    """Where else the points are, for a message that says that a repository cannot be used."""
    names = [found.name for found in tools.settings.repositories if found.name != tools.repository.name]
    if not names:
        return ""
    return f". The points are in {' and '.join(names)} as well: {command} --repository {names[0]}"


def _choose(tools: Tools, target: Target, journal: dict[str, Any] | None) -> tuple[Target, Choice]:
    """The point to begin from. The same words mean what they meant when the interrupted restore began: `now-15min` is
    still the moment that it was."""
    same = journal is not None and _continues(journal, target)
    if journal is not None and target.kind == KIND_LATEST and not (same and journal["newest"] == newest_good(tools)):
        raise _interrupted(tools, journal)
    if journal is None or not same:
        return target, choose_for(tools, target)
    begun = target_from(journal["target"])
    return begun, choose_again(tools, begun, journal["point"])


def _continues(journal: dict[str, Any], target: Target) -> bool:
    begun = target_from(journal["target"])
    return (begun.text, begun.inclusive, begun.timeline) == (target.text, target.inclusive, target.timeline)


def _interrupted(tools: Tools, journal: dict[str, Any]) -> RefusedError:
    stack, text = tools.settings.stack, journal["target"]["text"]
    same = f"--point {journal['point']}" if text in (journal["point"], "latest") else f"--to '{text}'"
    return RefusedError(
        f"a restore of point {journal['point']} was interrupted ({journal['step']}); end it first: slipway restore"
        f" {same} --confirm {stack}, take it back: slipway restore --abort --confirm {stack}, or name the other point"
    )


def origin(tools: Tools, choice: Choice) -> str:
    point, total = choice.point, manifests.totals(choice.manifest["sources"])
    age = (tools.host.now() - point.time).total_seconds()
    return (
        f"point {point.name} ({point.kind}, {human_seconds(age)} old, {total['rows']} rows, {total['files']} files,"
        f" {human_bytes(total['bytes'])}) from {tools.repository.address}"
    )


def way(target: Target, choice: Choice) -> list[str]:
    """Where it goes from there."""
    lines = [target.remark] if target.remark else []
    for key, reach in sorted(choice.reaches.items()):
        coverage = reach.coverage
        if coverage is not None:
            until = f" ({human_time(coverage.end_time)})" if coverage.end_time else ""
            lines.append(
                f"from there along the log of {key}, which reaches to {coverage.end}{until},"
                f" {human_bytes(coverage.bytes)}" + (f": {coverage.remark}" if coverage.remark else "")
            )
    return lines


def _losses(target: Target, choice: Choice) -> list[str]:
    """What of the present is lost."""
    moment = choice.point.time.isoformat()
    if target.needs_log:
        return [
            f"what was written after {target.describe()} is replaced",
            f"what has no log comes back as it was at {moment}",
        ]
    if any(reach.coverage is not None for reach in choice.reaches.values()):
        return [f"what was written after the log's end is replaced; what has no log is as it was at {moment}"]
    return [f"everything that was written after {moment} is replaced"]


def space_problems(
    tools: Tools,
    adapters: Sequence[tuple[Adapter, Mapping[str, Any]]],
    choice: Choice,
    journal: dict[str, Any] | None,
) -> list[str]:
    """Where there is not enough room for what a restore puts together."""
    needed: dict[str, int] = {}
    for adapter, record in adapters:
        path, size = adapter.space_needed(record)
        reach = choice.reaches.get(adapter.source.key)
        log = reach.coverage.bytes if reach and reach.coverage else 0
        if journal and isinstance(adapter, Beside):
            # What a killed try left makes room first.
            size -= tools.host.measure(adapter.workspace(journal["id"]).directory)[1]
        needed[path] = needed.get(path, 0) + size + log
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


def restore(tools: Tools, target: Target, confirm: str, safety: bool = True) -> dict[str, Any]:
    """Do it. The caller holds the stack's lease."""
    check_confirmed(tools.settings.stack, confirm)
    plan = make_plan(tools, target, safety)
    if plan.problems:
        raise RefusedError("; ".join(plan.problems))
    started = tools.host.now()
    for line in [*plan.warnings, *plan.lines]:
        tools.progress(line)
    journal = read_journal(tools)
    if journal is None or journal["point"] != plan.point.name or not _continues(journal, plan.target):
        earlier = journal or {}
        journal = {
            "id": earlier.get("id") or point_name(started),
            "point": plan.point.name,
            "target": plan.target.as_dict(),
            "sources": [
                {name: record[name] for name in Source.__dataclass_fields__ if name in record}
                for record in plan.manifest["sources"]
            ],
            "newest": plan.choice.newest,
            "started": started.isoformat(),
            # What an interrupted restore saved, put aside and stopped stays so when another point is chosen after it.
            "saved": earlier.get("saved", ""),
            "previous": earlier.get("previous", []),
            "stopped": earlier.get("stopped", []),
            "servers": earlier.get("servers", []),
            "prepared": {},
        }
    work = _Restore(tools, plan.point, plan.manifest, plan.target, journal)
    try:
        summary = work.run(started, safety)
    except BaseException as error:
        message = str(error) or f"stopped by {type(error).__name__}"
        files.append_json_line(tools.place.history, work.event("failed", message))
        raise
    files.append_json_line(tools.place.history, work.event("done", ""))
    summary["warnings"] = [*plan.warnings, *summary["warnings"]]
    return summary


def abort(tools: Tools, confirm: str) -> dict[str, Any]:
    """Take an interrupted restore back: the old data into its place, and the services started. The caller holds the
    lease."""
    check_confirmed(tools.settings.stack, confirm)
    journal = read_journal(tools)
    if journal is None:
        raise RefusedError(
            f"stack {tools.settings.stack}: no restore was interrupted, so there is nothing to take back"
        )
    # The repository may be what cannot be reached: all that is needed stands in the journal.
    point = Point(journal["point"], KIND_MANUAL, "", False)
    work = _Restore(tools, point, {"sources": journal["sources"]}, target_from(journal["target"]), journal)
    done, warnings = work.take_back()
    files.append_json_line(tools.place.history, work.event("aborted", ""))
    return {
        "stack": tools.settings.stack,
        "point": journal["point"],
        "undone": done,
        "started_services": journal["stopped"],
        "warnings": warnings,
    }


def check_confirmed(stack: str, confirm: str) -> None:
    """A restore replaces live data: its target must have been named."""
    if confirm != stack:
        named = f"'{confirm}' was named" if confirm else "nothing was named"
        raise RefusedError(
            f"restore of stack {stack}: {named}, so nothing is overwritten; say --confirm {stack} when you mean it"
        )


class _Restore:
    """One restore: its steps, each of which may run again."""

    def __init__(
        self, tools: Tools, point: Point, manifest: dict[str, Any], target: Target, journal: dict[str, Any]
    ) -> None:
        self.tools = tools
        self.point = point
        self.manifest = manifest
        self.target = target
        self.journal = journal
        self.adapters = adapters_of(tools, manifest)

    @property
    def besides(self) -> list[tuple[Beside, dict[str, Any]]]:
        return [(adapter, record) for adapter, record in self.adapters if isinstance(adapter, Beside)]

    def note(self, step: str) -> None:
        self.journal["step"] = step
        files.write_json(self.tools.place.journal, self.journal)

    def event(self, outcome: str, error: str) -> dict[str, Any]:
        return {
            "event": "restore",
            "outcome": outcome,
            "error": error,
            "time": self.tools.host.now().isoformat(),
            **{name: self.journal.get(name) for name in ("id", "point", "target", "saved", "previous", "step")},
        }

    def run(self, started: datetime, safety: bool) -> dict[str, Any]:
        tools, journal = self.tools, self.journal
        files.ensure_directory(tools.place.state, 0o700)
        self.note(journal.get("step") or STEP_BEGUN)
        self.prepare()
        self.note(STEP_PREPARED)
        self.save_present(safety)
        self.note(STEP_SAVED)
        self.stop()
        self.note(STEP_STOPPED)
        try:
            restored = [*self.swap(), *self.replace()]
        except BackupError as error:
            self.tools.progress(f"failed: {error}")
            try:
                self.take_back()
            except BackupError as second:
                raise BackupError(f"{error}; and it could not be taken back: {second}") from second
            raise BackupError(f"{error}. The restore was taken back: everything is as it was before") from error
        self.note(STEP_RESTORED)
        warnings = self.start()
        # What was restored is what the next backup is compared with.
        files.write_json(tools.place.last_manifest, self.manifest)
        # Only then: what is left behind by a kill in between would have no restore that clears it.
        self.clear()
        self.note(STEP_ENDED)
        duration = round((tools.host.now() - started).total_seconds(), 1)
        tools.progress(f"point {self.point.name} is restored in {human_seconds(duration)}")
        found = [prepared_from(value) for value in journal["prepared"].values()]
        return {
            "stack": tools.settings.stack,
            "point": self.point.name,
            "target": self.target.as_dict(),
            "reached": {prepared.key: prepared.as_dict() for prepared in found},
            "saved": journal["saved"],
            "previous": journal["previous"],
            "restored": restored,
            "started_services": journal["stopped"],
            "duration_seconds": duration,
            # The log of what was recovered begins anew, and leads nowhere without a point of its own.
            "needs_point": bool(found),
            "warnings": [*(warning for prepared in found for warning in prepared.warnings), *warnings],
        }

    def prepare(self) -> None:
        """Put the databases together beside the live ones, where that was not done yet."""
        for adapter, record in self.besides:
            adapter.sweep(self.journal["id"])
            if self._is_prepared(adapter):
                continue
            workspace = self._workspace(adapter)
            try:
                prepared = adapter.prepare(record, self.point, self.target, workspace)
            except BackupError as error:
                raise BackupError(f"{error}. Nothing was touched") from error
            self.tools.progress(f"{adapter.label} is prepared: {prepared.reached}, {prepared.rows} rows")
            self.journal["prepared"][adapter.source.key] = prepared.as_dict()
            self.note(self.journal["step"])

    def _workspace(self, adapter: Beside) -> Workspace:
        return adapter.workspace(self.journal["id"])

    def _is_prepared(self, adapter: Beside) -> bool:
        """Whether it was prepared before a kill, and still lies there or is in its place already."""
        found = self.journal["prepared"].get(adapter.source.key)
        if found is None:
            return False
        host = self.tools.host
        return host.exists(str(found["data"])) or host.exists(adapter.previous(self.journal["id"]))

    def save_present(self, safety: bool) -> None:
        """Save what will be written over."""
        if safety and not self.journal["saved"] and any(adapter.overwrites for adapter, _record in self.adapters):
            self.journal["saved"] = make_point(self.tools, KIND_BEFORE_RESTORE)["point"]

    def stop(self) -> None:
        running = to_stop(self.tools, self.adapters)
        if running:
            self.tools.progress(f"stopping {', '.join(item.name for item in running)}")
        # Written down before it is done: after a kill in between they must be started again.
        self.journal["stopped"] = sorted({*self.journal["stopped"], *(item.name for item in running)})
        self.note(self.journal["step"])
        self.tools.docker.stop(running)

    def swap(self) -> list[dict[str, Any]]:
        """Exchange what was prepared for what is live."""
        results = []
        for adapter, _record in self.besides:
            prepared = self._prepared(adapter)
            server = adapter.container()
            if server.running:
                # Written down before it is stopped, for the way back.
                self.journal["servers"] = sorted({*self.journal["servers"], server.name})
                self.note(self.journal["step"])
            result = adapter.swap(prepared, self.journal["id"])
            results.append(result)
            if self.tools.host.exists(result["previous"]):
                self._keep([result["previous"]])
        return results

    def _prepared(self, adapter: Beside) -> Prepared:
        return prepared_from(self.journal["prepared"][adapter.source.key])

    def replace(self) -> list[dict[str, Any]]:
        """Write over what has no other way."""
        tools, journal = self.tools, self.journal
        restored = []
        for adapter, record in self.adapters:
            if not isinstance(adapter, InPlace):
                continue
            result = adapter.restore(record, self.point, journal["id"])
            restored.append(result)
            if result.get("previous") and tools.host.exists(result["previous"]):
                self._keep([result["previous"]])
        return restored

    def _keep(self, previous: list[str]) -> None:
        self.journal["previous"] = sorted({*self.journal["previous"], *previous})
        self.note(self.journal["step"])

    def take_back(self) -> tuple[list[str], list[str]]:
        """Put everything back as it was before; returns what was done, and warnings."""
        tools = self.tools
        self.note(STEP_ABORTING)
        if any(adapter.replaced(self.journal["id"]) for adapter, _record in self.adapters):
            self.stop()
        done = []
        for adapter, _record in reversed(self.adapters):
            line = adapter.undo(self.journal["id"])
            if line:
                tools.progress(line)
                done.append(line)
        self.journal["previous"] = [path for path in self.journal["previous"] if tools.host.exists(path)]
        warnings = self.start(STEP_ABORTING, self.journal["servers"])
        self.clear()
        self.note(STEP_ENDED)
        return done, warnings

    def clear(self) -> None:
        """Remove what only the restore needed."""
        for adapter, _record in self.besides:
            adapter.discard(self._workspace(adapter))

    def start(self, step: str = STEP_STARTED, servers: Sequence[str] = ()) -> list[str]:
        """Start what was stopped and wait until it is healthy; returns warnings."""
        tools = self.tools
        wanted = {*self.journal["stopped"], *servers}
        present = [item for item in tools.docker.containers(tools.settings.stack) if item.name in wanted]
        gone = sorted(wanted - {item.name for item in present})
        if present:
            tools.progress(f"starting {', '.join(item.name for item in present)}")
        tools.docker.start([item for item in present if not item.running])
        self.note(step)
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
                    f"the data is in its place, but {', '.join(waiting)} did not become healthy within"
                    f" {HEALTHY_SECONDS} s; look at: docker logs {waiting[0]}"
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


def discard_previous(tools: Tools, confirm: str, plan_only: bool = False) -> list[str]:
    """Remove the old data that restores put aside, or only say where it is."""
    if plan_only:
        return previous_directories(tools)
    check_confirmed(tools.settings.stack, confirm)
    journal = read_journal(tools)
    if journal:
        raise RefusedError(f"the restore of point {journal['point']} was interrupted ({journal['step']}); end it first")
    found = previous_directories(tools)
    for path in found:
        tools.progress(f"removing {path}")
        tools.host.remove_tree(path)
    return found


def extract(tools: Tools, target: Target, directory: str) -> dict[str, Any]:
    """Write all that a point holds into an empty directory, for a look or to take single files out."""
    if target.needs_log:
        raise RefusedError("only a point can be extracted; for a look at another moment: slipway restore --beside")
    choice = choose_for(tools, target)
    if tools.host.names(directory):
        raise RefusedError(f"{directory}: is not empty; name a directory that does not exist yet")
    tools.repository.unpack(choice.point.snapshot, directory)
    for adapter, record in adapters_of(tools, choice.manifest):
        for item in manifests.stored(record):
            tools.progress(f"fetching {adapter.label}: {human_bytes(item['bytes'])}")
            tools.fetch(choice.point, item, adapter.label, f"{directory}/{item['file']}")
    return {**choice.point.as_dict(), "directory": directory, "warnings": choice.warnings}


def restore_status(tools: Tools) -> dict[str, Any]:
    """What is left of restores: one that was interrupted, and old data that was put aside."""
    journal = read_journal(tools)
    return {
        "interrupted_restore": {"point": journal["point"], "step": journal["step"]} if journal else None,
        "previous": previous_directories(tools),
        "last": read_status(tools.place).get("point", ""),
    }

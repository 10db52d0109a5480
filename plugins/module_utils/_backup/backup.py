# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a recovery point: store, read back, and only then let old points go."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import copies, metrics
from ansible_collections.slipway.ops.plugins.module_utils._backup import manifest as manifests
from ansible_collections.slipway.ops.plugins.module_utils._backup import status as statuses
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_retention import prune_logs
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_BEFORE_RELEASE,
    KIND_BEFORE_RESTORE,
    BackupError,
    Catalogue,
    Orphan,
    Part,
    Place,
    Point,
    RefusedError,
    RepositoryMissing,
    Settings,
    human_bytes,
    human_seconds,
    local_path,
    parse_settings,
    point_name,
    point_time,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import prove
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.retention import RetentionPlan, plan_for
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    Beside,
    Tools,
    adapter_for,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# What must be free on the disks that are written to: other programs of the host write there too.
RESERVE_BYTES = 256 << 20
# No job takes longer than this: nobody works any more on a part that is older and has no point, wherever it was begun.
ORPHAN_SECONDS = 7 * 86400
# How many of the last releases are asked for the points that they name: more than are kept for the way back.
RELEASES = 50


def load_settings(place: Place) -> Settings:
    """The stack's settings, as the role wrote them."""
    document = files.read_json(place.settings)
    if document is None:
        raise RefusedError(f"{place.settings}: is missing; run the play with the role backup for stack {place.stack}")
    settings = parse_settings(document, place.settings)
    if settings.stack != place.stack:
        raise RefusedError(f"{place.settings}: is for stack {settings.stack}; run the play with the role backup again")
    return settings


def make_point(tools: Tools, kind: str, accept_smaller: bool = False, tidy: bool = True) -> dict[str, Any]:
    """Make one point; the caller holds the lease. Returns the summary; a failure leaves its reason in the status."""
    started = tools.host.now()
    files.ensure_directory(tools.place.state, 0o700)
    before = files.read_json(tools.place.status) or {}
    before["stack"] = tools.settings.stack
    before["repository"] = tools.repository.address
    before["interval_seconds"] = tools.settings.interval_seconds
    before["promised_rto_seconds"] = tools.settings.promises.rto_seconds
    before["promised_rpo_seconds"] = tools.settings.promises.rpo_seconds
    try:
        if kind != KIND_BEFORE_RESTORE:
            _publish(tools, statuses.begun(before, started.isoformat(), int(started.timestamp()), os.getpid()))
        summary, found = _make(tools, kind, accept_smaller, started)
    except BaseException as error:
        if kind != KIND_BEFORE_RESTORE:
            message = str(error) or f"stopped by {type(error).__name__}"
            _publish(tools, statuses.failed(before, message, started.isoformat(), int(started.timestamp())))
        raise
    finally:
        tools.host.remove_tree(tools.place.spool)
    if kind == KIND_BEFORE_RESTORE:
        # It holds what a restore is about to replace: no backup that anyone should measure the next one by.
        return summary
    after = statuses.succeeded(before, summary)
    files.write_json(tools.place.last_manifest, found)
    _publish(tools, after)
    summary["repositories"] = {}
    if not tidy:
        return summary
    if kind != KIND_BEFORE_RELEASE:
        # A release waits for its point, and not for the copies: the next backup makes them.
        _copy_to_others(tools, after, summary)
    try:
        record = after.setdefault("repositories", {}).setdefault(tools.repository.name, {})
        record.update(url=tools.repository.address, attempt=summary["started"], ok=True, error="")
        removed = tidy_repository(tools, record)
    except BackupError as error:
        _publish(tools, {**after, "ok": False, "error": f"the point {summary['point']} is good, but: {error}"})
        raise
    after["points"] = record["points"]
    _publish(tools, after)
    summary["warnings"] += prune_logs(tools)
    summary.update(points=after["points"], removed=removed)
    return summary


def _copy_to_others(tools: Tools, status: dict[str, Any], summary: dict[str, Any]) -> None:
    """Bring the other repositories up to the primary. What fails there is told and tried again by the next backup; the
    point that was made is good without it."""
    known = {tools.repository.name, *(other.name for other in tools.others)}
    before = status.get("repositories") or {}
    status["repositories"] = {name: dict(record) for name, record in before.items() if name in known}
    for other in tools.others:
        record = status["repositories"].setdefault(other.name, {})
        record.update(url=other.address, attempt=tools.host.now().isoformat())
        try:
            copied = copies.bring_up(tools, other, needed_points(tools.place))
            removed = tidy_repository(tools.of(other), record)
            summary["warnings"] += prune_logs(tools.of(other))
        except BackupError as error:
            record.update(ok=False, error=str(error))
            warning = f"repository {other.name} is behind: {error}. The next backup tries again"
            tools.progress(warning)
            summary["warnings"].append(warning)
            summary["repositories"][other.name] = {"copied": [], "removed": [], "error": str(error)}
        else:
            record.update(ok=True, error="")
            summary["repositories"][other.name] = {"copied": copied, "removed": removed, "error": ""}
        _publish(tools, status)


def _make(tools: Tools, kind: str, accept_smaller: bool, started: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    settings, place, host = tools.settings, tools.place, tools.host
    point = point_name(started)
    catalogue = tools.repository.catalogue()
    if any(other.name == point for other in catalogue.points):
        raise BackupError(f"point {point}: exists already; wait a second and run the backup again")
    _check_space(tools)
    tools.docker.end_leftovers(settings.stack)
    _remove_orphans(tools, catalogue, started)
    host.make_empty(place.spool)
    adapters = [adapter_for(source, tools) for source in settings.sources]
    if kind == KIND_BEFORE_RESTORE:
        adapters = [adapter for adapter in adapters if not isinstance(adapter, Beside)]
    _note_unfinished(tools, {*_unfinished(tools), point})
    records = [adapter.collect(point) for adapter in adapters]
    last = files.read_json(place.last_manifest)
    if kind != KIND_BEFORE_RESTORE and not accept_smaller:
        doubts = [
            doubt
            for adapter, record in zip(adapters, records)
            for doubt in manifests.shrunk(manifests.find_record(last, record), record, adapter.label)
        ]
        if doubts:
            raise BackupError(
                f"{'; '.join(doubts)}: this would not be a good point. If it is right, run:"
                f" slipway backup run --stack {settings.stack} --accept-smaller"
            )
    found = {
        "format": manifests.FORMAT,
        "stack": settings.stack,
        "point": point,
        "kind": kind,
        "started": started.isoformat(),
        "finished": host.now().isoformat(),
        "images": {item.name: item.image for item in tools.docker.containers(settings.stack)},
        "sources": records,
    }
    files.write_json(f"{place.spool}/{manifests.NAME}", found)
    parts = tuple(
        Part(str(item["part"]), str(item["snapshot"])) for record in records for item in manifests.stored(record)
    )
    paths = [place.spool, *(path for adapter, record in zip(adapters, records) for path in adapter.paths(record))]
    if host.exists(place.stack_files) and not any(path.startswith(f"{place.stack_files}/") for path in paths):
        paths.append(place.stack_files)
    tools.progress(f"storing point {point} in {tools.repository.address}")
    stored, warnings = tools.repository.store(point, kind, list(dict.fromkeys(paths)))
    tools.progress(f"reading point {point} back")
    snapshot = str(stored["snapshot_id"])
    _note_unfinished(tools, _unfinished(tools) - {point})
    prove(tools, Point(point, kind, snapshot, False, (), parts), found)
    total = manifests.totals(records)
    duration = round((host.now() - started).total_seconds(), 1)
    tools.progress(f"point {point} is good: {human_bytes(total['bytes'])} in {human_seconds(duration)}")
    return {
        "stack": settings.stack,
        "point": point,
        "kind": kind,
        "snapshot": snapshot,
        "started": started.isoformat(),
        "started_epoch": int(started.timestamp()),
        "duration_seconds": duration,
        "size_bytes": total["bytes"],
        "added_bytes": int(stored.get("data_added") or 0) + sum(int(record.get("added") or 0) for record in records),
        "rows": total["rows"],
        "files": total["files"],
        "points": len(catalogue.points) + 1,
        "removed": [],
        "warnings": warnings,
    }, found


def _unfinished(tools: Tools) -> set[str]:
    """The points that jobs on this host began to store and did not end. The caller has the lease: none of them runs."""
    value = files.read_json(tools.place.unfinished)
    return {str(name) for name in value} if isinstance(value, list) else set()


def _note_unfinished(tools: Tools, points: set[str]) -> None:
    files.write_json(tools.place.unfinished, sorted(points))


def removable_orphans(catalogue: Catalogue, dead: set[str], now: datetime) -> list[Orphan]:
    """The parts without a point that no running job can own: of this host's dead jobs, and very old ones. Where the
    list of snapshots may be short of some, or the point was good once, a part may be all that is left of it; where no
    point is good, by the clock alone nothing goes."""
    if not catalogue.whole:
        return []
    aged = any(point.verified for point in catalogue.points)
    return [
        orphan
        for orphan in catalogue.orphans
        if not orphan.proved
        and (orphan.point in dead or (aged and (now - point_time(orphan.point)).total_seconds() > ORPHAN_SECONDS))
    ]


def _remove_orphans(tools: Tools, catalogue: Catalogue, now: datetime) -> None:
    """Remove what killed and failed jobs left: before new data is stored, since they may be what fills the disk."""
    orphans = removable_orphans(catalogue, _unfinished(tools), now)
    if tools.repository.settings.append_only:
        orphans = []
    if orphans:
        tools.progress(f"removing {len(orphans)} parts of points that were never finished")
        try:
            tools.repository.remove_orphans(orphans)
        except BackupError as error:
            # They are no danger, and the next job tries again.
            tools.progress(f"they stay for now: {error}")
            return
    _note_unfinished(
        tools, {orphan.point for orphan in catalogue.orphans if orphan not in orphans} & _unfinished(tools)
    )


def _check_space(tools: Tools) -> None:
    for path in filter(None, (tools.place.state, local_path(tools.repository.settings.url))):
        if tools.host.is_read_only(path):
            # restic would try for a quarter of an hour.
            raise BackupError(f"{path}: is on a read-only file system; look at the kernel's log, and mount it again")
        free = tools.host.free_bytes(path)
        if free < RESERVE_BYTES:
            raise BackupError(
                f"{path}: {human_bytes(free)} are free, and a backup wants {human_bytes(RESERVE_BYTES)} at least; make"
                " room there. Nothing was stored and no old point was removed"
            )


def tidy_repository(tools: Tools, record: dict[str, Any]) -> list[str]:
    """Check the repository when it is time, then remove what its retention lets go. Notes in its record how it stands;
    returns what was removed."""
    now = tools.host.now()
    last_check = float(record.get("last_check_epoch") or 0)
    # A quarter of an hour less than the interval: a daily timer with a random delay would skip every other day.
    if abs(now.timestamp() - last_check) >= max(0, tools.settings.check_interval_seconds - 900):
        tools.progress(f"checking the structure of repository {tools.repository.name}")
        tools.repository.check()
        record["last_check_epoch"] = int(now.timestamp())
    catalogue = tools.repository.catalogue()
    plan = retention_of(tools, catalogue)
    if plan.remove and not tools.repository.settings.append_only:
        tools.progress(f"removing {len(plan.remove)} old points from repository {tools.repository.name}")
        tools.repository.remove(plan.remove)
    removed = [] if tools.repository.settings.append_only else list(plan.remove)
    record.update(standing([point for point in catalogue.points if point not in removed]))
    return [point.name for point in removed]


def retention_of(tools: Tools, catalogue: Catalogue) -> RetentionPlan:
    """What the retention says of each point of the repository."""
    rules, needed = tools.repository.settings.retention, needed_points(tools.place)
    return plan_for(catalogue, rules, tools.host.now(), needed)


def needed_points(place: Place) -> set[str]:
    """The points that the stack's releases name: those of its history, and of one that is under way."""
    journal = files.read_json(f"{place.releases}/journal.json")
    records = [*files.read_json_lines(f"{place.releases}/history.jsonl"), journal if isinstance(journal, dict) else {}]
    return {str(record["recovery_point"]) for record in records[-RELEASES:] if record.get("recovery_point")}


def standing(points: Sequence[Point]) -> dict[str, Any]:
    """How a repository stands, by what it holds."""
    good = [point for point in points if point.good]
    newest = good[-1] if good else None
    return {
        "points": len(points),
        "newest_good": newest.name if newest else "",
        "newest_good_epoch": int(newest.time.timestamp()) if newest else None,
    }


def _publish(tools: Tools, status: dict[str, Any]) -> None:
    """Write the status, and the figures of all stacks for node_exporter when it is there."""
    files.write_json(tools.place.status, status)
    metrics.publish(tools.place, "status.json", "slipway_backup.prom", statuses.render_metrics)


def read_status(place: Place) -> dict[str, Any]:
    """The status of a stack's backups; empty when there was none yet."""
    value = files.read_json(place.status)
    return value if isinstance(value, dict) else {}


def ensure_repository(repository: Repository, dry_run: bool = False) -> bool:
    """Initialise the repository when it is missing; whether it was."""
    try:
        repository.probe()
    except RepositoryMissing:
        if not dry_run:
            repository.initialise()
            repository.probe()
        return True
    return False

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a recovery point: store, read back, and only then let old points go."""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import manifest as manifests
from ansible_collections.slipway.ops.plugins.module_utils._backup import status as statuses
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_retention import prune_logs
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
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
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.retention import plan_retention
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    Beside,
    Tools,
    adapter_for,
    adapter_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# What must be free on the disks that are written to: other programs of the host write there too.
RESERVE_BYTES = 256 << 20
# No job takes longer than this: nobody works any more on a part that is older and has no point, wherever it was begun.
ORPHAN_SECONDS = 7 * 86400


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
    before["repository"] = public_url(tools.settings.url)
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
    if not tidy:
        return summary
    try:
        after.update(_tidy(tools, after))
    except BackupError as error:
        _publish(tools, {**after, "ok": False, "error": f"the point {summary['point']} is good, but: {error}"})
        raise
    _publish(tools, after)
    summary["warnings"] += prune_logs(tools)
    summary.update({name: after[name] for name in ("points", "removed")})
    return summary


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
    tools.progress(f"storing point {point} in {public_url(settings.url)}")
    stored, warnings = tools.repository.store(point, kind, list(dict.fromkeys(paths)))
    tools.progress(f"reading point {point} back")
    snapshot = str(stored["snapshot_id"])
    _note_unfinished(tools, _unfinished(tools) - {point})
    evidence = read_back(tools, Point(point, kind, snapshot, False, (), parts), found)
    tools.repository.mark_verified(point, {"point": point, "verified": host.now().isoformat(), "files": evidence})
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
    list of snapshots may be short of some, or the point was good once, a part may be all that is left of it."""
    if not catalogue.whole:
        return []
    return [
        orphan
        for orphan in catalogue.orphans
        if not orphan.proved
        and (orphan.point in dead or (now - point_time(orphan.point)).total_seconds() > ORPHAN_SECONDS)
    ]


def _remove_orphans(tools: Tools, catalogue: Catalogue, now: datetime) -> None:
    """Remove what killed and failed jobs left: before new data is stored, since they may be what fills the disk."""
    orphans = removable_orphans(catalogue, _unfinished(tools), now)
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
    for path in filter(None, (tools.place.state, local_path(tools.settings.url))):
        if tools.host.is_read_only(path):
            # restic would try for a quarter of an hour.
            raise BackupError(f"{path}: is on a read-only file system; look at the kernel's log, and mount it again")
        free = tools.host.free_bytes(path)
        if free < RESERVE_BYTES:
            raise BackupError(
                f"{path}: {human_bytes(free)} are free, and a backup wants {human_bytes(RESERVE_BYTES)} at least; make"
                " room there. Nothing was stored and no old point was removed"
            )


def read_back(tools: Tools, point: Point, expected: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Fetch what a point holds from the repository and compare it with its manifest; returns what was compared."""
    path = f"{tools.place.spool}/{manifests.NAME}"
    try:
        value = json.loads(tools.repository.fetch_text(point.snapshot, path))
    except ValueError as error:
        raise BackupError(f"point {point.name}: its manifest cannot be read back; the point is not good") from error
    found = manifests.check_manifest(value, tools.settings.stack, point.name)
    if expected is not None and found != expected:
        raise BackupError(f"point {point.name}: its manifest reads back differently; the point is not good")
    compared = []
    outside: dict[str, tuple[str, int]] = {}
    for record in found["sources"]:
        adapter = adapter_of(record, tools)
        for item in manifests.stored(record):
            tools.fetch(point, item, adapter.label)
            compared.append({"path": item["file"], "sha256": item["sha256"], "bytes": item["bytes"]})
        for name in adapter.paths(record):
            outside[name] = (adapter.label, int(record.get("files") or 0))
    counted = tools.repository.count(point.snapshot, sorted(outside)) if outside else {}
    for name, (label, wanted) in sorted(outside.items()):
        count, size = counted[name]
        if wanted and not count:
            raise BackupError(f"point {point.name}: {label} had {wanted} files and the snapshot has none of them")
        compared.append({"path": name, "files": count, "bytes": size})
    return compared


def _tidy(tools: Tools, status: dict[str, Any]) -> dict[str, Any]:
    """Check the repository when it is time, then remove what the retention lets go."""
    changes: dict[str, Any] = {"removed": []}
    now = tools.host.now()
    last_check = float(status.get("last_check_epoch") or 0)
    # A quarter of an hour less than the interval: a daily timer with a random delay would skip every other day.
    if now.timestamp() - last_check >= max(0, tools.settings.check_interval_seconds - 900):
        tools.progress("checking the repository's structure")
        tools.repository.check()
        changes["last_check_epoch"] = int(now.timestamp())
    points = tools.repository.points()
    plan = plan_retention(points, tools.settings.retention)
    if plan.remove:
        tools.progress(f"removing {len(plan.remove)} old points")
        tools.repository.remove(plan.remove)
        changes["removed"] = [point.name for point in plan.remove]
    changes["points"] = len(points) - len(plan.remove)
    return changes


def _publish(tools: Tools, status: dict[str, Any]) -> None:
    """Write the status, and the figures of all stacks for node_exporter when it is there."""
    place = tools.place
    files.write_json(place.status, status)
    if os.path.isdir(place.metrics):
        found = {}
        for name in tools.host.names(place.state_root):
            other = files.read_json(f"{place.state_root}/{name}/status.json")
            if isinstance(other, dict):
                found[name] = other
        files.write_whole(f"{place.metrics}/slipway_backup.prom", statuses.render_metrics(found), 0o644)


def read_status(place: Place) -> dict[str, Any]:
    """The status of a stack's backups; empty when there was none yet."""
    value = files.read_json(place.status)
    return value if isinstance(value, dict) else {}


def ensure_repository(tools: Tools, dry_run: bool = False) -> bool:
    """Initialise the repository when it is missing; whether it was."""
    try:
        tools.repository.probe()
    except RepositoryMissing:
        if not dry_run:
            tools.repository.initialise()
            tools.repository.probe()
        return True
    return False

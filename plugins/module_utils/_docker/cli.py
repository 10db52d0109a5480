# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway prune`: keep images and build cache within their budget. Volumes are never touched."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker import prune as rules
from ansible_collections.slipway.ops.plugins.module_utils._docker.gateway import EngineDisk
from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import Removal, Settings
from ansible_collections.slipway.ops.plugins.module_utils._release import records
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import all_stacks
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._state import files

LEASE_WAIT_SECONDS = 600
# Removing an image may free more or less than it seems to, because layers are shared.
ROUNDS = 20


def prune(argv: list[str]) -> int:
    """The verb. The status is 1 when what cannot be removed is more than the budget."""
    arguments = _arguments(argv)
    settings = load(arguments.config)
    places = Places()
    with contextlib.nullcontext() if arguments.dry_run else all_stacks("prune", places, LEASE_WAIT_SECONDS):
        report = run(EngineDisk.connect(), settings, places, arguments.dry_run, arguments.grace_minutes)
    sys.stdout.write(json.dumps(report, sort_keys=True) + "\n" if arguments.json else rules.page(report))
    if not arguments.dry_run:
        _publish(report, settings)
    if report["over_budget"]:
        sys.stderr.write(
            "slipway: prune: the rest is in use, needed to go back to, or has just come; raise docker_disk_budget_*, "
            "remove containers that are not needed, or lower docker_prune_keep_releases\n"
        )
        return 1
    return 0


def load(path: str) -> Settings:
    raw = files.read_json(path)
    if raw is None:
        raise ValueError(f"{path} does not exist; the role docker writes it")
    return rules.parse_settings(raw)


def run(
    engine: EngineDisk,
    settings: Settings,
    places: Places,
    dry_run: bool,
    grace_minutes: int,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Look, remove what may go, and look again until it fits or nothing more may go."""
    needed = _needed(settings, places)
    usage = engine.usage()
    before, budget = usage.total, settings.budget_bytes(engine.filesystem_bytes())
    cache_freed = 0
    removed: list[Removal] = []
    refused: dict[str, tuple[str, str]] = {}
    if dry_run:
        keep = rules.cache_to_keep(usage, budget)
        cache_freed = 0 if keep is None else min(usage.cache - keep, usage.cache_unused)
        without = rules.Usage(usage.layers, usage.cache - cache_freed, 0, usage.images, usage.used)
        removed = rules.choose(without, needed, settings, budget, clock(), grace_minutes)
        after = without.total - sum(each.image.unique for each in removed)
        return _report(dry_run, budget, before, after, cache_freed, removed, refused)
    cache_freed = engine.prune_cache(unused_days=settings.unused_days)
    for _round in range(ROUNDS):
        usage = engine.usage()
        keep = rules.cache_to_keep(usage, budget)
        freed = 0 if keep is None else engine.prune_cache(keep_bytes=keep)
        cache_freed += freed
        usage = engine.usage() if freed else usage
        chosen = [
            each
            for each in rules.choose(usage, needed, settings, budget, clock(), grace_minutes)
            if each.image.id not in refused
        ]
        for each in chosen:
            reason = engine.remove_image(each.image)
            if reason:
                refused[each.image.id] = (each.image.title, reason)
            else:
                removed.append(each)
        if not chosen:
            break
    return _report(dry_run, budget, before, engine.usage().total, cache_freed, removed, refused)


def _needed(settings: Settings, places: Places) -> frozenset[str]:
    known = [records.Records(name, places.stacks, places.state) for name in records.stacks(places.stacks)]
    models = [each.model() or {} for each in known]
    return rules.needed_names(models, [each.history() for each in known], settings.keep_releases)


def _report(
    dry_run: bool,
    budget: int,
    before: int,
    after: int,
    cache: int,
    removed: list[Removal],
    refused: dict[str, tuple[str, str]],
) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "budget_bytes": budget,
        "before_bytes": before,
        "after_bytes": after,
        "over_budget": bool(budget) and after > budget,
        "build_cache_bytes": cache,
        "removed": [
            {"name": each.image.title, "id": each.image.id, "bytes": each.image.unique, "reason": each.reason}
            for each in removed
        ],
        "refused": [{"name": name, "reason": reason} for name, reason in refused.values()],
    }


def _publish(report: dict[str, Any], settings: Settings) -> None:
    now = time.time()
    files.ensure_directory(os.path.dirname(rules.STATUS_FILE), 0o700)
    files.write_json(rules.STATUS_FILE, {**report, "time": now})
    if settings.textfile and os.path.isdir(os.path.dirname(settings.textfile)):
        files.write_whole(settings.textfile, rules.metrics(report, now), 0o644)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="slipway prune",
        description="Keep Docker's images and build cache within their budget. Volumes are never touched, nor images "
        "of containers, of deployed stacks, and of the releases that one may go back to.",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
    parser.add_argument(
        "--grace-minutes",
        type=int,
        default=rules.GRACE_MINUTES,
        help="leave alone what came to the host within these minutes (default: %(default)s)",
    )
    parser.add_argument("--config", default=rules.CONFIG_FILE, help="default: %(default)s")
    return parser.parse_args(argv)

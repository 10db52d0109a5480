# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pruning on an engine: what is needed, what goes, and what could. The leases are the caller's matter."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker import prune as rules
from ansible_collections.slipway.ops.plugins.module_utils._docker.gateway import EngineDisk
from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import Removal, Settings
from ansible_collections.slipway.ops.plugins.module_utils._release.release import Ledger
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# Removing an image may free more or less than it seems to, because layers are shared.
ROUNDS = 20


def load(path: str) -> Settings:
    raw = files.read_json(path)
    if raw is None:
        raise ValueError(f"{path} does not exist; the role docker writes it")
    return rules.parse_settings(raw)


def run(
    engine: EngineDisk,
    settings: Settings,
    known: Iterable[Ledger],
    dry_run: bool,
    grace_minutes: int,
    clock: Callable[[], float] = time.time,
) -> dict[str, Any]:
    """Look, remove what may go, and look again until it fits or nothing more may go."""
    needed = _needed(settings, known)
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


def idle_bytes(engine: EngineDisk, settings: Settings, known: Iterable[Ledger]) -> int:
    """What images and build cache take that no release needs, whatever the budget."""
    needed, usage = _needed(settings, known), engine.usage()
    free = [image.unique for image in usage.images if not rules.is_needed(image, usage, needed)]
    return sum(free) + usage.cache_unused


def _needed(settings: Settings, known: Iterable[Ledger]) -> frozenset[str]:
    stacks = list(known)
    models = [each.model() or {} for each in stacks]
    return rules.needed_names(models, [each.history() for each in stacks], settings.keep_releases)


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


def publish(report: dict[str, Any], settings: Settings) -> None:
    now = time.time()
    files.ensure_directory(os.path.dirname(rules.STATUS_FILE), 0o700)
    files.write_json(rules.STATUS_FILE, {**report, "time": now})
    if settings.textfile and os.path.isdir(os.path.dirname(settings.textfile)):
        files.write_whole(settings.textfile, rules.metrics(report, now), 0o644)

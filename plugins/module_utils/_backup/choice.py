# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which point a restore begins from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import manifest as manifests
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    KIND_BEFORE_RESTORE,
    BackupError,
    Point,
    RefusedError,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    Adapter,
    Beside,
    Reach,
    Tools,
    adapter_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.status import is_future
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_LATEST,
    KIND_POINT,
    KIND_TIME,
    LATEST,
    Target,
    human_time,
)

# How many points are looked at when the newest that would do has no log: each costs a fetch.
CANDIDATES = 5


@dataclass
class Choice:
    """A point to begin from, and how far the log leads from there for each database, by the source's key."""

    point: Point
    manifest: dict[str, Any]
    reaches: dict[str, Reach] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    # The newest good point when the latest was asked for: what is chosen may be an older one.
    newest: str = ""


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


def read_manifest(tools: Tools, point: Point) -> dict[str, Any]:
    """What a point says of itself."""
    path = f"{tools.place.spool}/{manifests.NAME}"
    try:
        value = manifests.parse(tools.repository.fetch_text(point.snapshot, path))
    except ValueError as error:
        raise RefusedError(f"point {point.name}: its manifest cannot be read; choose another point") from error
    return manifests.check_manifest(value, tools.settings.stack, point.name)


def adapters_of(tools: Tools, manifest: dict[str, Any]) -> list[tuple[Adapter, dict[str, Any]]]:
    """The adapter of each source in a manifest, with its record."""
    return [(adapter_of(record, tools), record) for record in manifest["sources"]]


def choose_for(tools: Tools, target: Target, service: str = "") -> Choice:
    """The point that a target begins from, for all databases or the one of a service: a transaction, or a place in a
    log, belongs to one server. Refuses a target that no point leads to, and says what is covered."""
    if target.kind == KIND_POINT:
        return choose_again(tools, target, target.point)
    points, stack = tools.repository.points(), tools.settings.stack
    newest, warnings = choose(points, LATEST, stack)
    good = [point for point in points if point.good]
    if target.kind == KIND_LATEST:
        _refuse_future(newest, tools.host.now())
        return _latest(tools, target, newest, good, warnings)
    return _within_log(tools, target, newest, good, service)


def _refuse_future(newest: Point, now: datetime) -> None:
    """Which point is the latest is told by their names, and so by a clock: not by one that was wrong."""
    if is_future(newest.time.timestamp(), now.timestamp()):
        raise RefusedError(
            f"point latest: {newest.name} is from the future, by this host's clock ({human_time(now)}): it is wrong"
            " now, or was when that point was made. Look at the points and name one: slipway backup points"
        )


def choose_again(tools: Tools, target: Target, name: str) -> Choice:
    """The choice of a point by its name, as it was made before or by somebody else."""
    point, warnings = choose(tools.repository.points(), name, tools.settings.stack)
    return choice_of(tools, target, point, warnings)


def choice_of(tools: Tools, target: Target, point: Point, warnings: Sequence[str] = ()) -> Choice:
    """The choice of this point, whatever others there are."""
    manifest = read_manifest(tools, point)
    return Choice(point, manifest, _reaches(tools, target, manifest), list(warnings))


def good_points(tools: Tools) -> list[Point]:
    """The points that were read back, oldest first, but for those that hold what a restore replaced."""
    return [point for point in tools.repository.points() if point.good]


def newest_good(tools: Tools) -> str:
    """The name of the newest point that was read back; empty when there is none."""
    good = good_points(tools)
    return good[-1].name if good else ""


def _reaches(tools: Tools, target: Target, manifest: dict[str, Any]) -> dict[str, Reach]:
    return {
        adapter.source.key: adapter.reach(record, target)
        for adapter, record in adapters_of(tools, manifest)
        if isinstance(adapter, Beside) and adapter.keeps_log
    }


def _latest(tools: Tools, target: Target, newest: Point, good: Sequence[Point], warnings: list[str]) -> Choice:
    """The newest point from which the log leads on: after a restore, a newer one may be on the branch that was left.
    Where none does, the newest point alone."""
    alone: Choice | None = None
    for point in list(reversed(good))[: CANDIDATES if tools.log is not None else 1]:
        manifest = read_manifest(tools, point)
        reaches = _reaches(tools, target, manifest)
        choice = Choice(point, manifest, reaches, warnings, newest.name)
        if all(reach.coverage is not None for reach in reaches.values()):
            if point != newest:
                choice.warnings = [*warnings, f"passed over {newest.name}: no log leads on from it"]
            return choice
        alone = alone or choice
    if alone is None:
        raise AssertionError("the newest point is one of the good ones")
    without = [key for key, reach in alone.reaches.items() if reach.coverage is None]
    said = f"no log leads on from point {newest.name} for {', '.join(without)}: what was written after it is not there"
    return Choice(alone.point, alone.manifest, alone.reaches, [*warnings, said], newest.name)


def _within_log(tools: Tools, target: Target, newest: Point, good: Sequence[Point], service: str) -> Choice:
    tried: list[tuple[str, ...]] = []
    earliest = ""
    for point, manifest in _candidates(tools, target, good):
        besides = [
            (adapter, record)
            for adapter, record in adapters_of(tools, manifest)
            if isinstance(adapter, Beside) and adapter.keeps_log and service in ("", adapter.source.service)
        ]
        if not besides:
            raise RefusedError(
                f"target {target.describe()}: no source of stack {tools.settings.stack} keeps a log, so only points can"
                f" be restored; list them: slipway backup points --stack {tools.settings.stack}"
            )
        if not all(adapter.ends_before(record, target) for adapter, record in besides):
            ended = max(datetime.fromisoformat(str(record["end_time"])) for _adapter, record in besides)
            earliest = f"point {point.name}, which is whole from {human_time(ended)} on"
            continue
        reaches = {adapter.source.key: adapter.reach(record, target) for adapter, record in besides}
        problems = tuple(problem for reach in reaches.values() for problem in reach.problems)
        if not problems:
            skipped = len(tried)
            warnings = [f"passed over {skipped} newer points: no log leads on from them"] if skipped else []
            return Choice(point, manifest, reaches, warnings)
        tried.append(problems)
        if len(tried) == CANDIDATES:
            break
    if tried:
        raise RefusedError("; ".join(tried[0]))
    raise RefusedError(
        f"target {target.describe()}: is before the end of the oldest good point ({earliest or good[0].name});"
        f" covered is what comes after that, {_covered_until(tools, newest)}"
    )


def _candidates(tools: Tools, target: Target, good: Sequence[Point]) -> Iterator[tuple[Point, dict[str, Any]]]:
    """The points that may do, newest first; the oldest one always, for what a refusal says of it."""
    for point in reversed(good):
        if target.kind == KIND_TIME and target.time is not None and point.time > target.time and point != good[0]:
            continue
        yield point, read_manifest(tools, point)


def _covered_until(tools: Tools, newest: Point) -> str:
    """How far the log reaches, for a refusal; that must not fail for it."""
    try:
        reaches = _reaches(tools, Target(), read_manifest(tools, newest))
    except BackupError:
        reaches = {}
    ends = [reach.coverage.end_time for reach in reaches.values() if reach.coverage and reach.coverage.end_time]
    return f"to {human_time(min(ends))}" if ends else f"to point {newest.name}"

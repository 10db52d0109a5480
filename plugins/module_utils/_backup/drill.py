# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try a restore without touching anything live: put every database together, check it all, measure, throw it away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import Choice, adapters_of, choose_for
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    RefusedError,
    human_seconds,
    point_name,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import space_problems
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_DRILL,
    Beside,
    Tools,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def drill(tools: Tools, target: Target) -> dict[str, Any]:
    """Try it. The caller has made sure that nobody else does so. What fails is written down as well, and raised."""
    started = tools.host.now()
    files.ensure_directory(tools.place.state, 0o700)
    evidence: dict[str, Any] = {
        "event": "drill",
        "stack": tools.settings.stack,
        "target": target.as_dict(),
        "started": started.isoformat(),
        "started_epoch": int(started.timestamp()),
        "point": "",
        "databases": {},
        "parts": [],
        "warnings": [],
    }
    try:
        _try(tools, target, point_name(started), evidence)
    except BackupError as error:
        _write(tools, {**evidence, "ok": False, "error": str(error)})
        raise
    evidence["duration_seconds"] = round((tools.host.now() - started).total_seconds(), 1)
    _write(tools, {**evidence, "ok": True, "error": ""})
    tools.progress(f"point {evidence['point']} can be restored: {human_seconds(evidence['duration_seconds'])}")
    return {**evidence, "ok": True, "error": ""}


def _try(tools: Tools, target: Target, drill_id: str, evidence: dict[str, Any]) -> None:
    choice = choose_for(tools, target)
    evidence["point"] = choice.point.name
    evidence["warnings"] += choice.warnings
    problems = [problem for reach in choice.reaches.values() for problem in reach.problems]
    besides = [(a, record) for a, record in adapters_of(tools, choice.manifest) if isinstance(a, Beside)]
    for beside, _record in besides:
        beside.sweep(drill_id, PURPOSE_DRILL)
    problems += space_problems(tools, besides, choice, None)
    if problems:
        raise RefusedError("; ".join(problems))
    for adapter, record in adapters_of(tools, choice.manifest):
        if isinstance(adapter, Beside):
            _database(tools, adapter, record, choice, target, drill_id, evidence)
        elif "part" in record:
            tools.progress(f"reading {adapter.label} back")
            tools.fetch(choice.point, record, adapter.label)
            evidence["parts"].append({"part": record["part"], "sha256": record["sha256"], "bytes": record["bytes"]})


def _database(
    tools: Tools,
    adapter: Beside,
    record: Mapping[str, Any],
    choice: Choice,
    target: Target,
    drill_id: str,
    evidence: dict[str, Any],
) -> None:
    begun = tools.host.now()
    workspace = adapter.workspace(drill_id, PURPOSE_DRILL)
    prepared = adapter.prepare(record, choice.point, target, workspace, thorough=True)
    adapter.discard(workspace)
    coverage = choice.reaches[adapter.source.key].coverage if adapter.source.key in choice.reaches else None
    end = coverage.end_time if coverage else None
    evidence["warnings"] += prepared.warnings
    evidence["databases"][adapter.source.key] = {
        **{name: value for name, value in prepared.as_dict().items() if name not in ("data", "key", "warnings")},
        # How long a restore would take, and how much would have been lost if the server had gone when this began.
        "seconds": round((tools.host.now() - begun).total_seconds(), 1),
        "behind_seconds": round((begun - end).total_seconds(), 1) if end else None,
    }


def _write(tools: Tools, evidence: Mapping[str, Any]) -> None:
    files.write_json(tools.place.drill, evidence)
    files.append_json_line(tools.place.history, dict(evidence))

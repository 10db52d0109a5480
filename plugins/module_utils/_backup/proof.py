# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A point counts only when it was read back from the repository that it is in."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import manifest as manifests
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Point
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools, adapter_of


def prove(tools: Tools, point: Point, expected: dict[str, Any] | None = None) -> None:
    """Read a point back and note beside it, in its repository, that it is good."""
    evidence = read_back(tools, point, expected)
    found = {"point": point.name, "verified": tools.host.now().isoformat(), "files": evidence}
    tools.repository.mark_verified(point.name, found)


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

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a recovery point says about itself, and whether that is plausible beside the one before."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, human_bytes

FORMAT = 1
NAME = "manifest.json"
# A dump under this size may shrink as it likes: a young system's does.
SMALL_BYTES = 1 << 20
SHRUNK_TO = 0.1


def source_key(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What makes two records the same source."""
    return tuple(str(record.get(name, "")) for name in ("kind", "engine", "service", "volume", "path"))


def find_record(manifest: Mapping[str, Any] | None, wanted: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of the same source in another manifest."""
    for record in (manifest or {}).get("sources") or []:
        if source_key(record) == source_key(wanted):
            return dict(record)
    return None


def stored(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a record says of its parts: its own, and that of a dump beside it."""
    return [item for item in (record, record.get("sql")) if isinstance(item, Mapping) and "part" in item]


def shrunk(before: Mapping[str, Any] | None, now: Mapping[str, Any], label: str) -> list[str]:
    """What makes a new record suspicious beside the last good one."""
    if not before:
        return []
    problems = []
    rows_before, rows_now = before.get("rows"), now.get("rows")
    if rows_before and rows_now == 0:
        problems.append(f"{label}: has no row now and had {rows_before}")
    bytes_before, bytes_now = int(before.get("bytes") or 0), int(now.get("bytes") or 0)
    if bytes_before > SMALL_BYTES and bytes_now < bytes_before * SHRUNK_TO:
        problems.append(f"{label}: has {human_bytes(bytes_now)} now and had {human_bytes(bytes_before)}")
    for name, facts in (before.get("databases") or {}).items():
        found = (now.get("databases") or {}).get(name)
        if facts.get("rows") and found is None:
            problems.append(f"{label}: database {name} is not there now and had about {facts['rows']} rows")
        elif facts.get("rows") and found is not None and found.get("rows") == 0 and rows_now != 0:
            problems.append(f"{label}: database {name} has no row now and had about {facts['rows']}")
    if before.get("files") and now.get("files") == 0:
        problems.append(f"{label}: has no file now and had {before['files']}")
    return problems


def parse(text: str) -> Any:
    """A manifest's text. Raises ValueError."""
    return json.loads(text)


def check_manifest(value: Any, stack: str, point: str) -> dict[str, Any]:
    """The manifest that was read from a repository, if it is the one of this point."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BackupError(f"point {point}: its manifest is not of format {FORMAT}; use the version that made it")
    if value.get("stack") != stack or value.get("point") != point:
        found = f"{value.get('stack')}/{value.get('point')}"
        raise BackupError(f"point {point}: its manifest belongs to {found}; this snapshot is not to be trusted")
    return value


def totals(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Rows, files and bytes of all sources together."""
    return {name: sum(int(record.get(name) or 0) for record in records) for name in ("rows", "files", "bytes")}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes before the oldest point goes from the logs, after a backup has let old points go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import read_manifest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# What of a record says which part of a log it needs. It never changes, so it is read from the repository once.
FIELDS = ("kind", "service", "lineage", "log_lineage", "start_lsn", "binlog_file")


def prune_logs(tools: Tools) -> list[str]:
    """Remove what no point needs any more; returns what went wrong. That is no fault of the point that was made, and is
    tried again after the next one. What cannot be read of a point may be needed by it, so then nothing goes."""
    if tools.log is None:
        return []
    try:
        needs = _needs(tools)
        services = {(record["kind"], record["service"]) for records in needs.values() for record in records}
        for kind, service in sorted(services):
            mine = [record for records in needs.values() for record in records if record["service"] == service]
            # A service that changed its kind has points of which nothing is known here.
            if all(record["kind"] == kind for record in mine):
                count = tools.log.prune(Source(kind, service), mine)
                if count:
                    tools.progress(f"removed {count} parts of the log of {service} that no point needs any more")
    except BackupError as error:
        return [f"old parts of the logs stay: {error}"]
    return []


def _needs(tools: Tools) -> dict[str, list[dict[str, Any]]]:
    """For each point, what its databases need of their logs."""
    path = f"{tools.place.state}/log-needs.{tools.repository.name}.json"
    known = files.read_json(path)
    known = known if isinstance(known, dict) else {}
    found = {}
    for point in tools.repository.points():
        record = known.get(point.name)
        if not isinstance(record, list):
            record = [_need(value) for value in read_manifest(tools, point)["sources"] if value.get("lineage")]
        found[point.name] = record
    if found != known:
        files.write_json(path, found)
    return found


def _need(record: Mapping[str, Any]) -> dict[str, Any]:
    size = (record.get("settings") or {}).get("wal_segment_size")
    settings = {"settings": {"wal_segment_size": size}} if size else {}
    return {**{name: record[name] for name in FIELDS if name in record}, **settings}

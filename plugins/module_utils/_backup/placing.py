# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Put the files of a point back where a new host lacks them, before anything would make them anew.

It is for what a play cannot write again: certificates and the account that they were issued to. What is there stays,
and so it is for hosts that were lost alone.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import choose, read_manifest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import SOURCE_FILE, BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import LATEST

STAGING = ".slipway-placing"


def place_files(tools: Tools, wanted: str = LATEST, dry_run: bool = False) -> dict[str, Any]:
    """Place what the point holds of the host's own files and the host lacks. The stack's own are not among them: a
    release writes those. Each path appears whole or not at all."""
    point, warnings = choose(tools.repository.points(), wanted, tools.settings.stack)
    manifest = read_manifest(tools, point)
    placed, kept = [], []
    for record in manifest["sources"]:
        path = str(record.get("path", ""))
        if record["kind"] != SOURCE_FILE or path.startswith(f"{tools.place.stacks_root}/"):
            continue
        if tools.host.exists(path):
            kept.append(path)
            continue
        if not dry_run:
            _place(tools, point.snapshot, path)
        placed.append(path)
    return {**point.as_dict(), "placed": placed, "kept": kept, "warnings": warnings}


def _place(tools: Tools, snapshot: str, path: str) -> None:
    tools.progress(f"putting {path} back")
    host, staging = tools.host, f"{path}{STAGING}"
    # What a killed try left.
    host.remove_tree(staging)
    host.make_parents(path)
    try:
        tools.repository.unpack(snapshot, staging, path)
        if not host.exists(f"{staging}{path}"):
            raise BackupError(f"{path}: the point names it and does not hold it; choose another point")
        host.move(f"{staging}{path}", path)
    finally:
        host.remove_tree(staging)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
    human_bytes,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import INCOMING, PREVIOUS, InPlace


class VolumeAdapter(InPlace):
    """A volume's files as they lie on the host."""

    def _directory(self) -> str:
        directory = self.tools.docker.volume_directory(self.source.volume)
        if directory is None:
            raise RefusedError(f"{self.label}: does not exist; deploy the stack first, or correct the name")
        return directory

    def collect(self, point: str) -> dict[str, Any]:
        directory = self._directory()
        files, size = self.tools.host.measure(directory)
        return {**self.source.as_dict(), "path": directory, "files": files, "bytes": size}

    def paths(self, record: Mapping[str, Any]) -> list[str]:
        return [str(record["path"])]

    def check_target(self, record: Mapping[str, Any]) -> list[str]:
        if self.tools.docker.volume_directory(self.source.volume) is None:
            return [f"{self.label}: does not exist; deploy the stack first"]
        return []

    def plan(self, record: Mapping[str, Any]) -> str:
        return f"replace {self.label} by {record['files']} files, {human_bytes(record['bytes'])}"

    def space_needed(self, record: Mapping[str, Any]) -> tuple[str, int]:
        return self._directory(), int(record["bytes"])

    def restore(self, record: Mapping[str, Any], point: Point, restore_id: str) -> dict[str, Any]:
        host, directory = self.tools.host, self._directory()
        parent = os.path.dirname(directory)
        incoming, previous = f"{parent}/{INCOMING}", self._previous(restore_id)
        self.tools.progress(f"unpacking {self.label}: {record['files']} files, {human_bytes(record['bytes'])}")
        host.make_empty(incoming)
        self.tools.repository.unpack(point.snapshot, incoming, str(record["path"]))
        # The path in the snapshot is the one of the host that was backed up; this host's may differ.
        unpacked = incoming + str(record["path"])
        if not host.exists(unpacked):
            raise BackupError(f"{self.label}: the point has no {record['path']}; choose another point")
        if not host.exists(previous):
            if host.exists(directory):
                host.move(directory, previous)
        elif host.exists(directory):
            host.remove_tree(directory)
        host.move(unpacked, directory)
        host.remove_tree(incoming)
        files, size = host.measure(directory)
        return {"label": self.label, "files": files, "bytes": size, "previous": previous}

    def _previous(self, restore_id: str) -> str:
        return f"{os.path.dirname(self._directory())}/{PREVIOUS}{restore_id}"

    def replaced(self, restore_id: str) -> bool:
        return self.tools.host.exists(self._previous(restore_id))

    def undo(self, restore_id: str) -> str:
        host, directory = self.tools.host, self._directory()
        incoming = f"{os.path.dirname(directory)}/{INCOMING}"
        if host.exists(incoming):
            host.remove_tree(incoming)
        if not self.replaced(restore_id):
            return ""
        host.remove_tree(directory)
        host.move(self._previous(restore_id), directory)
        return f"{self.label}: the old files are back in their place"

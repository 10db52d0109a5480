# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovery points for another job on the same stack, which holds the lease already."""

from __future__ import annotations

import os

from ansible_collections.slipway.ops.plugins.module_utils._backup import backup as backups
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import KIND_BEFORE_RELEASE, Place
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for


class BackupPoints:
    def __init__(self, stack: str) -> None:
        self._stack = stack

    def configured(self) -> bool:
        return os.path.exists(Place(self._stack).settings)

    def make(self) -> str:
        """Save, read back, and return the point's name. Raises BackupError."""
        return str(backups.make_point(self._tools(), KIND_BEFORE_RELEASE)["point"])

    def age_seconds(self) -> float | None:
        """By what the repository holds, not by what a job said of itself."""
        if not self.configured():
            return None
        tools = self._tools()
        good = [point.time for point in tools.repository.points() if point.verified]
        return (tools.host.now() - max(good)).total_seconds() if good else None

    def _tools(self) -> Tools:
        return tools_for(self._stack, lambda _line: None)

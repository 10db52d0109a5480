# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Kept


class FileAdapter(Kept):
    """Files of the host: kept in the point to be taken out by hand. A restore leaves the host's own as they are, since
    they belong to the play, which may have written newer ones."""

    def collect(self, point: str) -> dict[str, Any]:
        if not self.tools.host.exists(self.source.path):
            raise BackupError(f"{self.label}: does not exist; correct the path or take it out of the sources")
        files, size = self.tools.host.measure(self.source.path)
        return {**self.source.as_dict(), "files": files, "bytes": size}

    def paths(self, record: Mapping[str, Any]) -> list[str]:
        return [str(record["path"])]

    def plan(self, record: Mapping[str, Any]) -> str:
        return f"leave {self.label} as it is (slipway restore --extract takes it out of the point)"

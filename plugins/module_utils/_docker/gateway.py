# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's disk: what takes it, and the two requests that free some. No request here can reach a volume."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import Image, Usage, parse_usage
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway, translated


class EngineDisk(DockerGateway):
    @classmethod
    def connect(cls) -> EngineDisk:
        return cls(super().connect()._client)

    def usage(self) -> Usage:
        with translated("disk usage"):
            # Engines of 1.42 and later need not walk through volumes and containers for this.
            kinds = {"type": ["image", "build-cache"]} if self._api_version() >= (1, 42) else None
            disk = self._client._result(self._client._get(self._client._url("/system/df"), params=kinds), json=True)
            containers = self._client.containers(all=True)
        details = {raw["Id"]: self.image(raw["Id"]) for raw in disk.get("Images") or []}
        return parse_usage(disk, containers, details)

    def filesystem_bytes(self) -> int:
        found = os.statvfs(self.information()["DockerRootDir"])
        return found.f_blocks * found.f_frsize

    def remove_image(self, image: Image) -> str:
        """Never by force, so the engine refuses for an image in use; what it says against it, or nothing."""
        import docker.errors

        with translated(f"image {image.title}"):
            try:
                for name in image.names or (image.id,):
                    self._client.remove_image(name)
            except docker.errors.NotFound:
                return ""  # the last name took the image along
            except docker.errors.APIError as error:
                if error.status_code == 409:
                    return " ".join(str(error.explanation or error).split())
                raise
        return ""

    def prune_cache(self, keep_bytes: int | None = None, unused_days: int = 0) -> int:
        """Remove build cache down to a size, or what was not used for some days; how many bytes that freed."""
        asked: dict[str, Any] = {"filters": json.dumps({"until": [f"{unused_days * 24}h"]})} if unused_days else {}
        if keep_bytes is not None:
            asked.update({"all": "true", "keep-storage": str(keep_bytes)})
        with translated("build cache"):
            answer = self._client._result(
                self._client._post(self._client._url("/build/prune"), params=asked), json=True
            )
        return int(answer.get("SpaceReclaimed") or 0)

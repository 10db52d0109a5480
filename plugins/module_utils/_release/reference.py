# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The name of an image, taken apart as Docker takes it apart."""

from __future__ import annotations

from dataclasses import dataclass

HUB = "docker.io"


@dataclass(frozen=True)
class Reference:
    """`familiar` is the repository as people write it; `registry` and `path` are where it is asked for."""

    familiar: str
    registry: str
    path: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        rest, _at, digest = text.partition("@")
        named = ":" in rest.rpartition("/")[2]  # a colon before the last slash belongs to the registry's port
        repository, _colon, tag = rest.rpartition(":") if named else (rest, "", "")
        first, slash, below = repository.partition("/")
        if slash and ("." in first or ":" in first or first == "localhost"):
            registry, path = first, below
        else:
            registry, path = HUB, repository if slash else f"library/{repository}"
        return cls(repository, HUB if registry == "index.docker.io" else registry, path, tag, digest)

    @property
    def wanted(self) -> str:
        """What a registry is asked for: a digest, or a tag, `latest` where none is written."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> str:
        return f"{self.familiar}@{digest}"

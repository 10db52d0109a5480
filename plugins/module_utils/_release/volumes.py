# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Volumes that a new version of the stack would leave behind: renamed, dropped, or covered by another mount."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


@dataclass(frozen=True)
class Leaving:
    """One volume and what the new version does to it."""

    volume: str
    path: str
    why: str

    def refusal(self) -> str:
        return (
            f"{self.path}: {self.why}, and the volume {self.volume} holds data; "
            f"keep it mounted, or confirm its name in stack_confirmed_volumes"
        )


def leaving(before: Stack, after: Stack) -> list[Leaving]:
    """Each writable volume whose data a service would not see any more."""
    used = {volume for name in after.services for volume, _mount in _volumes(after, name)}
    found: dict[tuple[str, str], Leaving] = {}
    for name in before.services:
        for volume, mount in _volumes(before, name):
            if mount["read_only"]:
                continue
            left = _look(before, after, name, volume, str(mount["target"]), volume in used)
            if left is not None:
                found.setdefault((left.volume, left.path), left)
    return list(found.values())


def _volumes(stack: Stack, service: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for mount in stack.services[service].plain["volumes"]:
        if mount["type"] == "volume":
            yield stack.volume_name(mount["source"]), mount


def _look(before: Stack, after: Stack, service: str, volume: str, target: str, used: bool) -> Leaving | None:
    path = f"services.{service}.volumes"
    if service not in after.services:
        return (
            None if used else Leaving(volume, f"services.{service}", "the service is not in the Compose file any more")
        )
    if volume not in {other for other, _mount in _volumes(after, service)}:
        taker = _mount_at(after, service, target)
        if taker is not None:
            return Leaving(volume, path, f"{target} gets {taker} instead")
        return None if used else Leaving(volume, path, f"nothing is mounted at {target} any more")
    old_targets = _targets(before, service)
    cover = next((each for each in _targets(after, service) if _inside(each, target) and each not in old_targets), None)
    return None if cover is None else Leaving(volume, path, f"a new mount at {cover} covers a part of {target}")


def _mount_at(stack: Stack, service: str, target: str) -> str | None:
    for mount in stack.services[service].plain["volumes"]:
        if str(mount["target"]).rstrip("/") == target.rstrip("/"):
            source = stack.volume_name(mount["source"]) if mount["type"] == "volume" else mount.get("source", "")
            return f"the {mount['type']} {source}".rstrip()
    return None


def _targets(stack: Stack, service: str) -> list[str]:
    plain = stack.services[service].plain
    mounted = [str(mount["target"]) for mount in plain["volumes"]]
    return mounted + [str(entry).partition(":")[0] for entry in plain.get("tmpfs", [])]


def _inside(path: str, directory: str) -> bool:
    return path.rstrip("/").startswith(directory.rstrip("/") + "/")

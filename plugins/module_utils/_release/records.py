# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a stack on its host: what is deployed, its variables, history, journal and mounted files."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.container import HostFile
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Image
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import STACK_DIRECTORY
from ansible_collections.slipway.ops.plugins.module_utils._state import files

STATE = files.STATE_DIRECTORY + "/stacks"
KEPT_RELEASES = 10


@dataclass(frozen=True)
class Kept:
    """A good release, whole: what is needed to run it again as it was."""

    release: int
    model: Mapping[str, Any]
    variables: Mapping[str, str]
    images: Mapping[str, Image]

    def same_as(self, other: Kept) -> bool:
        return (self.model, self.variables, self.images) == (other.model, other.variables, other.images)

    def plain(self) -> dict[str, Any]:
        images = {name: {"id": image.id, "digest": image.digest} for name, image in self.images.items()}
        return {"model": dict(self.model), "variables": dict(self.variables), "images": images}

    @classmethod
    def parse(cls, release: int, plain: Mapping[str, Any]) -> Kept:
        images = {name: Image(entry["id"], entry["digest"]) for name, entry in plain["images"].items()}
        return cls(release, plain["model"], plain["variables"], images)


def environment_text(variables: Mapping[str, str]) -> str:
    return "".join(f"{key}={_quoted(value)}\n" for key, value in sorted(variables.items()))


def _quoted(value: str) -> str:
    if "\n" not in value:
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class Records:
    def __init__(self, stack: str, directory: str = STACK_DIRECTORY, state_directory: str = STATE) -> None:
        self.stack = stack
        self.directory = os.path.join(directory, stack)
        self.state = os.path.join(state_directory, stack)

    @property
    def files_directory(self) -> str:
        return os.path.join(self.state, "files")

    def _deployed(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def _kept(self, name: str) -> str:
        return os.path.join(self.state, name)

    def model(self) -> dict[str, Any] | None:
        """The model as deployed."""
        value = files.read_json(self._deployed("stack.json"))
        return value if isinstance(value, dict) else None

    def environment(self) -> str | None:
        return files.read_text(self._deployed("environment"))

    def write_deployed(self, model: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        files.ensure_directory(self.directory, 0o700)
        files.write_whole(self._deployed("environment"), environment_text(variables), 0o600)
        files.write_json(self._deployed("stack.json"), model, 0o600)

    def remove_deployed(self) -> None:
        for name in ("stack.json", "environment"):
            files.remove(self._deployed(name)) if os.path.isdir(self.directory) else None

    def history(self) -> list[dict[str, Any]]:
        return files.read_json_lines(self._kept("history.jsonl"))

    def last_release(self) -> int:
        return max((int(record.get("release", 0)) for record in self.history()), default=0)

    def add_history(self, record: Mapping[str, Any]) -> None:
        files.ensure_directory(self.state, 0o700)
        files.append_json_line(self._kept("history.jsonl"), dict(record))

    @property
    def _releases(self) -> str:
        return self._kept("releases")

    def require_room(self, kept: Kept) -> None:
        """Files have no limit of their own."""

    def keep_release(self, kept: Kept) -> None:
        """Keep what a good release was, for the way back; the oldest beyond the limit go."""
        files.ensure_directory(self._releases, 0o700)
        files.write_json(os.path.join(self._releases, f"{kept.release}.json"), kept.plain(), 0o600)
        for number in self.kept_releases()[KEPT_RELEASES:]:
            files.remove(os.path.join(self._releases, f"{number}.json"))

    def kept_releases(self) -> list[int]:
        """The numbers of the kept releases, newest first."""
        try:
            names = os.listdir(self._releases)
        except FileNotFoundError:
            return []
        return sorted((int(name[:-5]) for name in names if name[:-5].isdigit()), reverse=True)

    def kept_release(self, number: int) -> Kept | None:
        value = files.read_json(os.path.join(self._releases, f"{number}.json"))
        return Kept.parse(number, value) if isinstance(value, dict) else None

    def journal(self) -> dict[str, Any] | None:
        value = files.read_json(self._kept("journal.json"))
        return value if isinstance(value, dict) else None

    def write_journal(self, journal: Mapping[str, Any]) -> None:
        files.ensure_directory(self.state, 0o700)
        files.write_json(self._kept("journal.json"), journal)

    def sweep(self) -> None:
        """Remove what killed jobs left half-written; under the lease. A pull tells how far it is without one."""
        for directory in (self.directory, self.state, self._releases):
            files.sweep(directory, but=".pull.")

    def clear_journal(self) -> None:
        if os.path.isdir(self.state):
            files.remove(self._kept("journal.json"))

    def say_pull(self, line: str) -> None:
        """How far a pull is, for whoever asks meanwhile; nothing at its end."""
        if not line:
            if os.path.isdir(self.state):
                files.remove(self._kept("pull"))
            return
        files.ensure_directory(self.state, 0o700)
        files.write_whole(self._kept("pull"), f"{line}\n", 0o600)

    def said_pull(self) -> str:
        return (files.read_text(self._kept("pull")) or "").strip()

    def standing(self) -> dict[str, float]:
        """The containers of the colour before that still run: id → until when, in seconds of the epoch."""
        value = files.read_json(self._kept("standing.json"))
        return {str(key): float(until) for key, until in value.items()} if isinstance(value, dict) else {}

    def write_standing(self, until: Mapping[str, float]) -> None:
        if until:
            files.ensure_directory(self.state, 0o700)
            files.write_json(self._kept("standing.json"), dict(until))
        elif os.path.isdir(self.state):
            files.remove(self._kept("standing.json"))

    def mounted_files(self) -> frozenset[str]:
        try:
            return frozenset(os.listdir(self.files_directory))
        except FileNotFoundError:
            return frozenset()

    def write_files(self, wanted: Mapping[str, HostFile]) -> None:
        """Configs and secrets under content-hashed names: what an old container has mounted is never touched."""
        files.ensure_directory(self.files_directory, 0o700)
        present = self.mounted_files()
        for name, entry in wanted.items():
            if name in present:
                continue
            content = entry.content.get("content")
            data = base64.b64decode(entry.content["content_base64"]) if content is None else content.encode("utf-8")
            path = os.path.join(self.files_directory, name)
            staged = os.path.join(self.state, f".{name}")
            files.write_whole(staged, data, entry.mode)
            os.chown(staged, entry.uid, entry.gid)
            os.replace(staged, path)
        files.sync_directory(self.files_directory)

    def collect_files(self, wanted: Collection[str]) -> None:
        for name in self.mounted_files() - set(wanted):
            files.remove(os.path.join(self.files_directory, name))


def stacks(directory: str = STACK_DIRECTORY) -> list[str]:
    """The names of all stacks deployed on this host."""
    try:
        names = sorted(os.listdir(directory))
    except FileNotFoundError:
        return []
    return [name for name in names if os.path.isfile(os.path.join(directory, name, "stack.json"))]

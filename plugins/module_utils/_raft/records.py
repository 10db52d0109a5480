# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of a stack on a Swarm, for every manager alike: see `_release/records.py` for those of a host.

The journal is a label of the state object. What is larger is a document: a config object of packed JSON that is never
changed, listed in the state object. A new one is created first and listed in the same step that checks the lease; the
one before it goes then. So a reader finds the old or the new, and what an interrupted or overtaken job left unlisted
goes with the next release.
"""

from __future__ import annotations

import base64
import gzip
import json
import uuid
import zlib
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._raft.state import (
    DOCUMENTS,
    FENCING_LABEL,
    JOURNAL,
    RECORD_LABEL,
    STANDING,
    STATE_LABEL,
    ClusterState,
    Configs,
    Labels,
    object_name,
    packed,
    plain,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import (
    KEPT_RELEASES,
    Kept,
    environment_text,
)

MAXIMUM_BYTES = 1000 * 1024  # Docker's own limit for the data of a config
HISTORY_RECORDS = 50
DEPLOYED = "deployed"
HISTORY = "history"
RELEASE = "release"
READS = 10


def pack(value: Any) -> bytes:
    return gzip.compress(json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8"), mtime=0)


def unpack(data: bytes) -> Any:
    return json.loads(gzip.decompress(data).decode("utf-8"))


class ClusterRecords:
    """Writes need the stack's lease (`cluster_lease` of the same state)."""

    def __init__(self, state: ClusterState) -> None:
        self.stack = state.stack
        self._state = state

    # Documents

    def _listed(self, labels: Labels) -> dict[str, str]:
        found: dict[str, str] = plain(labels, DOCUMENTS) or {}
        return found

    def _get(self, key: str) -> Any:
        """The document's value; None without it."""
        for _attempt in range(READS):
            name = self._listed(self._state.read()).get(key)
            if name is None:
                return None
            found = self._state.gateway.config(name)
            if found is not None:
                return self._unpacked(name, found)
            # Replaced between the two reads.
        raise EngineError(
            f"config {name}: is listed as {key} of stack {self.stack} but is not there; somebody removed it. "
            "Restore the Swarm's state, or release the stack again"
        )

    def _unpacked(self, name: str, found: Mapping[str, Any]) -> Any:
        try:
            return unpack(base64.b64decode(found["Spec"]["Data"]))
        except (ValueError, OSError, EOFError, zlib.error) as error:
            raise EngineError(f"config {name}: is no document of stack {self.stack} ({error}); remove it") from error

    def _put(self, key: str, value: Any, drop: frozenset[str] = frozenset()) -> None:
        """Make it the document of that key, and drop these others."""
        data = self._packed(key, value)
        fencing = self._state.require_held(self._state.read())
        name = object_name(self.stack, f"{key}-{uuid.uuid4().hex[:8]}")
        labels = {RECORD_LABEL: self.stack, FENCING_LABEL: str(fencing)}
        self._state.gateway.create_config(name, labels, data)
        self._list({key: name}, drop)

    def _packed(self, key: str, value: Any) -> bytes:
        data = pack(value)
        if len(data) > MAXIMUM_BYTES:
            raise EngineError(
                f"{key} of stack {self.stack}: {len(data) / 1024:.0f} KiB packed, a config object of Docker holds "
                f"{MAXIMUM_BYTES / 1024:.0f} KiB; take large files out of configs and secrets of the Compose file"
            )
        return data

    def _list(self, add: Mapping[str, str], drop: frozenset[str]) -> None:
        gone: list[str] = []

        def edit(labels: Labels) -> dict[str, str | None]:
            before = self._listed(labels)
            after = {**{key: name for key, name in before.items() if key not in drop}, **add}
            gone[:] = sorted(set(before.values()) - set(after.values()))
            return {DOCUMENTS: packed(after)}

        self._state.write(edit)
        for name in gone:
            self._state.gateway.remove_config(name)

    def sweep(self) -> None:
        """Remove what is listed nowhere. What a later holder is about to list is not ours to remove."""
        labels = self._state.read()
        fencing = self._state.require_held(labels)
        listed = set(self._listed(labels).values())
        for found in self._state.gateway.configs(f"{RECORD_LABEL}={self.stack}"):
            spec = found["Spec"]
            if spec["Name"] not in listed and int(spec["Labels"].get(FENCING_LABEL) or 0) <= fencing:
                self._state.gateway.remove_config(spec["Name"])

    # What is deployed

    def model(self) -> dict[str, Any] | None:
        """The model as deployed."""
        value = self._get(DEPLOYED)
        return value["model"] if isinstance(value, dict) else None

    def environment(self) -> str | None:
        value = self._get(DEPLOYED)
        return environment_text(value["variables"]) if isinstance(value, dict) else None

    def write_deployed(self, model: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        self._put(DEPLOYED, {"model": dict(model), "variables": dict(variables)})

    def remove_deployed(self) -> None:
        self._list({}, frozenset([DEPLOYED]))

    # History and kept releases

    def history(self) -> list[dict[str, Any]]:
        return list(self._get(HISTORY) or [])

    def last_release(self) -> int:
        return max((int(record.get("release", 0)) for record in self.history()), default=0)

    def add_history(self, record: Mapping[str, Any]) -> None:
        self._put(HISTORY, [*self.history(), dict(record)][-HISTORY_RECORDS:])

    def require_room(self, kept: Kept) -> None:
        self._packed(f"{RELEASE}-{kept.release}", kept.plain())

    def keep_release(self, kept: Kept) -> None:
        """Keep what a good release was, for the way back; the oldest beyond the limit go."""
        numbers = sorted({*self.kept_releases(), kept.release}, reverse=True)
        drop = frozenset(f"{RELEASE}-{number}" for number in numbers[KEPT_RELEASES:])
        self._put(f"{RELEASE}-{kept.release}", kept.plain(), drop)
        self.sweep()

    def kept_releases(self) -> list[int]:
        """The numbers of the kept releases, newest first."""
        keys = [key.partition("-")[::2] for key in self._listed(self._state.read())]
        return sorted((int(number) for what, number in keys if what == RELEASE), reverse=True)

    def kept_release(self, number: int) -> Kept | None:
        value = self._get(f"{RELEASE}-{number}")
        return Kept.parse(number, value) if isinstance(value, dict) else None

    # The journal, and what of the release before stands by

    def journal(self) -> dict[str, Any] | None:
        return self._label(JOURNAL)

    def write_journal(self, journal: Mapping[str, Any]) -> None:
        self._state.write({JOURNAL: packed(dict(journal))})

    def clear_journal(self) -> None:
        self._clear(JOURNAL)

    def standing(self) -> dict[str, float]:
        """The tasks of the colour before that still run: id → until when, in seconds of the epoch."""
        return {str(key): float(until) for key, until in (self._label(STANDING) or {}).items()}

    def write_standing(self, until: Mapping[str, float]) -> None:
        if until:
            self._state.write({STANDING: packed(dict(until))})
        else:
            self._clear(STANDING)

    def _label(self, key: str) -> dict[str, Any] | None:
        value = plain(self._state.read(), key)
        return value if isinstance(value, dict) else None

    def _clear(self, key: str) -> None:
        if key in self._state.read():
            self._state.write({key: None})


def cluster_stacks(gateway: Configs) -> list[str]:
    """The names of all stacks that are deployed on this Swarm."""
    labels = (found["Spec"].get("Labels") or {} for found in gateway.configs(STATE_LABEL))
    return sorted(each[STATE_LABEL] for each in labels if DEPLOYED in (plain(each, DOCUMENTS) or {}))

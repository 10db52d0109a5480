# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one state object of a stack in the Swarm's raft store: the labels of a config object, changed in one step."""

from __future__ import annotations

import hashlib
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseLost, describe
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import Conflict, Unavailable
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

# Not the label of a stack's own configs and secrets: nobody who collects those may take these.
STATE_LABEL = "ops.slipway.state"
RECORD_LABEL = "ops.slipway.record"
FENCING_LABEL = "ops.slipway.fencing"

# What the state object's labels hold
LEASE = "ops.slipway.lease"
JOURNAL = "ops.slipway.journal"
STANDING = "ops.slipway.standing"
DOCUMENTS = "ops.slipway.documents"
SERVING = "ops.slipway.serving"
FOLLOWING = "ops.slipway.following"
GENERATION = "ops.slipway.generation"
JUDGING = "ops.slipway.judging"

OBJECT_PREFIX = "slipway-"

ATTEMPTS = 100
PATIENCE_SECONDS = 30.0  # an election of a new leader takes some ten seconds
RETRY_SECONDS = 0.5

_RANDOM = random.SystemRandom()
_NAME = re.compile(r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9]$")

Labels = Mapping[str, str]


class Clock(Protocol):
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...


class Configs(Protocol):
    """What the state needs of the gateway."""

    def config(self, name: str) -> dict[str, Any] | None: ...
    def configs(self, label: str) -> list[dict[str, Any]]: ...
    def create_config(self, name: str, labels: Mapping[str, str], data: bytes) -> None: ...
    def update_config(self, found: Mapping[str, Any], labels: Mapping[str, str]) -> None: ...
    def remove_config(self, name: str) -> None: ...
    def node_id(self) -> str: ...


def object_name(stack: str, what: str = "") -> str:
    """The name of a config object of the stack; a name that Docker would not take gives way to its hash."""
    name = f"{OBJECT_PREFIX}{stack}{'-' if what else ''}{what}"
    if _NAME.match(name):
        return name
    return object_name(hashlib.sha256(stack.encode("utf-8")).hexdigest()[:16], what)


def plain(labels: Labels, key: str) -> Any:
    """The value of a label that holds JSON; None without it."""
    return json.loads(labels[key]) if key in labels else None


def packed(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class ClusterState:
    """Readable by all managers; `write` is for the holder of the stack's lease, which sets `held`."""

    def __init__(
        self, gateway: Configs, stack: str, patience_seconds: float = PATIENCE_SECONDS, clock: Clock = time
    ) -> None:
        self.gateway = gateway
        self.stack = stack
        self.name = object_name(stack)
        self.held: Mapping[str, Any] | None = None
        self._patience = patience_seconds
        self._clock = clock

    def read(self) -> dict[str, str]:
        found = self.gateway.config(self.name)
        return {} if found is None else dict(found["Spec"].get("Labels") or {})

    def change(self, edit: Callable[[dict[str, str]], Labels], patience_seconds: float | None = None) -> None:
        """Replace the labels by what `edit` makes of them, in one step; what `edit` raises leaves them as they are.

        `edit` is called again when somebody else was first, and when it is not known whether a write came through.
        """
        begun = self._clock.monotonic()
        patience = self._patience if patience_seconds is None else patience_seconds
        lost = 0
        while True:
            try:
                self._exchange(edit)
                return
            except Conflict as error:
                lost += 1
                if lost >= ATTEMPTS:
                    raise EngineError(f"stack {self.stack}: {lost} writes in a row came second ({error})") from error
                self._clock.sleep(_RANDOM.uniform(0, 0.01 * min(lost, 10)))
            except Unavailable:
                if self._clock.monotonic() - begun >= patience:
                    raise
                self._clock.sleep(RETRY_SECONDS)

    def _exchange(self, edit: Callable[[dict[str, str]], Labels]) -> None:
        found = self.gateway.config(self.name)
        before = {} if found is None else dict(found["Spec"].get("Labels") or {})
        after = {**edit(dict(before)), STATE_LABEL: self.stack}
        if found is None:
            self.gateway.create_config(self.name, after, b"slipway")
        elif after != before:
            self.gateway.update_config(found, after)

    def write(self, changes: Mapping[str, str | None] | Callable[[Labels], Mapping[str, str | None]]) -> None:
        """Set these labels, or take away those that are None, if the lease is still ours at that very moment."""

        def edit(labels: dict[str, str]) -> Labels:
            self.require_held(labels)
            for key, value in (changes(labels) if callable(changes) else changes).items():
                if value is None:
                    labels.pop(key, None)
                else:
                    labels[key] = value
            return labels

        self.change(edit)

    def require_held(self, labels: Labels) -> int:
        """Our fencing number; LeaseLost when the lease is not ours any more."""
        current = plain(labels, LEASE) or {}
        if self.held is None or current.get("fencing") != self.held["fencing"] or not current.get("owner"):
            holder = describe(current) if current.get("owner") else "another job"
            raise LeaseLost(
                f"lease {self.stack}: lost to {holder}; nothing more is changed. Run again when it has ended"
            )
        return int(self.held["fencing"])

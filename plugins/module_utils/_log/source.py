# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is followed: one contract, one adapter for PostgreSQL and one for MySQL and MariaDB.

`tick` is called each interval and is quick; `work` is called by a thread of its own and may take long; `audit` asks the
server how it sees things; what `receive` does runs in a thread of its own until `stop`.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Engine, Server, is_alive
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage
from ansible_collections.slipway.ops.plugins.module_utils._log.outbox import Outbox
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace, LogSettings, LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.tail import Found, State, Tail, TurnedBackError
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# How long after a fruitless look for the container the next one may be.
LOOK_SECONDS = 2.0


@dataclass
class LogTools:
    """What the adapters work with."""

    settings: LogSettings
    place: LogPlace
    engine: Engine
    host: Host = field(default_factory=Host)
    say: Callable[[str], None] = field(default=lambda line: None)
    alive: Callable[[Server], bool] = field(default=is_alive)

    def now(self) -> float:
        return self.host.now().timestamp()


class WaitingError(BackupError):
    """There is nothing to follow just now, and that is no fault of anybody."""


class Source(ABC):
    """The contract, and what both adapters do alike."""

    def __init__(self, source: LogSource, tools: LogTools) -> None:
        self.source = source
        self.tools = tools
        self.directory = tools.place.source(source.key)
        files.ensure_directory(self.directory)
        self.outbox = Outbox(f"{self.directory}/outgoing", [item.name for item in tools.settings.repositories])
        self.state = State(f"{self.directory}/state.json")
        self.tail: Tail | None = None
        self.older: list[Tail] = []
        self.server: Server | None = None
        # The server is another process than when it was last looked after.
        self.changed = False
        self.stopping = threading.Event()
        # Nothing may be written any more: the disk is nearly full.
        self.held = False
        # When last everything that was there had been cut, and since when that fails.
        self.seen = tools.now()
        self.stuck_since: float | None = None
        self._looked = float("-inf")
        self._fruitless: BackupError | None = None
        self._notes: dict[str, str] = {}

    @property
    def label(self) -> str:
        return self.source.label

    def note(self, topic: str, line: str) -> None:
        """Say a line when it is another one than was said last about this topic; an empty one ends the topic."""
        if self._notes.get(topic, "") != line:
            self._notes[topic] = line
            if line:
                self.tools.say(f"{self.label}: {line}")

    @property
    def problems(self) -> list[str]:
        """What was said and has not ended, as a status shows it."""
        return [line for _topic, line in sorted(self._notes.items()) if line]

    def find_server(self) -> Server:
        """The service's one running container. Looks again only when the known one has ended."""
        if self.server is not None and self.tools.alive(self.server):
            return self.server
        now = self.tools.now()
        waits = WaitingError(f"waits for a running container of service {self.source.service}")
        if now - self._looked < LOOK_SECONDS:
            raise self._fruitless or waits
        self._looked = now
        self._fruitless = None
        found = self.tools.engine.servers(self.tools.settings.stack, self.source.service)
        if not found:
            raise WaitingError(f"waits for a running container of service {self.source.service}")
        if len(found) > 1:
            names = ", ".join(server.name for server in found)
            raise BackupError(
                f"service {self.source.service} has {len(found)} containers ({names}), a log has one server"
            )
        self.server = found[0]
        self._looked = float("-inf")
        self.server_changed()
        return self.server

    def watch(self) -> None:
        """Look after what must not wait for the next audit."""
        return

    def server_changed(self) -> None:
        """Another process writes the log now."""
        self.changed = True
        if self.tail is not None:
            self.tail.distrust()
        if self.server is not None:
            self.tools.say(f"{self.label}: follows {self.server.name}")

    def lineage_of(self, identity: str) -> Lineage:
        """The lineage of a server: the present one's, or the last one that this server had."""
        stack, key = self.tools.settings.stack, self.source.key
        epochs = [
            lineage.epoch
            for lineage in (Lineage.named(stack, key, name) for name in self.state.document["lineages"])
            if lineage.identity == identity
        ]
        return Lineage(stack, key, identity, max(epochs, default=1))

    def use_lineage(self, lineage: Lineage) -> Tail:
        """Make this the present lineage; what an older one still has to be cut stays in work."""
        if self.tail is not None and self.tail.lineage == lineage:
            return self.tail
        with self.state.lock:
            known = self.state.document["lineage"]
            left = [self.tail] if self.tail is not None else []
            again = next((tail for tail in self.older if tail.lineage == lineage), None)
            self.older = [tail for tail in [*self.older, *left] if tail is not again]
            self.tail = again or self.make_tail(lineage)
            self.state.document["lineage"] = lineage.name
            self.state.save()
        if known and known != lineage.name:
            self.tools.say(f"{self.label}: begins lineage {lineage.name} after {known}; make a new recovery point")
        return self.tail

    def begin_anew(self, tail: Tail, error: TurnedBackError, finish: bool = False) -> None:
        """The server's log is another one from now on than the one of this tail. `finish`: its files are our own, and
        what is whole of them is still cut."""
        with self.state.lock:
            if self.tail is not tail:
                return
            self.tools.say(f"{self.label}: {error}")
            with contextlib.suppress(TurnedBackError):
                while finish and tail.consolidate(self.outbox.repositories):
                    pass
            self.use_lineage(tail.lineage.next)
            self.older = [item for item in self.older if item is not tail]
            self.lineage_changed(tail)

    def poll(self, tail: Tail, found: list[Found]) -> int:
        """Cut what was found for the repositories that have not too much waiting."""
        active = self.outbox.active(self.tools.settings.budget_bytes)
        paused = [name for name in self.outbox.repositories if name not in active]
        text = f"too much waits for {', '.join(paused)}: only whole files are cut for it now" if paused else ""
        self.note("budget", text)
        return tail.poll(found, self.seen, active)

    def work(self) -> bool:
        """Put one thing together, if there is one."""
        if self.held:
            return False
        active = self.outbox.active(self.tools.settings.budget_bytes)
        for tail in [*self.older, *([self.tail] if self.tail else [])]:
            try:
                if tail.consolidate(active):
                    return True
            except TurnedBackError as error:
                self.begin_anew(tail, error, self.receives)
                self.older = [item for item in self.older if item is not tail]
        return False

    def stop(self) -> None:
        """End what runs; may be called more than once."""
        self.stopping.set()

    def hold(self, held: bool) -> None:
        """Write nothing any more, or go on."""
        self.held = held

    @property
    def receives(self) -> bool:
        """Whether `receive` has to run in a thread."""
        return False

    def receive(self) -> None:
        """Receive until `stop`."""
        raise NotImplementedError

    def lineage_changed(self, before: Tail) -> None:  # noqa: B027 (not every adapter has something to do)
        """A lineage was begun after the one of this tail, which is left."""

    @abstractmethod
    def make_tail(self, lineage: Lineage) -> Tail: ...

    @abstractmethod
    def tick(self) -> int:
        """Look what there is and cut it; returns how many bytes were cut. Raises WaitingError when the server is away,
        and BackupError when something is wrong; both are tried again."""

    @abstractmethod
    def audit(self) -> dict[str, Any]:
        """How the server sees it; for the status."""

    @abstractmethod
    def holes(self) -> list[str]:
        """What is missing between the first and the last byte that were cut, in words."""

    @abstractmethod
    def position(self) -> str:
        """How far the log was cut, in the server's own words."""

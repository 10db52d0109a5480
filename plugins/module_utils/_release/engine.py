# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine contract: what a release asks of Docker Compose hosts, Swarm or ECS, one method a phase."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Image, Observed
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import Plan
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

if TYPE_CHECKING:  # it stands on EngineError
    from ansible_collections.slipway.ops.plugins.module_utils._release.images import Wanted


@contextlib.contextmanager
def collected(left: list[str]) -> Iterator[None]:
    """One step of an undoing: what cannot be put back is noted, and the next step goes on."""
    try:
        yield
    except Exception as error:
        left.append(str(error))


class EngineError(Exception):
    """A phase cannot go on; one line with the resource, the reason and the remedy."""


FINISH = "finish"  # from this phase on a release is not undone


@dataclass(frozen=True)
class Capabilities:
    """What generic code asks instead of an engine's name."""

    name: str
    start_first: bool
    several_hosts: bool


@dataclass
class Progress:
    """What a release has done so far; the journal is its copy on disk, so that an interrupted release can be undone."""

    release: int
    save: Callable[[dict[str, Any]], None]
    phase: str = ""
    created: list[str] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    scaled: dict[str, int] = field(default_factory=dict)
    removing: list[str] = field(default_factory=list)
    up: list[str] = field(default_factory=list)
    switched: bool = False  # from here on what `previous_upstreams` or `previous_serving` hold is not what serves
    share: float = 0.0  # of the requests that the new version was given last
    steps: list[dict[str, Any]] = field(default_factory=list)  # each share: how long, and what was answered
    reloaded: bool = False
    previous_upstreams: dict[str, str] = field(default_factory=dict)
    previous_serving: dict[str, dict[str, int]] = field(default_factory=dict)
    migrated: list[str] = field(default_factory=list)
    recovery_point: str = ""
    committed: bool = False  # whether it is on record that this release is not undone any more
    standing: dict[str, float] = field(default_factory=dict)  # the colour before that stays, from its end on
    after: list[str] = field(default_factory=list)  # whose after_release commands are to run at its end
    # The journal of the release that serves, while its end is missing: when this one is undone, that is still to come.
    before: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # phase → how long it took

    def passed(self, phase: str) -> bool:
        return phase in self.seconds

    def plain(self) -> dict[str, Any]:
        return {
            "release": self.release,
            "phase": self.phase,
            "created": self.created,
            "started": self.started,
            "stopped": self.stopped,
            "scaled": self.scaled,
            "removing": self.removing,
            "switched": self.switched,
            "share": self.share,
            "reloaded": self.reloaded,
            "steps": self.steps,
            "previous_upstreams": self.previous_upstreams,
            "previous_serving": self.previous_serving,
            "migrated": self.migrated,
            "recovery_point": self.recovery_point,
            "standing": self.standing,
            "after": self.after,
            "before": self.before,
        }

    def record(self) -> None:
        self.save(self.plain())
        self.committed = self.phase == FINISH


class Engine(Protocol):
    capabilities: Capabilities

    def require(self) -> None:
        """Raise EngineError with what is missing on this host."""

    def observe(self, stack: Stack) -> Observed:
        """What runs; `available` False where the engine is not installed or not started."""

    def images(self, stack: Stack) -> Mapping[str, Image]:
        """The images that are here for the stack, by reference."""

    def has_image(self, image_id: str) -> bool:
        """Whether this very image is here, under whatever name."""

    def has_data(self, volume: str) -> bool:
        """Whether the volume exists and holds something."""

    def look_up(self, references: Iterable[str]) -> list[Wanted]:
        """What these names stand for at their registries now, and how much of it is not here yet; changes nothing."""

    def pin(self, images: Mapping[str, Image]) -> None:
        """Have these very images under their references, whatever the references mean by now."""

    def pull(self, stack: Stack, plan: Plan) -> bool:
        """Bring the images here; True when a local image is another one now."""

    def prepare(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        """Networks, volumes, mounted files."""

    def stop_old(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        """Stop all of the services that the plan recreates, before anything of the new version runs."""

    def migrate(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        """Bring up what migrations need, then run each once from the new image."""

    def start(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        """New replicas beside the old ones, through the health gate."""

    def switch(self, stack: Stack, plan: Plan, progress: Progress, share: float) -> None:
        """Send this share of new requests to the new replicas; below 1 of the plan's canaries alone."""

    def watch(self, stack: Stack, plan: Plan, progress: Progress, seconds: float, drain: bool) -> None:
        """Stay so long, and until old requests have ended; raise when the new replicas are not good any more."""

    def replace(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        """Services that cannot run twice: stop the old one, start the new one."""

    def finish(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        """Stop and remove what is old, but what is to stay behind. From here on the release is not undone.

        Its first step is to record what goes, together with the phase.
        """

    def close(self, stack: Stack, plan: Plan) -> None:
        """The stack is to be absent: no traffic, no containers, no networks; volumes stay."""

    def run_after(self, stack: Stack, services: list[str]) -> None:
        """The after_release commands of these services."""

    def settle(self, stack: Stack, observed: Observed) -> None:
        """Wait until kept replicas that still start are healthy."""

    def undo(self, stack: Stack, plan: Plan, progress: Progress) -> list[str]:
        """Back to the old release; returns what could not be put back."""

    def recover(self, stack: Stack, journal: Mapping[str, Any]) -> None:
        """Undo a release that was interrupted, or end one that was in its phase `finish`.

        What was broken before does not come back, and the next release is there to mend it. EngineError where going on
        could run two of what must be one.
        """

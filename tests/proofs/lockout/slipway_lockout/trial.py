"""A trial as a value: what is prepared, what the operator runs, and how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway_lockout.stage import Stage

REFUSED = "refused before touching"
BY_PLAY = "reverted by play"
BY_ITSELF = "reverted by itself"
AT_BOOT = "reverted at boot"
KEPT = "went through"  # nothing was harmed: the operator gets what was asked for

LIMIT_SECONDS = 30  # the shortest that a role takes
PATIENT_SECONDS = 60  # where the play, and not the clock, is to put things back


@dataclass(frozen=True)
class Trial:
    title: str
    ends: str
    says: str  # by the play, or by the run that follows
    variables: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ("ssh",)
    playbook: str = "roles.yml"
    prepare: str = ""  # a shell script on the host, by another way than SSH
    undo: str = ""
    connection: Mapping[str, Any] = field(default_factory=dict)  # how the play connects, where it is not as always
    held: bool = False  # the play has a connection from before the preparation
    disturb: Callable[[Stage], None] | None = None  # what happens while the play runs
    quick: bool = False

    @property
    def limit_seconds(self) -> int:
        return PATIENT_SECONDS if self.ends == BY_PLAY else LIMIT_SECONDS


@dataclass(frozen=True)
class Theme:
    """Trials that share a host, and the good configuration that the host has before and after each."""

    name: str
    roles: tuple[str, ...]
    trials: tuple[Trial, ...]

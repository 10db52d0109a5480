# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host upgraded: plan, apply, and afterwards the proof that what ran before runs again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker.converge import ENGINE_PACKAGES
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import all_stacks
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._upgrade import plan
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.gateway import ALL, Machine, UpgradeError
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.plan import Simulation

DIRECTORY = files.STATE_DIRECTORY + "/upgrade"
JOURNAL = DIRECTORY + "/journal.json"
MIB = 1024**2
# What must hold for this long counts.
SETTLE_SECONDS = 5
POLL_SECONDS = 1
REBOOT_WAIT_SECONDS = 600  # when nobody reboots the machine by then, its stacks are free again


@dataclass(frozen=True)
class Settings:
    engine: bool = True
    reboot: str = plan.AUTO
    free_mib: int = 512
    lock_wait_seconds: int = 900
    lease_wait_seconds: int = 300
    drain_command: Sequence[str] = ()
    actor: str = "root"


@dataclass
class Outcome:
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    reboot: bool = False
    reasons: list[str] = field(default_factory=list)
    prove: bool = False  # whether the health of the host is to be proved

    @property
    def plan(self) -> list[str]:
        why = "; ".join(self.reasons) or "upgrade_reboot is always"
        return self.lines + ([f"reboot: {why}"] if self.reboot else [])


@dataclass(frozen=True)
class Todo:
    interrupted: bool
    packages: Simulation = field(default_factory=Simulation)
    engine: Simulation = field(default_factory=Simulation)
    engine_names: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()

    @property
    def lines(self) -> list[str]:
        first = ["finish the interrupted run of dpkg"] if self.interrupted else []
        lines = [change.line for change in (*self.packages.changes, *self.engine.changes)]
        return first + lines + [f"restart {unit}, which runs replaced files" for unit in self.stale]


class Upgrade:
    def __init__(self, machine: Machine, settings: Settings, places: Places) -> None:
        self.machine = machine
        self.settings = settings
        self.places = places
        self.outcome = Outcome()

    def check(self) -> Outcome:
        """Say what would be upgraded; the host stays as it is, its package lists included."""
        with self.machine.lists():
            if self.machine.is_interrupted():
                self.outcome.warnings.append("what is left to upgrade can be planned when that has ended")
                todo = Todo(True)
            else:
                todo = self._todo(False)
                self._space(todo)
        self._tell(todo)
        return self.outcome

    def run(self) -> Outcome:
        machine, settings = self.machine, self.settings
        owner = f"upgrade by {settings.actor}"
        with all_stacks(owner, self.places, settings.lease_wait_seconds, RaftGateway.connect) as leases:
            machine.wait_for_lock(settings.lock_wait_seconds, self.outcome.warnings.append)
            with machine.lists():
                # APT plans nothing before that.
                interrupted = machine.is_interrupted()
                if interrupted:
                    self._remember()
                    machine.finish_interrupted(self.outcome.warnings.append)
                todo = self._todo(interrupted)
                self._space(todo)
                self._tell(todo)
                if not self.outcome.lines and not self.outcome.reboot:
                    return self.outcome
                self._remember()
                if settings.drain_command:
                    machine.command(settings.drain_command, "upgrade_drain_command")
                self._apply(todo)
            if self.outcome.reboot:
                # A release that began now would be cut off by the reboot.
                for each in leases:
                    each.leave_until_reboot(f"reboot after the upgrade by {settings.actor}", REBOOT_WAIT_SECONDS)
        return self.outcome

    def _todo(self, interrupted: bool) -> Todo:
        machine = self.machine
        names = tuple(machine.installed(ENGINE_PACKAGES)) if self.settings.engine else ()
        packages = machine.simulate(*ALL)
        coming = {change.name for change in packages.changes}
        only = ("install", "--only-upgrade", "--allow-change-held-packages", *names)
        engine = machine.simulate(*only) if names else Simulation()
        engine = Simulation(tuple(each for each in engine.changes if each.name not in coming), engine.removed)
        kept = [name for name in packages.kept_back if name not in names]
        if kept:
            self.outcome.warnings.append(f"kept back: {', '.join(kept)}; held, or they would remove others")
        if engine.removed:
            raise UpgradeError(
                f"an upgrade of the engine would remove {', '.join(engine.removed)}; nothing was changed. "
                "Upgrade it by hand, or set upgrade_engine: false"
            )
        return Todo(interrupted, packages, engine, names, tuple(plan.restarts(machine.stale_units())[0]))

    def _space(self, todo: Todo) -> None:
        if not todo.packages.changes and not todo.engine.changes:
            return
        needed = self.machine.needed_bytes(*ALL)
        if todo.engine.changes:
            names = [change.name for change in todo.engine.changes]
            needed += self.machine.needed_bytes("install", "--only-upgrade", "--allow-change-held-packages", *names)
        problem = plan.space_problem(needed, self.machine.free_bytes(), self.settings.free_mib * MIB)
        if problem:
            raise UpgradeError(problem)

    def _tell(self, todo: Todo) -> None:
        self.outcome.lines = todo.lines
        reasons = self.machine.reboot_reasons()
        if any(change.is_kernel for change in todo.packages.changes) and not reasons:
            reasons = ["a kernel is upgraded"]
        self._decide(reasons)
        unfinished = files.read_json(JOURNAL)
        self.outcome.prove = bool(self.outcome.lines or self.outcome.reboot or unfinished)
        if unfinished:
            self.outcome.warnings.append(
                f"an upgrade of {unfinished['begun']} was not proved good; the state of then is what is asked for now"
            )

    def _decide(self, reasons: list[str]) -> None:
        self.outcome.reasons = reasons
        self.outcome.reboot = plan.reboots(self.settings.reboot, reasons, bool(self.outcome.lines))
        if reasons and not self.outcome.reboot:
            self.outcome.warnings.append(f"a reboot is due, and upgrade_reboot is never: {'; '.join(reasons)}")

    def _remember(self) -> None:
        """What runs before the first change. After an upgrade that was not proved good, the older memory stays."""
        if files.read_json(JOURNAL) is None:
            files.ensure_directory(DIRECTORY, 0o700)
            begun = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
            files.write_json(JOURNAL, {"begun": begun, "before": self.machine.snapshot(self.places)})

    def _apply(self, todo: Todo) -> None:
        machine = self.machine
        if todo.packages.changes:
            machine.apply(*ALL)
        if todo.engine.changes:
            held = [name for name in todo.engine_names if name in machine.held()]
            machine.set_hold("unhold", held)
            try:
                machine.apply("install", "--only-upgrade", *[change.name for change in todo.engine.changes])
            finally:
                machine.set_hold("hold", held)
        now = plan.restarts(machine.stale_units())[0]
        machine.restart(now)
        self.outcome.lines += [f"restart {unit}, which ran replaced files" for unit in now if unit not in todo.stale]
        self.outcome.warnings = [line for line in self.outcome.warnings if "upgrade_reboot is never" not in line]
        self._decide(machine.reboot_reasons())


def prove(
    machine: Machine,
    places: Places,
    limit_seconds: float,
    undrain_command: Sequence[str] = (),
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Wait until everything that ran before runs again, and for some seconds on end. Raises what is still worse."""
    journal = files.read_json(JOURNAL)
    if journal is None:
        return {"units": 0, "containers": 0}
    before = journal["before"]
    begun = clock()
    good_since: float | None = None
    while True:
        worse = machine.worse_than(before, places)
        now = clock()
        good_since = None if worse else good_since if good_since is not None else now
        if good_since is not None and now - good_since >= SETTLE_SECONDS:
            break
        if worse and now - begun >= limit_seconds:
            raise UpgradeError(
                f"after the upgrade of {journal['begun']} this is worse than before, for {limit_seconds:g} s: "
                + "; ".join(worse)
                + ". No further host is touched; repair it and run again"
            )
        sleep(POLL_SECONDS)
    if undrain_command:
        machine.command(undrain_command, "upgrade_undrain_command")
    files.remove(JOURNAL)
    return {"units": len(before["units"]), "containers": len(before["containers"])}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carry a plan out in the safe order, and put files and sysctls back when something before the units fails."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._host import storage, units
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    DIRECTORY,
    FILE,
    LINK,
    Observation,
    PathState,
    UnitState,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import make_plan, narrowed
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import (
    ActOnUnit,
    InstallPackages,
    MakeDirectory,
    MakeLink,
    MakeSwapFile,
    Plan,
    ReloadManager,
    Remove,
    RunCommand,
    SetMount,
    Step,
    WriteFile,
    WriteSysctl,
    path_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish

VERBS = {"reload": "reload-or-restart"}
SETTLE_SECONDS = 0.7


@dataclass
class Outcome:
    steps: list[Step] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    armed: str | None = None
    refused: set[str] = field(default_factory=set)  # units that did not start, because a condition does not hold


Arm = Callable[[Plan, Observation], None]


def apply(host: Host, wish: Wish, plan: Plan, seen: Observation, arm: Arm | None = None) -> Outcome:
    outcome = Outcome()
    intended = plan
    for step in plan.packages:
        if isinstance(step, InstallPackages):
            host.install(step.names, [unit.name for unit in wish.units if unit.state is not None])
            outcome.steps.append(step)
    if plan.packages:
        plan, seen = _again(host, wish, "packages are installed, and then")
    for step in plan.accounts:
        if isinstance(step, RunCommand):
            _run(host, step.argv, step.line, step.stdin)
            outcome.steps.append(step)
    if plan.accounts:
        plan, seen = _again(host, wish, "accounts are made, and then")
    risky = narrowed(plan, wish.armed.only if wish.armed is not None else ())
    if arm is not None and (risky.paths or risky.sysctls or risky.units):
        arm(risky, seen)
    outcome.steps += _write(host, wish, plan, seen)
    outcome.steps += (*plan.swap, *plan.mounts, *plan.sysctls)
    outcome.steps += _act_on_units(host, wish, plan, outcome)
    if intended.packages:
        outcome.steps = _told_from_the_start(intended, outcome)
    for warning in plan.warnings:
        if warning not in outcome.warnings and not warning.startswith("unit "):
            outcome.warnings.append(warning)
    return outcome


def _told_from_the_start(intended: Plan, outcome: Outcome) -> list[Step]:
    """What is different from before the packages came: what they brought by themselves counts as done here."""
    steps = [
        step
        for step in intended.steps
        if not (isinstance(step, ActOnUnit) and step.verb == "start" and step.name in outcome.refused)
    ]
    lines = {step.line for step in steps}
    return steps + [step for step in outcome.steps if isinstance(step, WriteSysctl) and step.line not in lines]


def _again(host: Host, wish: Wish, when: str) -> tuple[Plan, Observation]:
    seen = host.observe(wish)
    plan = make_plan(wish, seen)
    if plan.problems:
        raise HostError(f"{when}: " + "; ".join(plan.problems))
    return plan, seen


def _run(host: Host, argv: Sequence[str], what: str, stdin: str = "") -> None:
    done = host.run(argv, stdin=stdin) if stdin else host.run(argv)
    if done.code != 0:
        raise HostError(f"{what}: {done.said}")


def _write(host: Host, wish: Wish, plan: Plan, seen: Observation) -> list[Step]:
    """Paths, checks, the swap file, mounts and sysctls: all of them or none."""
    done: list[Step] = []
    if not plan.paths and not plan.sysctls and not plan.mounts and not plan.swap:
        return done
    changed = [path_of(step) for step in plan.paths]
    pending = dict(seen.pending)
    for unit in wish.units:
        verb, _path = units.owed(unit, changed, seen.pending)
        if verb:
            pending[unit.name] = verb
    host.set_pending(pending)
    try:
        for step in plan.paths:
            done.append(step)
            _write_one(host, step)
        for command in plan.checks:
            _run(host, shlex.split(command), f"check `{command}` failed")
        for step in plan.swap:
            if isinstance(step, MakeSwapFile):
                done.append(step)
                host.make_swap_file(step.path, step.size_mib, step.active, step.made)
        for step in plan.mounts:
            if isinstance(step, SetMount):
                done.append(step)
                for argv in storage.mount_commands(step):
                    _run(host, argv, step.line)
        for step in plan.sysctls:
            if isinstance(step, WriteSysctl):
                host.set_sysctl(step.key, step.value)
                done.append(step)
    except (HostError, OSError) as error:
        lost = _put_back(host, done)
        host.set_pending(seen.pending)
        message = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        end = "; every file is as it was before" if not lost else "; could not be put back: " + "; ".join(lost)
        raise HostError(message + end) from error
    return [step for step in done if not isinstance(step, (WriteSysctl, SetMount, MakeSwapFile))]


def _write_one(host: Host, step: Step) -> None:
    if isinstance(step, MakeDirectory):
        wanted = step.directory
        host.make_directory(wanted.path, wanted.mode, wanted.owner, wanted.group)
    elif isinstance(step, WriteFile):
        file = step.file
        host.write_file(file.path, file.content, file.mode, file.owner, file.group, file.validate, file.secret)
    elif isinstance(step, MakeLink):
        host.make_link(step.link.path, step.link.target)
    elif isinstance(step, Remove):
        host.remove(step.path)


def _put_back(host: Host, done: Sequence[Step]) -> list[str]:
    lost: list[str] = []
    for step in reversed(done):
        try:
            if isinstance(step, WriteSysctl):
                if step.before is not None:
                    host.set_sysctl(step.key, step.before)
            elif isinstance(step, SetMount):
                for argv in storage.undo_commands(step):
                    host.run(argv)
            elif isinstance(step, MakeSwapFile):
                host.run(("swapoff", step.path))
                if step.made:
                    host.remove(step.path)
            elif isinstance(step, (MakeDirectory, WriteFile, MakeLink, Remove)):
                restore(host, path_of(step), step.before)
        except (HostError, OSError) as error:
            lost.append(f"{path_of(step) or step.line} ({error})")
    return lost


def restore(host: Host, path: str, before: PathState) -> None:
    if before.kind == FILE:
        host.write_file(path, before.content or b"", before.mode, before.owner, before.group)
    elif before.kind == DIRECTORY:
        host.make_directory(path, before.mode, before.owner, before.group)
    elif before.kind == LINK:
        host.make_link(path, before.target or "")
    else:
        host.remove(path)


def _act_on_units(host: Host, wish: Wish, plan: Plan, outcome: Outcome) -> list[Step]:
    warnings = outcome.warnings
    if not wish.units and not any(path_of(step).startswith(units.UNIT_DIRECTORIES) for step in plan.paths):
        return []
    changed = [path_of(step) for step in plan.paths]
    done: list[Step] = []
    if not plan.steps and not plan.units:
        warnings += [line for line in plan.warnings if line.startswith("unit ")]
        return []
    names = [unit.name for unit in wish.units]
    seen = Observation(units=host.units(names), pending=host.pending())
    if units.manager_reload_needed(wish.units, seen, changed):
        _run(host, ("systemctl", "daemon-reload"), "systemctl daemon-reload failed")
        done.append(ReloadManager())
        seen = Observation(units=host.units(names), pending=seen.pending)
    problems: list[str] = []
    steps = units.plan_units(wish.units, seen, changed, False, problems, warnings)
    if problems:
        raise HostError("; ".join(problems))
    begun: list[str] = []
    for step in steps:
        if not isinstance(step, ActOnUnit):
            continue
        result = act_on_unit(host, VERBS.get(step.verb, step.verb), step.name)
        if result.code != 0:
            raise HostError(_told(host, step, result.said))
        done.append(step)
        if step.verb in ("start", "restart", "reload"):
            begun.append(step.name)
    _settled(host, begun, seen, done, outcome)
    left = {name: verb for name, verb in seen.pending.items() if name not in names}
    host.set_pending(left)
    return done


def act_on_unit(host: Host, verb: str, name: str) -> Completed:
    """systemctl, once more where systemd counts starts: its limit is for crashes, not for changes in a row."""
    command = ("systemctl", verb, "--", name)
    done = host.run(command)
    if done.code != 0 and "attempted too often" in done.said:
        host.run(("systemctl", "reset-failed", "--", name))
        done = host.run(command)
    return done


def _settled(host: Host, begun: Sequence[str], before: Observation, done: list[Step], outcome: Outcome) -> None:
    """A unit counts as started when it still runs a moment later."""
    if not begun:
        return
    host.pause(SETTLE_SECONDS)
    after = host.units(sorted(set(begun)))
    for step in [step for step in done if isinstance(step, ActOnUnit) and step.name in after]:
        state = after[step.name]
        if state.condition_refused and not state.running:
            if step.verb == "start":
                outcome.refused.add(step.name)
                outcome.warnings.append(
                    f"unit {step.name}: not started, a condition in its unit file does not hold on this host"
                )
                done.remove(step)
        elif step.verb in ("start", "restart", "reload") and is_dead(state, before.units[step.name]):
            raise HostError(_told(host, step, f"it is {state.active} ({state.sub}, {state.result})"))


def is_dead(state: UnitState, before: UnitState) -> bool:
    if state.active == "failed" or state.sub == "auto-restart":
        return True
    return state.active == "inactive" and state.kind != "oneshot" and not state.condition_refused


def _told(host: Host, step: ActOnUnit, said: str) -> str:
    journal = host.journal(step.name)
    return f"unit {step.name}: {step.verb} failed: {said}" + (f"\nits journal ends with:\n{journal}" if journal else "")

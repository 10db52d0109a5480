# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""systemd units: from what they are and which files changed to the verbs that are needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation, UnitState
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import ActOnUnit, ReloadManager, Step
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Unit

UNIT_DIRECTORIES = ("/etc/systemd/system/", "/usr/lib/systemd/system/", "/lib/systemd/system/", "/run/systemd/system/")
ENABLED = ("enabled", "enabled-runtime", "alias", "static", "indirect", "generated", "transient")
CAN_BE_ENABLED = ("disabled", "linked", "linked-runtime", "bad", "")
RESTART = "restart"
RELOAD = "reload"


def first_match(prefixes: Iterable[str], changed: Iterable[str]) -> str:
    """The first changed path that lies under (or is) one of the prefixes."""
    wanted = tuple(prefixes)
    for path in changed:
        for prefix in wanted:
            if path == prefix or path.startswith(prefix if prefix.endswith(("/", "*")) else prefix + "/"):
                return path
            if prefix.endswith("*") and path.startswith(prefix[:-1]):
                return path
    return ""


def owed(unit: Unit, changed: Iterable[str], pending: Mapping[str, str]) -> tuple[str, str]:
    """Which of restart and reload a unit needs, and the path (or "an earlier run") that calls for it."""
    paths = list(changed)
    path = first_match(unit.restart_on, paths)
    if path:
        return RESTART, path
    if pending.get(unit.name) == RESTART:
        return RESTART, "in an earlier run that failed, a file"
    path = first_match(unit.reload_on, paths)
    if path:
        return RELOAD, path
    if pending.get(unit.name) == RELOAD:
        return RELOAD, "in an earlier run that failed, a file"
    return "", ""


def manager_reload_needed(units: Iterable[Unit], seen: Observation, changed: Iterable[str]) -> bool:
    if any(path.startswith(UNIT_DIRECTORIES) for path in changed):
        return True
    return any(seen.units[unit.name].needs_reload for unit in units if unit.name in seen.units)


def plan_units(
    units: Iterable[Unit],
    seen: Observation,
    changed: Iterable[str],
    predict: bool,
    problems: list[str],
    warnings: list[str],
) -> list[Step]:
    paths = list(changed)
    wanted = list(units)
    steps: list[Step] = []
    if manager_reload_needed(wanted, seen, paths):
        steps.append(ReloadManager())
    for unit in wanted:
        state = seen.units.get(unit.name, UnitState(unit.name))
        steps.extend(_unit(unit, state, seen, paths, predict, problems, warnings))
    return steps


def _unit(
    unit: Unit,
    state: UnitState,
    seen: Observation,
    paths: list[str],
    predict: bool,
    problems: list[str],
    warnings: list[str],
) -> list[Step]:
    steps: list[Step] = []
    verb, reason = owed(unit, paths, seen.pending)
    is_masked = state.load == "masked" or state.file.startswith("masked")
    if not state.exists and not is_masked and not predict and (unit.enabled or unit.state == "started"):
        problems.append(
            f"unit {unit.name}: does not exist ({state.load}); declare the package or the file that brings it"
        )
        return []
    if unit.masked is False and is_masked:
        steps.append(ActOnUnit("unmask", unit.name))
        is_masked = False
    if is_masked and (unit.enabled or unit.state == "started"):
        problems.append(f"unit {unit.name}: is masked; declare masked: false to allow it")
        return steps
    if unit.enabled is True and state.file not in ENABLED:
        steps.append(ActOnUnit("enable", unit.name))
    if unit.enabled is False and state.file in ("enabled", "enabled-runtime"):
        steps.append(ActOnUnit("disable", unit.name))
    if (unit.state == "stopped" or unit.masked) and state.running:
        steps.append(ActOnUnit("stop", unit.name))
    if unit.masked and not is_masked:
        steps.append(ActOnUnit("mask", unit.name))
    if unit.state == "stopped" or unit.masked:
        return steps
    if state.running:
        if verb == RESTART:
            steps.append(ActOnUnit("restart", unit.name, reason))
        elif verb == RELOAD:
            steps.append(ActOnUnit("reload", unit.name, reason))
        return steps
    if unit.state != "started":
        return steps
    if state.never_here or (state.condition_refused and not verb):
        warnings.append(f"unit {unit.name}: not started, a condition in its unit file does not hold on this host")
        return steps
    steps.append(ActOnUnit("start", unit.name))
    return steps

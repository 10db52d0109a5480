# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole plan of a request: pure, in one pass, so that it is complete on a host that has nothing yet."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace

from ansible_collections.slipway.ops.plugins.module_utils._host import accounts, paths, storage, system, units
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import DIRECTORY, FILE, Observation
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import (
    ActOnUnit,
    InstallPackages,
    Plan,
    Step,
    WriteFile,
    WriteSysctl,
    path_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Directory, File, Wish, declared_paths


def paths_of_interest(wish: Wish, seen: Observation) -> list[str]:
    """Every path whose state the plan asks for, with the directories above."""
    wanted = declared_paths(wish) + list(wish.absent)
    if wish.sysctls_file:
        wanted.append(wish.sysctls_file)
    wanted += [item.path for item in wish.settings] + [item.path for item in wish.modes]
    wanted += [item.path for item in wish.mounts]
    for user in wish.users:
        if user.authorized_keys or user.authorized_keys_exclusive or user.login:
            wanted.append(accounts.keys_path(user, seen))
            wanted.append(wanted[-1].rpartition("/")[0])
        if user.sudo is not None:
            wanted.append(accounts.SUDOERS.format(name=user.name))
    found: dict[str, None] = {}
    for path in wanted:
        for parent in paths.parents(path):
            found[parent] = None
        found[path] = None
    return list(found)


def programs_of_interest(wish: Wish) -> list[str]:
    commands = [item.validate for item in wish.files if item.validate] + [check.command for check in wish.checks]
    if any(user.sudo not in (None, "none") for user in wish.users):
        commands.append("visudo")
    return sorted({shlex.split(command)[0] for command in commands if command.strip()})


def sysctls_content(wish: Wish) -> bytes:
    return "".join(f"{key} = {value}\n" for key, value in wish.sysctls).encode()


def settings_files(wish: Wish, seen: Observation) -> list[File]:
    """Files whose settings change, whole; their mode and owner stay."""
    found: list[File] = []
    for item in wish.settings:
        state = seen.path(item.path)
        current = (state.content or b"").decode("utf-8", "surrogateescape")
        content = system.with_settings(current, item).encode("utf-8", "surrogateescape")
        if state.kind == FILE:
            found.append(File(item.path, content, state.mode, state.owner, state.group))
        else:
            found.append(File(item.path, content))
    return found


def all_files(wish: Wish, extra: Iterable[File] = ()) -> list[File]:
    files = [*wish.files, *extra]
    if wish.sysctls_file:
        files.append(File(wish.sysctls_file, sysctls_content(wish)))
    return files


def make_plan(wish: Wish, seen: Observation, check_mode: bool = False) -> Plan:
    """Plan everything. In check mode, what earlier tasks or packages to come would bring is taken as given."""
    problems: list[str] = []
    warnings: list[str] = []
    missing = tuple(name for name in wish.packages if name not in seen.packages)
    packages: tuple[Step, ...] = (InstallPackages(missing),) if missing else ()
    predict = check_mode or bool(missing)

    account_steps: list[Step] = accounts.plan_groups(wish, seen, problems)
    account_steps += accounts.plan_users(wish, seen, predict, problems)
    user_directories, user_files, user_absent = accounts.belongings(wish, seen, problems)

    directories: list[Directory] = [*wish.directories, *user_directories]
    files = all_files(wish, [*user_files, *settings_files(wish, seen)])
    if not predict:
        _owners(wish, seen, [*directories, *files], problems)
    homes = [accounts.home_of(user, seen) for user in wish.users if user.name not in seen.accounts and not user.system]
    path_steps = paths.plan_directories(
        directories, [item.path for item in files] + [item.path for item in wish.links], homes, seen, problems
    )
    path_steps += paths.plan_files(files, seen, problems)
    path_steps += paths.plan_modes(wish.modes, files, seen)
    path_steps += paths.plan_absent([*wish.absent, *user_absent], seen, problems)
    path_steps += paths.plan_links(wish.links, seen, problems)
    changed = [path_of(step) for step in path_steps]

    checks = tuple(check.command for check in wish.checks if not check.on or units.first_match(check.on, changed))
    if not changed:
        checks = ()

    sysctl_steps: list[Step] = []
    unknown: list[str] = []
    problems += [
        f"sysctls.{key}: this kernel does not know it; correct the name, or load the module that brings it"
        for key in wish.sysctls_required
        if seen.sysctls.get(key) is None
    ]
    for key, value in wish.sysctls:
        found = seen.sysctls.get(key)
        if found is None:
            unknown.append(key)
        elif found != value:
            sysctl_steps.append(WriteSysctl(key, value, found))

    if unknown:
        warnings.append(f"sysctls that this kernel does not know (yet), so nothing to set: {', '.join(unknown)}")

    directories_there = {item.path: seen.path(item.path).kind == DIRECTORY for item in wish.mounts}
    mount_steps = storage.plan_mounts(wish.mounts, seen.mounts, directories_there, problems)
    swap_steps = storage.plan_swap(wish.swap, seen.swap, problems)
    unit_steps = units.plan_units(wish.units, seen, changed, predict or bool(changed), problems, warnings)
    return Plan(
        packages=packages,
        accounts=tuple(account_steps),
        paths=tuple(path_steps),
        checks=checks,
        swap=tuple(swap_steps),
        mounts=tuple(mount_steps),
        sysctls=tuple(sysctl_steps),
        units=tuple(unit_steps),
        problems=tuple(problems),
        warnings=tuple(warnings),
    )


def narrowed(plan: Plan, only: tuple[str, ...]) -> Plan:
    """What of a plan is armed: steps on these paths and sysctls, the units that these paths act on, and the ways in."""
    if not only:
        return plan
    paths_only = [entry for entry in only if entry.startswith("/")]
    keys = tuple(entry for entry in only if not entry.startswith("/"))
    kept = tuple(
        step
        for step in plan.paths
        if accounts.is_way_in(path_of(step)) or units.first_match(paths_only, [path_of(step)])
    )
    named = {path_of(step) for step in kept}
    return replace(
        plan,
        packages=(),
        accounts=(),
        swap=(),
        mounts=(),
        paths=kept,
        sysctls=tuple(step for step in plan.sysctls if isinstance(step, WriteSysctl) and step.key.startswith(keys)),
        units=tuple(step for step in plan.units if isinstance(step, ActOnUnit) and step.reason in named),
    )


def refusals(plan: Plan, seen: Observation, validate: Callable[[str, bytes, str, bool], str | None]) -> list[str]:
    """In check mode: what the validations say that can run already; a program yet to come says nothing."""
    said: list[str] = []
    for step in plan.paths:
        if not isinstance(step, WriteFile) or not step.file.validate or not step.content_differs:
            continue
        if shlex.split(step.file.validate)[0] in seen.programs:
            refused = validate(step.file.path, step.file.content, step.file.validate, step.file.secret)
            if refused:
                said.append(refused)
    return said


def _owners(wish: Wish, seen: Observation, items: Iterable[Directory | File], problems: list[str]) -> None:
    users = set(seen.accounts) | {user.name for user in wish.users}
    groups = set(seen.groups) | {group.name for group in wish.groups} | {user.name for user in wish.users}
    for item in items:
        if item.owner not in users and not item.owner.isdigit():
            problems.append(f"{item.path}: its owner {item.owner} does not exist; declare it under users")
        if item.group not in groups and not item.group.isdigit():
            problems.append(f"{item.path}: its group {item.group} does not exist; declare it under groups")

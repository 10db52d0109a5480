# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole plan of a request: pure, in one pass, so that it is complete on a host that has nothing yet."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from ansible_collections.slipway.ops.plugins.module_utils._host import accounts, paths, units
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import (
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
    for user in wish.users:
        if user.authorized_keys or user.authorized_keys_exclusive:
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
    files = all_files(wish, user_files)
    if not predict:
        _owners(wish, seen, [*directories, *files], problems)
    homes = [accounts.home_of(user, seen) for user in wish.users if user.name not in seen.accounts and not user.system]
    path_steps = paths.plan_directories(
        directories, [item.path for item in files] + [item.path for item in wish.links], homes, seen, problems
    )
    path_steps += paths.plan_files(files, seen, problems)
    path_steps += paths.plan_absent([*wish.absent, *user_absent], seen, problems)
    path_steps += paths.plan_links(wish.links, seen, problems)
    changed = [path_of(step) for step in path_steps]

    checks = tuple(check.command for check in wish.checks if not check.on or units.first_match(check.on, changed))
    if not changed:
        checks = ()

    sysctl_steps: list[Step] = []
    unknown: list[str] = []
    for key, value in wish.sysctls:
        found = seen.sysctls.get(key)
        if found is None:
            unknown.append(key)
        elif found != value:
            sysctl_steps.append(WriteSysctl(key, value, found))

    if unknown:
        warnings.append(f"sysctls that this kernel does not know (yet), so nothing to set: {', '.join(unknown)}")

    unit_steps = units.plan_units(wish.units, seen, changed, predict or bool(changed), problems, warnings)
    return Plan(
        packages=packages,
        accounts=tuple(account_steps),
        paths=tuple(path_steps),
        checks=checks,
        sysctls=tuple(sysctl_steps),
        units=tuple(unit_steps),
        problems=tuple(problems),
        warnings=tuple(warnings),
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

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan would leave behind, as plain data: so that in check mode a later call knows of an earlier one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._host import accounts, units
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    DIRECTORY,
    FILE,
    LINK,
    Account,
    AccountGroup,
    Observation,
    PathState,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import (
    ActOnUnit,
    InstallPackages,
    MakeDirectory,
    MakeLink,
    Plan,
    Remove,
    WriteFile,
    WriteSysctl,
    path_of,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish

SECTIONS = ("packages", "groups", "users", "paths", "sysctls", "units")
BOOKS = ("/var/lib/slipway", "/var/lib/slipway/host")  # where it is noted what a unit is owed
VERBS: dict[str, dict[str, str]] = {
    "enable": {"load": "loaded", "file": "enabled"},
    "disable": {"file": "disabled"},
    "start": {"load": "loaded", "active": "active", "sub": "running"},
    "restart": {"load": "loaded", "active": "active", "sub": "running"},
    "stop": {"active": "inactive", "sub": "dead"},
    "mask": {"load": "masked", "file": "masked"},
    "unmask": {"load": "loaded", "file": "disabled"},
}


def after(wish: Wish, plan: Plan, seen: Observation, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What earlier calls foresaw, and this plan on top of it. It holds no content of a secret file."""
    found: dict[str, Any] = {**earlier, **{section: dict(earlier.get(section) or {}) for section in SECTIONS}}
    for step in plan.packages:
        if isinstance(step, InstallPackages):
            found["packages"].update(dict.fromkeys(step.names, True))
    _accounts(wish, seen, found)
    for step in plan.paths:
        if isinstance(step, MakeDirectory):
            item = step.directory
            found["paths"][item.path] = _path(DIRECTORY, item.mode, item.owner, item.group)
        elif isinstance(step, WriteFile):
            file = step.file
            found["paths"][file.path] = {**_path(FILE, file.mode, file.owner, file.group), **_content(step)}
        elif isinstance(step, MakeLink):
            found["paths"][step.link.path] = {**_path(LINK), "target": step.link.target}
        elif isinstance(step, Remove):
            found["paths"][step.path] = {}
    changed = [path_of(step) for step in plan.paths]
    if any(units.owed(unit, changed, seen.pending)[0] for unit in wish.units):
        for path in BOOKS:
            found["paths"].setdefault(path, _path(DIRECTORY, "0755", "root", "root"))
    for step in plan.sysctls:
        if isinstance(step, WriteSysctl):
            found["sysctls"][step.key] = step.value
    for step in plan.units:
        if isinstance(step, ActOnUnit):
            found["units"][step.name] = {**found["units"].get(step.name, {}), **VERBS.get(step.verb, {})}
    return found


def overlay(seen: Observation, wish: Wish, foreseen: Mapping[str, Any]) -> Observation:
    """The host as earlier calls would have left it."""
    known: dict[str, Mapping[str, Any]] = {section: foreseen.get(section) or {} for section in SECTIONS}
    groups = dict(seen.groups)
    for index, (name, members) in enumerate(known["groups"].items()):
        present = groups.get(name, AccountGroup(name, -1 - index, ()))
        groups[name] = replace(present, members=tuple(dict.fromkeys((*present.members, *members))))
    found = dict(seen.accounts)
    for name, said in known["users"].items():
        account = found.get(name, Account(name, -1, groups[name].gid if name in groups else -1, "", "", ""))
        found[name] = replace(account, **said)
    contents = {file.path: file.content for file in wish.files}
    unit_states = {name: replace(state, **known["units"].get(name, {})) for name, state in seen.units.items()}
    return replace(
        seen,
        packages=seen.packages | frozenset(known["packages"]),
        groups=groups,
        accounts=found,
        paths={**seen.paths, **{path: _state(said, contents.get(path)) for path, said in known["paths"].items()}},
        sysctls={**seen.sysctls, **{key: value for key, value in known["sysctls"].items() if key in seen.sysctls}},
        units=unit_states,
    )


def _accounts(wish: Wish, seen: Observation, found: dict[str, Any]) -> None:
    for group in wish.groups:
        found["groups"].setdefault(group.name, [])
    for user in wish.users:
        said = {"comment": user.comment, "home": user.home, "shell": user.shell}
        entry = {key: value for key, value in said.items() if value is not None}
        if user.name not in seen.accounts:
            entry.setdefault("home", accounts.home_of(user, seen))
            if not user.system:
                found["paths"][entry["home"]] = _path(DIRECTORY, "0700", user.name, user.name)
            found["groups"].setdefault(user.name, [])
        found["users"][user.name] = {**found["users"].get(user.name, {}), **entry}
        for name in user.groups:
            found["groups"][name] = sorted({*found["groups"].get(name, []), user.name})


def _path(kind: str, mode: str = "", owner: str = "", group: str = "") -> dict[str, Any]:
    return {"kind": kind, "mode": mode, "owner": owner, "group": group}


def _content(step: WriteFile) -> dict[str, str]:
    if step.file.secret:
        return {"sha256": hashlib.sha256(step.file.content).hexdigest()}
    return {"content": base64.b64encode(step.file.content).decode()}


def _state(said: Mapping[str, Any], wanted: bytes | None) -> PathState:
    plain = {key: said[key] for key in ("kind", "mode", "owner", "group", "target") if key in said}
    content: bytes | None = None
    if "content" in said:
        content = base64.b64decode(said["content"])
    elif "sha256" in said:
        same = wanted is not None and hashlib.sha256(wanted).hexdigest() == said["sha256"]
        content = wanted if same else b""
    return PathState(content=content, **plain)

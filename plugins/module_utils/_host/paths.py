# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Directories, files, links and what must be gone."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    DIRECTORY,
    FILE,
    LINK,
    MISSING,
    OTHER,
    Observation,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import (
    MakeDirectory,
    MakeLink,
    Remove,
    Step,
    WriteFile,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.system import Mode
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Directory, File, Link


def parents(path: str) -> list[str]:
    """Every directory above a path, the highest first, without the root."""
    found: list[str] = []
    parent = posixpath.dirname(path)
    while parent not in ("/", ""):
        found.insert(0, parent)
        parent = posixpath.dirname(parent)
    return found


def plan_directories(
    directories: Iterable[Directory],
    others: Iterable[str],
    homes: Iterable[str],
    seen: Observation,
    problems: list[str],
) -> list[Step]:
    """Make declared directories, and with 0755 root:root whatever is missing above a declared path."""
    declared = {item.path: item for item in directories}
    made_elsewhere = set(homes)  # by the account tools
    steps: list[Step] = []
    planned: set[str] = set()

    def above(path: str) -> None:
        for parent in parents(path):
            if parent in declared or parent in planned or parent in made_elsewhere:
                continue
            kind = seen.path(parent).kind
            if kind == MISSING:
                planned.add(parent)
                steps.append(MakeDirectory(Directory(parent), seen.path(parent)))
            elif kind in (FILE, OTHER):
                problems.append(f"{path}: {parent} is a {kind}, not a directory; move it away or choose another path")

    for path in sorted(declared):
        above(path)
        item = declared[path]
        state = seen.path(path)
        if state.kind in (MISSING, DIRECTORY):
            if state.kind == MISSING or (state.mode, state.owner, state.group) != (item.mode, item.owner, item.group):
                steps.append(MakeDirectory(item, state))
        elif state.kind == LINK and not item.owned_parent:
            problems.append(f"{path}: is a link to {state.target}; declare the directory it points to")
        elif state.kind != LINK:
            problems.append(f"{path}: is a {state.kind}, not a directory; move it away or choose another path")
    for path in others:
        above(path)
    return steps


def plan_files(files: Iterable[File], seen: Observation, problems: list[str]) -> list[Step]:
    steps: list[Step] = []
    for item in files:
        state = seen.path(item.path)
        if state.kind in (DIRECTORY, OTHER):
            problems.append(f"{item.path}: is a {state.kind}, not a file; move it away or choose another path")
            continue
        if item.seed and state.kind != MISSING:
            continue
        differs = state.kind != FILE or state.content != item.content
        if differs or (state.mode, state.owner, state.group) != (item.mode, item.owner, item.group):
            steps.append(WriteFile(item, state, differs))
    return steps


def plan_modes(modes: Iterable[Mode], files: Iterable[File], seen: Observation) -> list[Step]:
    """Modes of what packages brought; what is not there, or written whole here, needs none."""
    written = {item.path for item in files}
    steps: list[Step] = []
    for item in modes:
        state = seen.path(item.path)
        if item.path in written or (state.mode, state.owner, state.group) == (item.mode, item.owner, item.group):
            continue
        if state.kind == FILE:
            content = state.content or b""
            steps.append(WriteFile(File(item.path, content, item.mode, item.owner, item.group), state, False))
        elif state.kind == DIRECTORY:
            steps.append(MakeDirectory(Directory(item.path, item.mode, item.owner, item.group), state))
    return steps


def plan_links(links: Iterable[Link], seen: Observation, problems: list[str]) -> list[Step]:
    steps: list[Step] = []
    for item in links:
        state = seen.path(item.path)
        if state.kind in (DIRECTORY, OTHER):
            problems.append(f"{item.path}: is a {state.kind}, not a link; move it away or choose another path")
        elif state.kind != LINK or state.target != item.target:
            steps.append(MakeLink(item, state))
    return steps


def plan_absent(paths: Iterable[str], seen: Observation, problems: list[str]) -> list[Step]:
    steps: list[Step] = []
    for path in paths:
        state = seen.path(path)
        if state.kind == MISSING:
            continue
        if state.kind == OTHER or (state.kind == DIRECTORY and not state.empty):
            what = "a directory with something in it" if state.kind == DIRECTORY else "neither file, link nor directory"
            problems.append(f"{path}: is {what}; remove it by hand, host_state removes only what it could put back")
            continue
        steps.append(Remove(path, state))
    return steps

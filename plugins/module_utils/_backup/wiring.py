# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stack's backup put together from its parts, for modules, the host program and other jobs on the stack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ansible_collections.slipway.ops.plugins.module_utils._backup import backup as backups
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker, Host
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    STACK_NAME,
    Place,
    RefusedError,
    RepositorySettings,
    UsageError,
    parse_repositories,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._log.log_files import logs_for
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def _place(stack: str) -> Place:
    """Where the files of a stack are. Raises UsageError for what is no name of one."""
    if not STACK_NAME.match(stack):
        raise UsageError(f"stack {stack!r}: is not a name of a stack")
    return Place(stack)


def tools_for(stack: str, progress: Callable[[str], None], repository: str = "", hurry: bool = False) -> Tools:
    """The tools of a stack whose backup is set up on this host, on its primary repository or the one that is named. In
    a hurry the limits of bandwidth do not hold: nobody waits longer for a restore than it takes."""
    place = _place(stack)
    settings = backups.load_settings(place)
    chosen = settings.repository(repository)

    def door(found: RepositorySettings) -> Repository:
        free = replace(found, upload_limit_kib=0, download_limit_kib=0) if hurry else found
        return Repository(stack, free, place)

    others = tuple(door(found) for found in settings.repositories[1:]) if chosen == settings.primary else ()
    return Tools(
        settings,
        place,
        Docker(),
        Host(),
        door(chosen),
        progress,
        log=logs_for(place, chosen.name),
        others=others,
        logs=lambda name: logs_for(place, name),
    )


def repositories_for(stack: str) -> tuple[Place, list[Repository]]:
    """Where a stack's files are on this host, and its repositories, the primary one first: of a stack that is backed
    up from here, or whose logs are received here."""
    place = _place(stack)
    received = files.read_json(LogPlace(place).settings) if files.read_json(place.settings) is None else None
    if not isinstance(received, dict):
        found: Sequence[RepositorySettings] = backups.load_settings(place).repositories
    else:
        problems: list[str] = []
        found = parse_repositories(received.get("repositories"), problems)
        if problems:
            raise RefusedError(f"{LogPlace(place).settings}: " + "; ".join(problems))
    return place, [Repository(stack, each, place) for each in found]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several concerns, each with its switch, as one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LISTS = (
    "packages",
    "groups",
    "users",
    "directories",
    "files",
    "absent",
    "links",
    "settings",
    "modes",
    "mounts",
    "checks",
    "units",
)
SWITCH = "enabled"


def merge(concerns: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Join the sections of every concern that is switched on. Raises ValueError for a section that is not known."""
    merged: dict[str, Any] = {section: [] for section in LISTS}
    merged["sysctls"] = {}
    for name, concern in concerns.items():
        for section in concern:
            if section not in (*LISTS, "sysctls", SWITCH):
                raise ValueError(f"{name}.{section}: not a section of host_state")
        if not concern.get(SWITCH, True):
            continue
        for section in LISTS:
            for item in concern.get(section) or []:
                if item not in merged[section]:
                    merged[section].append(item)
        merged["sysctls"].update(concern.get("sysctls") or {})
    return merged


def groups_of(users: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The groups that users are to be members of, to be made as system groups where they do not exist."""
    found: dict[str, dict[str, Any]] = {}
    for user in users:
        for name in user.get("groups") or []:
            found.setdefault(str(name), {"name": str(name), "system": True})
    return list(found.values())

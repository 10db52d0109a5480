# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What ran before and what runs now, and the difference that matters. Nothing runs here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# What belongs to a session, to one boot or to one run of a timer.
PASSING = re.compile(
    r"^(user@|user-runtime-dir@|session-|run-|systemd-fsck|systemd-update-|apt-daily|dpkg-db-backup|man-db|"
    r"systemd-tmpfiles-clean|slipway-armed-|getty@|serial-getty@|systemd-ask-password|packagekit|needrestart)"
)
ACTIVE, FAILED = "active", "failed"
LASTING = ("running", "listening", "waiting")
HEALTHY, UNHEALTHY, STARTING, NONE = "healthy", "unhealthy", "starting", "none"


def parse_units(text: str) -> dict[str, dict[str, str]]:
    """From blocks of `systemctl show`: what each unit is."""
    found: dict[str, dict[str, str]] = {}
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.splitlines())
        if values.get("Id"):
            found[values["Id"]] = {
                "active": values.get("ActiveState", ""),
                "sub": values.get("SubState", ""),
                "file": values.get("UnitFileState", ""),
                "result": values.get("Result", ""),
            }
    return found


def lasting_units(units: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Units that should run after an upgrade because they run now."""
    return sorted(
        name
        for name, unit in units.items()
        if unit["active"] == ACTIVE
        and not PASSING.match(name)
        and unit["file"] != "transient"
        and (unit["sub"] in LASTING or (unit["sub"] == "exited" and unit["file"] == "enabled"))
    )


def failed_units(units: Mapping[str, Mapping[str, str]]) -> list[str]:
    return sorted(name for name, unit in units.items() if unit["active"] == FAILED)


def parse_containers(listed: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """From the engine's list of running containers: name and health. Single commands of Compose are left out."""
    found: dict[str, str] = {}
    for raw in listed:
        if (raw.get("Labels") or {}).get("com.docker.compose.oneoff") == "True":
            continue
        health = re.search(r"\((?:health: )?(healthy|unhealthy|starting)\)", str(raw.get("Status", "")))
        name = str((raw.get("Names") or ["/"])[0]).lstrip("/")
        found[name] = health.group(1) if health else NONE
    return found


def snapshot(
    units: Mapping[str, Mapping[str, str]], containers: Mapping[str, str], problems: Iterable[str]
) -> dict[str, Any]:
    """What a host was before, as plain data that outlives a reboot."""
    return {
        "units": lasting_units(units),
        "failed": failed_units(units),
        "containers": {name: health for name, health in containers.items() if health != UNHEALTHY},
        "problems": sorted(problems),
    }


def problems(
    before: Mapping[str, Any],
    units: Mapping[str, Mapping[str, str]],
    containers: Mapping[str, str],
    now: Iterable[str],
) -> list[str]:
    """Everything that is worse than before, one line each."""
    found: list[str] = []
    for name in before["units"]:
        unit = units.get(name)
        if unit is None:
            found.append(f"unit {name}: ran before, does not exist any more")
        elif unit["active"] != ACTIVE:
            hint = "" if unit["file"] != "disabled" else "; it is disabled, so it does not start at boot"
            why = f", {unit['result']}" if unit["result"] not in ("", "success") else ""
            found.append(f"unit {name}: ran before, is {unit['active']} now ({unit['sub']}{why}){hint}")
    for name in failed_units(units):
        if name not in before["failed"] and name not in before["units"] and not PASSING.match(name):
            found.append(f"unit {name}: has failed since")
    for name, health in sorted(before["containers"].items()):
        if name not in containers:
            found.append(f"container {name}: ran before, does not run now")
        elif containers[name] not in (NONE, HEALTHY) and not (containers[name] == health == STARTING):
            found.append(f"container {name}: was {health} before, is {containers[name]} now")
    return found + [line for line in now if line not in before["problems"]]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of the Engine API's bodies that containers and Swarm services share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def picked(plain: Mapping[str, Any], names: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The values of these keys under the engine's names; what is not set stays the engine's own."""
    return {name: plain[key] for key, name in names if key in plain}


def nanoseconds(seconds: float) -> int:
    return int(seconds * 1_000_000_000)


def nano_cpus(cpus: float) -> int:
    return round(cpus * 1_000_000_000)


def environment(plain: Mapping[str, Any]) -> list[str]:
    return [f"{key}={value}" for key, value in plain["environment"].items()]


def healthcheck(plain: Mapping[str, Any]) -> dict[str, Any]:
    times = picked(
        plain,
        (
            ("interval", "Interval"),
            ("timeout", "Timeout"),
            ("start_period", "StartPeriod"),
            ("start_interval", "StartInterval"),
        ),
    )
    return {
        **picked(plain, (("test", "Test"), ("retries", "Retries"))),
        **{name: nanoseconds(seconds) for name, seconds in times.items()},
    }


def ulimits(plain: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"Name": name, "Soft": limit["soft"], "Hard": limit["hard"]} for name, limit in plain["ulimits"].items()]


def ipam(plain: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "Driver": plain["driver"],
        "Options": dict(plain["options"]),
        "Config": [
            {
                name: pool[key]
                for key, name in (
                    ("subnet", "Subnet"),
                    ("ip_range", "IPRange"),
                    ("gateway", "Gateway"),
                    ("aux_addresses", "AuxiliaryAddresses"),
                )
                if pool.get(key)
            }
            for pool in plain["config"]
        ],
    }


def mount(stack: Stack, plain: Mapping[str, Any]) -> dict[str, Any]:
    """An entry of `Mounts`; a bind in this form never creates a missing path."""
    entry: dict[str, Any] = {"Type": plain["type"], "Target": plain["target"], "ReadOnly": plain["read_only"]}
    if plain["type"] == "volume":
        entry["Source"] = stack.volume_name(plain["source"])
        if plain.get("nocopy"):
            entry["VolumeOptions"] = {"NoCopy": True}
    elif plain["type"] == "tmpfs":
        entry["TmpfsOptions"] = {
            name: plain[key] for key, name in (("size", "SizeBytes"), ("mode", "Mode")) if plain.get(key)
        }
    else:
        entry["Source"] = plain["source"]
        if "propagation" in plain:
            entry["BindOptions"] = {"Propagation": plain["propagation"]}
    return entry

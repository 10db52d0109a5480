# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dockerd runs with, against what daemon.json says. The file alone proves nothing. Nothing runs here."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

# The time of boot is known to the second.
CLOCK_SECONDS = 2


def differences(settings: Mapping[str, Any], information: Mapping[str, Any]) -> list[str]:
    """The keys of daemon.json that the running dockerd has another value of, as far as it tells them."""
    registries = information.get("RegistryConfig") or {}
    found: list[str] = []

    def compare(key: str, wanted: object, running: object) -> None:
        if key in settings and wanted != running:
            found.append(key)

    compare("live-restore", settings.get("live-restore"), information.get("LiveRestoreEnabled"))
    compare("log-driver", settings.get("log-driver"), information.get("LoggingDriver"))
    mirrors = registries.get("Mirrors") or []
    compare("registry-mirrors", _slashed(settings.get("registry-mirrors") or ()), _slashed(mirrors))
    compare("insecure-registries", _wanted_insecure(settings), _wanted_insecure(settings) & _insecure(registries))
    pools = [(pool.get("Base"), pool.get("Size")) for pool in information.get("DefaultAddressPools") or []]
    wanted_pools = [(pool["base"], pool["size"]) for pool in settings.get("default-address-pools") or []]
    compare("default-address-pools", wanted_pools, pools)
    if _major(information) >= 23:  # older ones do not tell
        options = [str(option).partition(",")[0] for option in information.get("SecurityOptions") or []]
        compare("no-new-privileges", bool(settings.get("no-new-privileges")), "name=no-new-privileges" in options)
    return found


def started_before(started: float, changed: float) -> bool:
    """Whether dockerd has been running since before its file changed."""
    return started < changed - CLOCK_SECONDS


def _major(information: Mapping[str, Any]) -> int:
    first = str(information.get("ServerVersion") or "").partition(".")[0]
    return int(first) if first.isdigit() else 0


def _slashed(addresses: Iterable[str]) -> set[str]:
    return {address.rstrip("/") + "/" for address in addresses}


def _wanted_insecure(settings: Mapping[str, Any]) -> set[str]:
    return {_network(name) for name in settings.get("insecure-registries") or ()}


def _insecure(registries: Mapping[str, Any]) -> set[str]:
    names = {name for name, entry in (registries.get("IndexConfigs") or {}).items() if not entry.get("Secure")}
    return names | set(registries.get("InsecureRegistryCIDRs") or ())


def _network(name: str) -> str:
    try:
        return str(ipaddress.ip_network(name, strict=False)) if "/" in name else name
    except ValueError:
        return name

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""daemon.json from a few settings, with all problems at once, and what of it only a restart of dockerd takes up."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

# What dockerd reads again on SIGHUP, by its reference manual.
RELOADABLE = frozenset(
    {
        "authorization-plugins",
        "debug",
        "default-runtime",
        "features",
        "insecure-registries",
        "labels",
        "live-restore",
        "max-concurrent-downloads",
        "max-concurrent-uploads",
        "max-download-attempts",
        "registry-mirrors",
        "runtimes",
        "shutdown-timeout",
    }
)
LOG_DRIVERS = ("json-file", "local")

_MIRROR = re.compile(r"^https?://[^/\s]+/?$")
_REGISTRY = re.compile(r"^[^/\s:]+(:\d+)?$|^[0-9a-fA-F.:]+/\d+$|^\[[0-9a-fA-F:]+\](:\d+)?$")


def daemon_settings(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The content of daemon.json, and every setting that cannot be honoured."""
    problems: list[str] = []
    driver = str(options.get("log_driver", "json-file"))
    if driver not in LOG_DRIVERS:
        problems.append(
            f"log_driver: {driver!r} keeps no logs within limits on the host; use {' or '.join(LOG_DRIVERS)}"
        )
    for name in ("log_max_size_mib", "log_max_files"):
        if int(options.get(name, 1)) < 1:
            problems.append(f"{name}: must be at least 1")
    pools = [_pool(index, pool, problems) for index, pool in enumerate(options.get("address_pools") or [])]
    mirrors = [str(mirror) for mirror in options.get("registry_mirrors") or []]
    for index, mirror in enumerate(mirrors):
        if not _MIRROR.match(mirror):
            problems.append(f"registry_mirrors[{index}]: {mirror!r} is no mirror; write https://HOST without a path")
    registries = [str(registry) for registry in options.get("insecure_registries") or []]
    for index, registry in enumerate(registries):
        if not _REGISTRY.match(registry):
            problems.append(
                f"insecure_registries[{index}]: {registry!r} is no registry; write HOST, HOST:PORT or a network"
            )
    settings: dict[str, Any] = {
        "live-restore": bool(options.get("live_restore", True)),
        "log-driver": driver,
        "log-opts": {
            "max-size": f"{int(options.get('log_max_size_mib', 10))}m",
            "max-file": str(int(options.get("log_max_files", 5))),
        },
        "no-new-privileges": bool(options.get("no_new_privileges", True)),
        "userland-proxy": bool(options.get("userland_proxy", False)),
    }
    if pools:
        settings["default-address-pools"] = pools
    if mirrors:
        settings["registry-mirrors"] = mirrors
    if registries:
        settings["insecure-registries"] = registries
    if options.get("ipv6"):
        # Before version 27, Docker's own firewall rules for IPv6 count as an experiment.
        settings.update({"ipv6": True, "ip6tables": True, "experimental": True})
        subnet = str(options.get("ipv6_subnet") or "")
        try:
            if ipaddress.ip_network(subnet).version != 6:
                raise ValueError(subnet)
            settings["fixed-cidr-v6"] = subnet
        except ValueError:
            problems.append(f"ipv6_subnet: {subnet!r} is no IPv6 network; give one such as fd00:d0c:1::/64")
    extra = dict(options.get("daemon_extra") or {})
    for name in sorted(set(extra) & set(settings)):
        problems.append(f"daemon_extra.{name}: has a variable of its own; use that")
    settings.update(extra)
    return {name: settings[name] for name in sorted(settings)}, problems


def needs_restart(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part that dockerd reads only when it starts."""
    return {name: value for name, value in settings.items() if name not in RELOADABLE}


def _pool(index: int, pool: Mapping[str, Any], problems: list[str]) -> dict[str, Any]:
    base, size = str(pool.get("base", "")), int(pool.get("size") or 0)
    try:
        network = ipaddress.ip_network(base)
        if not network.prefixlen <= size <= network.max_prefixlen:
            problems.append(f"address_pools[{index}].size: {size} is not between {base} and a single address")
    except ValueError:
        problems.append(f"address_pools[{index}].base: {base!r} is no network; give one such as 10.201.0.0/16")
    return {"base": base, "size": size}

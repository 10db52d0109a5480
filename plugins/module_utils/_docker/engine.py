# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Docker engine of a host as one desired state: packages, files and units for host_state."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker.daemon import daemon_settings, needs_restart
from ansible_collections.slipway.ops.plugins.module_utils._docker.openpgp import fingerprints
from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import CONFIG_FILE as PRUNE_FILE

# AppArmor's parser is no dependency of the engine, but no container starts without it where the kernel has AppArmor.
COMMON_PACKAGES = ("apparmor", "python3-docker")
DISTRIBUTION_PACKAGES = {
    # Has version 1 of Compose only, and no Buildx.
    "bookworm": ("docker.io",),
    "trixie": ("docker.io", "docker-cli", "docker-compose", "docker-buildx"),
    "jammy": ("docker.io", "docker-compose-v2", "docker-buildx"),
    "noble": ("docker.io", "docker-compose-v2", "docker-buildx"),
}
REPOSITORY_PACKAGES = ("docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin", "docker-buildx-plugin")

DAEMON_FILE = "/etc/docker/daemon.json"
# A copy of what dockerd reads only when it starts: its change calls for a restart, that of daemon.json for a reload.
RESTART_FILE = "/etc/slipway/docker/needs-restart.json"
HOLD_FILE = "/etc/apt/apt.conf.d/52slipway-docker"
KEY_FILE = "/etc/apt/keyrings/slipway-docker.asc"
SOURCES_FILE = "/etc/apt/sources.list.d/slipway-docker.sources"
PIN_FILE = "/etc/apt/preferences.d/slipway-docker"
AT_LEAST_ONE = ("prune_days", "prune_keep_releases")
# dockerd checks its file since version 23; before that, at least the JSON is checked.
VALIDATE = (
    'sh -c \'if dockerd --help | grep -q -e --validate; then exec dockerd --validate --config-file "$0";'
    ' else exec python3 -m json.tool "$0" /dev/null; fi\' %s'
)


def engine_state(options: Mapping[str, Any], release: str) -> tuple[dict[str, Any], list[str]]:
    """Arguments for host_state, and every problem with the options."""
    settings, problems = daemon_settings(options)
    problems += [f"{name}: must be at least 1" for name in AT_LEAST_ONE if int(options.get(name, 1)) < 1]
    if not 0 <= int(options.get("disk_budget_percent", 0)) <= 100:
        problems.append("disk_budget_percent: must be 0 to 100")
    if int(options.get("disk_budget_gib", 0)) < 0:
        problems.append("disk_budget_gib: must be 0 or more")
    prune = bool(options.get("prune_enabled", True))
    files: list[dict[str, Any]] = [
        {"path": DAEMON_FILE, "content": _json(settings), "validate": VALIDATE},
        {"path": RESTART_FILE, "content": _json(needs_restart(settings))},
        {"path": "/etc/systemd/system/slipway-docker-prune.service"},
        {"path": "/etc/systemd/system/slipway-docker-prune.timer"},
        {"path": PRUNE_FILE, "content": _json(_prune_settings(options))},
    ]
    hold = bool(options.get("hold", True))
    if hold:
        files.append({"path": HOLD_FILE})
    timer: dict[str, Any] = {"name": "slipway-docker-prune.timer", "enabled": prune}
    timer.update({"state": "started", "restart_on": [files[3]["path"]]} if prune else {"state": "stopped"})
    state = {
        "packages": [*engine_packages(options, release), *COMMON_PACKAGES],
        "groups": [{"name": "docker", "system": True}],
        "users": [{"name": user, "groups": ["docker"]} for user in options.get("users") or []],
        "files": files,
        "absent": [] if hold else [HOLD_FILE],
        "units": [
            {
                "name": "docker.service",
                "enabled": True,
                "state": "started",
                "reload_on": [DAEMON_FILE],
                "restart_on": [RESTART_FILE],
            },
            timer,
        ],
    }
    return state, problems


def source_state(options: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """What must be on the host before the engine's packages can be chosen: repository, key, pin."""
    files: list[dict[str, Any]] = []
    problems: list[str] = []
    if options.get("repository_url"):
        key = str(options.get("repository_key") or "")
        files += [{"path": KEY_FILE, "content": key.strip() + "\n"}, {"path": SOURCES_FILE}]
        expected = str(options.get("repository_key_fingerprint") or "").replace(" ", "").upper()
        try:
            found = fingerprints(key)
            if found != [expected]:
                problems.append(
                    f"repository_key: has the fingerprint {', '.join(found)}, not repository_key_fingerprint"
                    f" {expected or '(missing)'}; compare both with what the owner of the repository publishes"
                )
        except ValueError as error:
            problems.append(f"repository_key: {error}")
    if options.get("version"):
        files.append({"path": PIN_FILE})
    return {"packages": ["ca-certificates"] if files else [], "files": files}, problems


def engine_packages(options: Mapping[str, Any], release: str) -> list[str]:
    if options.get("packages"):
        return [str(package) for package in options["packages"]]
    if options.get("repository_url"):
        return list(REPOSITORY_PACKAGES)
    return list(DISTRIBUTION_PACKAGES.get(release, ("docker.io",)))


def _prune_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "budget_gib": int(options.get("disk_budget_gib", 0)),
        "budget_percent": int(options.get("disk_budget_percent", 0)),
        "unused_days": int(options.get("prune_days", 7)),
        "keep_releases": int(options.get("prune_keep_releases", 2)),
        "textfile": str(options.get("prune_textfile") or ""),
    }


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, sort_keys=True) + "\n"

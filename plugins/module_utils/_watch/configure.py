# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role configures, worked out on the controller: the checks of a stack, and the watch's two files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._watch.model import (
    BACKUP,
    BACKUP_LOG,
    CERTIFICATE,
    DISK,
    DRILL,
    HTTP,
    LOGS,
    PROMISE,
    RPO,
    RTO,
    parse,
)

_HEALTH_WORDS = ("health", "healthz", "ready", "readyz", "up")


def stack_checks(routes: Sequence[Mapping[str, Any]], stack: str, backup: bool = True) -> list[dict[str, Any]]:
    """Everything that a stack is worth watching for, from its routes.

    A host name is asked for its health routes, or for its first page when it has none. The logs are those of the
    services that have routes.
    """
    checks: list[dict[str, Any]] = []
    hosts: dict[str, list[str]] = {}
    for route in routes:
        hosts.setdefault(str(route["host"]), []).append(str(route.get("path") or "/"))
    for host, paths in hosts.items():
        health = sorted({path for path in paths if path.rstrip("/").rpartition("/")[2] in _HEALTH_WORDS})
        for path in health or ["/"]:
            name = f"http-{host}" if len(health) < 2 else f"http-{host}{path.replace('/', '-')}"
            checks.append({"name": name, "kind": HTTP, "url": f"https://{host}{path}"})
    for service in dict.fromkeys(str(route["service"]) for route in routes):
        checks.append({"name": f"logs-{stack}-{service}", "kind": LOGS, "stack": stack, "service": service})
    if backup:
        checks.append({"name": f"backup-{stack}", "kind": BACKUP, "stack": stack})
        checks.append({"name": f"backup-log-{stack}", "kind": BACKUP_LOG, "stack": stack})
        checks.append({"name": f"drill-{stack}", "kind": DRILL, "stack": stack})
        for promise in (RPO, RTO):
            checks.append({"name": f"{promise}-{stack}", "kind": PROMISE, "stack": stack, "promise": promise})
    if hosts:
        checks.append({"name": "certificates", "kind": CERTIFICATE})
    checks.append({"name": "disk-root", "kind": DISK})
    return checks


def files(
    checks: object,
    settings: Mapping[str, Any],
    email: Mapping[str, Any],
    secrets: Mapping[str, Any],
    defaults: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """The contents of the two files, once they are known to be good; InvalidWatch lists what is not.

    :arg defaults: for each kind of check, values for the keys that a check does not give.
    """
    complete: Any = checks
    if isinstance(checks, (list, tuple)):
        complete = [
            {**defaults.get(str(check.get("kind")), {}), **check} if isinstance(check, Mapping) else check
            for check in checks
        ]
    config = {**settings, "checks": complete, **({"email": dict(email)} if email.get("to") else {})}
    parse(config, secrets)
    return {"config": config, "secrets": {key: value for key, value in secrets.items() if value}}

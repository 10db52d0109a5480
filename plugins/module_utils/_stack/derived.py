# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others need to know of a stack, derived from its model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack.database_images import login_of
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Service, Stack

UPSTREAM_DIRECTORY = "/etc/nginx/slipway/upstreams"
STACK_DIRECTORY = "/etc/slipway/stacks"


def upstream_name(stack: str, service: str, port: int) -> str:
    return re.sub(r"[^a-z0-9_]", "_", f"slipway_{stack}_{service}_{port}".lower())


def upstream_file(stack: str, service: str, port: int, directory: str = UPSTREAM_DIRECTORY) -> str:
    return f"{directory}/{upstream_name(stack, service, port)}.conf"


def routes(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All routes with their upstreams: hosts in file order, within a host the longest path first."""
    stack = Stack(model)
    found = [
        {
            **route,
            "timeout_seconds": math.ceil(route["timeout_seconds"]),
            "service": service.name,
            "upstream": upstream_name(stack.name, service.name, route["port"]),
            "upstream_file": upstream_file(stack.name, service.name, route["port"]),
        }
        for service in stack.services.values()
        for route in service.routes
    ]
    hosts = list(dict.fromkeys(route["host"] for route in found))
    return sorted(found, key=lambda route: (hosts.index(route["host"]), -len(route["path"]), route["path"]))


def host_names(model: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(route["host"] for service in Stack(model).services.values() for route in service.routes))


def published_ports(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "port": port["published"],
            "protocol": port["protocol"],
            "host_ip": port["host_ip"],
            "service": service.name,
        }
        for service in Stack(model).services.values()
        for port in service.plain["ports"]
    ]


def _data_volumes(stack: Stack, service: Service) -> list[str]:
    return [
        stack.volume_name(mount["source"])
        for mount in service.plain["volumes"]
        if mount["type"] == "volume" and not mount["read_only"]
    ]


def databases(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The declared databases. The password itself is not among it: read it from the container's environment."""
    stack = Stack(model)
    found = []
    for service in stack.services.values():
        database = service.database
        if database is None:
            continue
        tables = service.plain["slipway"].get("indexes", {})
        found.append(
            {
                "stack": stack.name,
                "service": service.name,
                "kind": database["kind"],
                "database": database["name"],
                "user": database["user"],
                "password_variable": database["password_variable"],
                "dump": database["dump"],
                "image": service.image,
                "volumes": _data_volumes(stack, service),
                "tables": list(tables),
                "indexes": [
                    {"table": table, "name": name, "columns": list(columns)}
                    for table, indexes in tables.items()
                    for name, columns in indexes.items()
                ],
                "backup": service.plain["slipway"]["backup"],
            }
        )
    return found


def _database_source(service: Service, database: Mapping[str, Any]) -> dict[str, Any]:
    """A server is saved as a whole, whatever databases it has."""
    found = {"name": service.name, **{key: database[key] for key in ("kind", "stack", "service", "volumes")}}
    environment = service.plain["environment"]
    user, variable = login_of(database["kind"], environment, database["user"], database["password_variable"])
    dump = {"dump": "always"} if database["dump"] else {}
    return {**found, "user": user, "password_variable": variable, **dump}


def backup_sources(model: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a backup holds: databases, the volumes named in x-slipway, and the files that describe the deployment."""
    stack = Stack(model)
    sources: list[dict[str, Any]] = [
        _database_source(stack.services[database["service"]], database)
        for database in databases(model)
        if database["backup"]
    ]
    for key in stack.plain["slipway"]["backup"]["volumes"]:
        sources.append(
            {
                "kind": "volume",
                "name": key,
                "stack": stack.name,
                "volume": stack.volume_name(key),
                "services": [
                    service.name
                    for service in stack.services.values()
                    if any(mount["type"] == "volume" and mount["source"] == key for mount in service.plain["volumes"])
                ],
            }
        )
    sources.extend(
        {"kind": "file", "name": name, "stack": stack.name, "path": f"{STACK_DIRECTORY}/{stack.name}/{name}"}
        for name in ("environment", "stack.json")
    )
    return sources


def unsaved_volumes(model: Mapping[str, Any]) -> list[str]:
    """Named volumes that no backup source covers."""
    stack = Stack(model)
    covered = {name for source in backup_sources(model) for name in source.get("volumes", [source.get("volume")])}
    names = (stack.volume_name(key) for key in stack.plain["volumes"])
    return [name for name in names if name not in covered]


def without_elsewhere(model: Mapping[str, Any], elsewhere: Mapping[str, str]) -> dict[str, Any]:
    """The model of a host on which these services do not run, because another one runs them."""
    away = {name: host for name, host in elsewhere.items() if name in model["services"]}
    if not away:
        return dict(model)
    services = {name: plain for name, plain in model["services"].items() if name not in away}
    return {**model, "services": services, "slipway": {**model["slipway"], "elsewhere": away}}

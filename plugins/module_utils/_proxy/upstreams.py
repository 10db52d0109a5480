# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nginx upstream files of a stack: what each must hold, from the model and from what runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import upstream_name
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

HEADER = "# Written at each release and when a container's address changes. Do not edit.\n"
NO_SERVER = "server 127.0.0.1:9 down;"
KEEPALIVE_CONNECTIONS = 32


def file_name(stack: str, service: str, port: int) -> str:
    return upstream_name(stack, service, port) + ".conf"


def render(name: str, servers: Iterable[str]) -> str:
    """The file of the upstream `name`."""
    lines = [f"zone {name} 64k;", *([f"server {server};" for server in servers] or [NO_SERVER])]
    inside = "".join(f"    {line}\n" for line in [*lines, f"keepalive {KEEPALIVE_CONNECTIONS};"])
    return f"{HEADER}upstream {name} {{\n{inside}}}\n"


def address(stack: Stack, container: Container, service: str) -> str | None:
    """Where the host reaches the container: a network with a way out before an internal one."""
    if container.host_network:
        return "127.0.0.1"
    networks = stack.services[service].networks

    def rank(name: str) -> tuple[bool, int, str]:
        key = next((key for key in networks if stack.network_name(key) == name), "")
        internal = bool(stack.plain["networks"].get(key, {}).get("internal"))
        return (internal, -int((networks.get(key) or {}).get("priority") or 0), name)

    return next((container.addresses[name] for name in sorted(container.addresses, key=rank)), None)


def backends(stack: Stack, service: str, containers: Iterable[Container]) -> list[Container]:
    """Who should serve: the ready containers of the deployed configuration, or else the best there are."""
    mine = sorted(
        (each for each in containers if each.service == service and each.running and not each.oneoff),
        key=lambda each: each.number,
    )
    wanted = stack.config_hash(service)
    for good in (
        [each for each in mine if each.config_hash == wanted and each.ready],
        [each for each in mine if each.config_hash == wanted],
        [each for each in mine if each.ready],
    ):
        if good:
            return good
    return mine


def wanted(stack: Stack, containers: Iterable[Container]) -> dict[str, str]:
    """File name → content for each upstream of the stack."""
    containers = list(containers)
    result = {}
    for service in stack.services.values():
        chosen = backends(stack, service.name, containers) if service.routes else []
        for port in sorted({route["port"] for route in service.routes}):
            servers = [address(stack, each, service.name) for each in chosen]
            name = upstream_name(stack.name, service.name, port)
            result[f"{name}.conf"] = render(name, [f"{each}:{port}" for each in servers if each])
    return result


def closed(names: Iterable[str]) -> dict[str, str]:
    """Files that send requests nowhere."""
    return {name: render(name[: -len(".conf")], []) for name in names}


def differing(wish: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return sorted(name for name, content in wish.items() if found.get(name) != content)

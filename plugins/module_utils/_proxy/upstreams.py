# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The nginx upstream files of a stack: what each must hold, from the model and from what runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import upstream_name
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

HEADER = "# Written at each release and when a container's address changes. Do not edit.\n"
NO_SERVER = "127.0.0.1:9 down"
KEEPALIVE_CONNECTIONS = 32
# A container of this host that refuses does so at once, so asking again costs nothing; when all of them were away for a
# moment (a crash, a boot), nginx would otherwise answer 502 for ten seconds after they are back.
HERE_FAIL_TIMEOUT_SECONDS = 1


@dataclass(frozen=True)
class Server:
    """One server of an upstream. The defaults are nginx's own: out for 10 s after one failure."""

    address: str
    weight: int = 1
    max_fails: int = 1
    fail_timeout_seconds: int = 10

    def line(self, backup: bool = False) -> str:
        parts = [self.address]
        if self.weight != 1:
            parts.append(f"weight={self.weight}")
        if self.max_fails != 1:
            parts.append(f"max_fails={self.max_fails}")
        if self.fail_timeout_seconds != 10:
            parts.append(f"fail_timeout={self.fail_timeout_seconds}s")
        return " ".join([*parts, *(["backup"] if backup else [])])


@dataclass(frozen=True)
class Share:
    """How much goes to the next version while two of them serve, and who always does.

    A client stays with one version while the share stays, and with the next one when the share grows; another `salt`
    draws others. Who sends the cookie or header (`NAME=VALUE`) gets the next version, also where the share is 0.
    """

    of_next: float
    salt: str = ""
    cookie: str = ""
    header: str = ""


def file_names(name: str) -> tuple[str, str]:
    """The files of the upstream `name`: for nginx's http level, and for a location while two versions serve."""
    return f"{name}.conf", f"{name}.share"


def render(
    name: str, servers: Iterable[Server], following: Iterable[Server] = (), share: Share | None = None
) -> dict[str, str]:
    """File name → content of the upstream `name`; without content there is to be no such file.

    `following` are the servers of the next version; they get the share, and where none of them can be reached, the
    others answer for them. Without a share or without such servers, `servers` get everything.
    """
    http, location = file_names(name)
    servers, following = list(servers), list(following)
    group = _group(name, [each.line() for each in servers])
    if share is None or not following:
        return {http: HEADER + group, location: ""}
    following_name, drawn = f"{name}_next", f"${name}_drawn"
    lines = [each.line() for each in following] + [each.line(backup=True) for each in servers]
    parts = [HEADER, group, _group(following_name, lines)]
    if share.of_next > 0:
        parts.append(
            f'split_clients "{share.salt}$remote_addr" {drawn} {{\n    {share.of_next:.2%} 1;\n    * "";\n}}\n'
        )
    else:
        parts.append(f'map "" {drawn} {{\n    default "";\n}}\n')
    for source, asked in (("cookie", share.cookie), ("http", share.header)):
        if asked:
            key, _equals, value = asked.partition("=")
            variable = f"${source}_{key.lower().replace('-', '_') if source == 'http' else key}"
            parts.append(f'map {variable} {drawn}_{source} {{\n    default {drawn};\n    "{value}" 1;\n}}\n')
            drawn += f"_{source}"
    choice = f"if ({drawn}) {{\n    proxy_pass http://{following_name};\n}}\n"
    return {http: "".join(parts), location: HEADER + choice}


def _group(name: str, servers: list[str]) -> str:
    lines = [f"zone {name} 64k;", *(f"server {server};" for server in servers or [NO_SERVER])]
    inside = "".join(f"    {line}\n" for line in [*lines, f"keepalive {KEEPALIVE_CONNECTIONS};"])
    return f"upstream {name} {{\n{inside}}}\n"


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
        (
            each
            for each in containers
            if each.service == service and each.running and not each.oneoff and not each.standing
        ),
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


def servers(stack: Stack, containers: Iterable[Container], service: str, port: int) -> list[Server]:
    addresses = (address(stack, each, service) for each in containers)
    return [Server(f"{each}:{port}", fail_timeout_seconds=HERE_FAIL_TIMEOUT_SECONDS) for each in addresses if each]


def upstream_ports(stack: Stack) -> Iterator[tuple[str, int, str]]:
    """Service, port and name of each upstream of the stack."""
    for service in stack.services.values():
        for port in sorted({route["port"] for route in service.routes}):
            yield service.name, port, upstream_name(stack.name, service.name, port)


def wanted(
    stack: Stack,
    containers: Iterable[Container],
    following: Iterable[Container] = (),
    shares: Mapping[str, Share] | None = None,
) -> dict[str, str]:
    """File name → content for each upstream of the stack.

    `following` are containers of the next version, for services that have a share in `shares`.
    """
    containers, following, shares = list(containers), list(following), shares or {}
    result: dict[str, str] = {}
    for service, port, name in upstream_ports(stack):
        share = shares.get(service)
        result.update(
            render(
                name,
                servers(stack, backends(stack, service, containers), service, port),
                servers(stack, backends(stack, service, following), service, port) if share else (),
                share,
            )
        )
    return result


def closed(names: Iterable[str]) -> dict[str, str]:
    """Files that send requests nowhere."""
    result: dict[str, str] = {}
    for name in names:
        result.update(render(name.rpartition(".")[0], []))
    return result


def differing(wish: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return sorted(name for name, content in wish.items() if found.get(name, "") != content)

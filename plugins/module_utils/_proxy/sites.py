# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Group routes into sites, one a host name, and say which files nginx needs for them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any

SITES = "/etc/nginx/slipway/sites"
UPSTREAMS = "/etc/nginx/slipway/upstreams"
CERTIFICATES = "/etc/slipway/certificates"

# A websocket is quiet for as long as nobody speaks; nginx's own 60 seconds would cut it.
WEBSOCKET_TIMEOUT_SECONDS = 3600
TIMEOUT_SECONDS = 60

_HOST = re.compile(r"^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+$")
# What follows goes into nginx's configuration as it is: nothing that nginx would read as syntax.
_PATH = re.compile(r"^/[A-Za-z0-9._~/@:+-]*$")
_UPSTREAM = re.compile(r"^[a-z0-9_]+$")

_KEYS = (
    "host",
    "path",
    "service",
    "port",
    "upstream",
    "upstream_file",
    "websocket",
    "timeout_seconds",
    "requests_per_minute",
    "burst",
    "access_log",
    "max_body_mib",
)


class RouteProblems(ValueError):
    """Everything that is wrong with the routes, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def zone_name(host: str, path: str) -> str:
    """The name of a route's request limit; different for every route."""
    return "slipway_" + re.sub(r"[^a-z0-9]", lambda found: f"_{ord(found.group()):x}_", f"{host}{path}".lower())


def _number(route: Mapping[str, Any], key: str, where: str, problems: list[str]) -> int:
    value = route.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        problems.append(f"{where}.{key}: {value!r} must be a whole number, 0 or more")
        return 0
    return int(value)


def _flag(route: Mapping[str, Any], key: str, default: bool, where: str, problems: list[str]) -> bool:
    value = route.get(key, default)
    if value is None:
        return default
    if not isinstance(value, bool):
        problems.append(f"{where}.{key}: {value!r} must be true or false")
        return default
    return value


def _route(route: Any, where: str, problems: list[str]) -> dict[str, Any]:
    if not isinstance(route, Mapping):
        problems.append(f"{where}: must be a mapping with host, path and upstream")
        return {}
    for key in route:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            problems.append(f"{where}.{key}: unknown key" + (f", did you mean {near[0]}?" if near else ""))
    host = str(route.get("host", "")).lower()
    path = str(route.get("path") or "/")
    upstream = str(route.get("upstream", ""))
    if not _HOST.match(host):
        problems.append(f"{where}.host: {host!r} must be a full host name")
    if not _PATH.match(path):
        problems.append(f"{where}.path: {path!r} must start with / and hold letters, digits and ._~/@:+- only")
    if not _UPSTREAM.match(upstream):
        problems.append(f"{where}.upstream: {upstream!r} must be a name of lower case letters, digits and _")
    upstream_file = str(route.get("upstream_file") or f"{UPSTREAMS}/{upstream}.conf")
    if route.get("upstream_file") and not re.match(rf"^{UPSTREAMS}/[a-z0-9_]+\.conf$", upstream_file):
        problems.append(f"{where}.upstream_file: {upstream_file!r} must be a .conf file in {UPSTREAMS}")
    websocket = _flag(route, "websocket", False, where, problems)
    timeout = _number(route, "timeout_seconds", where, problems)
    rate = _number(route, "requests_per_minute", where, problems)
    burst = _number(route, "burst", where, problems)
    return {
        "host": host,
        "path": path,
        "service": str(route.get("service") or upstream),
        "upstream": upstream,
        "upstream_file": upstream_file,
        # There only while two versions share the requests; the pattern lets nginx go on without it.
        "share_file": upstream_file[: -len("conf")] + "share*",
        "websocket": websocket,
        "timeout_seconds": max(timeout, WEBSOCKET_TIMEOUT_SECONDS) if websocket else timeout or TIMEOUT_SECONDS,
        "requests_per_minute": rate,
        # A minute's worth may come at once, as applications count; nginx alone would spread it evenly over the minute.
        "burst": burst or max(rate - 1, 0),
        "zone": zone_name(host, path),
        "access_log": _flag(route, "access_log", True, where, problems),
        "max_body_mib": _number(route, "max_body_mib", where, problems),
    }


def _certificates(certificates: Iterable[Any], problems: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for index, item in enumerate(certificates):
        if not isinstance(item, Mapping) or not item.get("name"):
            problems.append(f"certificates[{index}]: must be a mapping of name and domains")
            continue
        for domain in item.get("domains") or [item["name"]]:
            found.setdefault(str(domain).lower(), str(item["name"]).lower())
    return found


def sites(routes: Iterable[Any], certificates: Iterable[Any] = ()) -> list[dict[str, Any]]:
    """One site a host, its routes sorted longest path first; RouteProblems with all that is wrong."""
    problems: list[str] = []
    by_domain = _certificates(certificates, problems)
    grouped: dict[str, list[dict[str, Any]]] = {}
    seen: dict[tuple[str, str], str] = {}
    for index, raw in enumerate(routes):
        where = f"[{index}]"
        route = _route(raw, where, problems)
        if not route:
            continue
        key = (route["host"], route["path"])
        if key in seen:
            problems.append(f"{where}: {route['host']}{route['path']} is already routed by {seen[key]}")
        seen.setdefault(key, where)
        grouped.setdefault(route["host"], []).append(route)
    if problems:
        raise RouteProblems(problems)
    return [
        {
            "name": host,
            "host": host,
            "certificate": f"{CERTIFICATES}/{by_domain.get(host, host)}/current",
            "routes": sorted(own, key=lambda route: (-len(route["path"]), route["path"])),
        }
        for host, own in sorted(grouped.items())
    ]


def seed(upstream: str) -> str:
    """An upstream that nginx accepts before the first release has written the real one; it answers 502."""
    return (
        "# The release writes the running containers here.\n"
        f"upstream {upstream} {{\n    zone {upstream} 64k;\n    server 127.0.0.1:9 down;\n}}\n"
    )


def files(grouped: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The files of slipway.ops.host_state: one rendered for each site, one seeded for each upstream."""
    listed = list(grouped)
    rendered: list[dict[str, Any]] = [
        {
            "path": f"{SITES}/{site['name']}.conf",
            "template": "etc/nginx/slipway/sites/site.conf.j2",
            "variables": {"__proxy_site": site},
        }
        for site in listed
    ]
    upstreams = {route["upstream_file"]: route["upstream"] for site in listed for route in site["routes"]}
    seeds = [{"path": path, "content": seed(name), "seed": True} for path, name in sorted(upstreams.items())]
    return rendered + seeds

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway upstreams sync|watch|close|status`: nginx's upstreams follow the containers, here and on a Swarm."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._proxy import sync
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx, ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.swarm import Agent
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import acknowledged
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _sync(places: Places) -> dict[str, str]:
    proxy = Nginx(places.upstreams)
    found = sync.sync(DockerGateway.connect(), places, proxy)
    _wait, on_swarm = Agent(RaftGateway.connect(), proxy, _say).step()
    return {**found, **on_swarm}


def _close(places: Places) -> dict[str, str]:
    proxy = Nginx(places.upstreams)
    if proxy.runs():
        raise ProxyError("nginx runs already, so its upstreams are left to slipway-upstreams.service")
    return sync.close(places, proxy)


def _status(_places: Places) -> dict[str, Any]:
    gateway = RaftGateway.connect()
    return acknowledged(gateway) if gateway.node_id() else {}


def _lines(status: dict[str, Any]) -> list[str]:
    lines = []
    for stack, found in status.items():
        lines.append(f"{stack}: generation {found['generation']} is to serve")
        for proxy in found["proxies"]:
            state = "serves" if proxy["generation"] == found["generation"] else f"serves {proxy['generation']}"
            notes = [
                *(["its node is down"] if not proxy["ready"] else []),
                *(["old requests still run"] if proxy["draining"] else []),
                *([proxy["problem"]] if proxy["problem"] else []),
            ]
            lines.append(f"  {proxy['node']}: {state}{'; ' if notes else ''}{'; '.join(notes)}")
    return lines or ["no stack of a Swarm is served from here"]


def upstreams(argv: list[str]) -> int:
    """Write the upstream files once, watch the engine and keep them right, close them, or show what proxies serve."""
    parser = argparse.ArgumentParser(prog="slipway upstreams", description="nginx's upstreams follow the containers.")
    parser.add_argument("action", choices=["sync", "watch", "close", "status"])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    places = Places()
    try:
        if arguments.action == "watch":
            sync.watch(places)
            return 0
        result = {"sync": _sync, "close": _close, "status": _status}[arguments.action](places)
    except (EngineError, ProxyError) as error:
        sys.stderr.write(f"upstreams {arguments.action}: {error}\n")
        return 1
    if arguments.json:
        sys.stdout.write(json.dumps(result, indent=2, sort_keys=True) + "\n")
        return 0
    lines = _lines(result) if arguments.action == "status" else [f"{name}: {what}" for name, what in result.items()]
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway upstreams sync|watch`: nginx's upstreams follow the containers."""

from __future__ import annotations

import argparse
import json
import sys

from ansible_collections.slipway.ops.plugins.module_utils._proxy import sync
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Nginx, ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places


def upstreams(argv: list[str]) -> int:
    """Write the upstream files once, or watch the engine and keep them right."""
    parser = argparse.ArgumentParser(prog="slipway upstreams", description="nginx's upstreams follow the containers.")
    parser.add_argument("action", choices=["sync", "watch"])
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    places = Places()
    try:
        if arguments.action == "watch":
            sync.watch(places)
            return 0
        result = sync.sync(DockerGateway.connect(), places, Nginx(places.upstreams))
    except (EngineError, ProxyError) as error:
        sys.stderr.write(f"upstreams {arguments.action}: {error}\n")
        return 1
    if arguments.json:
        sys.stdout.write(json.dumps(result, indent=2, sort_keys=True) + "\n")
    else:
        for name, what in result.items():
            sys.stdout.write(f"{name}: {what}\n")
    return 0

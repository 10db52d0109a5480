# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a stack runs on this host, for people and programs; reads only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import describe, holder
from ansible_collections.slipway.ops.plugins.module_utils._release.compose import Gateway
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container, parse_container
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def status(name: str, places: Places, connect: Callable[[], Gateway] = DockerGateway.connect) -> dict[str, Any]:
    """The deployed stack, its containers, its last releases and who works on it."""
    records = Records(name, places.stacks, places.state)
    model = records.model()
    engine_problem = ""
    containers: list[Container] = []
    try:
        containers = [parse_container(raw) for raw in connect().containers(name)]
    except EngineError as error:
        engine_problem = str(error)
    held = holder(name, places.leases)
    history = records.history()
    succeeded = [record for record in history if record.get("outcome") == "succeeded"]
    return {
        "name": name,
        "deployed": model is not None,
        "release": int(succeeded[-1]["release"]) if succeeded else 0,
        "released": succeeded[-1].get("finished", "") if succeeded else "",
        "last_outcome": history[-1].get("outcome", "") if history else "",
        "unfinished": (records.journal() or {}).get("phase", ""),
        "lease": describe(held) if held else "",
        "pull": records.said_pull() if held else "",
        "engine_problem": engine_problem,
        "services": _services(Stack(model), containers) if model else {},
        "history": history[-20:],
    }


def _services(stack: Stack, containers: list[Container]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for service in stack.services.values():
        mine = sorted((each for each in containers if each.service == service.name), key=lambda each: each.number)
        good = [each for each in mine if each.ready and each.config_hash == stack.config_hash(service.name)]
        done = stack.is_job(service.name) and any(each.state == "exited" and each.exit_code == 0 for each in mine)
        result[service.name] = {
            "image": service.image,
            "replicas": service.replicas,
            "ready": len(good),
            "ok": len(good) >= service.replicas or done,
            "containers": [
                {
                    "id": each.id[:12],
                    "name": each.name,
                    "image": each.image,
                    "image_id": each.image_id,
                    "state": each.state,
                    "health": each.health,
                    "restarts": each.restarts,
                    "started": each.started_at,
                    "release": each.release,
                    "addresses": dict(each.addresses),
                }
                for each in mine
            ],
        }
    return result

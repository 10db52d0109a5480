# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a stack runs on this host or on its Swarm, for people and programs; reads only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container, Observed
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Parts, Places, Settings, recorded
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def status(name: str, places: Places, find: Callable[[str, Settings], Parts] = recorded) -> dict[str, Any]:
    """The deployed stack, its containers, its last releases and who works on it."""
    on = find(name, Settings(places=places))
    records = on.records
    model = records.model()
    engine_problem = ""
    observed = Observed(available=False)
    try:
        on.engine.require()
        observed = on.engine.observe(Stack(model)) if model else observed
    except EngineError as error:
        engine_problem = str(error)
    held = on.holder()
    history = records.history()
    succeeded = [record for record in history if record.get("outcome") == "succeeded"]
    return {
        "name": name,
        "deployed": model is not None,
        "release": int(succeeded[-1]["release"]) if succeeded else 0,
        "released": succeeded[-1].get("finished", "") if succeeded else "",
        "last_outcome": history[-1].get("outcome", "") if history else "",
        "unfinished": (records.journal() or {}).get("phase", ""),
        "lease": held,
        "pull": on.pulling() if held else "",
        "engine_problem": engine_problem,
        "services": _services(Stack(model), observed) if model else {},
        "elsewhere": Stack(model).elsewhere if model else {},
        "history": history[-20:],
    }


def _of(service: str, observed: Observed) -> list[Container]:
    return [each for each in observed.containers if each.service == service]


def _services(stack: Stack, observed: Observed) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for service in stack.services.values():
        mine = sorted(_of(service.name, observed), key=lambda each: (each.release, each.number))
        replicas = observed.replicas.get(service.name, service.replicas)
        wanted = stack.config_hash(service.name)
        good = [each for each in mine if each.ready and each.config_hash == wanted and not each.standing]
        done = stack.is_job(service.name) and any(each.state == "exited" and each.exit_code == 0 for each in mine)
        result[service.name] = {
            "image": service.image,
            "replicas": replicas,
            "ready": len(good),
            "ok": len(good) >= replicas or done,
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
                    "node": each.node,
                    "standing": each.standing,
                }
                for each in mine
            ],
        }
    return result

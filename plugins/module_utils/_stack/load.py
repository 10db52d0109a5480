# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a parsed Compose file to the model, or to all of its problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import support
from ansible_collections.slipway.ops.plugins.module_utils._stack.interpolate import interpolate
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import COMPOSE
from ansible_collections.slipway.ops.plugins.module_utils._stack.normalize import Normalizer, ReadFile
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import (
    Problem,
    Problems,
    StackError,
    did_you_mean,
)


def load(
    document: Any, name: str | None, variables: Mapping[str, str], read_file: ReadFile, engine: str = COMPOSE
) -> dict[str, Any]:
    """The model of the document. Raises StackError with every problem that was found."""
    if not isinstance(document, Mapping):
        raise StackError([Problem("", "the file holds no mapping", "begin it with services:")])
    problems = Problems()
    filled = interpolate(document, variables, problems)
    support.check(filled, engine, problems)
    model = {**Normalizer(filled, variables, read_file, problems, engine).model(name), "engine": engine}
    check_references(model, problems)
    problems.raise_any()
    return model


def check_references(model: Mapping[str, Any], problems: Problems) -> None:
    """What only the whole model shows: routes said twice, backups of nothing, circles."""
    volumes = model["volumes"]
    seen: dict[tuple[str, str], str] = {}
    for name, service in model["services"].items():
        if not service:
            continue
        path = f"services.{name}"
        for other in service["depends_on"]:
            if ((model["services"].get(other) or {}).get("slipway") or {}).get("single"):
                problems.add(
                    f"{path}.depends_on.{other}",
                    f"{other} runs once (x-slipway.single), perhaps on another host",
                    "do not wait for it",
                )
        for index, route in enumerate(service["slipway"]["routes"]):
            here = f"{path}.x-slipway.routes[{index}]"
            key = (route["host"], route["path"])
            if key in seen:
                problems.add(here, f"{route['host']}{route['path']} is routed already by {seen[key]}", "remove one")
            seen.setdefault(key, here)
            if service.get("network_mode") == "none":
                problems.add(here, "the service has no network", "remove network_mode: none")
    for index, volume in enumerate(model["slipway"]["backup"]["volumes"]):
        if volume not in volumes:
            problems.add(
                f"x-slipway.backup.volumes[{index}]",
                f"{volume!r} is not listed under volumes",
                did_you_mean(volume, volumes) or "name one of them",
            )
    _check_cycles(model, problems)


def _check_cycles(model: Mapping[str, Any], problems: Problems) -> None:
    state: dict[str, str] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == "done":
            return
        if name in trail:
            circle = " -> ".join((*trail[trail.index(name) :], name))
            problems.add(f"services.{name}.depends_on", f"runs in a circle: {circle}", "remove one of these")
            return
        for other in model["services"][name].get("depends_on", {}):
            visit(other, (*trail, name))
        state[name] = "done"

    for name in model["services"]:
        visit(name, ())

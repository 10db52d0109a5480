# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a service gets its new version, read from `x-slipway`: of the service, or as the default of the whole stack."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._stack import values
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import (
    BLUE_GREEN,
    CANARY,
    RECREATE,
    ROLLING,
    START_FIRST,
    STOP_FIRST,
    SWARM,
    Service,
)
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

STRATEGIES = (ROLLING, BLUE_GREEN, CANARY, RECREATE)
STEPS = ({"percent": 10, "for": "60s"}, {"percent": 50, "for": "60s"})
KEEP_OLD = "10m"

# Both go into nginx's configuration as they are.
_COOKIE = re.compile(r"[A-Za-z0-9_]+=[A-Za-z0-9._~-]+")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]*=[A-Za-z0-9._~-]+")


def check_default(default: Mapping[str, Any], problems: Problems) -> None:
    """What stands at the top of the file must be right also where no service takes it."""
    if default.get("strategy") is not None:
        values.choice(default["strategy"], "x-slipway.strategy", problems, STRATEGIES)
    if default.get("canary") is not None:
        _canary(default["canary"], "x-slipway.canary", problems)
    if default.get("keep_old") is not None:
        _keep_old(default["keep_old"], "x-slipway.keep_old", problems)


def policy(
    service: Service,
    own: Mapping[str, Any],
    default: Mapping[str, Any],
    engine: str,
    path: str,
    problems: Problems,
) -> dict[str, Any]:
    """The part of the service's model. A default that the service cannot follow leaves it rolling."""
    asked = own.get("strategy")
    strategy = ROLLING
    if asked is not None:
        strategy = values.choice(asked, f"{path}.strategy", problems, STRATEGIES) or ROLLING
        obstacle = _obstacle(service, strategy, engine)
        if obstacle and not problems.at(f"{path}.routes"):
            problems.add(f"{path}.strategy", f"{strategy} is not possible: {obstacle}", "change one of them")
    elif default.get("strategy") in STRATEGIES and not _obstacle(service, default["strategy"], engine):
        strategy = default["strategy"]
    result: dict[str, Any] = {"strategy": strategy}
    for key, needed, read in (("canary", CANARY, _canary), ("keep_old", BLUE_GREEN, _keep_old)):
        if own.get(key) is not None and strategy != needed:
            problems.add(f"{path}.{key}", f"has no effect with strategy {strategy}", f"write strategy: {needed}")
        elif strategy == needed:
            where, given = (path, own.get(key)) if own.get(key) is not None else ("x-slipway", default.get(key))
            result.update(read(given, f"{where}.{key}", problems))
    return result


def check_together(services: Mapping[str, Mapping[str, Any]], problems: Problems) -> None:
    """One release has one sequence of shares, whatever the services are that take part."""
    first = ""
    for name, service in services.items():
        canary = (service.get("slipway") or {}).get("canary")
        if canary is None:
            continue
        first = first or name
        if canary["steps"] != services[first]["slipway"]["canary"]["steps"]:
            problems.add(
                f"services.{name}.x-slipway.canary.steps",
                f"differ from those of {first}, and a release has one sequence for all",
                "write them once, under x-slipway.canary at the top level",
            )


def _obstacle(service: Service, strategy: str, engine: str) -> str:
    order = service.plain["deploy"]["update_config"].get("order")
    if strategy == BLUE_GREEN and engine == SWARM:
        return "on a Swarm nothing would end the old colour; canary goes back by itself, rolling at once"
    if strategy in (CANARY, BLUE_GREEN):
        if not service.routes:
            return "it has no routes, so there are no requests to move"
        if service.single_reason:
            return service.single_reason
        if order == STOP_FIRST:
            return f"update_config.order is {order}"
    return f"update_config.order is {order}" if strategy == RECREATE and order == START_FIRST else ""


def _keep_old(value: Any, path: str, problems: Problems) -> dict[str, Any]:
    return {"keep_old_seconds": values.duration(KEEP_OLD if value is None else value, path, problems)}


def _canary(value: Any, path: str, problems: Problems) -> dict[str, Any]:
    raw = values.mapping(value, path, problems)
    testers: dict[str, str] = {}
    for key, form in (("cookie", _COOKIE), ("header", _HEADER)):
        testers[key] = str(raw.get(key) or "")
        if testers[key] and not form.fullmatch(testers[key]):
            problems.add(f"{path}.{key}", f"{testers[key]!r} is no name and value", "write for example beta=yes")
    steps = raw.get("steps", STEPS)
    if not isinstance(steps, (list, tuple)) or not steps:
        problems.add(f"{path}.steps", "is no list of steps", "write - {percent: 10, for: 60s}")
        steps = []
    read = [_step(step, f"{path}.steps[{index}]", any(testers.values()), problems) for index, step in enumerate(steps)]
    shares = [step["share"] for step in read]
    if shares != sorted(set(shares)) and not problems.at(f"{path}.steps"):
        problems.add(f"{path}.steps", "a share does not grow from step to step", "order them, the smallest first")
    return {"canary": {"steps": read, **testers}}


def _step(value: Any, path: str, testers: bool, problems: Problems) -> dict[str, float]:
    raw = values.mapping(value, path, problems)
    percent = values.decimal(raw.get("percent"), f"{path}.percent", problems)
    if percent is not None and not (0 if testers else 0.01) <= percent < 100:
        least = "0" if testers else "more than 0 (0 needs a cookie or a header)"
        problems.add(f"{path}.percent", f"{percent:g} is out of range", f"give {least} and less than 100")
    seconds = values.duration(raw.get("for"), f"{path}.for", problems)
    return {"share": round((percent or 0) / 100, 4), "seconds": seconds or 0.0}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a request about: observe, plan, arm where asked for, apply: one path for every module that does so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import ARMED, REVERTED, Store
from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import snapshot_of
from ansible_collections.slipway.ops.plugins.module_utils._host import apply as applying
from ansible_collections.slipway.ops.plugins.module_utils._host import foreseen
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import make_plan, refusals
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import Plan, Step
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish


@dataclass
class Result:
    steps: list[Step] = field(default_factory=list)
    armed: str | None = None  # the change that waits for its confirmation
    foreseen: dict[str, Any] = field(default_factory=dict)  # in check mode: for the calls that follow


def converge(
    host: Host,
    store: Store,
    wish: Wish,
    check_mode: bool,
    warn: Callable[[str], None],
    earlier: Mapping[str, Any] | None = None,
) -> Result:
    """Raises HostError with every problem, a line each; what was armed by then is put back first."""

    def arm(plan: Plan, seen: Observation) -> None:
        if wish.armed is not None:
            store.arm(snapshot_of(wish, plan, seen, wish.armed.name, wish.armed.limit_seconds))

    result = Result()
    try:
        if wish.armed is not None:
            told = store.settled(wish.armed.name) if check_mode else store.told(wish.armed.name)
            if told.state == REVERTED:
                warn(f"armed change {told.line}")
        seen = host.observe(wish)
        if check_mode:
            seen = foreseen.overlay(seen, wish, earlier or {})
        plan = make_plan(wish, seen, check_mode)
        if plan.problems:
            raise HostError("\n".join(plan.problems))
        if check_mode:
            result.steps = list(plan.steps)
            result.foreseen = foreseen.after(wish, plan, seen, earlier or {})
            warnings = [*plan.warnings, *refusals(plan, seen, host.try_validate)]
        else:
            outcome = applying.apply(host, wish, plan, seen, arm)
            result.steps, warnings = outcome.steps, outcome.warnings
        for warning in warnings:
            warn(warning)
        if wish.armed is not None:
            status = store.status(wish.armed.name)
            result.armed = status.name if status.state == ARMED else None
    except HostError as error:
        raise HostError(put_back(store, wish, str(error))) from error
    return result


def put_back(store: Store, wish: Wish, why: str) -> str:
    """Put back what is armed; the reason with what became of it."""
    if wish.armed is not None and store.status(wish.armed.name).state == ARMED:
        return f"{why}\narmed change {store.revert(wish.armed.name, why).line}"
    return why

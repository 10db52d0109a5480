# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring a policy about: what it needs of the host, then observe, plan, arm where asked for, apply."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._armed.converge import converge as converge_host
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import ARMED, Store
from ansible_collections.slipway.ops.plugins.module_utils._host import report
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish
from ansible_collections.slipway.ops.plugins.module_utils._ufw.docker import DIRECTORY, PROGRAM
from ansible_collections.slipway.ops.plugins.module_utils._ufw.gateway import (
    Firewall,
    FirewallError,
    has_guard_program,
)
from ansible_collections.slipway.ops.plugins.module_utils._ufw.plan import NOTHING, Observed, Plan, after, overlay


@dataclass
class Outcome:
    steps: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    active: bool = False
    armed: Optional[str] = None  # the change that waits for its confirmation
    foreseen: dict[str, Any] = field(default_factory=dict)  # in check mode: for the tasks that follow


@dataclass(frozen=True)
class Job:
    """One request, and the parts of the host that it is about."""

    firewall: Firewall
    host: Host
    store: Store
    wish: Wish
    planner: Callable[[Observed], Plan]
    warn: Callable[[str], None]
    check_mode: bool = False
    earlier: Mapping[str, Any] = field(default_factory=dict)

    def run(self) -> Outcome:
        """Raises HostError with what is wrong; what was armed by then is put back first."""
        try:
            done = self._host()
            seen = self.firewall.observe()
            if self.earlier.get("firewall"):
                seen = overlay(seen, self.earlier["firewall"])
            plan = self.planner(seen)
            if plan.changed:
                done.foreseen["firewall"] = after(plan, seen)
                if plan.guard and not plan.guard_gone:
                    made = {"kind": "directory", "mode": "0755", "owner": "root", "group": "root"}
                    paths = dict.fromkeys((os.path.dirname(DIRECTORY), DIRECTORY), made)
                    done.foreseen["paths"] = {**paths, **done.foreseen.get("paths", {})}
            if plan.changed and not self.check_mode:
                seen = self._apply(plan, seen)
            done.steps += plan.steps
            if plan.changed:
                done.diff.append({"prepared": "".join(f"{line}\n" for line in plan.steps)})
            done.active = seen.active
            done.armed = self._name if self._is_armed() else None
        except FirewallError as error:
            raise HostError(self._put_back(str(error))) from error
        except HostError as error:
            raise HostError(self._put_back(str(error))) from error
        return done

    @property
    def _name(self) -> str:
        return self.wish.armed.name if self.wish.armed is not None else ""

    def _is_armed(self) -> bool:
        """Asked once a script that is putting things back right now has ended."""
        return bool(self._name) and self.store.settled(self._name).state == ARMED

    def _host(self) -> Outcome:
        made: Any = converge_host(self.host, self.store, self.wish, self.check_mode, self.warn, self.earlier)
        return Outcome(steps=report.lines(made.steps), diff=report.diff(made.steps), foreseen=dict(made.foreseen))

    def _apply(self, plan: Plan, seen: Observed) -> Observed:
        if not seen.installed and plan.load != NOTHING:
            raise FirewallError("ufw is not installed, so its policy cannot be applied; install the package ufw first")
        if plan.guard and not plan.guard_gone and not has_guard_program():
            raise FirewallError(f"docker_ports needs {PROGRAM}, which is not there; use the role slipway.ops.firewall")
        if self.wish.armed is not None:
            self.store.arm(self.firewall.remember(plan, seen, self._name, self.wish.armed.limit_seconds))

        def wrong(now: Observed) -> list[str]:
            late = (
                ["the time to confirm it was over before it was applied"] if self._name and not self._is_armed() else []
            )
            return [*late, *self.planner(now).steps]

        return self.firewall.apply(plan, wrong)

    def _put_back(self, why: str) -> str:
        return f"{why}\narmed change {self.store.revert(self._name, why).line}" if self._is_armed() else why

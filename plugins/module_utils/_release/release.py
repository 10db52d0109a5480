# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release in its phases, each recorded before it begins: all of it happens, or the old version serves on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import Lease, LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import Engine, EngineError, Progress
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Observed
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import Plan, make_plan, removal_plan
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records, environment_text
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

AFTER_RELEASE = "after_release"
PULL, PREPARE, MIGRATE, START, SWITCH, WATCH, REPLACE, FINISH = (
    "pull",
    "prepare",
    "migrate",
    "start",
    "switch",
    "watch",
    "replace",
    "finish",
)

Leaser = Callable[[str], AbstractContextManager[Lease]]


class ReleaseFailed(Exception):
    """The release did not happen, or what runs is not what was asked; one line that says which."""


@dataclass(frozen=True)
class Outcome:
    changed: bool
    release: int
    plan: list[str]
    before: str = ""
    after: str = ""
    images: Mapping[str, str] = field(default_factory=dict)


def _now() -> str:
    return datetime.fromtimestamp(time.time(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Release:
    def __init__(
        self, engine: Engine, records: Records, lease: Leaser, stack: Stack, variables: Mapping[str, str], actor: str
    ) -> None:
        self.engine = engine
        self.records = records
        self.lease = lease
        self.stack = stack
        self.variables = variables
        self.actor = actor

    def present(self, check: bool) -> Outcome:
        """Bring the host to the stack; in check mode say only what would happen."""
        observed = self.engine.observe(self.stack)
        plan = self._plan(observed)
        journal = self.records.journal()
        before, model = self.records.model(), self.stack.plain
        old, new = report.view(before), report.view(model, before)
        if check:
            return Outcome(plan.changed or journal is not None, plan.release, plan.lines(), old, new)
        self.engine.require()
        fresh = any(service.pull_policy == "always" for service in self.stack.services.values())
        if not plan.changed and journal is None and not fresh:
            self.engine.settle(self.stack, observed)
            return Outcome(False, self.records.last_release(), [], old, new)
        with self.lease(f"release of {self.stack.name} by {self.actor}") as held:
            plan = self._release(held)
        if not plan.changed and journal is None:
            return Outcome(False, self.records.last_release(), [], old, new)
        return Outcome(True, plan.release, plan.lines(), old, new, self._images())

    def absent(self, check: bool) -> Outcome:
        """Remove everything of the stack from the host but its volumes."""
        observed = self.engine.observe(self.stack)
        plan = self._removal(observed)
        before = self.records.model()
        if check or not plan.changed:
            return Outcome(plan.changed, plan.release, plan.lines(), before=report.view(before))
        with self.lease(f"removal of {self.stack.name} by {self.actor}"):
            plan = self._removal(self.engine.observe(self.stack))
            if observed.available:
                self.engine.close(self.stack, plan)
            self.records.remove_deployed()
            self.records.clear_journal()
            self._record(plan, "removed", "", _now(), [])
        return Outcome(True, plan.release, plan.lines(), before=report.view(before))

    # Planning

    def _next(self) -> int:
        journal = self.records.journal() or {}
        return max(self.records.last_release(), int(journal.get("release", 0))) + 1

    def _plan(self, observed: Observed) -> Plan:
        journal = self.records.journal() or {}
        pending = journal.get("services", []) if journal.get("phase") == AFTER_RELEASE else []
        return make_plan(
            self.stack,
            observed,
            self._next(),
            self._record_changes(),
            tuple(name for name in pending if name in self.stack.services),
        )

    def _record_changes(self) -> tuple[str, ...]:
        changes = []
        if self.records.model() != self.stack.plain:
            changes.append("stack.json")
        written = self.records.environment()
        if written != environment_text(self.variables):
            had = dict(line.partition("=")[::2] for line in (written or "").splitlines())
            now = dict(line.partition("=")[::2] for line in environment_text(self.variables).splitlines())
            keys = ", ".join(report.changed_keys(had, now))
            changes.append(f"environment ({keys})" if keys else "environment")
        return tuple(changes)

    def _removal(self, observed: Observed) -> Plan:
        deployed = self.records.model()
        names = set(upstreams.wanted(self.stack, ())) | (
            set(upstreams.wanted(Stack(deployed), ())) if deployed else set()
        )
        gone = ("that the stack is absent",) if deployed else ()
        return removal_plan(observed, self._next(), sorted(names), gone)

    # The phases

    def _release(self, held: Lease) -> Plan:
        begun = _now()
        carried = self._recover()
        plan = self._plan(self.engine.observe(self.stack))
        try:
            if self.engine.pull(self.stack, plan):
                pulled = plan.pulls
                plan = self._plan(self.engine.observe(self.stack))
                plan = Plan(**{**plan.__dict__, "pulls": pulled})
        except EngineError as error:
            self._record(plan, "failed", str(error), begun, [], PULL)
            raise ReleaseFailed(self._message(plan, PULL, error, [])) from error
        if not plan.changed:
            self.records.clear_journal()
            return plan
        progress = Progress(release=plan.release, save=self.records.write_journal, stopped=carried)
        phases: tuple[tuple[str, Callable[[Stack, Plan, Progress], None]], ...] = (
            (PREPARE, self.engine.prepare),
            (MIGRATE, self.engine.migrate),
            (START, self.engine.start),
            (SWITCH, self.engine.switch),
            (WATCH, self.engine.watch),
            (REPLACE, self.engine.replace),
            (FINISH, self.engine.finish),
        )
        for name, phase in phases:
            progress.phase = name
            try:
                held.check()
                progress.record()
                phase(self.stack, plan, progress)
            except LeaseLost:
                raise
            except BaseException as error:
                self._give_up(plan, progress, error, begun)
        self._commit(plan, progress, begun)
        return plan

    def _recover(self) -> list[str]:
        """Clean up after an interrupted release; returns what it had stopped, for our own undoing."""
        journal = self.records.journal()
        if journal is None or journal.get("phase") == AFTER_RELEASE:
            return []
        self.engine.recover(self.stack, journal)
        number = int(journal.get("release", 0))
        if number > self.records.last_release():
            reason = f"interrupted in phase {journal.get('phase')}"
            self.records.add_history(
                {"release": number, "outcome": "interrupted", "reason": reason, "finished": _now(), "actor": ""}
            )
        return list(journal.get("stopped", []))

    def _give_up(self, plan: Plan, progress: Progress, error: BaseException, begun: str) -> None:
        if progress.phase == FINISH:
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} serves, but its end is missing: {error}; run again"
            ) from error
        try:
            left = self.engine.undo(self.stack, plan, progress)
        except Exception as second:
            left = [str(second)]
        self._record(plan, "failed", str(error), begun, progress.migrated, progress.phase)
        if not left:
            self.records.clear_journal()
        if isinstance(error, Exception):
            raise ReleaseFailed(self._message(plan, progress.phase, error, left)) from error
        raise error

    def _message(self, plan: Plan, phase: str, error: Exception, left: list[str]) -> str:
        served = any(each.running for entry in plan.services for each in (*entry.keep, *entry.old))
        end = "the old version serves on" if served else "nothing of it is left running"
        if left:
            end = f"the old version could not be put back whole: {'; '.join(left)}"
        return f"release {plan.release} of {self.stack.name} failed in phase {phase}: {error}; {end}"

    def _commit(self, plan: Plan, progress: Progress, begun: str) -> None:
        services = [each.service for each in plan.moving if each.numbers or each.start]
        after = [name for name in services if name in self.stack.services and self.stack.services[name].after_release]
        after = list(dict.fromkeys([*after, *plan.pending_commands]))
        self.records.write_deployed(self.stack.plain, self.variables)
        journal = {"release": plan.release, "phase": AFTER_RELEASE, "services": after}
        self.records.write_journal(journal)
        try:
            self.engine.run_after(self.stack, after)
        except EngineError as error:
            self._record(plan, "failed", str(error), begun, progress.migrated, AFTER_RELEASE)
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} failed in phase {AFTER_RELEASE}: {error}"
            ) from error
        self.records.clear_journal()
        self._verify(plan, progress, begun)

    def _verify(self, plan: Plan, progress: Progress, begun: str) -> None:
        """What runs now must be what was asked: nothing may be left to do."""
        try:
            self.engine.settle(self.stack, self.engine.observe(self.stack))
            left = self._plan(self.engine.observe(self.stack)).lines()
        except EngineError as error:
            left = [str(error)]
        if left:
            self._record(plan, "failed", "; ".join(left), begun, progress.migrated, "verify")
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} does not run as asked: {'; '.join(left)}; run again"
            )
        self._record(plan, "succeeded", "", begun, progress.migrated)

    # Records

    def _images(self) -> dict[str, str]:
        observed = self.engine.observe(self.stack)
        return {
            service.name: observed.images[service.image].digest or observed.images[service.image].id
            for service in self.stack.services.values()
            if service.image in observed.images
        }

    def _record(self, plan: Plan, outcome: str, reason: str, begun: str, migrated: list[str], phase: str = "") -> None:
        self.records.add_history(
            {
                "release": plan.release,
                "outcome": outcome,
                "reason": reason,
                "phase": phase,
                "started": begun,
                "finished": _now(),
                "actor": self.actor,
                "services": {each.service: each.action for each in plan.moving},
                "images": self._images() if outcome == "succeeded" else {},
                "config_hashes": {name: self.stack.config_hash(name) for name in self.stack.services},
                "migrated": migrated,
            }
        )

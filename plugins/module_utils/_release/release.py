# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A release in its phases, each recorded before it begins: all of it happens, or the old version serves on."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import Lease, LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._release import basis, hooks, plan_document, report
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import FINISH, Engine, EngineError, Progress
from ansible_collections.slipway.ops.plugins.module_utils._release.hooks import Hooks
from ansible_collections.slipway.ops.plugins.module_utils._release.images import Wanted
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Observed, with_standing
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import (
    Plan,
    PlanError,
    Stage,
    make_plan,
    removal_plan,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept, environment_text
from ansible_collections.slipway.ops.plugins.module_utils._release.volumes import Leaving, leaving
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import (
    BLUE_GREEN,
    CANARY,
    RECREATE,
    ROLLING,
    Stack,
)

AFTER_RELEASE = "after_release"
PULL, POINT, PREPARE, STOP, MIGRATE, START, SWITCH, WATCH, REPLACE = (
    "pull",
    "recovery point",
    "prepare",
    "stop",
    "migrate",
    "start",
    "switch",
    "watch",
    "replace",
)

# Where a release over several hosts waits until each of them has come so far, by the phase that comes next. Before the
# first one images have come, and nothing else was touched: there the hosts' digests are compared.
GATES = {POINT: PREPARE, START: START, SWITCH: SWITCH, FINISH: FINISH}
BARRIERS = tuple(GATES.values())

Leaser = Callable[[str], AbstractContextManager[Lease]]
Gate = Callable[[str, Plan], None]


def open_gate(_barrier: str, _plan: Plan) -> None:
    """A host on its own waits for nobody."""


class ReleaseFailed(Exception):
    """The release did not happen, or what runs is not what was asked; one line that says which."""


class RecoveryPoints(Protocol):
    """What a release asks of the stack's backups."""

    def configured(self) -> bool:
        """Whether this stack is backed up from this host."""

    def make(self) -> str:
        """Make a point now and return its name. The caller holds the lease."""

    def age_seconds(self) -> float | None:
        """The age of the newest point that was read back; None without one."""


class Ledger(Protocol):
    """What is recorded of a stack, on its host or for all managers of its Swarm."""

    def model(self) -> dict[str, Any] | None:
        """The model as deployed."""

    def environment(self) -> str | None:
        """The variables as deployed."""

    def write_deployed(self, model: Mapping[str, Any], variables: Mapping[str, str]) -> None: ...
    def remove_deployed(self) -> None: ...
    def history(self) -> list[dict[str, Any]]: ...
    def last_release(self) -> int: ...
    def add_history(self, record: Mapping[str, Any]) -> None: ...
    def keep_release(self, kept: Kept) -> None: ...

    def require_room(self, kept: Kept) -> None:
        """Raise EngineError where this release could not be kept."""

    def kept_release(self, number: int) -> Kept | None: ...
    def journal(self) -> dict[str, Any] | None: ...
    def write_journal(self, journal: Mapping[str, Any]) -> None: ...
    def clear_journal(self) -> None: ...
    def sweep(self) -> None: ...

    def standing(self) -> dict[str, float]:
        """The containers of the colour before that still run: id → until when, in seconds of the epoch."""

    def write_standing(self, until: Mapping[str, float]) -> None: ...


@dataclass(frozen=True)
class Policy:
    """What a release may do."""

    recovery_point: bool = True
    confirmed_volumes: tuple[str, ...] = ()
    confirmed_point_max_age_seconds: float = 86400


def do_nothing() -> None:
    """What is done beside a release where nothing is asked for."""


@dataclass(frozen=True)
class Beside:
    """What goes with a release beside its phases.

    `expected` is what the plan stood on that is to be applied: a host that moved since is left alone. `tidy` comes
    after a release that changed something, without the lease.
    """

    expected: Mapping[str, Any] | None = None
    hooks: Hooks = field(default_factory=lambda: Hooks("", {}))
    tidy: Callable[[], None] = do_nothing
    settle_seconds: float = 5
    digests: Mapping[str, str] = field(default_factory=dict)  # what names stand for by word of who built them


@dataclass(frozen=True)
class Outcome:
    changed: bool
    release: int
    plan: list[str]
    before: str = ""
    after: str = ""
    images: Mapping[str, str] = field(default_factory=dict)


def for_the_way_back(stack: Stack) -> Stack:
    """The same stack, but it does not ask the registry what its tags mean today, and goes back in one step."""

    def changed(plain: Mapping[str, Any]) -> dict[str, Any]:
        extension = {key: value for key, value in plain["slipway"].items() if key not in ("canary", "keep_old_seconds")}
        if extension.get("strategy") in (CANARY, BLUE_GREEN):
            extension["strategy"] = ROLLING
        return {**{key: value for key, value in plain.items() if key != "pull_policy"}, "slipway": extension}

    services = {name: changed(plain) for name, plain in stack.plain["services"].items()}
    return Stack({**stack.plain, "services": services})


def _now() -> str:
    return datetime.fromtimestamp(time.time(), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _noted(journal: Mapping[str, Any]) -> dict[str, Any]:
    """What the record of a release needs for the way back, where it had come so far."""
    return {key: journal[key] for key in ("migrated", "recovery_point") if journal.get(key)}


def _after(journal: Mapping[str, Any], services: list[str]) -> dict[str, Any]:
    """The journal of a release that serves and is not recorded as good yet; of these the commands are still to run."""
    return {"release": journal["release"], "phase": AFTER_RELEASE, "services": services, **_noted(journal)}


class Release:
    """`back_to` is a kept release: its images under their tags, no migration, its own model in the records.

    `migrate` is False where another host of the same release does it. `gate` is passed before each of BARRIERS.
    """

    def __init__(
        self,
        engine: Engine,
        records: Ledger,
        lease: Leaser,
        stack: Stack,
        variables: Mapping[str, str],
        actor: str,
        points: RecoveryPoints,
        policy: Policy,
        back_to: Kept | None = None,
        migrate: bool = True,
        gate: Gate = open_gate,
        beside: Beside = Beside(),
    ) -> None:
        self.engine = engine
        self.records = records
        self.lease = lease
        self.model = stack.plain
        self.stack = stack if back_to is None else for_the_way_back(stack)
        self.variables = variables
        self.actor = actor
        self.points = points
        self.policy = policy
        self.back_to = back_to
        self.migrate = migrate and back_to is None
        self.gate = gate
        self.beside = beside

    def present(self, check: bool) -> Outcome:
        """Bring the host to the stack; in check mode say only what would happen."""
        observed = self._observe()
        self._refuse_loss(observed)
        plan = self._plan(observed)
        self._require_unmoved(observed, plan)
        journal = self.records.journal()
        before = self.records.model()
        old, new = report.view(before), report.view(self.model, before)
        if check:
            return Outcome(plan.changed or journal is not None, plan.release, plan.lines(), old, new)
        self.engine.require()
        fresh = bool(self._fresh())
        if not plan.changed and journal is None and not fresh:
            self.engine.settle(self.stack, observed)
            return Outcome(False, self.records.last_release(), [], old, new)
        with self.lease(f"release of {self.stack.name} by {self.actor}") as held:
            plan = self._release(held)
        if not plan.changed and journal is None:
            return Outcome(False, self.records.last_release(), [], old, new)
        self.beside.tidy()
        return Outcome(True, plan.release, plan.lines(), old, new, self.images())

    def absent(self, check: bool) -> Outcome:
        """Remove everything of the stack from the host but its volumes."""
        observed = self._observe()
        plan = self._removal(observed)
        before = self.records.model()
        if check or not plan.changed:
            return Outcome(plan.changed, plan.release, plan.lines(), before=report.view(before))
        self.engine.require()  # else its containers would come back with the engine
        with self.lease(f"removal of {self.stack.name} by {self.actor}"):
            plan = self._removal(self._observe())
            self.engine.close(self.stack, plan)
            self.records.write_standing({})
            self.records.remove_deployed()
            self.records.clear_journal()
            self._record(plan, "removed", "", _now())
        return Outcome(True, plan.release, plan.lines(), before=report.view(before))

    # Planning

    def _observe(self) -> Observed:
        observed = self.engine.observe(self.stack)
        standing = self.records.standing()
        return replace(observed, containers=with_standing(observed.containers, standing)) if standing else observed

    def _last_seconds(self) -> Mapping[str, float]:
        """How long each phase took at most in the last good releases."""
        good = [each for each in self.records.history() if each.get("outcome") == "succeeded" and each.get("seconds")]
        worst: dict[str, float] = {}
        for record in good[-plan_document.LOOK_BACK :]:
            worst.update({phase: max(took, worst.get(phase, 0.0)) for phase, took in record["seconds"].items()})
        return worst

    def document(self) -> dict[str, Any]:
        """The whole plan for programs and people, with what it stands on. Reads only."""
        observed = self._observe()
        self._refuse_loss(observed)
        plan = self._plan(observed)
        wanted = self._look_up(observed, plan)
        found = plan_document.describe(
            self.stack, plan, observed, wanted, self.records.model(), self.records.history(), self.beside.settle_seconds
        )
        return {**found, "made": _now(), "basis": self._basis(observed, plan, wanted, secrets.token_hex(16))}

    def _fresh(self) -> list[str]:
        """Images whose names may stand for others than those that are here."""
        services = self.stack.services.values()
        settled = set(self.beside.digests)
        return sorted({each.image for each in services if each.pull_policy == "always" or each.image in settled})

    def _look_up(self, observed: Observed, plan: Plan) -> list[Wanted]:
        return self.engine.look_up(dict.fromkeys([*plan.pulls, *self._fresh()])) if observed.available else []

    def _basis(self, observed: Observed, plan: Plan, wanted: list[Wanted], salt: str) -> dict[str, Any]:
        return basis.basis(
            self.model,
            self.variables,
            self.records.model(),
            self.records.environment(),
            self.records.last_release(),
            str((self.records.journal() or {}).get("phase", "")),
            observed,
            {each.reference: each.source if each.digest else "" for each in wanted},
            plan.lines(),
            salt,
        )

    def require_unmoved(self) -> None:
        """Raise PlanError when the plan to be applied does not fit any more. Reads only."""
        observed = self._observe()
        self._require_unmoved(observed, self._plan(observed))

    def _require_unmoved(self, observed: Observed, plan: Plan) -> dict[str, str]:
        """The digests that the plan to be applied settled. Refuses before anything is touched."""
        then = self.beside.expected
        if then is None:
            return {}
        wanted = self._look_up(observed, plan)
        now = self._basis(observed, plan, wanted, str(then["salt"]))
        changes = basis.moved(then, now)
        if changes:
            raise PlanError(
                f"the plan does not fit any more, these moved since it was made: {'; '.join(changes)}; "
                "nothing was touched: make the plan anew and look at it"
            )
        return {each.reference: each.digest for each in wanted if each.digest}

    def _next(self) -> int:
        journal = self.records.journal() or {}
        return max(self.records.last_release(), int(journal.get("release", 0))) + 1

    def _plan(self, observed: Observed) -> Plan:
        journal = self.records.journal() or {}
        pending = journal.get("services", []) if journal.get("phase") == AFTER_RELEASE else []
        observed, fetched = self._pinned(observed)
        plan = make_plan(
            self.stack,
            observed,
            self._next(),
            self._record_changes(),
            tuple(name for name in pending if name in self.stack.services),
            self._last_seconds(),
        )
        if not self.migrate:
            plan = replace(plan, services=tuple(replace(each, migrate=False) for each in plan.services))
        return replace(
            plan,
            pulls=tuple(dict.fromkeys([*plan.pulls, *fetched])),
            recovery_point=self._wants_point(plan, observed),
        )

    def _pinned(self, observed: Observed) -> tuple[Observed, list[str]]:
        """As if each image of the kept release were here under its tag already; and those that must be fetched."""
        if self.back_to is None or not observed.available:
            return observed, []
        pins = self.back_to.images
        missing = [image.digest or image.id for image in pins.values() if not self.engine.has_image(image.id)]
        return replace(observed, images={**observed.images, **pins}), missing

    def _wants_point(self, plan: Plan, observed: Observed) -> bool:
        """Before a migration, when there is data that it could spoil."""
        migrates = any(each.migrate for each in plan.services)
        return migrates and self.policy.recovery_point and bool(observed.containers) and self.points.configured()

    def _refuse_loss(self, observed: Observed) -> None:
        """A volume with data is neither renamed, dropped nor covered without its name and a fresh recovery point."""
        before = self.records.model()
        if before is None or not observed.available:
            return
        lost = [each for each in leaving(Stack(before), self.stack) if self.engine.has_data(each.volume)]
        unconfirmed = [each for each in lost if each.volume not in self.policy.confirmed_volumes]
        if unconfirmed:
            raise PlanError("; ".join(each.refusal() for each in unconfirmed))
        if lost:
            self._require_fresh_point(lost)

    def _require_fresh_point(self, lost: list[Leaving]) -> None:
        age, limit = self.points.age_seconds(), self.policy.confirmed_point_max_age_seconds
        if age is None or age > limit:
            found = "there is none" if age is None else f"the newest is {age / 3600:.1f} h old"
            raise PlanError(
                f"{lost[0].path}: leaving the volume {lost[0].volume} needs a recovery point that was read back and is "
                f"younger than {limit / 3600:g} h, {found}; run: slipway backup run --stack {self.stack.name}"
            )

    def _record_changes(self) -> tuple[str, ...]:
        changes = []
        if self.records.model() != self.model:
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
        self.records.sweep()
        observed = self._observe()
        digests = self._require_unmoved(observed, self._plan(observed))
        pending = self._recover()
        observed = self._observe()
        self._refuse_loss(observed)
        plan = replace(self._plan(observed), digests={**digests, **self.beside.digests})
        fetched = plan.pulls
        seconds: dict[str, float] = {}
        try:
            with self._around(PULL, plan, seconds, bool(fetched)):
                if self.back_to is not None:
                    self.engine.pin(self.back_to.images)
                    plan = self._plan(self._observe())
                if self.engine.pull(self.stack, plan):
                    plan = self._plan(self._observe())
            plan = replace(plan, pulls=fetched)
            self.records.require_room(self._kept(plan.release))
        except EngineError as error:
            self._record(plan, "failed", str(error), begun, phase=PULL)
            raise ReleaseFailed(self._message(plan, PULL, error, [])) from error
        if not plan.changed:
            if pending:
                plan = replace(plan, release=int(pending["release"]))
                self._verify(plan, Progress(plan.release, self.records.write_journal, **_noted(pending)), begun)
            return plan
        progress = Progress(
            release=plan.release,
            save=self.records.write_journal,
            phase=PULL,
            before=pending,
            seconds=seconds,
        )
        phases: tuple[tuple[str, Callable[[Stack, Plan, Progress], None]], ...] = (
            (POINT, self._make_point),
            (PREPARE, self.engine.prepare),
            (STOP, self.engine.stop_old),
            (MIGRATE, self.engine.migrate),
            (START, self.engine.start),
            *(step for stage in plan.stages for step in self._stage(stage)),
            (REPLACE, self.engine.replace),
            (FINISH, self.engine.finish),
        )
        for name, phase in phases:
            try:
                if name in GATES and not progress.passed(name):
                    self.gate(GATES[name], plan)
                if name == POINT:
                    self.beside.hooks.call("before_release", plan.release)
                with self._around(name, plan, progress.seconds, self._happens(name, plan)):
                    held.check()
                    if name == FINISH:
                        # Whoever ends it after us has to know what serves.
                        self.records.keep_release(self._kept(plan.release))
                        progress.after = self._to_run(plan)
                        progress.standing = self._stays(plan, ended=True)
                    progress.phase = name
                    if name != FINISH:
                        progress.record()
                    phase(self.stack, plan, progress)
            except LeaseLost:
                raise
            except BaseException as error:
                # Who lost the lease while it was at work undoes nothing: another job is at work now.
                with contextlib.suppress(EngineError, OSError):
                    held.check()
                self._give_up(plan, progress, error, begun)
        held.check()
        self._commit(plan, progress, begun)
        return plan

    def _happens(self, phase: str, plan: Plan) -> bool:
        if phase == MIGRATE:
            return any(each.migrate for each in plan.services)
        if phase == STOP:
            return any(each.strategy == RECREATE for each in plan.moving)
        return plan.recovery_point if phase == POINT else True

    @contextlib.contextmanager
    def _around(self, phase: str, plan: Plan, seconds: dict[str, float], happens: bool) -> Iterator[None]:
        """The hooks before and after a phase that has something to do, and how long the phase took."""
        moment = phase.replace(" ", "_")
        if happens:
            self.beside.hooks.call(f"before_{moment}", plan.release)
        begun = time.monotonic()
        yield
        seconds[phase] = round(seconds.get(phase, 0) + time.monotonic() - begun, 2)
        if happens:
            self.beside.hooks.call(f"after_{moment}", plan.release)

    def _tell_end(self, plan: Plan, outcome: str) -> str:
        """The hooks after the release, however it ended; what went wrong with them."""
        try:
            self.beside.hooks.call("after_release", plan.release, outcome)
        except EngineError as error:
            return str(error)
        return ""

    def _stage(self, stage: Stage) -> Iterator[tuple[str, Callable[[Stack, Plan, Progress], None]]]:
        def switch(stack: Stack, plan: Plan, progress: Progress) -> None:
            if stage is plan.stages[0]:
                left = self._stays(plan)
                if left != self.records.standing():
                    self.records.write_standing(left)
            progress.steps.append({"share": stage.share, "seconds": stage.seconds})
            self.engine.switch(stack, plan, progress, stage.share)

        def watch(stack: Stack, plan: Plan, progress: Progress) -> None:
            self.engine.watch(stack, plan, progress, stage.seconds, stage.drain)

        yield SWITCH, switch
        yield WATCH, watch

    def _stays(self, plan: Plan, ended: bool = False) -> dict[str, float]:
        """Which containers stand for the way back: none that serves again or goes, and at the end the old colour."""
        touched = {each.id for entry in plan.services for each in (*entry.keep, *(entry.old if ended else ()))}
        left = {key: value for key, value in self.records.standing().items() if key not in touched}
        if ended:
            now = time.time()
            for entry in plan.services:
                left.update({each.id: now + entry.keep_old_seconds for each in entry.staying_behind})
        return left

    def _make_point(self, stack: Stack, plan: Plan, progress: Progress) -> None:
        if plan.recovery_point:
            progress.recovery_point = self.points.make()
            progress.record()

    def _recover(self) -> dict[str, Any]:
        """Undo or end an interrupted release; returns the journal of the one that serves where its end is missing."""
        journal = self.records.journal()
        if journal is None:
            return {}
        left = dict(journal.get("before") or {})
        if journal.get("phase") == AFTER_RELEASE:
            left = dict(journal)
        else:
            try:
                self.engine.recover(self.stack, journal)
            except EngineError as error:
                what = f"release {journal['release']} of {self.stack.name} was interrupted in phase {journal['phase']}"
                raise ReleaseFailed(f"{what} and cannot be put in order yet: {error}; run again") from error
        if journal.get("phase") == FINISH:
            kept = self.records.kept_release(int(journal["release"]))
            if kept is not None:
                self.records.write_deployed(kept.model, kept.variables)
            self.records.write_standing(journal.get("standing") or {})
            left = _after(journal, list(journal.get("after") or []))
        number = int(journal.get("release", 0))
        if number > self.records.last_release():
            reason = f"interrupted in phase {journal.get('phase')}"
            record = {"release": number, "outcome": "interrupted", "reason": reason, "finished": _now(), "actor": ""}
            self.records.add_history({**record, **_noted(journal)})
        self._leave(left)
        return left

    def _leave(self, journal: Mapping[str, Any]) -> None:
        if journal:
            self.records.write_journal(journal)
        else:
            self.records.clear_journal()

    def _give_up(self, plan: Plan, progress: Progress, error: BaseException, begun: str) -> None:
        if progress.committed:
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} serves, but its end is missing: {error}; run again"
            ) from error
        try:
            left = self.engine.undo(self.stack, plan, progress)
        except Exception as second:
            left = [str(second)]
        if progress.phase != PULL:
            self._tell_end(plan, hooks.FAILED)
        reason = self._reason(progress, error)
        self._record(plan, "failed", reason, begun, progress, progress.phase)
        if not left:
            self._leave(progress.before)
        if isinstance(error, Exception):
            raise ReleaseFailed(self._message(plan, progress.phase, reason, left)) from error
        raise error

    def _message(self, plan: Plan, phase: str, error: Exception | str, left: list[str]) -> str:
        served = any(each.running for entry in plan.services for each in (*entry.keep, *entry.old))
        end = "the old version serves on" if served else "nothing of it is left running"
        if left:
            end = f"the old version could not be put back whole: {'; '.join(left)}"
        return f"release {plan.release} of {self.stack.name} failed in phase {phase}: {error}; {end}"

    def _reason(self, progress: Progress, error: BaseException) -> str:
        """A step of a canary is named by its share."""
        if progress.phase in (SWITCH, WATCH) and 0 < progress.share < 1:
            return f"at {progress.share * 100:g}% of the requests: {error}"
        return str(error)

    def _to_run(self, plan: Plan) -> list[str]:
        """The services whose after_release commands are to run: those that changed, and those that are still owed."""
        services = [each.service for each in plan.moving if each.numbers or each.start]
        after = [name for name in services if name in self.stack.services and self.stack.services[name].after_release]
        return list(dict.fromkeys([*after, *plan.pending_commands]))

    def _kept(self, release: int) -> Kept:
        return Kept(release, self.model, self.variables, self.engine.images(self.stack))

    def _commit(self, plan: Plan, progress: Progress, begun: str) -> None:
        after = progress.after
        self.records.write_standing(progress.standing)
        self.records.write_deployed(self.model, self.variables)
        self.records.write_journal(_after(progress.plain(), after))
        try:
            self.engine.run_after(self.stack, after)
        except EngineError as error:
            self._tell_end(plan, hooks.FAILED)
            self._record(plan, "failed", str(error), begun, progress, AFTER_RELEASE)
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} failed in phase {AFTER_RELEASE}: {error}"
            ) from error
        self._verify(plan, progress, begun)

    def _verify(self, plan: Plan, progress: Progress, begun: str) -> None:
        """What runs now must be what was asked: nothing may be left to do. Until it is recorded the journal stays."""
        self.records.write_journal(_after(progress.plain(), []))
        try:
            self.engine.settle(self.stack, self._observe())
            left = self._plan(self._observe()).lines()
        except EngineError as error:
            left = [str(error)]
        if left:
            self._tell_end(plan, hooks.FAILED)
            self._record(plan, "failed", "; ".join(left), begun, progress, "verify")
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} does not run as asked: {'; '.join(left)}; run again"
            )
        self.records.keep_release(self._kept(plan.release))
        told = self._tell_end(plan, hooks.SUCCEEDED)
        self._record(plan, "succeeded", told, begun, progress)
        self.records.clear_journal()
        if told:
            raise ReleaseFailed(
                f"release {plan.release} of {self.stack.name} succeeded and serves, but {told}; correct the hook"
            )

    # Records

    def images(self) -> dict[str, str]:
        """Service → digest, or id without one, of the image that is here for it."""
        here = self.engine.images(self.stack)
        return {
            service.name: here[service.image].digest or here[service.image].id
            for service in self.stack.services.values()
            if service.image in here
        }

    def _record(
        self, plan: Plan, outcome: str, reason: str, begun: str, progress: Progress | None = None, phase: str = ""
    ) -> None:
        back: dict[str, Any] = {} if self.back_to is None else {"back_to": self.back_to.release}
        self.records.add_history(
            {
                **back,
                "release": plan.release,
                "outcome": outcome,
                "reason": reason,
                "phase": phase,
                "started": begun,
                "finished": _now(),
                "actor": self.actor,
                "services": {each.service: each.action for each in plan.moving},
                "images": self.images() if outcome == "succeeded" else {},
                "config_hashes": {name: self.stack.config_hash(name) for name in self.stack.services},
                "migrated": progress.migrated if progress else [],
                "recovery_point": progress.recovery_point if progress else "",
                "steps": progress.steps if progress else [],
                "seconds": progress.seconds if progress else {},
            }
        )

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try restores without touching anything live: put a point together, start it, check it all, measure, throw it away.

A drill does not take the stack's lease: it replaces nothing, and one of an hour must not keep a release waiting. A
lease of its own keeps two drills apart. What runs meanwhile may touch the repository: a backup's retention removes
points and moves data, so a point that fails while the list of points changed is tried once more.

Without a target it tries the newest good point and the log from there to its end, then a random second within the log.
A point that cannot be restored is passed over for the next older one, until one is good: that one's name is what an
operator needs to know.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import metrics, promises
from ansible_collections.slipway.ops.plugins.module_utils._backup import status as statuses
from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import (
    Choice,
    adapters_of,
    choice_of,
    choose,
    choose_for,
    good_points,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    RefusedError,
    StoppedError,
    UsageError,
    human_bytes,
    human_seconds,
    point_name,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import space_problems
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_DRILL,
    Beside,
    Tools,
    adapter_for,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.stage import NotContent
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_POINT,
    KIND_TIME,
    LATEST,
    Target,
    human_time,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.trial import Findings, NotHere, Scope, Trial
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# How many drills are remembered.
REMEMBERED = 60

GOOD = "good"
DAMAGED = "cannot be restored"
IN_THE_WAY = "does not fit what is deployed"
LOG_DAMAGED = "good, but its log cannot be followed"
GONE = "went with the retention meanwhile"


@dataclass(frozen=True)
class Wish:
    """What is tried: a target, or the newest that there is; and only a random second, or that as well."""

    target: Target | None = None
    random: bool = False

    @property
    def text(self) -> str:
        if self.target is not None:
            return self.target.describe()
        return "a random second" if self.random else "the newest point, and a random second"


class InTheWay(BackupError):
    """A point that may be whole and yet could not be restored to what is deployed here."""


def drill(tools: Tools, wish: Wish, pick: Callable[[int], int] = secrets.randbelow) -> dict[str, Any]:
    """Do it, and write down what was found. The caller has made sure that nobody else does so. What makes the drill
    itself impossible is raised, after it was written down; what it finds of points is in the report."""
    return _Drill(tools, wish, pick).run()


def plan(tools: Tools, wish: Wish) -> dict[str, Any]:
    """What a drill would do; touches nothing and fetches nothing but the description of a point."""
    if wish.target is not None:
        choice = choose_for(tools, wish.target)
    else:
        point, warnings = choose(tools.repository.points(), LATEST, tools.settings.stack)
        choice = choice_of(tools, Target(), point, warnings)
    besides = [(a, record) for a, record in adapters_of(tools, choice.manifest) if isinstance(a, Beside)]
    problems = [problem for adapter, record in besides for problem in adapter.check_target(record)]
    problems += [problem for reach in choice.reaches.values() for problem in reach.problems]
    problems += [] if problems else space_problems(tools, besides, choice, None)
    age = human_seconds((tools.host.now() - choice.point.time).total_seconds())
    lines = [f"point {choice.point.name}, {age} old, from {tools.repository.address}: {wish.text}"]
    for adapter, record in adapters_of(tools, choice.manifest):
        size = human_bytes(int(record.get("bytes") or 0))
        if isinstance(adapter, Beside):
            lines.append(f"put {adapter.label} together ({size}), start it, check every table, count its rows")
        else:
            lines.append(f"unpack {adapter.label} ({size}) and compare it with the point's list")
    smoke = tools.settings.drill.smoke
    if smoke is not None and not wish.random:
        lines.append(f"run {smoke.command[0]} as service {smoke.service} on it, in a network that leads nowhere")
    lines.append("throw all of it away; nothing live is touched")
    return {**choice.point.as_dict(), "plan": lines, "problems": problems, "warnings": choice.warnings}


class _Drill:
    def __init__(self, tools: Tools, wish: Wish, pick: Callable[[int], int]) -> None:
        self.tools = tools
        self.wish = wish
        self.pick = pick
        self.began = tools.host.now()
        self.id = point_name(self.began)
        self.report: dict[str, Any] = {
            "event": "drill",
            "stack": tools.settings.stack,
            "repository": tools.repository.name,
            "id": self.id,
            "wish": wish.text,
            "started": self.began.isoformat(),
            "started_epoch": int(self.began.timestamp()),
            "ok": False,
            "error": "",
            # The point that was restored, and the newest one that can be: the same, where the newest ones were tried.
            "point": "",
            "newest_good": "",
            "tried": [],
            "databases": {},
            "files": {},
            "smoke": None,
            "random": None,
            "rto": {},
            "rto_seconds": None,
            "rpo": {},
            "rpo_seconds": None,
            "warnings": [],
        }

    def run(self) -> dict[str, Any]:
        tools = self.tools
        files.ensure_directory(tools.place.state, 0o700)
        self._sweep()
        files.write_json(tools.place.drill_journal, {"id": self.id, "started": self.began.isoformat()})
        try:
            self._run()
        except Exception as error:
            self.report["error"] = str(error) or type(error).__name__
            raise
        finally:
            self.report["duration_seconds"] = round((tools.host.now() - self.began).total_seconds(), 1)
            record(tools, self.report)
            files.remove(tools.place.drill_journal)
        for line in summary(self.report):
            tools.progress(line)
        return self.report

    def _sweep(self) -> None:
        """Remove what a drill left that was killed, and write down that it was."""
        tools = self.tools
        journal = files.read_json(tools.place.drill_journal)
        if isinstance(journal, dict):
            tools.progress(f"the drill of {journal.get('started')} was killed; removing what it left")
            lost = {**self.report, "id": journal.get("id"), "started": journal.get("started")}
            record(tools, {**lost, "error": f"the drill of {journal.get('started')} was killed", "wish": ""})
        sweep(tools)

    def _run(self) -> None:
        if self.wish.target is not None:
            self._named(self.wish.target)
        elif self.wish.random:
            point, warnings = choose(self.tools.repository.points(), LATEST, self.tools.settings.stack)
            self.report["warnings"] += warnings
            choice = choice_of(self.tools, Target(), point)
            if self._random(choice, needed=True):
                self.report.update({"ok": True, "point": point.name})
        else:
            self._newest()

    def _named(self, target: Target) -> None:
        choice = choose_for(self.tools, target)
        self.report["warnings"] += choice.warnings
        problems = [problem for reach in choice.reaches.values() for problem in reach.problems]
        if problems:
            raise RefusedError("; ".join(problems))
        try:
            self._fits(choice)
            self._take(choice, self._try(choice, target), measures=target.kind != KIND_TIME and not target.needs_log)
        except (StoppedError, NotHere):
            raise
        except BackupError as error:
            self._note(choice.point, DAMAGED, str(error))
            self.report["error"] = f"point {choice.point.name} cannot be restored to {target.describe()}: {error}"
            return
        self._note(choice.point, GOOD)
        self.report.update({"ok": True, "point": choice.point.name})

    def _newest(self) -> None:
        tools = self.tools
        _newest, warnings = choose(tools.repository.points(), LATEST, tools.settings.stack)
        self.report["warnings"] += warnings
        misfits: list[Choice] = []
        good: Choice | None = None
        candidates = list(reversed(good_points(tools)))[: tools.settings.drill.tries]
        for point in candidates:
            good = self._candidate(point, misfits)
            if good is not None:
                break
        failures = [found for found in self.report["tried"] if found["result"] not in (GOOD, GONE)]
        if good is None:
            self.report["error"] = f"none of the {len(candidates)} newest points can be restored: {_reason(failures)}"
            self._misfit(misfits)
            return
        name = good.point.name
        self.report.update({"point": name, "newest_good": name})
        if failures:
            age = human_seconds((self.began - good.point.time).total_seconds())
            self.report["error"] = (
                f"{_reason(failures)}; the newest good one is {name}, {age} old"
                if failures[0]["point"] != name
                else failures[0]["error"]
            )
            return
        self.report["ok"] = self._random(good, needed=False)

    def _candidate(self, point: Point, misfits: list[Choice]) -> Choice | None:
        """Try one point; the choice when it is good."""
        for again in (False, True):
            before = self._names()
            try:
                return self._attempt(point, misfits)
            except (StoppedError, NotHere):
                raise
            except BackupError as error:
                now = self._names()
                if not again and now != before:
                    if point.name not in now:
                        self._note(point, GONE)
                        return None
                    self.tools.progress(f"point {point.name} failed while a backup ran ({error}); trying it again")
                    continue
                self.tools.progress(f"point {point.name} cannot be restored: {error}")
                self._note(point, IN_THE_WAY if isinstance(error, InTheWay) else DAMAGED, str(error))
                return None
        return None

    def _names(self) -> list[str]:
        return [point.name for point in self.tools.repository.points()]

    def _attempt(self, point: Point, misfits: list[Choice]) -> Choice:
        choice = choice_of(self.tools, Target(), point)
        try:
            self._fits(choice)
        except InTheWay:
            misfits.append(choice)
            raise
        logged = any(reach.coverage is not None for reach in choice.reaches.values())
        try:
            self._take(choice, self._try(choice, Target()))
        except (StoppedError, NotHere):
            raise
        except BackupError as error:
            if not logged or isinstance(error, NotContent):
                raise
            # The point, or the log from there? An operator needs to know which.
            self.tools.progress(f"{error}; trying point {point.name} without its log")
            alone = Target(KIND_POINT, point.name, point=point.name)
            self._take(choice, self._try(choice_of(self.tools, alone, point), alone))
            reason = f"the log cannot be followed from point {point.name}, which is good by itself: {error}"
            self._note(point, LOG_DAMAGED, reason)
            return choice
        self._note(point, GOOD)
        return choice

    def _fits(self, choice: Choice) -> None:
        adapters = adapters_of(self.tools, choice.manifest)
        problems = [problem for adapter, found in adapters for problem in adapter.check_target(found)]
        if problems:
            raise InTheWay("; ".join(problems))

    def _try(self, choice: Choice, target: Target, scope: Scope | None = None) -> Findings:
        self.tools.progress(f"trying point {choice.point.name}: {target.describe()}")
        return Trial(self.tools, self.id, self.began, choice, target, scope or Scope()).run()

    def _take(self, choice: Choice, found: Findings, measures: bool = True) -> None:
        """Into the report; how old the data is says something only of the newest that there is."""
        values = found.as_dict()
        if not measures:
            values.update({"rpo": {}, "rpo_seconds": None})
        self.report["warnings"] += values.pop("warnings")
        for entry in values["files"].values():
            entry.pop("unpacked")
        self.report.update(values)

    def _note(self, point: Point, result: str, error: str = "") -> None:
        age = round((self.began - point.time).total_seconds())
        self.report["tried"].append({"point": point.name, "age_seconds": age, "result": result, "error": error})

    def _misfit(self, misfits: Sequence[Choice]) -> None:
        """Where no point fits what is deployed: whether the newest of those that do not fit is whole by itself."""
        if not misfits:
            return
        choice = misfits[0]
        name = choice.point.name
        alone = Target(KIND_POINT, name, point=name)
        try:
            scope = Scope(files=True, serve=False)
            self._take(choice, self._try(choice_of(self.tools, alone, choice.point), alone, scope), measures=False)
        except (StoppedError, NotHere):
            raise
        except BackupError as error:
            self.report["error"] += f". Point {name} is not whole by itself either: {error}"
            return
        images = sorted({str(found["image"]) for found in choice.manifest["sources"] if found.get("image")})
        self.report["error"] += f". Point {name} is whole by itself: it can be restored where {', '.join(images)} runs"
        self.report["newest_whole"] = name

    def _random(self, choice: Choice, needed: bool) -> bool:
        """A random second within what the log covers; whether it could be restored, or there is none to try."""
        found = self._draw(choice)
        if found is None:
            said = f"the log covers no second after point {choice.point.name}"
            if needed:
                raise RefusedError(f"{said}; try the point itself: slipway drill --point {choice.point.name}")
            self.report["warnings"].append(f"{said}, so no random one was tried")
            return True
        target, keys = found
        moment = target.describe()
        record: dict[str, Any] = {"target": target.as_dict(), "moment": moment, "databases": {}, "error": ""}
        self.report["random"] = record
        try:
            again = choice_of(self.tools, target, choice.point)
            problems = [problem for key in keys for problem in again.reaches[key].problems]
            if problems:
                raise BackupError("; ".join(problems))
            # Alone, it is the drill; after another one, every table was read already.
            trial = self._try(again, target, Scope(files=False, serve=needed, thorough=needed, keys=keys))
        except (StoppedError, NotHere):
            raise
        except BackupError as error:
            record["error"] = str(error)
            self.report["error"] = f"a random second, {moment}, cannot be restored: {error}"
            return False
        record["databases"] = trial.databases
        if needed:
            self._take(choice, trial, measures=False)
        return True

    def _draw(self, choice: Choice) -> tuple[Target, frozenset[str]] | None:
        logs = {}
        for adapter, record in adapters_of(self.tools, choice.manifest):
            reach = choice.reaches.get(adapter.source.key)
            if reach and reach.coverage and reach.coverage.end_time:
                logs[adapter.source.key] = (datetime.fromisoformat(str(record["end_time"])), reach.coverage.end_time)
        if not logs:
            return None
        # A target names whole seconds: the first after the data was whole, the last before the log's end.
        first = int(max(begin for begin, _end in logs.values()).timestamp()) + 1
        last = int(min(end for _begin, end in logs.values()).timestamp())
        if last < first:
            return None
        moment = datetime.fromtimestamp(first + self.pick(last - first + 1), timezone.utc)
        return Target(KIND_TIME, human_time(moment), time=moment), frozenset(logs)


def _reason(failures: Sequence[Mapping[str, Any]]) -> str:
    """Why the newest of them failed, and how many more there are."""
    if not failures:
        return "all of them went with the retention meanwhile"
    more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
    name, said = failures[0]["point"], str(failures[0]["error"])
    prefix = f"point {name}: "
    return f"point {name} {failures[0]['result']}: {said[len(prefix) :] if said.startswith(prefix) else said}{more}"


def sweep(tools: Tools) -> list[str]:
    """Remove all that drills left which do not run any more: servers, directories beside the live data, files. Needs
    neither the repository nor the point. Returns what was removed."""
    labels = {"slipway.stack": tools.settings.stack, "slipway.purpose": PURPOSE_DRILL}
    left = tools.docker.isolated(labels)
    tools.docker.remove(left)
    for source in tools.settings.sources:
        adapter = adapter_for(source, tools)
        if isinstance(adapter, Beside):
            try:
                adapter.sweep("", PURPOSE_DRILL)
            except RefusedError:
                # Its server is not deployed here: then there is no place beside it either.
                continue
    if tools.host.exists(tools.place.drill_work):
        tools.host.remove_tree(tools.place.drill_work)
    return [container.name for container in left]


def record(tools: Tools, report: Mapping[str, Any]) -> None:
    """Write a drill down: among the last ones, as the last one, and for node_exporter."""
    place = tools.place
    known = [*files.read_json_lines(place.drills), dict(report)][-REMEMBERED:]
    files.write_whole(place.drills, "".join(f"{json.dumps(item, sort_keys=True)}\n" for item in known))
    files.write_json(place.drill, after(promises.read_drill(place), report, tools.settings.drill.interval_seconds))
    files.append_json_line(
        place.history, {name: report[name] for name in ("event", "stack", "id", "started", "ok", "error", "point")}
    )
    metrics.publish(place, "drill.json", "slipway_drill.prom", statuses.render_drills)


def after(previous: Mapping[str, Any], report: Mapping[str, Any], interval_seconds: int) -> dict[str, Any]:
    """How drills stand after one more: what the last good one left stays when this one failed."""
    found = {
        **{name: value for name, value in previous.items() if name != "report"},
        "stack": report["stack"],
        "interval_seconds": interval_seconds,
        "ok": report["ok"],
        "error": report["error"],
        "last_attempt": report["started"],
        "last_attempt_epoch": report["started_epoch"],
        "report": dict(report),
    }
    if report["ok"]:
        found.update({"last_success": report["started"], "last_success_epoch": report["started_epoch"]})
    if report["newest_good"]:
        found["newest_good"] = report["newest_good"]
    for name in ("rto_seconds", "rpo_seconds"):
        if report[name] is not None:
            found.update({name: report[name], "measured": report["started"]})
    return found


def summary(report: Mapping[str, Any]) -> list[str]:
    """What was found, for people."""
    lines = [f"warning: {warning}" for warning in report["warnings"]]
    for found in report["tried"]:
        age = human_seconds(found["age_seconds"])
        lines.append(f"point {found['point']}, {age} old: {found['result']}")
    for key, found in sorted(report["databases"].items()):
        lines.append(f"{key}: {found['reached']}, {found['rows']} rows, in {human_seconds(found['seconds'])}")
    for key, found in sorted(report["files"].items()):
        lines.append(f"{key}: {found['files']} files, {human_bytes(found['bytes'])}, as the point lists them")
    if report["smoke"]:
        lines.append(f"the check of service {report['smoke']['service']} is content: {report['smoke']['said']}")
    if report["random"] and not report["random"]["error"]:
        lines.append(f"a random second, {report['random']['moment']}, can be restored")
    if report["rto_seconds"] is not None:
        lines.append(f"RTO: everything served after {human_seconds(report['rto_seconds'])}")
    if report["rpo_seconds"] is not None:
        lines.append(f"RPO: the oldest of it was {human_seconds(report['rpo_seconds'])} behind when the drill began")
    if report["ok"]:
        took = human_seconds(report["duration_seconds"])
        lines.append(f"the drill is good: point {report['point']}, {took} for all of it")
    else:
        lines.append(f"THE DRILL FAILED: {report['error']}")
    return lines


def wish_for(target: Target | None, random: bool) -> Wish:
    """What the words of a command line, or of a module, mean."""
    if target is not None and random:
        raise UsageError(f"a random second and {target.describe()} were named; name one of them")
    return Wish(target, random)

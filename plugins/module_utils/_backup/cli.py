# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The verbs `backup`, `restore`, `drill` and `points` of the host program."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import backup as backups
from ansible_collections.slipway.ops.plugins.module_utils._backup import beside as besides
from ansible_collections.slipway.ops.plugins.module_utils._backup import drill as drills
from ansible_collections.slipway.ops.plugins.module_utils._backup import log_status as log_statuses
from ansible_collections.slipway.ops.plugins.module_utils._backup import promises
from ansible_collections.slipway.ops.plugins.module_utils._backup import restore as restores
from ansible_collections.slipway.ops.plugins.module_utils._backup import status as statuses
from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import choose
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    CONFIGURATION_DIRECTORY,
    KIND_BEFORE_RELEASE,
    KIND_BEFORE_RESTORE,
    KIND_MANUAL,
    POINT_KINDS,
    POINT_NAME,
    BackupError,
    BusyError,
    Point,
    RefusedError,
    RepositoryError,
    StoppedError,
    UsageError,
    human_bytes,
    human_seconds,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import read_back
from ansible_collections.slipway.ops.plugins.module_utils._backup.repository import Repository
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.status import overdue
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    EXAMPLES,
    LATEST,
    TIMELINE_LATEST,
    Target,
    parse_target,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.wiring import tools_for
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseError, LeaseHeld, LeaseLost, lease
from ansible_collections.slipway.ops.plugins.module_utils._log import cli as logs
from ansible_collections.slipway.ops.plugins.module_utils._state import files

LEASE_SECONDS = 120


@contextmanager
def held(stack: str, owner: str) -> Iterator[None]:
    """The stack's lease. Being told to stop ends the job as an error does, so that what it began is put in order. A
    terminal that goes away (a lost connection) does not end it."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise StoppedError(f"{owner}: was told to stop (signal {number})")

    before = [(number, signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGHUP)]
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with lease(stack, owner, ttl_seconds=LEASE_SECONDS, steers=False):
            yield
    except LeaseHeld as error:
        raise BusyError(str(error)) from error
    except (LeaseLost, LeaseError) as error:
        raise BackupError(str(error)) from error
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def run_backup(tools: Tools, kind: str, accept_smaller: bool = False) -> dict[str, Any]:
    """Make a point as the stack's only job."""
    with held(tools.settings.stack, f"backup ({kind})"):
        return backups.make_point(tools, kind, accept_smaller)


def run_restore(tools: Tools, target: Target, confirm: str, safety: bool = True) -> dict[str, Any]:
    """Restore as the stack's only job; and make a point where the log of a database begins anew, because nothing that
    is written from then on could be recovered without one."""
    restores.check_confirmed(tools.settings.stack, confirm)
    with held(tools.settings.stack, f"restore ({target.text})"):
        summary = restores.restore(tools, target, confirm, safety)
        summary["point_after"] = ""
        if summary["needs_point"]:
            tools.progress("making a point: the log of what was restored begins anew")
            try:
                # Nothing goes now: what was there before the restore may be the oldest that is kept.
                summary["point_after"] = backups.make_point(tools, KIND_MANUAL, tidy=False)["point"]
            except BackupError as error:
                summary["warnings"].append(
                    f"the data is restored, but no point could be made of it: {error}. Until there is one, nothing"
                    f" that is written now can be recovered: slipway backup run --stack {tools.settings.stack}"
                )
        return summary


def run_abort(tools: Tools, confirm: str) -> dict[str, Any]:
    """Take an interrupted restore back, as the stack's only job."""
    restores.check_confirmed(tools.settings.stack, confirm)
    with held(tools.settings.stack, "restore (abort)"):
        return restores.abort(tools, confirm)


def run_drill(tools: Tools, wish: drills.Wish) -> dict[str, Any]:
    """Try a restore, as the stack's only drill. Not under the stack's lease: nothing live is touched, a drill may take
    an hour, and neither a release nor a backup may wait for it."""
    cpus = tools.settings.drill.cpus
    limited = replace(tools, docker=Docker(cpus)) if cpus else tools
    with held(f"{tools.settings.stack}.drill", f"drill ({wish.text})"):
        return drills.drill(limited, wish)


def wanted_target(tools: Tools, point: str, to: str = "", before: bool = False, timeline: str = "") -> Target:
    """What the words of a command line, or of a module, mean."""
    if point not in ("", LATEST) and to:
        raise UsageError(f"a point ({point}) and a target ({to}) were named; name one of them")
    if point not in ("", LATEST) and not POINT_NAME.match(point):
        raise UsageError(f"point {point!r}: is no name of a point; list them: slipway backup points")
    target = parse_target(to or point or LATEST, tools.host.now(), not before, timeline or TIMELINE_LATEST)
    if before and not target.needs_log:
        raise UsageError(f"just before {target.describe()}: belongs to a time, a position or a transaction")
    return target


def full_status(tools: Tools, points: list[Point]) -> dict[str, Any]:
    """The status, with its freshness taken from the repository and not from what the last job said."""
    status = backups.read_status(tools.place)
    if killed := statuses.killed(status):
        status.update(ok=False, error=killed)
    before = status.get("repositories") or {}
    standings = {tools.repository.name: _standing(tools, tools.repository, before, points)}
    standings.update((other.name, _standing(tools, other, before)) for other in tools.others)
    newest = standings[tools.repository.name]
    found = {
        **status,
        "stack": tools.settings.stack,
        "repository": tools.repository.address,
        "interval_seconds": tools.settings.interval_seconds,
        "points": len(points),
        "newest_good": newest["newest_good"],
        "newest_good_age_seconds": newest["newest_good_age_seconds"],
        "repositories": standings,
        "logs": log_statuses.log_status(tools, points),
        **restores.restore_status(tools),
    }
    found["overdue"] = any(record["overdue"] for record in standings.values())
    seen = promises.Observed(
        tools.settings,
        newest["newest_good_epoch"],
        promises.read_log_status(tools.place),
        promises.read_drill(tools.place),
    )
    good = [point for point in points if point.good]
    since = good[0].time.timestamp() if good else None
    found["promises"] = promises.judge(seen, tools.host.now().timestamp(), since)
    return found


def _standing(
    tools: Tools, repository: Repository, before: Mapping[str, Any], points: list[Point] | None = None
) -> dict[str, Any]:
    """How one repository stands, by what it holds now."""
    now = tools.host.now().timestamp()
    error = str((before.get(repository.name) or {}).get("error") or "")
    try:
        found = backups.standing(repository.points() if points is None else points)
    except BackupError as problem:
        found, error = backups.standing([]), str(problem)
    epoch = found["newest_good_epoch"]
    return {
        **found,
        "url": repository.address,
        "error": error,
        "newest_good_age_seconds": int(now - epoch) if epoch else None,
        "overdue": overdue({"last_success_epoch": epoch, "interval_seconds": tools.settings.interval_seconds}, now),
    }


def _stack(wanted: str) -> str:
    if wanted:
        return wanted
    try:
        found = sorted(
            name for name in os.listdir(CONFIGURATION_DIRECTORY) if os.path.isdir(f"{CONFIGURATION_DIRECTORY}/{name}")
        )
    except FileNotFoundError:
        found = []
    if not found:
        raise RefusedError(f"{CONFIGURATION_DIRECTORY}: no stack has a backup here; run the play with the role backup")
    if len(found) > 1:
        raise UsageError(f"several stacks have a backup here ({', '.join(found)}); say which: --stack {found[0]}")
    return found[0]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{message}; see: {self.prog} --help")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default="", help="the stack; needed only where several have a backup")
    parser.add_argument("--json", action="store_true", help="print the result as JSON; progress goes to stderr")


def _choice_of_repository(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repository", default="", metavar="NAME", help="the repository (the first one)")


def _backup_parser() -> _Parser:
    parser = _Parser(prog="slipway backup", description="Recovery points of a stack.")
    actions = parser.add_subparsers(
        dest="action", metavar="run|points|verify|check|status|retention|init|follow|log", required=True
    )
    run = actions.add_parser("run", help="make a recovery point now, read it back, let old ones go")
    kinds = [kind for kind in POINT_KINDS if kind not in (KIND_BEFORE_RESTORE, KIND_BEFORE_RELEASE)]
    run.add_argument("--kind", choices=kinds, default=KIND_MANUAL, help="what the point is tagged with (manual)")
    run.add_argument("--accept-smaller", action="store_true", help="the data may be much less than last time")
    actions.add_parser("points", help="list the recovery points, and what the retention says of each")
    verify = actions.add_parser("verify", help="read a point back from the repository and compare it")
    verify.add_argument("--point", default=LATEST, help="the point (latest)")
    actions.add_parser("check", help="check the repository's structure")
    actions.add_parser("init", help="initialise the repositories that are not there yet")
    actions.add_parser(
        "status",
        help="how the backups and logs stand; fails when something is too old",
    )
    retention = actions.add_parser("retention", help="let old points go, in every repository")
    retention.add_argument("--dry-run", action="store_true", help="only say which would go, and why others stay")
    for name in ("points", "verify", "check", "status", "retention"):
        _choice_of_repository(actions.choices[name])
    logs.add_parsers(actions)
    for action in actions.choices.values():
        _common(action)
    return parser


def backup(argv: list[str]) -> int:
    """`slipway backup ...`"""
    wanted = _backup_parser().parse_args(argv)
    stack = _stack(wanted.stack)
    if wanted.action in logs.ACTIONS:
        return logs.ACTIONS[wanted.action](wanted, stack)
    tools = tools_for(stack, _progress(wanted.json), getattr(wanted, "repository", ""))
    try:
        return _ACTIONS[wanted.action](wanted, tools)
    except RepositoryError as error:
        if not hasattr(wanted, "repository"):
            raise
        hint = restores.elsewhere(tools, f"slipway backup {wanted.action}")
        raise RepositoryError(f"{error}{hint}") from error


def _run(wanted: argparse.Namespace, tools: Tools) -> int:
    summary = run_backup(tools, wanted.kind, wanted.accept_smaller)
    lines = [f"warning: {warning}" for warning in summary["warnings"]]
    lines.append(
        f"point {summary['point']} of stack {summary['stack']}: {summary['rows']} rows, {summary['files']} files,"
        f" {human_bytes(summary['size_bytes'])} ({human_bytes(summary['added_bytes'])} new) in"
        f" {human_seconds(summary['duration_seconds'])}, read back; {summary['points']} points are kept"
    )
    return _tell(wanted, summary, lines)


def _points(wanted: argparse.Namespace, tools: Tools) -> int:
    records = _kept(tools)
    elsewhere = tools.repository.settings.append_only
    lines = _listed(records, "goes when the controller lets it go" if elsewhere else "goes with the next backup")
    found = {"stack": tools.settings.stack, "repository": tools.repository.name, "points": records}
    return _tell(wanted, found, lines or ["there is no point yet"])


def _kept(tools: Tools) -> list[dict[str, Any]]:
    """The points of the repository, and what each is kept for."""
    catalogue = tools.repository.catalogue()
    keep = backups.retention_of(tools, catalogue).keep
    return [{**point.as_dict(), "kept_for": keep.get(point.name, [])} for point in catalogue.points]


def _listed(records: list[dict[str, Any]], otherwise: str) -> list[str]:
    return [
        f"{record['point']}  {record['kind']:<14}  {'good' if record['verified'] else 'NOT READ BACK':<13}"
        f"  {', '.join(record['kept_for']) or otherwise}"
        for record in records
    ]


def _retention(wanted: argparse.Namespace, tools: Tools) -> int:
    every = [tools, *([] if wanted.repository else [tools.of(other) for other in tools.others])]
    if wanted.dry_run:
        return _retain(wanted, every)
    with held(tools.settings.stack, "backup (retention)"):
        return _retain(wanted, every)


def _retain(wanted: argparse.Namespace, every: list[Tools]) -> int:
    found: dict[str, Any] = {}
    lines: list[str] = []
    for tools in every:
        repository = tools.repository
        records = _kept(tools)
        may = not repository.settings.append_only
        remove = [record["point"] for record in records if not record["kept_for"]]
        removed: list[str] = []
        if may and not wanted.dry_run:
            removed = backups.tidy_repository(tools, {})
        found[repository.name] = {
            "url": repository.address,
            "append_only": not may,
            "points": records,
            "remove": remove,
            "removed": removed,
        }
        lines.append(f"repository {repository.name} ({repository.address}):")
        lines += [f"  {line}" for line in _listed(records, "removed" if removed else "GOES")]
        if not may:
            lines.append("  this host may not remove anything there: the playbook backup does, from the controller")
    return _tell(wanted, {"stack": every[0].settings.stack, "repositories": found}, lines)


def _verify(wanted: argparse.Namespace, tools: Tools) -> int:
    point, warnings = choose(tools.repository.points(), wanted.point, tools.settings.stack)
    compared = read_back(tools, point)
    lines = [*warnings, f"point {point.name} reads back as it was stored: {len(compared)} parts compared"]
    return _tell(wanted, {**point.as_dict(), "compared": compared, "warnings": warnings}, lines)


def _check(wanted: argparse.Namespace, tools: Tools) -> int:
    with held(tools.settings.stack, "backup (check)"):
        tools.repository.check()
    where = tools.repository.address
    return _tell(wanted, {"repository": where, "ok": True}, [f"repository {where}: its structure is whole"])


def _init(wanted: argparse.Namespace, tools: Tools) -> int:
    found, lines = {}, []
    for repository in (tools.repository, *tools.others):
        made = backups.ensure_repository(repository)
        found[repository.name] = {"url": repository.address, "initialised": made}
        state = "is initialised now" if made else "was there already"
        lines.append(f"repository {repository.name} ({repository.address}): {state}")
    return _tell(wanted, {"repositories": found}, lines)


def _status(wanted: argparse.Namespace, tools: Tools) -> int:
    found = full_status(tools, tools.repository.points())
    age = found["newest_good_age_seconds"]
    lines = [
        f"stack {found['stack']} in {found['repository']}: {found['points']} points",
        f"newest good point: {found['newest_good']}, {human_seconds(age)} old" if age is not None else "no good point",
    ]
    for name, record in list(found["repositories"].items())[1:]:
        age = record["newest_good_age_seconds"]
        stands = f"{human_seconds(age)} old" if age is not None else "no good point"
        lines.append(f"repository {name} ({record['url']}): {record['points']} points, {stands}")
        if record["error"]:
            lines.append(f"  behind: {record['error']}")
    if found.get("error"):
        lines.append(f"last backup failed: {found['error']}")
    if found["interrupted_restore"]:
        interrupted = found["interrupted_restore"]
        lines.append(f"restore of {interrupted['point']} was interrupted: {interrupted['step']}")
    lines += [f"old data is kept in {path}" for path in found["previous"]]
    lines += log_statuses.describe(tools.settings.stack, found["logs"])
    if age is not None and statuses.is_future(-age, 0):
        lines.append("the newest good point is from the future: the host's clock is wrong, or was when it was made")
    lines += promises.describe(found["promises"])
    if found["overdue"]:
        lines.append("OVERDUE: look at journalctl -u slipway-backup-" + str(found["stack"]))
    complaints = promises.complaints(found["promises"])
    lines += [f"NOT AS PROMISED: {complaint}" for complaint in complaints]
    _tell(wanted, found, lines)
    fine = not found["overdue"] and not complaints and all(state["ok"] for state in found["logs"].values())
    return 0 if fine else BackupError.exit_status


_ACTIONS: dict[str, Callable[[argparse.Namespace, Tools], int]] = {
    "run": _run,
    "points": _points,
    "verify": _verify,
    "check": _check,
    "init": _init,
    "retention": _retention,
    "status": _status,
}


def points(argv: list[str]) -> int:
    """`slipway points`: short for `slipway backup points`."""
    return backup(["points", *argv])


def _restore_parser() -> _Parser:
    parser = _Parser(prog="slipway restore", description="Bring a stack's data back from a recovery point.")
    _common(parser)
    _choice_of_repository(parser)
    parser.add_argument("--point", default="", help="the point; 'latest' is the newest good one (default)")
    parser.add_argument("--to", default="", metavar="TARGET", help=f"a moment, a place in the log: {EXAMPLES}")
    parser.add_argument("--before", action="store_true", help="just before the target (a transaction, a GTID)")
    parser.add_argument("--timeline", default="", help="PostgreSQL's timeline to follow, after earlier restores")
    parser.add_argument("--confirm", default="", metavar="STACK", help="the stack's name again: its data is replaced")
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    parser.add_argument("--without-safety-point", action="store_true", help="do not save the present data first")
    parser.add_argument(
        "--beside", action="store_true", help="only open the databases beside the live ones, for a look"
    )
    parser.add_argument("--discard-beside", action="store_true", help="remove what --beside opened")
    parser.add_argument("--database", default="", help="copy this database from what --beside opened")
    parser.add_argument("--table", default="", metavar="[SCHEMA.]TABLE", help="copy only this table of the database")
    parser.add_argument("--service", default="", help="which database server, where the stack has several")
    parser.add_argument("--abort", action="store_true", help="take an interrupted restore back")
    parser.add_argument("--extract", metavar="DIRECTORY", help="only unpack the point into this new directory")
    parser.add_argument("--discard-previous", action="store_true", help="remove old data that restores put aside")
    return parser


def restore(argv: list[str]) -> int:
    """`slipway restore ...`"""
    wanted = _restore_parser().parse_args(argv)
    # What limits the nightly jobs must not make an outage longer.
    tools = tools_for(_stack(wanted.stack), _progress(wanted.json), wanted.repository, hurry=True)
    if wanted.plan and (wanted.abort or wanted.discard_beside or wanted.extract):
        raise UsageError("--plan goes with a restore, --beside, --database and --discard-previous; nothing was done")
    if wanted.discard_previous:
        return _discard_previous(wanted, tools)
    if wanted.abort:
        return _abort(wanted, tools)
    if wanted.discard_beside:
        return _discard_beside(wanted, tools)
    if wanted.database or wanted.table:
        return _copy(wanted, tools)
    target = wanted_target(tools, wanted.point, wanted.to, wanted.before, wanted.timeline)
    if wanted.beside:
        return _beside(wanted, tools, target)
    if wanted.extract:
        result = restores.extract(tools, target, wanted.extract)
        return _tell(wanted, result, [f"point {result['point']} is unpacked in {result['directory']}"])
    safety = not wanted.without_safety_point
    if wanted.plan:
        plan = restores.make_plan(tools, target, safety)
        lines = [*plan.warnings, *plan.lines, *(f"in the way: {problem}" for problem in plan.problems)]
        _tell(wanted, plan.as_dict(), lines)
        return RefusedError.exit_status if plan.problems else 0
    summary = run_restore(tools, target, wanted.confirm, safety)
    lines = [
        *(f"warning: {warning}" for warning in summary["warnings"]),
        f"stack {summary['stack']} is restored to point {summary['point']} in"
        f" {human_seconds(summary['duration_seconds'])}",
        *(f"{found['label']}: {found['reached']}" for _key, found in sorted(summary["reached"].items())),
    ]
    if summary["saved"]:
        lines.append(f"what was there before is point {summary['saved']}")
    if summary["point_after"]:
        lines.append(f"point {summary['point_after']} was made of what is there now")
    lines += [f"old data is kept in {path}" for path in summary["previous"]]
    if summary["previous"]:
        lines.append(f"when all is well: slipway restore --discard-previous --confirm {summary['stack']}")
    return _tell(wanted, summary, lines)


def _beside(wanted: argparse.Namespace, tools: Tools, target: Target) -> int:
    if wanted.plan:
        plan = besides.look(tools, target, wanted.service, plan_only=True)
        lines = [*plan["warnings"], *plan["plan"], *(f"in the way: {problem}" for problem in plan["problems"])]
        _tell(wanted, plan, lines)
        return RefusedError.exit_status if plan["problems"] else 0
    # Not the stack's lease: nothing live is touched, and a look may take long. Only two looks at once are kept apart.
    with held(f"{tools.settings.stack}.beside", f"restore --beside ({target.text})"):
        result = besides.look(tools, target, wanted.service)
    lines = [f"warning: {warning}" for warning in result["warnings"]]
    for opened in result["opened"]:
        lines += [f"{opened['container']} is open: {opened['reached']}", f"look: {opened['visit']}"]
    stack = tools.settings.stack
    lines.append(f"copy from it: slipway restore --database NAME [--table TABLE] --stack {stack} --confirm {stack}")
    lines.append(f"when all is done: slipway restore --discard-beside --stack {stack}")
    return _tell(wanted, result, lines)


def _drill_parser() -> _Parser:
    parser = _Parser(
        prog="slipway drill",
        description="Try a restore and touch nothing live: put a point together, start it in a network that leads"
        " nowhere, check all of it, measure, throw it away. Without a target: the newest point, then a random second of"
        " its log.",
    )
    _common(parser)
    _choice_of_repository(parser)
    parser.add_argument("--point", default="", help="only this point, by its name")
    parser.add_argument("--to", default="", metavar="TARGET", help=f"only this moment or place in the log: {EXAMPLES}")
    parser.add_argument("--random", action="store_true", help="only a random second within the log")
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    parser.add_argument("--list", action="store_true", help="show the last drills")
    parser.add_argument("--sweep", action="store_true", help="only remove what a killed drill left")
    return parser


def wanted_drill(tools: Tools, point: str, to: str, random: bool) -> drills.Wish:
    """What is to be tried, by the words of a command line or of a module."""
    target = wanted_target(tools, point, to) if to or point not in ("", LATEST) else None
    return drills.wish_for(target, random)


def drill(argv: list[str]) -> int:
    """`slipway drill ...`"""
    wanted = _drill_parser().parse_args(argv)
    tools = tools_for(_stack(wanted.stack), _progress(wanted.json), wanted.repository)
    if wanted.list:
        return _drills(wanted, tools)
    if wanted.sweep:
        with held(f"{tools.settings.stack}.drill", "drill (sweep)"):
            removed = drills.sweep(tools)
        return _tell(wanted, {"removed": removed}, [f"removed: {', '.join(removed)}" if removed else "swept"])
    wish = wanted_drill(tools, wanted.point, wanted.to, wanted.random)
    if wanted.plan:
        plan = drills.plan(tools, wish)
        lines = [*plan["warnings"], *plan["plan"], *(f"in the way: {problem}" for problem in plan["problems"])]
        _tell(wanted, plan, lines)
        return RefusedError.exit_status if plan["problems"] else 0
    report = run_drill(tools, wish)
    # People have read its lines as progress.
    _tell(wanted, report, [])
    return 0 if report["ok"] else BackupError.exit_status


def _drills(wanted: argparse.Namespace, tools: Tools) -> int:
    known = files.read_json_lines(tools.place.drills)
    lines = []
    for found in known:
        rto = human_seconds(found["rto_seconds"]) if found.get("rto_seconds") is not None else "-"
        word = "good  " if found["ok"] else "FAILED"
        lines.append(f"{found['started'][:19]}  {word}  {found['point'] or '-':<16}  RTO {rto:<12}  {found['error']}")
    return _tell(wanted, {"stack": tools.settings.stack, "drills": known}, lines or ["there was no drill yet"])


def _discard_previous(wanted: argparse.Namespace, tools: Tools) -> int:
    found = restores.discard_previous(tools, wanted.confirm, plan_only=wanted.plan)
    if wanted.plan:
        lines = [f"would be removed, whichever restore put it aside: {path}" for path in found]
        return _tell(wanted, {"remove": found}, lines or ["there is no old data"])
    return _tell(wanted, {"removed": found}, [f"{len(found)} directories with old data were removed"])


def _discard_beside(wanted: argparse.Namespace, tools: Tools) -> int:
    with held(f"{tools.settings.stack}.beside", "restore --discard-beside"):
        removed = besides.discard_look(tools)
    return _tell(wanted, {"removed": removed}, [f"removed: {', '.join(removed)}" if removed else "there was nothing"])


def _copy(wanted: argparse.Namespace, tools: Tools) -> int:
    if wanted.to or wanted.point or wanted.beside:
        raise UsageError("a database or a table is copied from what --beside has opened before: do these one by one")
    if not wanted.database:
        raise UsageError(f"table {wanted.table}: say of which database; add --database NAME")
    what = besides.parse_wanted(wanted.database, wanted.table)
    if wanted.plan:
        plan = besides.copy(tools, what, wanted.confirm, wanted.service, plan_only=True)
        return _tell(wanted, plan, plan["plan"])
    restores.check_confirmed(tools.settings.stack, wanted.confirm)
    with held(tools.settings.stack, f"restore ({what.text})"):
        result = besides.copy(tools, what, wanted.confirm, wanted.service)
    lines = [*(f"warning: {warning}" for warning in result["warnings"])]
    lines.append(f"{result['copied']} is in the live server, with {result['rows']} rows")
    if result["kept"]:
        lines.append(f"what was there before is {result['kept']}")
    return _tell(wanted, result, lines)


def _abort(wanted: argparse.Namespace, tools: Tools) -> int:
    result = run_abort(tools, wanted.confirm)
    lines = [*(f"warning: {warning}" for warning in result["warnings"]), *result["undone"]]
    lines.append(f"the restore of point {result['point']} was taken back")
    return _tell(wanted, result, lines)


def _progress(as_json: bool) -> Callable[[str], None]:
    def show(line: str) -> None:
        # Nobody may be listening any more; the job goes on.
        with suppress(OSError):
            stream = sys.stderr if as_json else sys.stdout
            stream.write(f"{line}\n")
            stream.flush()

    return show


def _tell(wanted: argparse.Namespace, result: dict[str, Any], lines: list[str]) -> int:
    if wanted.json or lines:
        text = json.dumps(result, indent=2, sort_keys=True) if wanted.json else "\n".join(lines)
        sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
    return 0

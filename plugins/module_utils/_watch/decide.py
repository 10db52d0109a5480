# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules: from a reading and the time to good or bad, and from there to who must be told what. Nothing runs here."""

from __future__ import annotations

import os.path
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import promises
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import human_seconds
from ansible_collections.slipway.ops.plugins.module_utils._log.status import STALE_SECONDS
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import DRILL, RPO, Check, Configuration
from ansible_collections.slipway.ops.plugins.module_utils._watch.reading import (
    BackupStatus,
    CertificateFile,
    Certificates,
    DiskUse,
    FollowedLog,
    FollowedLogs,
    HttpAnswer,
    LogLines,
    Reading,
    Standing,
    Unreadable,
)

# What a clock may be ahead by without its times being called wrong.
CLOCK_SKEW_SECONDS = 600
# A follower of logs that was just set up has this long to begin.
BEGINNING_SECONDS = 600

BAD = "bad"
AGAIN = "again"
RECOVERED = "recovered"
TEST = "test"

State = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """One check in one pass."""

    check: Check
    ok: bool
    message: str
    since: float = 0.0
    # Failures in a row, this one counted.
    failures: int = 0


@dataclass(frozen=True)
class Notice:
    """One line that one channel must be told."""

    channel: str
    check: str
    event: str
    message: str
    since: float


def judge(check: Check, reading: Reading, now: float, first_seen: float) -> tuple[bool, str]:
    """Good or bad, and why. first_seen is when this check was first made on this host."""
    options = check.options
    if isinstance(reading, Unreadable):
        return False, reading.reason
    if isinstance(reading, HttpAnswer):
        return _http(options, reading)
    if isinstance(reading, LogLines):
        return _logs(options, reading)
    if isinstance(reading, BackupStatus):
        return _backup(options, reading, now, first_seen)
    if isinstance(reading, FollowedLogs):
        return _backup_log(options, reading, now, first_seen)
    if isinstance(reading, Standing):
        return _standing(check, reading, now, first_seen)
    if isinstance(reading, Certificates):
        return _certificates(options, reading, now)
    return _disk(options, reading)


def _http(options: Mapping[str, Any], answer: HttpAnswer) -> tuple[bool, str]:
    told = f"{options['url']} answered {answer.status} in {answer.seconds:.2f} s"
    if answer.status not in options["status"]:
        return False, f"{told}; expected {' or '.join(str(status) for status in options['status'])}"
    if options["contains"] not in answer.body:
        return False, f"{told} without the expected text {options['contains']!r}"
    return True, told


def _logs(options: Mapping[str, Any], lines: LogLines) -> tuple[bool, str]:
    where = f"{options['stack']}/{options['service']}"
    if lines.containers == 0:
        return False, f"no container of {where} exists, so it has no log"
    ok = lines.matches <= options["max_lines"]
    return ok, (
        f"{lines.matches} lines with {options['pattern']!r} in the log of {where} "
        f"in {options['window_minutes']} minutes; at most {options['max_lines']} are expected"
    )


def _backup(options: Mapping[str, Any], status: BackupStatus, now: float, first_seen: float) -> tuple[bool, str]:
    limit = options["max_age_hours"] * 3600
    stack = options["stack"]
    if status.failure:
        return False, f"the newest backup of {stack} failed: {status.failure}"
    if not status.last_success or status.last_success <= 0:
        # A new host has none until its first night, and that is no alarm; but it is one when that night has passed.
        ok = 0 <= now - first_seen < limit
        return ok, f"{stack} has no good backup yet" + (f"; one is expected by {utc(first_seen + limit)}" if ok else "")
    age = now - status.last_success
    told = f"the last good backup of {stack} is from {utc(status.last_success)}"
    if age < -CLOCK_SKEW_SECONDS:
        return False, f"{told}, which is in the future; see the host's clock"
    if age >= limit:
        return False, f"{told}, {age / 3600:.0f} hours ago; at most {options['max_age_hours']} are expected"
    return True, told


def _backup_log(options: Mapping[str, Any], reading: FollowedLogs, now: float, first_seen: float) -> tuple[bool, str]:
    stack = options["stack"]
    if not reading.wanted:
        return True, f"no database log of {stack} is to be followed"
    beginning = 0 <= now - first_seen < BEGINNING_SECONDS
    service = f"see journalctl -u slipway-backup-follow-{stack}"
    if reading.told is None:
        return beginning, f"the logs of {stack} are not followed yet; {service}"
    if not -CLOCK_SKEW_SECONDS <= now - reading.told <= STALE_SECONDS:
        return (
            False,
            f"the logs of {stack} are not followed: the last word of it is from {utc(reading.told)}; {service}",
        )
    bad = [f"the disk of {stack}'s logs is nearly full, so nothing is received"] if reading.held else []
    bad += [problem for log in reading.logs for problem in _followed_log(options, log, beginning)]
    if bad:
        return False, "; ".join(bad)
    losses = [log.loss_seconds for log in reading.logs if log.loss_seconds is not None]
    cost = f"; a loss now would cost {max(losses):.0f} s" if losses else ""
    return True, f"the logs of {stack} are followed: {', '.join(log.name for log in reading.logs)}{cost}"


def _followed_log(options: Mapping[str, Any], log: FollowedLog, beginning: bool) -> list[str]:
    why = f": {log.problems[0]}" if log.problems else ""
    found = []
    if log.missing:
        more = f" and {len(log.missing) - 1} more" if len(log.missing) > 1 else ""
        found.append(
            f"the log of {log.name} has a hole, which no restore can pass: {log.missing[0]}{more}; make a new point:"
            f" slipway backup run --stack {options['stack']}"
        )
    limit = options["max_loss_seconds"]
    if log.loss_seconds is None:
        if not beginning:
            found.append(f"nothing of the log of {log.name} is safe yet{why}")
    elif log.loss_seconds > limit:
        found.append(f"a loss now would cost {log.loss_seconds:.0f} s of {log.name}; at most {limit} are expected{why}")
    if log.receiver and not beginning:
        found.append(f"the receiver {log.receiver} of {log.name} on another host is not in order{why}")
    return found


def _standing(check: Check, reading: Standing, now: float, first_seen: float) -> tuple[bool, str]:
    stack = check.options["stack"]
    if reading.observed is None:
        return False, f"no backup of {stack} is set up here; run the play with the role backup"
    found = promises.judge(reading.observed, now, first_seen)
    if check.kind == DRILL:
        return _drill(stack, found["drill"])
    name = check.options["promise"]
    found = found[name]
    promised, seconds = found["promised_seconds"], found["seconds"]
    if not promised:
        return True, f"no {name.upper()} is promised for {stack}"
    if name == RPO and reading.observed.newest_good is None and 0 <= now - first_seen < promised:
        # A new host has no point until its first backup; the promise is broken when its time has passed without.
        return True, f"{stack} has no good point yet; one is expected by {utc(first_seen + promised)}"
    if found["broken"]:
        return False, f"the {name.upper()} of {stack} is broken: {found['why']}"
    real = "was not measured yet" if seconds is None else f"is {human_seconds(seconds)}"
    return True, f"the {name.upper()} of {stack} {real}, and {human_seconds(promised)} are promised"


def _drill(stack: str, found: Mapping[str, Any]) -> tuple[bool, str]:
    if found["why"]:
        newest = found["newest_good"]
        known = f"; the newest point that is known to be good is {newest}" if newest and found["failed"] else ""
        return False, f"{stack}: {found['why']}{'' if newest and newest in found['why'] else known}"
    if not found["interval_seconds"] and not found["last_success"]:
        return True, f"no drill of {stack} is expected"
    return True, f"the last good drill of {stack} was {found['last_success'] or 'never; the first is not late yet'}"


def _certificates(options: Mapping[str, Any], reading: Certificates, now: float) -> tuple[bool, str]:
    if not reading.files:
        return False, f"no certificate at {options['path']}"
    judged = [_certificate(options, file, now) for file in reading.files]
    bad = [message for ok, message in judged if not ok]
    if bad:
        return False, "; ".join(bad)
    soonest = min(reading.files, key=lambda file: file.not_after)
    return True, f"{len(judged)} valid, the first until {utc(soonest.not_after)}"


def _certificate(options: Mapping[str, Any], file: CertificateFile, now: float) -> tuple[bool, str]:
    if file.self_signed and not options["allow_self_signed"]:
        return False, f"{file.path} is self-signed: none was issued yet"
    if now < file.not_before - CLOCK_SKEW_SECONDS:
        return False, f"{file.path} is valid from {utc(file.not_before)} only; see the host's clock"
    left = file.not_after - now
    limit = options["min_days"] * 86400 or (file.not_after - file.not_before) / 5
    if left < limit:
        return False, f"{file.path} ends {utc(file.not_after)}, in {left / 86400:.1f} days: it was not renewed in time"
    return True, ""


def _disk(options: Mapping[str, Any], use: DiskUse) -> tuple[bool, str]:
    limit = options["max_percent"]
    ok = use.used_percent <= limit and use.used_inodes_percent <= limit
    return ok, (
        f"{os.path.normpath(options['path'])}: {use.used_percent:.0f} % of space and "
        f"{use.used_inodes_percent:.0f} % of inodes used; at most {limit} % are expected"
    )


def first_seen(state: State, name: str, now: float) -> float:
    return float(_entry(state, name).get("first_seen", now))


def verdict(check: Check, reading: Reading, state: State, now: float) -> Verdict:
    """Judge a reading and remember since when it is so."""
    before = _entry(state, check.name)
    ok, message = judge(check, reading, now, first_seen(state, check.name, now))
    same = before.get("ok") is ok
    failures = 0 if ok else int(before.get("failures", 0)) + 1
    return Verdict(check, ok, message, float(before.get("since", now)) if same else now, failures)


def notices(config: Configuration, verdicts: Sequence[Verdict], state: State, now: float) -> list[Notice]:
    """Who must be told what now: it compares what is with what each channel was last told successfully.

    So a message that could not be sent is due again at the next pass, for that channel alone, and one that has become
    untrue meanwhile is never sent.
    """
    found = []
    for item in verdicts:
        told = _entry(state, item.check.name).get("told", {})
        for channel in config.channels:
            last = told.get(channel, {})
            event = _event(item, last, config.repeat_seconds, now)
            if event:
                found.append(Notice(channel, item.check.name, event, item.message, item.since))
    return found


def _event(item: Verdict, last: Mapping[str, Any], repeat_seconds: int, now: float) -> str:
    told_bad = last.get("ok") is False
    if item.ok:
        return RECOVERED if told_bad else ""
    if told_bad:
        return "" if 0 <= now - float(last.get("at", 0)) < repeat_seconds else AGAIN
    return BAD if item.failures >= item.check.failures else ""


def next_state(verdicts: Sequence[Verdict], sent: Sequence[Notice], state: State, now: float) -> dict[str, Any]:
    """The state to keep. Checks that are no longer configured are forgotten."""
    checks: dict[str, Any] = {}
    for item in verdicts:
        name = item.check.name
        told = dict(_entry(state, name).get("told", {}))
        for notice in sent:
            if notice.check == name:
                told[notice.channel] = {"ok": notice.event == RECOVERED, "at": now}
        checks[name] = {
            "first_seen": first_seen(state, name, now),
            "ok": item.ok,
            "message": item.message,
            "since": item.since,
            "failures": item.failures,
            "told": told,
        }
    return {"version": 1, "last_run": now, "checks": checks}


def _entry(state: State, name: str) -> Mapping[str, Any]:
    checks = state.get("checks")
    entry = checks.get(name) if isinstance(checks, Mapping) else None
    return entry if isinstance(entry, Mapping) else {}


def utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")

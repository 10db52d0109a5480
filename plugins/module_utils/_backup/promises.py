# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was promised (RTO, RPO) beside what is true now, and whether drills are done. Only files of the host are read,
so that the watch can ask every few minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    Place,
    Settings,
    Source,
    human_seconds,
    parse_settings,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.status import gaps, is_fresh
from ansible_collections.slipway.ops.plugins.module_utils._state import files

# A drill that the timer starts may begin late (a random delay, a host that was off), and has its own length.
LATE_FACTOR = 1.5


def exposures(
    settings: Settings, now: float, newest_good: float | None, log: Mapping[str, Any] | None
) -> dict[str, float | None]:
    """For each source, by its label: how many seconds of what was written last a loss of the host would cost now. With
    a log that goes on without a hole it is the log's, else the age of the newest good point; None when there is no
    such point."""
    age = None if newest_good is None else max(0.0, now - newest_good)
    found: dict[str, float | None] = {}
    for source in settings.sources:
        behind = _behind(source, now, log)
        found[source.label] = age if age is None or behind is None else min(age, behind)
    return found


def _behind(source: Source, now: float, log: Mapping[str, Any] | None) -> float | None:
    """What is not in the log's repository; None when no log is kept, or it does not lead on."""
    for record in ((log or {}).get("sources") or {}).values():
        if not source.service or (record.get("service"), record.get("kind")) != (source.service, source.kind):
            continue
        loss = record.get("loss_seconds")
        if not isinstance(loss, (int, float)) or gaps(record):
            return None
        # What was written since it fell silent is not sent.
        return float(loss) + (0.0 if is_fresh(log or {}, now) else now - float((log or {}).get("epoch") or 0))
    return None


def judge_rpo(promised: int, exposed: Mapping[str, float | None]) -> dict[str, Any]:
    """The promise of how little is lost, beside the worst source."""
    known = {label: seconds for label, seconds in exposed.items() if seconds is not None}
    worst = max(known, key=lambda label: known[label]) if known else ""
    seconds = known[worst] if len(known) == len(exposed) and known else None
    broken = promised > 0 and (seconds is None or seconds > promised)
    why = ""
    if broken and seconds is None:
        why = "nothing can be restored: there is no good point"
    elif broken:
        why = f"a loss now would cost the last {human_seconds(seconds or 0)} of {worst}"
    return {
        "promised_seconds": promised,
        "seconds": None if seconds is None else round(seconds),
        "of": worst,
        "sources": {label: None if value is None else round(value) for label, value in exposed.items()},
        "broken": broken,
        "why": why and f"{why}; at most {human_seconds(promised)} are promised",
    }


def judge_rto(promised: int, drill: Mapping[str, Any]) -> dict[str, Any]:
    """The promise of how long a restore takes, beside what the last drill measured. What was never measured is not
    called broken: that a drill is missing is said where drills are judged."""
    seconds = drill.get("rto_seconds")
    known = isinstance(seconds, (int, float))
    broken = promised > 0 and known and float(seconds or 0) > promised
    why = (
        f"the last drill needed {human_seconds(float(seconds or 0))} until everything served; at most"
        f" {human_seconds(promised)} are promised"
        if broken
        else ""
    )
    return {
        "promised_seconds": promised,
        "seconds": seconds if known else None,
        "measured": str(drill.get("measured") or ""),
        "broken": broken,
        "why": why,
    }


def judge_drill(interval: int, drill: Mapping[str, Any], now: float, since: float | None) -> dict[str, Any]:
    """Whether the drills are done, and good. `since` is when the first could have been done."""
    last = drill.get("last_success_epoch")
    counted = float(last) if isinstance(last, (int, float)) else since
    late = interval > 0 and counted is not None and now - counted > LATE_FACTOR * interval
    failed = drill.get("ok") is False
    why = ""
    if failed:
        why = f"the last drill failed: {drill.get('error')}"
    elif late and counted is not None:
        ago = human_seconds(now - counted)
        why = f"the last good drill was {ago} ago" if last else f"no drill was done in {ago}"
        why += f"; one is expected every {human_seconds(interval)}"
    return {
        "interval_seconds": interval,
        "last_success": str(drill.get("last_success") or ""),
        "newest_good": str(drill.get("newest_good") or ""),
        "late": late,
        "failed": failed,
        "why": why,
    }


@dataclass(frozen=True)
class Observed:
    """What promises are judged by. `newest_good`: when the newest good point was begun."""

    settings: Settings
    newest_good: float | None = None
    log: Mapping[str, Any] | None = None
    drill: Mapping[str, Any] = field(default_factory=dict)


def judge(seen: Observed, now: float, since: float | None) -> dict[str, Any]:
    """All of it. `since`: when the first drill could have been done."""
    settings = seen.settings
    return {
        "rpo": judge_rpo(settings.promises.rpo_seconds, exposures(settings, now, seen.newest_good, seen.log)),
        "rto": judge_rto(settings.promises.rto_seconds, seen.drill),
        "drill": judge_drill(settings.drill.interval_seconds, seen.drill, now, since),
    }


def complaints(standing: Mapping[str, Any]) -> list[str]:
    """What is not as promised, a line each."""
    return [str(standing[name]["why"]) for name in ("rpo", "rto", "drill") if standing[name]["why"]]


def describe(standing: Mapping[str, Any]) -> list[str]:
    """The promises beside what is true, for people."""
    lines = []
    for name, meaning in (("rpo", "lost at most"), ("rto", "back within")):
        found = standing[name]
        promised = human_seconds(found["promised_seconds"]) if found["promised_seconds"] else "nothing"
        real = "not measured yet" if found["seconds"] is None else human_seconds(found["seconds"])
        beside = f" ({found['of']})" if found.get("of") else ""
        beside = f" (drill of {found['measured']})" if found.get("measured") else beside
        word = "BROKEN" if found["broken"] else "kept" if found["promised_seconds"] else "-"
        if found["seconds"] is None and not found["broken"]:
            word = "-"
        lines.append(f"{name.upper()}, {meaning}: promised {promised}, now {real}{beside}: {word}")
    found = standing["drill"]
    every = f"every {human_seconds(found['interval_seconds'])}" if found["interval_seconds"] else "by hand alone"
    state = (
        "FAILED" if found["failed"] else "LATE" if found["late"] else "good" if found["last_success"] else "none yet"
    )
    lines.append(
        f"drills {every}: {state}" + (f", last good one {found['last_success']}" if found["last_success"] else "")
    )
    return lines


def read_log_status(place: Place) -> dict[str, Any] | None:
    """What the follower of the stack's logs last wrote."""
    return _mapping(f"{place.state}/log.json")


def read_drill(place: Place) -> dict[str, Any]:
    """How drills stand; empty when there was none yet."""
    return _mapping(place.drill) or {}


def _mapping(path: str) -> dict[str, Any] | None:
    value = files.read_json(path)
    return value if isinstance(value, dict) else None


def observe(place: Place) -> Observed | None:
    """All of it, from what jobs on this host wrote down. None when no backup is set up."""
    document = files.read_json(place.settings)
    if document is None:
        return None
    status = _mapping(place.status) or {}
    newest = status.get("last_success_epoch")
    return Observed(
        parse_settings(document, place.settings),
        float(newest) if isinstance(newest, (int, float)) else None,
        read_log_status(place),
        read_drill(place),
    )

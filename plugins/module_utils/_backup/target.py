# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a restore goes to, and how an operator says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import POINT_NAME, UsageError

LATEST = "latest"
# As far as the point and the log reach; a point by its name and nothing after it; a moment; a place in the log (LSN,
# set of GTIDs); one transaction (xid, GTID).
KIND_LATEST = "latest"
KIND_POINT = "point"
KIND_TIME = "time"
KIND_POSITION = "position"
KIND_TRANSACTION = "transaction"

TIMELINE_LATEST = "latest"

EXAMPLES = (
    "latest, 20261122T020000Z (a point), '2026-11-22 10:00:00' (UTC), '2026-11-22 10:00:00.25 +01:00', now-15min,"
    " 0/16B3748 (an LSN), xid:4711, gtid:0-1-42"
)

_CLOCK = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ]\s*(?P<time>\d{1,2}:\d{2}(?::\d{2})?)(?P<fraction>[.,]\d+)?)?\s*(?P<zone>\S+)?\Z"
)
_OFFSET = re.compile(r"(?:UTC|GMT)?(?P<sign>[+-])(?P<hours>\d{1,2}):?(?P<minutes>\d{2})?\Z")
_AREA = re.compile(r"[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+\Z")
_NOW = re.compile(r"now(?:\s*-\s*(?P<ago>.+))?\Z")
_STEP = re.compile(r"\s*(\d+)\s*([a-z]+)\s*")
_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86400),
}
_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}\Z")
_UUID = r"[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}"
_GTID_MYSQL = re.compile(rf"{_UUID}(?::[A-Za-z_][A-Za-z0-9_]*)?:\d+\Z")
_GTIDS_MYSQL = re.compile(rf"{_UUID}(?::[A-Za-z0-9_-]+)+(?:\s*,\s*{_UUID}(?::[A-Za-z0-9_-]+)+)*\Z")
_GTID_MARIADB = re.compile(r"\d+-\d+-\d+\Z")
_GTIDS_MARIADB = re.compile(r"\d+-\d+-\d+(?:\s*,\s*\d+-\d+-\d+)*\Z")


@dataclass(frozen=True)
class Target:
    """Where a restore goes to. Which of the fields is set depends on the kind."""

    kind: str = KIND_LATEST
    text: str = LATEST
    point: str = ""
    # Always in UTC.
    time: datetime | None = None
    position: str = ""
    transaction: str = ""
    # Whether what is named is in it: else everything just before it.
    inclusive: bool = True
    # PostgreSQL's: which branch of history is followed when earlier restores made several.
    timeline: str = TIMELINE_LATEST
    # What was taken for granted in reading it; said in the plan.
    remark: str = ""

    @property
    def needs_log(self) -> bool:
        """Whether a point alone cannot lead there."""
        return self.kind in (KIND_TIME, KIND_POSITION, KIND_TRANSACTION)

    def describe(self) -> str:
        """For people."""
        edge = "" if self.inclusive else "just before "
        if self.kind == KIND_TIME and self.time is not None:
            return f"{edge}{human_time(self.time)}"
        if self.kind == KIND_POINT:
            return f"point {self.point}"
        if self.kind == KIND_POSITION:
            return f"{edge}position {self.position}"
        if self.kind == KIND_TRANSACTION:
            return f"{edge}transaction {self.transaction}"
        return "the newest that there is"

    def as_dict(self) -> dict[str, Any]:
        """For a journal and for machines; `target_from` reads it."""
        found = {name: value for name, value in vars(self).items() if value != "" and value is not None}
        if self.time is not None:
            found["time"] = self.time.isoformat()
        return found


def target_from(value: Mapping[str, Any]) -> Target:
    """What `as_dict` wrote."""
    fields = {name: value[name] for name in Target.__dataclass_fields__ if name in value}
    if isinstance(fields.get("time"), str):
        fields["time"] = datetime.fromisoformat(fields["time"]).astimezone(timezone.utc)
    return Target(**fields)


def human_time(moment: datetime) -> str:
    """A moment with as many digits as it has, in UTC."""
    return f"{moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat(' ')} UTC"


def parse_target(text: str, now: datetime, inclusive: bool = True, timeline: str = TIMELINE_LATEST) -> Target:
    """Read what an operator typed. A time without a zone is UTC, and the remark says so."""
    wanted = " ".join(text.split())
    bare = wanted.lower()
    timeline = _timeline(timeline)
    common: dict[str, Any] = {"text": wanted, "inclusive": inclusive, "timeline": timeline}
    if bare in ("", LATEST):
        return Target(KIND_LATEST, LATEST, timeline=timeline)
    if POINT_NAME.match(wanted):
        return Target(KIND_POINT, wanted, point=wanted)
    prefix, separator, rest = wanted.partition(":")
    if separator and prefix.lower() in ("xid", "lsn", "gtid", "time"):
        return _prefixed(prefix.lower(), rest.strip(), now, common)
    if _LSN.match(wanted):
        return Target(KIND_POSITION, position=wanted.upper(), **common)
    if _GTID_MYSQL.match(wanted):
        return Target(KIND_TRANSACTION, transaction=wanted, **common)
    if _GTIDS_MYSQL.match(wanted):
        return Target(KIND_POSITION, position=wanted.replace(" ", ""), **common)
    return _moment(wanted, now, common)


def _timeline(text: str) -> str:
    if text == TIMELINE_LATEST or re.fullmatch(r"[1-9]\d{0,8}", text):
        return text
    raise UsageError(f"timeline {text!r}: must be a number, or {TIMELINE_LATEST}")


def _prefixed(prefix: str, rest: str, now: datetime, common: dict[str, Any]) -> Target:
    if prefix == "time":
        return _moment(rest, now, common)
    if prefix == "xid" and re.fullmatch(r"\d{1,19}", rest):
        return Target(KIND_TRANSACTION, transaction=rest, **common)
    if prefix == "lsn" and _LSN.match(rest):
        return Target(KIND_POSITION, position=rest.upper(), **common)
    if prefix == "gtid" and (_GTID_MYSQL.match(rest) or _GTID_MARIADB.match(rest)):
        return Target(KIND_TRANSACTION, transaction=rest, **common)
    if prefix == "gtid" and (_GTIDS_MYSQL.match(rest) or _GTIDS_MARIADB.match(rest)):
        return Target(KIND_POSITION, position=rest.replace(" ", ""), **common)
    raise _unclear(f"{prefix}:{rest}")


def _unclear(text: str, why: str = "") -> UsageError:
    return UsageError(f"target {text!r}: {why or 'cannot be understood'}; write one of: {EXAMPLES}")


def _moment(text: str, now: datetime, common: dict[str, Any]) -> Target:
    moment, remark = _relative(text, now) or _absolute(text)
    if moment > now + timedelta(seconds=1):
        raise UsageError(
            f"target {text!r}: {human_time(moment)} is in the future (here it is {human_time(now)});"
            " check the zone, or say latest"
        )
    return Target(KIND_TIME, time=moment, remark=remark, **common)


def _relative(text: str, now: datetime) -> tuple[datetime, str] | None:
    found = _NOW.match(text.lower())
    if not found:
        return None
    seconds, rest = 0, found.group("ago") or ""
    while rest:
        step = _STEP.match(rest)
        if not step or step.group(2) not in _UNITS:
            raise _unclear(text, "a time ago is written such as now-15min, now-2h30min or now-1d")
        seconds += int(step.group(1)) * _UNITS[step.group(2)]
        rest = rest[step.end() :]
    moment = (now - timedelta(seconds=seconds)).astimezone(timezone.utc)
    return moment, f"{text} is {human_time(moment)}"


def _absolute(text: str) -> tuple[datetime, str]:
    found = _CLOCK.match(text)
    if not found:
        raise _unclear(text)
    if not found.group("time"):
        raise _unclear(text, "names a day, and a restore needs the time as well")
    fraction = (found.group("fraction") or "")[1:]
    if len(fraction) > 6:
        raise _unclear(text, "has more than the six digits of a second that a server keeps")
    clock = found.group("time")
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    try:
        local = datetime.strptime(f"{found.group('date')} {clock}", "%Y-%m-%d %H:%M:%S")
    except ValueError as error:
        raise _unclear(text, "is no time that a clock can show") from error
    local = local.replace(microsecond=int(fraction.ljust(6, "0")) if fraction else 0)
    zone_text = found.group("zone") or ""
    if not zone_text:
        moment = local.replace(tzinfo=timezone.utc)
        return moment, f"{text} names no zone, so it is read as UTC"
    zone = _zone(zone_text, text)
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(timezone.utc) for fold in (0, 1))
    if first != second:
        # Within the hour that a change of the clocks repeats, or leaves out.
        raise _unclear(text, f"is not one moment in {zone_text}, where the clocks change; give the offset, as +01:00")
    return first, "" if first.replace(tzinfo=None) == local else f"{text} is {human_time(first)}"


def _zone(text: str, whole: str) -> tzinfo:
    if text.upper() in ("Z", "UTC", "GMT"):
        return timezone.utc
    offset = _OFFSET.match(text)
    if offset:
        minutes = int(offset.group("hours")) * 60 + int(offset.group("minutes") or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if offset.group("sign") == "-" else minutes))
    if _AREA.match(text):
        # What the host knows of the world's clocks; not every host has it.
        from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

        try:
            return ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError):
            raise _unclear(whole, f"names the zone {text}, which this host does not know; give the offset") from None
    raise _unclear(whole, f"names the zone {text}, which can mean several; give the offset, as +01:00")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From when to when each database can be restored to any moment, by what is in the repository, and how its log is
followed just now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import promises
from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import adapters_of, read_manifest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Point,
    human_seconds,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Beside, Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, human_time
from ansible_collections.slipway.ops.plugins.module_utils._log.status import LOSS_SECONDS, gaps, is_fresh

# How many of the oldest points are looked at for one from which the log leads to its end: each costs a fetch.
LOOKED_AT = 10


def log_status(tools: Tools, points: Sequence[Point]) -> dict[str, Any]:
    """How the log of each database stands, by its service; empty where no log is followed."""
    if tools.log is None:
        return {}
    good = [point for point in points if point.good]
    found = _followed(tools)
    try:
        spans = _spans(tools, good)
    except BackupError as error:
        spans = {}
        for state in found.values():
            state["remark"] = f"what the repository holds of it cannot be told: {error}"
    for service, span in spans.items():
        found.setdefault(service, _unknown()).update(span)
    for state in found.values():
        loss = state["loss_seconds"]
        good_log = loss is not None and loss <= LOSS_SECONDS and not state["holes"]
        state["ok"] = bool(state["followed"]) and good_log and state["waits_for_receiver"] is not False
    return found


def _unknown() -> dict[str, Any]:
    return {
        "followed": False,
        "loss_seconds": None,
        "receiver": "",
        "waits_for_receiver": None,
        "last_sent": "",
        "last_sent_seconds": None,
        "holes": [],
        "problems": [],
        "from": "",
        "until": "",
        "remark": "no point can be followed by it yet; make one: slipway backup run",
    }


def _followed(tools: Tools) -> dict[str, dict[str, Any]]:
    """What the follower said last."""
    status = promises.read_log_status(tools.place) or {}
    now = tools.host.now()
    followed = is_fresh(status, now.timestamp())
    found = {}
    for service, record in sorted((status.get("sources") or {}).items()):
        repositories = list((record.get("repositories") or {}).values())
        sent = max((float(item.get("sent_timestamp_seconds") or 0) for item in repositories), default=0.0)
        found[str(service)] = {
            **_unknown(),
            "followed": followed,
            "loss_seconds": record.get("loss_seconds"),
            "receiver": str(record.get("receiver") or ""),
            "waits_for_receiver": record.get("waits_for_receiver"),
            "last_sent": datetime.fromtimestamp(sent, now.tzinfo).isoformat() if sent else "",
            "last_sent_seconds": round(now.timestamp() - sent) if sent else None,
            "holes": gaps(record),
            "problems": list(record.get("problems") or []),
        }
    return found


def _spans(tools: Tools, good: Sequence[Point]) -> dict[str, dict[str, str]]:
    """From when to when each database can be restored, by its service."""
    if not good:
        return {}
    found: dict[str, dict[str, str]] = {}
    ends: dict[str, str] = {}
    for adapter, record, end, until, remark in _leads(tools, good[-1]):
        service = adapter.source.service
        ends[service] = end
        found[service] = {"from": _ended(record), "until": until, "remark": remark}
    open_ones = set(ends)
    for point in good[:-1][:LOOKED_AT]:
        if not open_ones:
            break
        for adapter, record, end, _until, _remark in _leads(tools, point):
            service = adapter.source.service
            if service in open_ones and end == ends[service]:
                found[service]["from"] = _ended(record)
                open_ones.discard(service)
    return found


def _leads(tools: Tools, point: Point) -> list[tuple[Beside, dict[str, Any], str, str, str]]:
    """For each database of a point from which its log leads on: where that ends, when, and what ends it."""
    found = []
    for adapter, record in adapters_of(tools, read_manifest(tools, point)):
        coverage = adapter.reach(record, Target()).coverage if isinstance(adapter, Beside) else None
        if isinstance(adapter, Beside) and coverage is not None:
            until = coverage.end_time.isoformat() if coverage.end_time else ""
            found.append((adapter, record, coverage.end, until, coverage.remark))
    return found


def _ended(record: Mapping[str, Any]) -> str:
    return datetime.fromisoformat(str(record["end_time"])).isoformat()


def _human(text: str) -> str:
    return human_time(datetime.fromisoformat(text)) if text else "an unknown time"


def describe(stack: str, logs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The same for people."""
    lines = []
    for service, state in sorted(logs.items()):
        if state["from"]:
            begin, end = (_human(state[name]) for name in ("from", "until"))
            line = f"{service}: any second from {begin} to {end} can be restored"
        else:
            line = f"{service}: only points can be restored"
        lines.append(line + (f" ({state['remark']})" if state["remark"] else ""))
        if not state["followed"]:
            lines.append(f"  NOT FOLLOWED: look at journalctl -u slipway-backup-follow-{stack}")
            continue
        loss, sent = state["loss_seconds"], state["last_sent_seconds"]
        said = f"last sent {human_seconds(sent)} ago" if sent is not None else "nothing was sent yet"
        said += f"; a loss now would cost {human_seconds(loss)} of changes" if loss is not None else ""
        lines.append(f"  {said}")
        if state["waits_for_receiver"]:
            lines.append(f"  commits wait for the receiver {state['receiver']} on another host")
        lines += [f"  HOLE: {state['holes'][0]} ({len(state['holes'])} in all)"] if state["holes"] else []
        lines += [f"  problem: {problem}" for problem in state["problems"]]
    return lines

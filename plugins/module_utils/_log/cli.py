# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What `slipway backup follow` and `slipway backup log` do."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from types import FrameType
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    SOURCE_POSTGRESQL,
    BackupError,
    UsageError,
    human_bytes,
    human_seconds,
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog, wal
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import Fetcher, rebuild
from ansible_collections.slipway.ops.plugins.module_utils._log.follow import Follower, follow
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    Coverage,
    Piece,
    Stream,
    by_stream,
    coverage,
    runs,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.source import LogTools
from ansible_collections.slipway.ops.plugins.module_utils._log.status import LOSS_SECONDS, gaps, is_fresh
from ansible_collections.slipway.ops.plugins.module_utils._log.wiring import present_lineage, stores_for, tools_for
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def add_parsers(actions: Any) -> None:
    """The words of the command line."""
    actions.add_parser("follow", help="follow the databases' logs until stopped; runs as a service")
    log = actions.add_parser("log", help="how the databases' logs stand, and what the repository holds of them")
    log.add_argument("--source", default="", help="only the log of this service")
    log.add_argument("--statements", action="store_true", help="show what dropped, emptied or deleted (MySQL, MariaDB)")
    log.add_argument("--all", action="store_true", help="with --statements: show every transaction")
    log.add_argument("--since", default="", metavar="TIME", help="with --statements: from this time on (a day ago)")
    log.add_argument("--until", default="", metavar="TIME", help="with --statements: up to this time (now)")


def run_follow(wanted: argparse.Namespace, stack: str) -> int:
    """`slipway backup follow`: until SIGTERM or SIGINT."""
    tools = tools_for(stack, _say)

    def ready(follower: Follower) -> None:
        def stop(number: int, frame: FrameType | None) -> None:
            follower.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    follow(tools, ready, replaced(sys.argv[0]))
    return 0


def replaced(path: str) -> Callable[[], bool]:
    """Tells whether a file has been replaced since now. The program is an archive, which nothing more can be loaded
    from once another one is in its place."""

    def look() -> tuple[int, int, int] | None:
        with suppress(OSError):
            found = os.stat(path)
            return found.st_dev, found.st_ino, found.st_mtime_ns
        return None

    begun = look()
    return lambda: look() not in (None, begun)


def _say(line: str) -> None:
    # Nobody may be listening any more; the job goes on.
    with suppress(OSError):
        sys.stdout.write(f"{' '.join(line.split())}\n")
        sys.stdout.flush()


def run_log(wanted: argparse.Namespace, stack: str) -> int:
    """`slipway backup log`."""
    tools = tools_for(stack, lambda line: None)
    chosen = [source for source in tools.settings.sources if wanted.source in ("", source.key)]
    if not chosen:
        known = ", ".join(source.key for source in tools.settings.sources) or "none"
        raise UsageError(f"--source {wanted.source!r}: is not followed here; known: {known}")
    stores: dict[str, Any] = dict(stores_for(tools))
    if wanted.statements:
        return _show_statements(wanted, tools, chosen, next(iter(stores.values())))
    found = overview(tools, chosen, stores)
    if wanted.json:
        sys.stdout.write(json.dumps(found, indent=2, sort_keys=True) + "\n")
    else:
        sys.stdout.write("\n".join(describe(found)) + "\n")
    return 0 if found["ok"] else BackupError.exit_status


def overview(tools: LogTools, sources: Sequence[LogSource], stores: dict[str, Any]) -> dict[str, Any]:
    """What is followed, how it stands, and what each repository holds."""
    status = files.read_json(tools.place.status)
    status = status if isinstance(status, dict) else {}
    age = tools.now() - float(status.get("epoch") or 0)
    found: dict[str, Any] = {
        "stack": tools.settings.stack,
        "followed": is_fresh(status, tools.now()),
        "status_age_seconds": round(age) if status else None,
        "sources": {},
    }
    fine = bool(found["followed"])
    for source in sources:
        record = dict((status.get("sources") or {}).get(source.key) or {})
        lineage = present_lineage(tools.place, source.key)
        state_file = files.read_json(f"{tools.place.source(source.key)}/state.json") or {}
        segment_bytes = int((state_file.get("facts") or {}).get("segment") or 0)
        record.update(kind=source.kind, lineage=lineage.name if lineage else "", held={})
        for item in tools.settings.repositories:
            pieces = stores[item.name].pieces(f"{tools.settings.stack}/{source.key}")
            record["held"][item.name] = {
                "url": public_url(item.url),
                "objects": len(pieces),
                "stored_bytes": sum(max(0, piece.stored) for piece in pieces),
                "lineages": held(source.kind, pieces, segment_bytes),
            }
        loss = record.get("loss_seconds")
        fine = fine and loss is not None and loss <= LOSS_SECONDS and not gaps(record)
        fine = fine and record.get("waits_for_receiver") is not False
        found["sources"][source.key] = record
    found["ok"] = fine
    return found


def held(kind: str, pieces: Sequence[Piece], segment_bytes: int = 0) -> dict[str, list[str]]:
    """For each lineage: the ranges that are held without a hole, in the server's own words."""
    lineages: dict[str, dict[str, Coverage]] = {}
    for stream, group in by_stream(pieces).items():
        lineages.setdefault(stream.lineage.name, {})[stream.name] = coverage(group)
    return {
        name: _wal_ranges(streams, segment_bytes) if kind == SOURCE_POSTGRESQL else _binlog_ranges(streams)
        for name, streams in lineages.items()
    }


def _wal_ranges(streams: dict[str, Coverage], segment_bytes: int) -> list[str]:
    closed = [found.closed or 0 for name, found in streams.items() if wal.SEGMENT_NAME.match(name)]
    size = max(closed, default=0) or segment_bytes or wal.SEGMENT_BYTES
    return [
        f"{wal.print_lsn(start)} to {wal.print_lsn(end)} on timeline {timeline}"
        for timeline, parts in wal.ranges(streams, size).items()
        for start, end in parts
    ]


def _binlog_ranges(streams: dict[str, Coverage]) -> list[str]:
    names = sorted(
        (name for name in streams if binlog.file_number(name) is not None), key=lambda name: (len(name), name)
    )
    found = runs([(name, streams[name]) for name in names], {name: binlog.next_name(name) for name in names})
    return [
        f"{run.first} to {run.last}:{run.end}" if run.first != run.last else f"{run.last}:{run.end}" for run in found
    ]


def describe(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = []
    if not found["followed"]:
        age = found["status_age_seconds"]
        since = f"since {human_seconds(age)}" if age is not None else "and never were"
        lines.append(f"NOT FOLLOWED: the logs of stack {found['stack']} are not followed {since}")
    for key, record in found["sources"].items():
        loss = record.get("loss_seconds")
        cost = f"a loss now would cost {human_seconds(loss)} of changes" if loss is not None else "nothing is known yet"
        lines.append(f"{key} ({record['kind']}), lineage {record['lineage'] or 'none yet'}: {cost}")
        lines += [f"  problem: {problem}" for problem in record.get("problems") or []]
        if record.get("waits_for_receiver"):
            lines.append(f"  commits wait for the receiver {record['receiver']} on another host")
        if record.get("wal_status"):
            kept = human_bytes(float(record.get("retained_bytes") or 0))
            lines.append(f"  server at {record.get('server_lsn')}, slot {record['wal_status']}, keeps {kept} for us")
        for name, state in record["held"].items():
            unsent = (record.get("repositories") or {}).get(name, {}).get("unsent_objects")
            left = "" if unsent is None else f", {unsent} wait to be sent" if unsent else ", nothing waits to be sent"
            size = human_bytes(state["stored_bytes"])
            lines.append(f"  {name} ({state['url']}): {state['objects']} objects, {size}{left}")
            for lineage, ranges in state["lineages"].items():
                lines += [f"    {lineage}: {text}" for text in ranges]
    return lines


def parse_time(text: str) -> float:
    """A time such as 2026-11-22T01:38:07Z; without a zone it is UTC."""
    plain = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    # Python before 3.11 takes three or six digits behind the point, and nothing between.
    plain = re.sub(r"\.(\d{1,6})(?=$|[+-])", lambda found: f".{found[1]:0<6}", plain)
    try:
        moment = datetime.fromisoformat(plain)
    except ValueError:
        raise UsageError(f"{text!r}: is not a time; give one such as 2026-11-22T01:38:07Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def statements(
    fetcher: Fetcher, pieces: Sequence[Piece], since: float, until: float, scratch: str
) -> Iterator[binlog.Transaction]:
    """The transactions of a lineage within a span, file by file, the newest file first."""
    groups = by_stream(pieces)
    names: list[tuple[int, Stream]] = [
        (binlog.file_number(stream.name) or 0, stream)
        for stream in groups
        if binlog.file_number(stream.name) is not None
    ]
    for _number, stream in sorted(names, reverse=True):
        target = f"{scratch}/{stream.name}"
        rebuild(fetcher, groups[stream], target, f"{scratch}/objects")
        try:
            with open(target, "rb") as file:
                begun = binlog.Reader(file, stream.name).format.seconds
                for transaction in binlog.transactions(file, stream.name):
                    if since <= transaction.time <= until:
                        yield transaction
        finally:
            os.unlink(target)
        if begun < since:
            return


def _show_statements(wanted: argparse.Namespace, tools: LogTools, sources: Sequence[LogSource], store: Any) -> int:
    now = datetime.fromtimestamp(tools.now(), timezone.utc)
    since = parse_time(wanted.since) if wanted.since else (now - timedelta(days=1)).timestamp()
    until = parse_time(wanted.until) if wanted.until else now.timestamp()
    found = []
    files.ensure_directory(tools.place.root)
    for source in sources:
        lineage = present_lineage(tools.place, source.key)
        if source.kind == SOURCE_POSTGRESQL or lineage is None:
            continue
        scratch = tempfile.mkdtemp(prefix="statements-", dir=tools.place.root)
        try:
            pieces = store.pieces(lineage.path)
            for transaction in statements(store, pieces, since, until, scratch):
                if wanted.all or transaction.loses:
                    found.append({"source": source.key, **vars(transaction)})
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    found.sort(key=lambda item: (item["source"], item["stream"], item["start"]))
    if wanted.json:
        sys.stdout.write(json.dumps({"stack": tools.settings.stack, "transactions": found}, indent=2) + "\n")
    else:
        sys.stdout.write("".join(f"{line_of(item)}\n" for item in found) or "there is none in this span\n")
    return 0


def line_of(item: dict[str, Any]) -> str:
    """A transaction in one line."""
    micro = item["microseconds"]
    moment = datetime.fromtimestamp(item["seconds"] if micro is None else micro / 1_000_000, timezone.utc)
    time = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro is not None else "%Y-%m-%dT%H:%M:%SZ")
    text = item["statement"] or "; ".join(item["changes"])
    words = [time, f"{item['stream']}:{item['start']}", item["gtid"] or "-", item["database"] or "-", text]
    return "  ".join(words)


ACTIONS: dict[str, Callable[[argparse.Namespace, str], int]] = {"follow": run_follow, "log": run_log}

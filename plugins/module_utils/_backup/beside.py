# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old data for a look: put together beside the live data and opened in an isolated server, which runs until it is
discarded. From there one database, or one table, can be copied into the live server."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.choice import adapters_of, choose_for
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    RefusedError,
    human_bytes,
    point_name,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import (
    check_confirmed,
    origin,
    space_problems,
    way,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_LOOK,
    Beside,
    Opened,
    Source,
    Tools,
    Wanted,
    Workspace,
    adapter_for,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, target_from
from ansible_collections.slipway.ops.plugins.module_utils._state import files

STEP_BEGUN = "begun"
STEP_OPEN = "open"


def read_look(tools: Tools) -> dict[str, Any] | None:
    """What is there for a look, or was begun."""
    value = files.read_json(tools.place.look)
    return value if isinstance(value, dict) else None


def look(tools: Tools, target: Target, service: str = "", plan_only: bool = False) -> dict[str, Any]:
    """Put the databases of a target together and open them. The caller has made sure that nobody else does so."""
    present = read_look(tools)
    if present is not None and present["step"] == STEP_OPEN:
        raise RefusedError(
            f"there is one already, of {target_from(present['target']).describe()}: {_names(present)}; discard it"
            f" first: slipway restore --discard-beside --stack {tools.settings.stack}"
        )
    choice = choose_for(tools, target, service)
    chosen = [
        (adapter, record)
        for adapter, record in adapters_of(tools, choice.manifest)
        if isinstance(adapter, Beside) and service in ("", adapter.source.service)
    ]
    if not chosen:
        which = f"service {service} of stack {tools.settings.stack}" if service else f"stack {tools.settings.stack}"
        raise RefusedError(
            f"{which}: point {choice.point.name} holds no database that can be put together beside the live one;"
            " for files and dumps: slipway restore --extract DIRECTORY"
        )
    problems = [problem for adapter, record in chosen for problem in adapter.check_target(record)]
    problems += [problem for reach in choice.reaches.values() for problem in reach.problems]
    problems += [] if problems else space_problems(tools, chosen, choice, None)
    lines = [origin(tools, choice), *way(target, choice)]
    for adapter, record in chosen:
        lines.append(
            f"put {adapter.label} of point {choice.point.name} together beside the live data"
            f" ({human_bytes(record['bytes'])}), bring it to {target.describe()}, and open it; nothing live is touched"
        )
    if plan_only:
        return {**choice.point.as_dict(), "plan": lines, "problems": problems, "warnings": choice.warnings}
    if problems:
        raise RefusedError("; ".join(problems))
    files.ensure_directory(tools.place.state, 0o700)
    state: dict[str, Any] = {
        # What a killed try left has the same id, and makes room for this one.
        "id": present["id"] if present else point_name(tools.host.now()),
        "point": choice.point.name,
        "target": target.as_dict(),
        "step": STEP_BEGUN,
        "sources": {},
    }
    files.write_json(tools.place.look, state)
    for line in [*choice.warnings, *lines]:
        tools.progress(line)
    warnings = list(choice.warnings)
    for adapter, record in chosen:
        workspace = _workspace(adapter, state)
        state["sources"][adapter.source.key] = {"source": adapter.source.as_dict(), "record": record}
        files.write_json(tools.place.look, state)
        try:
            prepared = adapter.prepare(record, choice.point, target, workspace)
            container = adapter.open(record, prepared, workspace)
        except BackupError:
            discard_look(tools)
            raise
        warnings += prepared.warnings
        state["sources"][adapter.source.key].update(
            {"reached": prepared.reached, "container": container.name, "visit": adapter.visit(container)}
        )
    state["step"] = STEP_OPEN
    files.write_json(tools.place.look, state)
    return {**describe(tools, state), "warnings": warnings}


def describe(tools: Tools, state: dict[str, Any]) -> dict[str, Any]:
    """What is there, for people and machines."""
    return {
        "stack": tools.settings.stack,
        **{name: state[name] for name in ("id", "point", "target", "step")},
        "opened": [
            {name: found.get(name, "") for name in ("container", "reached", "visit")}
            for _key, found in sorted(state["sources"].items())
        ],
    }


def _names(state: dict[str, Any]) -> str:
    return ", ".join(str(found.get("container", "")) for _key, found in sorted(state["sources"].items()))


def _workspace(adapter: Beside, state: dict[str, Any]) -> Workspace:
    return adapter.workspace(state["id"], PURPOSE_LOOK)


def _adapters(tools: Tools, state: dict[str, Any]) -> list[tuple[Beside, dict[str, Any]]]:
    found = []
    for _key, entry in sorted(state["sources"].items()):
        adapter = adapter_for(Source(**entry["source"]), tools)
        if isinstance(adapter, Beside):
            found.append((adapter, entry))
    return found


def discard_look(tools: Tools) -> list[str]:
    """Remove it; returns what was removed."""
    state = read_look(tools)
    if state is None:
        return []
    removed = []
    for adapter, _entry in _adapters(tools, state):
        tools.progress(f"removing what was put together of {adapter.label}")
        adapter.discard(_workspace(adapter, state))
        removed.append(adapter.source.key)
    files.remove(tools.place.look)
    return removed


def parse_wanted(database: str, table: str) -> Wanted:
    """What an operator typed: a database, and `table`, `schema.table` or nothing."""
    schema, separator, name = table.partition(".")
    if not table:
        return Wanted(database)
    return Wanted(database, schema, name) if separator else Wanted(database, table=table)


def copy(tools: Tools, wanted: Wanted, confirm: str, service: str = "", plan_only: bool = False) -> dict[str, Any]:
    """Copy one database or one table into the live server. The caller holds the stack's lease."""
    state = read_look(tools)
    if state is None or state["step"] != STEP_OPEN:
        raise RefusedError(
            "nothing is opened beside the live data; do that first: slipway restore --beside --to 'MOMENT'"
            f" --stack {tools.settings.stack}"
        )
    found = [(adapter, entry) for adapter, entry in _adapters(tools, state) if service in ("", adapter.source.service)]
    if len(found) != 1:
        services = ", ".join(adapter.source.service for adapter, _entry in found) or "none"
        raise RefusedError(f"{wanted.text}: it is not clear from which server ({services}); say --service")
    adapter, entry = found[0]
    lines = [
        f"copy {wanted.text}, as it was at {target_from(state['target']).describe()}, into the live server of service"
        f" {adapter.source.service}; what has its name there is kept under another one"
    ]
    if not plan_only:
        check_confirmed(tools.settings.stack, confirm)
    containers = tools.docker.isolated(adapter.labels(_workspace(adapter, state)))
    if not containers or not containers[0].running:
        raise BackupError(
            f"{entry['container']}: does not run any more; discard it and put it together again: slipway restore"
            f" --discard-beside --stack {tools.settings.stack}"
        )
    opened = Opened(entry["record"], containers[0])
    if plan_only:
        plan: dict[str, Any] = {"plan": lines, "problems": [], "warnings": []}
        if wanted.table:
            rows, live = adapter.count(opened, wanted)
            kept = "there is no live table" if live is None else f"the {live} of the live table are kept beside"
            lines.append(f"{rows} rows come; {kept}")
            plan.update(rows=rows, live_rows=live)
        return plan
    tools.progress(lines[0])
    event = {"event": "copy", "what": wanted.text, "id": state["id"], "target": state["target"]}
    started = tools.host.now()
    # An id of its own: the same table may be copied twice from one look.
    result = adapter.copy(opened, wanted, point_name(started))
    files.append_json_line(tools.place.history, {**event, **result, "time": started.isoformat()})
    return {"stack": tools.settings.stack, **result}

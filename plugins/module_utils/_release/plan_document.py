# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as a document: complete for programs, short for people, with what it will probably cost in time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import size_text
from ansible_collections.slipway.ops.plugins.module_utils._release.images import Wanted
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Observed
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import (
    CREATE,
    KEEP,
    REMOVE,
    ROLL,
    START,
    STOP_FIRST,
    Plan,
    ServicePlan,
)
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import RECREATE, Stack

FORMAT = "slipway-plan/1"
LOOK_BACK = 5
WATCH = "watch"

# How a line for people is meant; whoever prints it has the colours.
HEAD, ADD, CHANGE, DROP, SAME, NOTE = "head", "add", "change", "drop", "same", "note"
_STYLES = {KEEP: SAME, CREATE: ADD, START: ADD, ROLL: CHANGE, STOP_FIRST: CHANGE, REMOVE: DROP}

Line = tuple[str, str]


class PlanFileError(Exception):
    """A plan file cannot be applied here; one line with the reason and the remedy."""


def describe(
    stack: Stack,
    plan: Plan,
    observed: Observed,
    wanted: Iterable[Wanted],
    deployed: Mapping[str, Any] | None,
    history: Sequence[Mapping[str, Any]],
    settle_seconds: float,
) -> dict[str, Any]:
    """Everything about the plan but the host's name and what it stands on. No value of a variable is in it."""
    fetched = {each.reference: each for each in wanted}
    times = _Times(stack, plan, history, settle_seconds)
    return {
        "stack": stack.name,
        "engine": stack.engine,
        "release": plan.release,
        "changed": plan.changed,
        "services": [_service(stack, plan, each, observed, fetched, times) for each in plan.services],
        "pulls": [
            {"image": name, "digest": fetched[name].digest, "bytes": fetched[name].size}
            if name in fetched
            else {"image": name, "digest": "", "bytes": None}
            for name in plan.pulls
        ],
        "networks": list(plan.networks),
        "volumes": list(plan.volumes),
        "upstreams": list(plan.upstreams),
        "strays": [each.name for each in plan.strays],
        "records": list(plan.records),
        "configs": _contents(stack.plain, deployed, "configs"),
        "secrets": _contents(stack.plain, deployed, "secrets"),
        "migrations": [each.service for each in plan.services if each.migrate],
        "recovery_point": plan.recovery_point,
        "pending_commands": list(plan.pending_commands),
        "shares": [{"share": stage.share, "seconds": stage.seconds} for stage in plan.stages],
        "warnings": plan.warnings(),
        "predicted": {"seconds": times.whole, "gap_seconds": times.gap_at_most, "from": times.source},
        "lines": plan.lines(),
    }


def _service(
    stack: Stack, plan: Plan, entry: ServicePlan, observed: Observed, fetched: Mapping[str, Wanted], times: _Times
) -> dict[str, Any]:
    service = stack.services.get(entry.service)
    image = service.image if service else ""
    here = observed.images.get(image)
    digest = fetched[image].digest if image in fetched else ""
    return {
        "service": entry.service,
        "action": entry.action,
        "reason": entry.reason,
        "strategy": entry.strategy if entry.action in (ROLL, STOP_FIRST) else "",
        "how": entry.how,
        "image": image,
        "digest": digest or (here.digest or here.id if here else ""),
        "images_now": sorted({each.image for each in (*entry.keep, *entry.old)}),
        "replicas": service.replicas if service else 0,
        "keep": [each.number for each in entry.keep],
        "start": [each.number for each in entry.start],
        "new": list(entry.numbers),
        "remove": [each.number for each in entry.old],
        "migrate": entry.migrate,
        "gap_seconds": times.gap(entry),
        "networks": [stack.network_name(key) for key in service.networks] if service else [],
        "volumes": [
            stack.volume_name(mount["source"]) for mount in service.plain["volumes"] if mount["type"] == "volume"
        ]
        if service
        else [],
    }


def _contents(model: Mapping[str, Any], deployed: Mapping[str, Any] | None, section: str) -> dict[str, list[str]]:
    had, has = (deployed or {}).get(section) or {}, model[section]
    return {
        "new": sorted(set(has) - set(had)),
        "changed": sorted(name for name in set(has) & set(had) if has[name] != had[name]),
        "gone": sorted(set(had) - set(has)),
    }


class _Times:
    """From what such phases took before; without that, from the file's own healthchecks and limits."""

    def __init__(self, stack: Stack, plan: Plan, history: Sequence[Mapping[str, Any]], settle_seconds: float) -> None:
        self._stack = stack
        self._settle = settle_seconds
        good = [record for record in history if record.get("outcome") == "succeeded" and record.get("seconds")]
        self._good = good[-LOOK_BACK:]
        self._past = [record["seconds"] for record in self._good]
        moving = [each for each in plan.moving if each.service in stack.services]
        self.source = f"the last {len(self._past)} releases" if self._past else "healthchecks and limits of the file"
        watched = sum(stage.seconds for stage in plan.stages)
        if not plan.changed:
            self.whole: float = 0
        elif self._past:
            # How long is watched is said by the file, at the least; the rest is as it was.
            usual = {phase: median(past.get(phase, 0) for past in self._past) for phase in self._phases()}
            drained = usual.pop(WATCH, 0) if len(plan.stages) == 1 else 0
            self.whole = round(sum(usual.values()) + max(watched, drained), 1)
        else:
            self.whole = round(sum(self._ready(each.service) for each in moving) + watched + 1, 1)
        self.gap_at_most = max((self.gap(each) for each in plan.services), default=0)

    def _phases(self) -> list[str]:
        return sorted({phase for past in self._past for phase in past})

    def _ready(self, name: str) -> float:
        """How long a new replica takes to count as ready, at best: the first probe comes after one interval."""
        service = self._stack.services[name]
        if not service.has_healthcheck:
            return self._settle
        check = service.plain["healthcheck"]
        return float(check.get("start_interval") or check.get("interval") or 30)

    def gap(self, entry: ServicePlan) -> float:
        if entry.action != STOP_FIRST or entry.service not in self._stack.services:
            return 0
        phases = ["replace"]
        if entry.strategy == RECREATE:
            phases = ["stop", *(["migrate"] if entry.migrate else []), "start"]
        taken = [
            sum(record["seconds"].get(phase, 0) for phase in phases)
            for record in self._good
            if (record.get("services") or {}).get(entry.service) == STOP_FIRST
        ]
        service = self._stack.services[entry.service]
        worst = service.stop_grace_seconds + self._ready(entry.service)
        if taken and entry.strategy == RECREATE:
            return float(round(max(taken), 1))
        return round(min(max(taken), worst) if taken else worst, 1)


# For people


def lines(document: Mapping[str, Any]) -> list[Line]:
    """A line for each thing, the shortest that says it."""
    moving = [each for each in document["services"] if each["action"] != KEEP]
    predicted = document["predicted"]
    where = f"{document['stack']} on {document['host']}" if document.get("host") else document["stack"]
    if not document["changed"]:
        return [(HEAD, f"{where}: nothing to do, release {document['release'] - 1} runs as asked")]
    gap = f", a gap of up to {predicted['gap_seconds']:g} s" if predicted["gap_seconds"] else ", no gap"
    counted = f"{len(moving)} of {len(document['services'])} services"
    found = [
        (
            HEAD,
            f"{where}: release {document['release']}, {counted}, about {predicted['seconds']:g} s{gap} "
            f"(by {predicted['from']})",
        )
    ]
    width = max((len(each["service"]) for each in document["services"]), default=0)
    found += [(_STYLES.get(each["action"], NOTE), f"  {_service_line(each, width)}") for each in document["services"]]
    found += [(NOTE, f"  {warning}") for warning in document["warnings"]]
    found += [(ADD, f"  pull {_pull_line(each)}") for each in document["pulls"]]
    if document["recovery_point"]:
        found.append((NOTE, "  make a recovery point before the migration"))
    found += [(ADD, f"  create network {name}") for name in document["networks"]]
    found += [(ADD, f"  create volume {name}") for name in document["volumes"]]
    found += [(CHANGE, f"  write upstream {name}") for name in document["upstreams"]]
    found += [(DROP, f"  remove the stray container {name}") for name in document["strays"]]
    for section in ("configs", "secrets"):
        for kind, style in (("new", ADD), ("changed", CHANGE), ("gone", DROP)):
            found += [(style, f"  {section[:-1]} {name}: {kind}") for name in document[section][kind]]
    found += [(NOTE, f"  record {what}") for what in document["records"]]
    return found


def _service_line(entry: Mapping[str, Any], width: int) -> str:
    head = f"{entry['service']:<{width}}  {entry['action']}"
    if entry["action"] == KEEP:
        return head
    numbers = [f"{len(entry[key])} {word}" for key, word in (("new", "new"), ("start", "started again")) if entry[key]]
    numbers += [f"{len(entry['remove'])} removed"] if entry["remove"] else []
    told = [f"({entry['reason']})" if entry["reason"] else "", ", ".join(numbers)]
    told += ["migrate" if entry["migrate"] else ""]
    told += [entry["how"]]
    told += [f"gap up to {entry['gap_seconds']:g} s" if entry["gap_seconds"] else ""]
    return "  ".join([head, *filter(None, told)])


def _pull_line(entry: Mapping[str, Any]) -> str:
    told = [entry["digest"][:19] if entry["digest"] else "", size_text(entry["bytes"]) if entry["bytes"] else ""]
    inside = ", ".join(filter(None, told))
    return f"{entry['image']}{f' ({inside})' if inside else ''}"


# The file


def _seal(plan: Mapping[str, Any]) -> str:
    text = json.dumps({key: value for key, value in plan.items() if key != "seal"}, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def pack(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """The plans of all hosts as the text of one file."""
    plan: dict[str, Any] = {
        "format": FORMAT,
        "stack": next((each["stack"] for each in documents.values()), ""),
        "hosts": {host: dict(document) for host, document in documents.items()},
    }
    return json.dumps({**plan, "seal": _seal(plan)}, indent=2, sort_keys=True) + "\n"


def unpack(text: str, stack: str, hosts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The documents of these hosts. Raises PlanFileError for a file that is not exactly theirs."""
    again = "make it anew: ansible-playbook playbooks/plan.yml -e stack_plan_file=..."
    try:
        plan = json.loads(text)
    except ValueError as error:
        raise PlanFileError(f"the plan file is no JSON ({error}); {again}") from error
    if not isinstance(plan, dict) or not str(plan.get("format", "")).startswith("slipway-plan/"):
        raise PlanFileError(f"the file is no plan of Slipway; {again}")
    if plan["format"] != FORMAT:
        raise PlanFileError(f"the plan file has the format {plan['format']} and this is {FORMAT}; {again}")
    if plan.get("seal") != _seal(plan):
        raise PlanFileError(f"the plan file was changed after it was written; {again}")
    if plan["stack"] != stack:
        raise PlanFileError(f"the plan file is for the stack {plan['stack']} and not for {stack}; {again}")
    planned, given = sorted(plan["hosts"]), sorted(hosts)
    if planned != given:
        raise PlanFileError(
            f"the plan file is for the hosts {', '.join(planned)} and this play has {', '.join(given)}; "
            f"release on all of them, or {again}"
        )
    return dict(plan["hosts"])

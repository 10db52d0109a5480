# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a stack's logs stand: a file for people, plays and the watch, and figures for node_exporter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

# A follower says every few seconds how it stands. One that said it longer ago than this is taken for dead.
STALE_SECONDS = 60
# A loss of the host that would cost more than this is a fault.
LOSS_SECONDS = 60

SOURCE_METRICS = (
    ("holes", "How many files of the log are missing between the first and the last one that were cut."),
    ("receiving", "Whether the log is being received."),
    ("waits_for_receiver", "Whether commits wait for the receiver on another host, where one is asked for."),
    ("behind_seconds", "For how long the server has had log that was not received."),
    ("unreceived_seconds", "For how long receiving has failed."),
    ("uncut_seconds", "For how long cutting has failed."),
    ("loss_seconds", "How many seconds of changes a loss of the host would cost now."),
    ("retained_bytes", "How much log the server keeps because it was not received."),
    ("audit_timestamp_seconds", "When the server was last asked how it sees things."),
    ("problems", "How many problems there are."),
)
REPOSITORY_METRICS = (
    (
        "unsent_seconds",
        "The age of the oldest byte of the log that is not in the repository: what a loss would cost now.",
    ),
    ("unsent_bytes", "How much waits to be sent."),
    ("unsent_objects", "How many objects wait to be sent."),
    ("sent_timestamp_seconds", "When something was last sent."),
    ("conflicts", "How many objects the repository holds with another content."),
    ("missing", "How many files of the log were sent and are not in the repository."),
)


def is_fresh(status: Mapping[str, Any], now: float) -> bool:
    """Whether the follower that wrote this is alive."""
    return abs(now - float(status.get("epoch") or 0)) <= STALE_SECONDS


def gaps(source: Mapping[str, Any]) -> list[str]:
    """What is missing of a source's log: files that never came, and such as were sent and are not in a repository."""
    repositories = (source.get("repositories") or {}).values()
    missing = [item for repository in repositories for item in repository.get("missing") or []]
    return [str(item) for item in [*(source.get("holes") or []), *missing]]


def render_metrics(statuses: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of all stacks in Prometheus' text format. What is not known is left out, never 0."""
    samples: dict[str, list[str]] = {}
    for stack, status in sorted(statuses.items()):
        if isinstance(status.get("epoch"), (int, float)):
            labels = f'{{stack="{stack}"}}'
            samples.setdefault("follow_timestamp_seconds", []).append(f"{labels} {float(status['epoch']):.0f}")
        for name, labels, value in _figures(stack, status):
            samples.setdefault(name, []).append(f"{labels} {float(value):.0f}")
    meanings = {
        "follow_timestamp_seconds": "When the follower of the stack's logs last wrote its status.",
        **dict(SOURCE_METRICS),
        **dict(REPOSITORY_METRICS),
    }
    lines = []
    for name, meaning in meanings.items():
        if name in samples:
            lines += [f"# HELP slipway_log_{name} {meaning}", f"# TYPE slipway_log_{name} gauge"]
            lines += [f"slipway_log_{name}{sample}" for sample in samples[name]]
    return "".join(f"{line}\n" for line in lines)


def _figures(stack: str, status: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for key, source in sorted((status.get("sources") or {}).items()):
        labels = f'stack="{stack}",source="{key}"'
        for name, _meaning in SOURCE_METRICS:
            value = source.get(name)
            value = len(value) if isinstance(value, (list, tuple)) else value
            if isinstance(value, (bool, int, float)):
                yield name, f"{{{labels}}}", value
        for repository, record in sorted((source.get("repositories") or {}).items()):
            for name, _meaning in REPOSITORY_METRICS:
                value = record.get(name)
                value = len(value) if isinstance(value, (list, tuple)) else value
                if isinstance(value, (bool, int, float)):
                    yield name, f'{{{labels},repository="{repository}"}}', value


def loss_seconds(source: Mapping[str, Any]) -> float | None:
    """What a loss of the host would cost now, in seconds: the best repository counts, and then what was not cut, or not
    even received. None when it is not known."""
    ages = [record.get("unsent_seconds") for record in (source.get("repositories") or {}).values()]
    known = [float(age) for age in ages if isinstance(age, (int, float))]
    if not known or not source.get("position"):
        return None
    beside = [float(source.get(name) or 0) for name in ("behind_seconds", "unreceived_seconds", "uncut_seconds")]
    return max([min(known), *beside])

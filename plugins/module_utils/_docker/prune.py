# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which images go, so that images and build cache keep within their budget. Nothing runs here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._watch.gateway import moment

CONFIG_FILE = "/etc/slipway/docker/prune.json"
STATUS_FILE = "/var/lib/slipway/docker/prune.json"
GIB = 1024**3
DAY_SECONDS = 86400
# What has just come may belong to a release that has not begun yet.
GRACE_MINUTES = 60
NO_NAME = ("<none>:<none>", "<none>@<none>")
UNTAGGED = "has no name"
OVER_BUDGET = "over the budget"


@dataclass(frozen=True)
class Settings:
    """What the role writes. A budget of 0 is none."""

    budget_gib: float = 0
    budget_percent: float = 0
    unused_days: int = 7
    keep_releases: int = 2
    textfile: str = ""

    def budget_bytes(self, filesystem_bytes: int) -> int:
        """The smaller of both budgets; 0 when there is none."""
        given = [int(self.budget_gib * GIB), int(self.budget_percent * filesystem_bytes / 100)]
        return min((each for each in given if each > 0), default=0)


@dataclass(frozen=True)
class Image:
    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    unique: int  # what its removal frees at least
    came: float

    @property
    def names(self) -> tuple[str, ...]:
        return self.tags + self.digests

    @property
    def title(self) -> str:
        return next(iter(self.names), self.id.partition(":")[2][:12])


@dataclass(frozen=True)
class Usage:
    """What images and build cache take."""

    layers: int = 0
    cache: int = 0
    cache_unused: int = 0
    images: tuple[Image, ...] = ()
    used: frozenset[str] = field(default=frozenset())  # ids of the images that a container has, running or not

    @property
    def total(self) -> int:
        return self.layers + self.cache


@dataclass(frozen=True)
class Removal:
    image: Image
    reason: str


def parse_settings(raw: Mapping[str, Any]) -> Settings:
    return Settings(
        budget_gib=float(raw.get("budget_gib", 0)),
        budget_percent=float(raw.get("budget_percent", 0)),
        unused_days=int(raw.get("unused_days", 7)),
        keep_releases=int(raw.get("keep_releases", 2)),
        textfile=str(raw.get("textfile", "")),
    )


def parse_usage(disk: Mapping[str, Any], containers: Iterable[Mapping[str, Any]], details: Mapping[str, Any]) -> Usage:
    """From the engine's answers to `system df`, `ps --all` and `image inspect`."""
    images = []
    for raw in disk.get("Images") or []:
        tagged = (details.get(raw["Id"]) or {}).get("Metadata") or {}
        size, shared = int(raw.get("Size") or 0), int(raw.get("SharedSize") or 0)
        images.append(
            Image(
                id=raw["Id"],
                tags=_named(raw.get("RepoTags")),
                digests=_named(raw.get("RepoDigests")),
                size=size,
                unique=max(0, size - max(0, shared)),
                came=max(_seconds(tagged.get("LastTagTime")), float(raw.get("Created") or 0)),
            )
        )
    cache = disk.get("BuildCache") or []
    own = [each for each in cache if not each.get("Shared")]
    return Usage(
        layers=int(disk.get("LayersSize") or 0),
        cache=sum(int(each.get("Size") or 0) for each in own),
        cache_unused=sum(int(each.get("Size") or 0) for each in own if not each.get("InUse")),
        images=tuple(images),
        used=frozenset(str(each.get("ImageID", "")) for each in containers),
    )


def _named(names: Iterable[str] | None) -> tuple[str, ...]:
    return tuple(name for name in names or () if name not in NO_NAME)


def _seconds(text: object) -> float:
    """The engine writes nanoseconds, which Python before 3.11 does not read, and the year 1 for never."""
    if not isinstance(text, str) or text.startswith("0001-"):
        return 0.0
    return moment(text[:19] + "Z") or 0.0


def needed_names(
    models: Iterable[Mapping[str, Any]], histories: Iterable[Sequence[Mapping[str, Any]]], keep_releases: int
) -> frozenset[str]:
    """Tags, digests and ids that deployed stacks name, and those of the releases that one may go back to."""
    found: set[str] = set()
    for model in models:
        found.update(str(service["image"]) for service in (model.get("services") or {}).values())
    for history in histories:
        kept: list[Mapping[str, str]] = []
        for record in reversed(history):
            images = record.get("images") or {}
            # A release of the same images again is nothing to go back to.
            if record.get("outcome") == "succeeded" and images not in kept and len(kept) < keep_releases:
                kept.append(images)
                found.update(str(image) for image in images.values())
    return frozenset(_full(name) for name in found)


def _full(name: str) -> str:
    """A tag that is left out is `latest`."""
    if "@" in name or name.startswith("sha256:") or ":" in name.rpartition("/")[2]:
        return name
    return f"{name}:latest"


def is_needed(image: Image, usage: Usage, needed: frozenset[str]) -> bool:
    return image.id in usage.used or image.id in needed or not needed.isdisjoint(image.names)


def cache_to_keep(usage: Usage, budget: int) -> int | None:
    """How much build cache may stay, or nothing when it need not shrink. It goes first: it can always be made again."""
    excess = usage.total - budget
    if not budget or excess <= 0 or not usage.cache_unused:
        return None
    return max(0, usage.cache - excess)


def choose(
    usage: Usage,
    needed: frozenset[str],
    settings: Settings,
    budget: int,
    now: float,
    grace_minutes: int = GRACE_MINUTES,
) -> list[Removal]:
    """Images without a name that are old, and then, over the budget, the oldest ones that nothing needs."""
    free = [
        image
        for image in sorted(usage.images, key=lambda each: (each.came, each.id))
        if not is_needed(image, usage, needed) and now - image.came >= grace_minutes * 60
    ]
    chosen = [
        Removal(image, UNTAGGED)
        for image in free
        if not image.names and now - image.came >= settings.unused_days * DAY_SECONDS
    ]
    gone = {each.image.id for each in chosen}
    left = usage.total - sum(each.image.unique for each in chosen)
    for image in free:
        if not budget or left <= budget:
            break
        if image.id not in gone:
            chosen.append(Removal(image, OVER_BUDGET))
            left -= image.unique
    return chosen


def size_text(size: int) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 1024**2:.1f} MiB"


def metrics(report: Mapping[str, Any], now: float) -> str:
    """The text file for the node exporter."""
    values = (
        ("slipway_docker_used_bytes", "What images and build cache take.", report["after_bytes"]),
        ("slipway_docker_budget_bytes", "What they may take; 0 is no limit.", report["budget_bytes"]),
        ("slipway_docker_over_budget", "Whether they take more.", int(report["over_budget"])),
        ("slipway_docker_prune_last_run_timestamp_seconds", "When pruning ended.", f"{now:.0f}"),
    )
    return "".join(f"# HELP {name} {text}\n# TYPE {name} gauge\n{name} {value}\n" for name, text, value in values)


def page(report: Mapping[str, Any]) -> str:
    """What a person, and the journal, see."""
    verb = "would remove" if report["dry_run"] else "removed"
    lines = [
        f"{verb} image {each['name']} ({size_text(each['bytes'])}): {each['reason']}" for each in report["removed"]
    ]
    lines += [f"kept image {each['name']}: {each['reason']}" for each in report["refused"]]
    if report["build_cache_bytes"]:
        lines.append(f"{verb} {size_text(report['build_cache_bytes'])} of build cache")
    budget = f"of {size_text(report['budget_bytes'])}" if report["budget_bytes"] else "without a budget"
    taken = "would take" if report["dry_run"] else "take"
    lines.append(f"images and build cache {taken} {size_text(report['after_bytes'])} {budget}; volumes are not touched")
    return "\n".join(lines) + "\n"

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go, in which order, and what never may."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker import prune
from ansible_collections.slipway.ops.plugins.module_utils._docker.prune import GIB, Image, Settings, Usage

NOW = 1_800_000_000.0
DAY = 86400.0
NONE: frozenset[str] = frozenset()


def image(name: str, days: float, size: int = GIB, *, tagged: bool = True) -> Image:
    return Image(f"sha256:{name}", (f"{name}:1",) if tagged else (), (), size, size, NOW - days * DAY)


def chosen(usage: Usage, budget_gib: float, needed: frozenset[str] = NONE) -> list[str]:
    settings = Settings(budget_gib=budget_gib)
    return [each.image.id[7:] for each in prune.choose(usage, needed, settings, settings.budget_bytes(0), NOW)]


THREE = (image("old", 30), image("older", 60), image("new", 2))


@pytest.mark.parametrize(
    ("budget", "used", "needed", "expected"),
    [
        (0, NONE, NONE, []),
        (3, NONE, NONE, []),
        (2, NONE, NONE, ["older"]),
        (1, NONE, NONE, ["older", "old"]),
        (2, frozenset({"sha256:older"}), NONE, ["old"]),
        (2, NONE, frozenset({"older:1"}), ["old"]),
        (0.1, frozenset({"sha256:new"}), frozenset({"sha256:old"}), ["older"]),
    ],
    ids=["no budget", "within", "oldest first", "until it fits", "of a container", "of a release", "more than may go"],
)
def test_over_the_budget_the_oldest_go_that_nothing_needs(
    budget: float, used: frozenset[str], needed: frozenset[str], expected: list[str]
) -> None:
    assert chosen(Usage(3 * GIB, 0, 0, THREE, used), budget, needed) == expected


def test_what_has_just_come_stays_and_old_images_without_a_name_go_without_a_budget_too() -> None:
    images = (image("fresh", 0.01), image("nameless", 8, tagged=False), image("young", 6, tagged=False))
    usage = Usage(3 * GIB, 0, 0, images)
    assert chosen(usage, 0) == ["nameless"]
    assert chosen(usage, 0.1) == ["nameless", "young"]


def test_build_cache_goes_before_images_and_only_as_much_as_must() -> None:
    usage = Usage(2 * GIB, 2 * GIB, GIB, THREE)
    assert prune.cache_to_keep(usage, 3 * GIB) == GIB
    assert prune.cache_to_keep(usage, 1 * GIB) == 0
    assert prune.cache_to_keep(usage, 4 * GIB) is None
    assert prune.cache_to_keep(usage, 0) is None
    assert prune.cache_to_keep(Usage(4 * GIB, GIB, 0), 3 * GIB) is None


def test_the_smaller_budget_holds() -> None:
    assert Settings(budget_gib=10, budget_percent=5).budget_bytes(100 * GIB) == 5 * GIB
    assert Settings(budget_gib=1, budget_percent=5).budget_bytes(100 * GIB) == GIB
    assert Settings().budget_bytes(100 * GIB) == 0


def test_releases_to_go_back_to_need_their_images() -> None:
    def release(outcome: str, *images: str) -> dict[str, Any]:
        return {"outcome": outcome, "images": {str(number): name for number, name in enumerate(images)}}

    history = [
        release("succeeded", "web@sha256:1"),
        release("succeeded", "web@sha256:2"),
        release("succeeded", "web@sha256:3"),
        release("failed"),
        release("succeeded", "web@sha256:3"),
    ]
    models = [{"services": {"web": {"image": "web"}, "db": {"image": "host:5000/db"}}}]
    assert prune.needed_names(models, [history], 2) == {
        "web:latest",
        "host:5000/db:latest",
        "web@sha256:2",
        "web@sha256:3",
    }


def test_reads_what_the_engine_says() -> None:
    disk = {
        "LayersSize": 700,
        "Images": [
            {"Id": "sha256:a", "RepoTags": ["<none>:<none>"], "RepoDigests": None, "Created": 5, "Size": 400,
             "SharedSize": 100},
            {"Id": "sha256:b", "RepoTags": ["b:1"], "RepoDigests": ["b@sha256:0"], "Created": 7, "Size": 300,
             "SharedSize": -1},
        ],
        "BuildCache": [
            {"Size": 50, "InUse": False, "Shared": False},
            {"Size": 20, "InUse": True, "Shared": False},
            {"Size": 90, "InUse": False, "Shared": True},
        ],
    }  # fmt: skip
    tagged = {"sha256:b": {"Metadata": {"LastTagTime": "2026-11-20T10:00:00.123456789Z"}}}
    never = {"sha256:a": {"Metadata": {"LastTagTime": "0001-01-01T00:00:00Z"}}}
    usage = prune.parse_usage(disk, [{"ImageID": "sha256:b"}], {**tagged, **never})
    assert (usage.total, usage.cache, usage.cache_unused, usage.used) == (770, 70, 50, {"sha256:b"})
    first, second = usage.images
    assert (first.names, first.unique, first.came) == ((), 300, 5)
    assert (second.names, second.unique, second.came) == (("b:1", "b@sha256:0"), 300, 1795168800)


def test_what_is_told() -> None:
    report = {
        "dry_run": False,
        "budget_bytes": 2 * GIB,
        "before_bytes": 4 * GIB,
        "after_bytes": 3 * GIB,
        "over_budget": True,
        "build_cache_bytes": 1024**2,
        "removed": [{"name": "old:1", "bytes": GIB, "reason": prune.OVER_BUDGET}],
        "refused": [{"name": "kept:1", "reason": "conflict"}],
    }
    assert prune.page(report).splitlines() == [
        "removed image old:1 (1.0 GiB): over the budget",
        "kept image kept:1: conflict",
        "removed 1.0 MiB of build cache",
        "images and build cache take 3.0 GiB of 2.0 GiB; volumes are not touched",
    ]
    assert "\nslipway_docker_over_budget 1\n" in prune.metrics(report, NOW)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before and after."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._upgrade import health

SHOWN = """Id=web.service
ActiveState=active
SubState=running
UnitFileState=enabled
Result=success

Id=once.service
ActiveState=active
SubState=exited
UnitFileState=static
Result=success

Id=bad.service
ActiveState=failed
SubState=failed
UnitFileState=enabled
Result=exit-code

Id=user@1000.service
ActiveState=active
SubState=running
UnitFileState=static
Result=success

Id=backup.timer
ActiveState=active
SubState=waiting
UnitFileState=enabled
Result=success
"""
UNITS = health.parse_units(SHOWN)
CONTAINERS = {"db": "healthy", "web": "none"}
BEFORE = health.snapshot(UNITS, {**CONTAINERS, "sick": "unhealthy"}, ["check a: is bad"])


def test_remembers_what_lasts() -> None:
    assert BEFORE == {
        "units": ["backup.timer", "web.service"],
        "failed": ["bad.service"],
        "containers": CONTAINERS,
        "problems": ["check a: is bad"],
    }


def test_as_before_is_good_and_what_was_wrong_before_does_not_count() -> None:
    assert health.problems(BEFORE, UNITS, {"db": "healthy", "web": "none"}, ["check a: is bad"]) == []


def unit(**changes: str) -> dict[str, Any]:
    return {**UNITS, "web.service": {**UNITS["web.service"], **changes}}


@pytest.mark.parametrize(
    ("units", "containers", "now", "told"),
    [
        (unit(active="failed", sub="failed", result="exit-code"), CONTAINERS, [],
         "unit web.service: ran before, is failed now (failed, exit-code)"),
        (unit(active="inactive", sub="dead", file="disabled"), CONTAINERS, [],
         "unit web.service: ran before, is inactive now (dead); it is disabled, so it does not start at boot"),
        ({name: seen for name, seen in UNITS.items() if name != "web.service"}, CONTAINERS, [],
         "unit web.service: ran before, does not exist any more"),
        ({**UNITS, "new.service": {**UNITS["bad.service"]}}, CONTAINERS, [], "unit new.service: has failed since"),
        (UNITS, {"db": "healthy"}, [], "container web: ran before, does not run now"),
        (UNITS, {"db": "starting", "web": "none"}, [], "container db: was healthy before, is starting now"),
        (UNITS, CONTAINERS, ["stack fleet: x"], "stack fleet: x"),
    ],
)  # fmt: skip
def test_what_is_worse_is_told(units: dict[str, Any], containers: dict[str, str], now: list[str], told: str) -> None:
    assert health.problems(BEFORE, units, containers, now) == [told]


def test_reads_the_engines_list() -> None:
    listed = [
        {"Names": ["/a"], "Status": "Up 3 minutes (healthy)", "Labels": {}},
        {"Names": ["/b"], "Status": "Up 1 second (health: starting)", "Labels": None},
        {"Names": ["/c"], "Status": "Up 2 hours"},
        {"Names": ["/d"], "Status": "Up 2 hours", "Labels": {"com.docker.compose.oneoff": "True"}},
    ]
    assert health.parse_containers(listed) == {"a": "healthy", "b": "starting", "c": "none"}

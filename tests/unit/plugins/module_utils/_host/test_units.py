# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import units
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation, UnitState
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Unit

RUNNING = UnitState("x.service", load="loaded", active="active", sub="running", file="enabled", kind="notify")
STOPPED = UnitState("x.service", load="loaded", file="disabled", kind="notify")
REFUSED = UnitState("x.service", load="loaded", file="enabled", condition_refused=True)
MASKED = UnitState("x.service", load="masked", file="masked")
STALE = UnitState("x.service", load="loaded", active="active", file="enabled", needs_reload=True)
GONE = UnitState("x.service")


@pytest.mark.parametrize(
    ("state", "unit", "changed", "lines"),
    [
        pytest.param(RUNNING, Unit("x.service", True, "started"), [], [], id="as-it-is"),
        pytest.param(STOPPED, Unit("x.service", True, "started"), [], ["enable", "start"], id="start"),
        pytest.param(RUNNING, Unit("x.service", False, "stopped"), [], ["disable", "stop"], id="stop"),
        pytest.param(RUNNING, Unit("x.service", masked=True), [], ["stop", "mask"], id="mask"),
        pytest.param(MASKED, Unit("x.service", masked=True), [], [], id="masked-already"),
        pytest.param(MASKED, Unit("x.service", True, "started", False), [], ["unmask", "enable", "start"], id="unmask"),
        pytest.param(
            RUNNING, Unit("x.service", reload_on=("/etc/x/",)), ["/etc/x/a"], ["reload (/etc/x/a changed)"], id="reload"
        ),
        pytest.param(
            RUNNING,
            Unit("x.service", reload_on=("/etc/x/",), restart_on=("/etc/x/hard",)),
            ["/etc/x/hard"],
            ["restart (/etc/x/hard changed)"],
            id="restart-is-stronger",
        ),
        pytest.param(STOPPED, Unit("x.service", restart_on=("/etc/x",)), ["/etc/x"], [], id="not-running-not-wanted"),
        pytest.param(
            STOPPED, Unit("x.service", None, "started", restart_on=("/etc/x",)), ["/etc/x"], ["start"], id="start-only"
        ),
        pytest.param(RUNNING, Unit("x.service", reload_on=("/etc/x",)), ["/etc/xy"], [], id="whole-names"),
        pytest.param(
            RUNNING,
            Unit("x.service", reload_on=("/etc/x-*",)),
            ["/etc/x-1"],
            ["reload (/etc/x-1 changed)"],
            id="beginning",
        ),
        pytest.param(GONE, Unit("x.service", False, "stopped"), [], [], id="absent-is-stopped"),
    ],
)
def test_verbs(state: UnitState, unit: Unit, changed: list[str], lines: list[str]) -> None:
    problems: list[str] = []
    steps = units.plan_units([unit], Observation(units={"x.service": state}), changed, False, problems, [])
    assert [step.line for step in steps] == [f"unit x.service: {line}" for line in lines]
    assert problems == []


def test_unit_files_are_read_again() -> None:
    seen = Observation(units={"x.service": RUNNING})
    unit = Unit("x.service", True, "started", restart_on=("/etc/systemd/system/x.service",))
    steps = units.plan_units([unit], seen, ["/etc/systemd/system/x.service"], False, [], [])
    assert [step.line for step in steps] == [
        "systemd: read unit files again",
        "unit x.service: restart (/etc/systemd/system/x.service changed)",
    ]
    stale = units.plan_units([Unit("x.service")], Observation(units={"x.service": STALE}), [], False, [], [])
    assert [step.line for step in stale] == ["systemd: read unit files again"]


def test_a_refused_condition_is_a_warning_and_no_change() -> None:
    warnings: list[str] = []
    seen = Observation(units={"x.service": REFUSED})
    assert units.plan_units([Unit("x.service", True, "started")], seen, [], False, [], warnings) == []
    assert "condition" in warnings[0]


def test_a_unit_that_does_not_exist() -> None:
    problems: list[str] = []
    seen = Observation(units={"x.service": GONE})
    wanted = [Unit("x.service", True, "started")]
    assert units.plan_units(wanted, seen, [], False, problems, []) == []
    assert "does not exist" in problems[0]
    predicted = units.plan_units(wanted, seen, [], True, [], [])
    assert [step.line for step in predicted] == ["unit x.service: enable", "unit x.service: start"]


def test_what_an_earlier_run_owes_is_done_now() -> None:
    seen = Observation(units={"x.service": RUNNING}, pending={"x.service": "restart", "y.service": "reload"})
    steps = units.plan_units([Unit("x.service")], seen, [], False, [], [])
    assert [step.line for step in steps] == ["unit x.service: restart (in an earlier run that failed, a file changed)"]

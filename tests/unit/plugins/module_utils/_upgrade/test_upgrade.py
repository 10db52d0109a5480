# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of an upgrade, on a machine in memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseHeld, acquire, lease
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import Busy
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._upgrade import upgrade
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.gateway import UpgradeError
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.plan import Change, Simulation
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.upgrade import Settings, Upgrade

GIB = 1024**3


class Fake:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.packages = Simulation((Change("openssl", "1", "2"),))
        self.engine = Simulation((Change("docker.io", "26", "27"),))
        self.interrupted = False
        self.free = 10 * GIB
        self.stale: list[set[str]] = [set(), {"nginx.service", "dbus.service"}]
        self.reasons: list[str] = []
        self.worse: list[list[str]] = [[]]
        self.fails = ""

    @contextlib.contextmanager
    def lists(self) -> Iterator[None]:
        self.done.append("update")
        yield

    def wait_for_lock(self, _seconds: float, _warn: Callable[[str], None]) -> None:
        self.done.append("lock")

    def is_interrupted(self) -> bool:
        return self.interrupted

    def finish_interrupted(self, _warn: Callable[[str], None]) -> None:
        self.done.append("finish")

    def installed(self, _names: Sequence[str]) -> list[str]:
        return ["docker.io", "runc"]

    def simulate(self, *arguments: str) -> Simulation:
        return self.engine if arguments[0] == "install" else self.packages

    def needed_bytes(self, *_arguments: str) -> int:
        return GIB

    def free_bytes(self) -> dict[str, int]:
        return {"/": self.free}

    def stale_units(self) -> set[str]:
        return self.stale[0] if len(self.stale) == 1 or "apply upgrade" not in self.done else self.stale[1]

    def reboot_reasons(self) -> list[str]:
        return self.reasons

    def snapshot(self, _places: Places) -> dict[str, Any]:
        self.done.append("remember")
        return {"units": ["a.service"], "containers": {}}

    def command(self, argv: Sequence[str], name: str) -> None:
        self.done.append(argv[0])
        if argv[0] == "false":
            raise UpgradeError(f"{name}: failed")

    def apply(self, *arguments: str) -> None:
        self.done.append(f"apply {arguments[0]}")
        if self.fails and self.fails == arguments[0]:
            raise UpgradeError("apt-get failed")

    def held(self) -> frozenset[str]:
        return frozenset({"docker.io", "by-hand"})

    def set_hold(self, verb: str, names: Sequence[str]) -> None:
        self.done.append(f"{verb} {' '.join(names)}")

    def restart(self, units: Sequence[str]) -> None:
        self.done += [f"restart {unit}" for unit in units]

    def worse_than(self, _before: Any, _places: Places) -> list[str]:
        return self.worse.pop(0) if len(self.worse) > 1 else self.worse[0]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    monkeypatch.setattr(upgrade, "DIRECTORY", str(tmp_path / "upgrade"))
    monkeypatch.setattr(upgrade, "JOURNAL", str(tmp_path / "upgrade/journal.json"))
    (tmp_path / "stacks/fleet").mkdir(parents=True)
    (tmp_path / "stacks/fleet/stack.json").write_text("{}")
    return Places(str(tmp_path / "stacks"), str(tmp_path / "state"), str(tmp_path / "leases"), str(tmp_path))


def made(machine: Any, places: Places, **options: Any) -> Upgrade:
    return Upgrade(machine, Settings(**options), places)


def test_everything_in_its_order(places: Places) -> None:
    machine = Fake()
    machine.interrupted = True
    outcome = made(machine, places, drain_command=["drain"]).run()
    assert machine.done == [
        "lock", "update", "remember", "finish", "drain", "apply upgrade",
        "unhold docker.io", "apply install", "hold docker.io", "restart nginx.service",
    ]  # fmt: skip
    assert outcome.plan == [
        "finish the interrupted run of dpkg",
        "upgrade openssl 1 -> 2",
        "upgrade docker.io 26 -> 27",
        "restart nginx.service, which ran replaced files",
    ]
    assert outcome.prove


def test_check_mode_only_says_it(places: Places) -> None:
    machine = Fake()
    assert made(machine, places).check().plan == ["upgrade openssl 1 -> 2", "upgrade docker.io 26 -> 27"]
    assert machine.done == ["update"]


def test_nothing_can_be_planned_beyond_an_interrupted_run(places: Places) -> None:
    machine = Fake()
    machine.interrupted = True
    outcome = made(machine, places).check()
    assert outcome.plan == ["finish the interrupted run of dpkg"]
    assert "can be planned when that has ended" in outcome.warnings[0]


def test_nothing_to_do_is_nothing_remembered(places: Places) -> None:
    machine = Fake()
    machine.packages = machine.engine = Simulation()
    outcome = made(machine, places).run()
    assert (outcome.plan, outcome.prove, machine.done) == ([], False, ["lock", "update"])


def test_the_engine_can_be_left_out(places: Places) -> None:
    machine = Fake()
    assert made(machine, places, engine=False).run().lines[0] == "upgrade openssl 1 -> 2"
    assert "apply install" not in machine.done


def test_the_hold_comes_back_when_the_engine_fails(places: Places) -> None:
    machine = Fake()
    machine.fails = "install"
    with pytest.raises(UpgradeError):
        made(machine, places).run()
    assert machine.done[-1] == "hold docker.io"


@pytest.mark.parametrize(
    ("change", "options", "told"),
    [
        ({"free": GIB}, {}, "MiB of upgrade_free_mib"),
        ({"engine": Simulation((Change("docker.io", "1", "2"),), ("compose",))}, {}, "would remove compose"),
        ({}, {"drain_command": ["false"]}, "upgrade_drain_command"),
    ],
)
def test_refusals_come_before_any_change(
    places: Places, change: dict[str, Any], options: dict[str, Any], told: str
) -> None:
    machine = Fake()
    machine.__dict__.update(change)
    with pytest.raises(UpgradeError, match=told):
        made(machine, places, **options).run()
    assert not [line for line in machine.done if line.startswith("apply")]


def test_what_is_held_by_hand_is_told_and_left(places: Places) -> None:
    machine = Fake()
    machine.packages = Simulation((), (), ("by-hand", "docker.io"))
    assert made(machine, places).run().warnings == ["kept back: by-hand; held, or they would remove others"]


def test_a_release_under_way_is_not_disturbed(places: Places) -> None:
    machine = Fake()
    with lease("fleet", "release", directory=places.leases), pytest.raises(Busy, match="held by release"):
        made(machine, places, lease_wait_seconds=0).run()
    assert machine.done == []


def test_no_release_begins_before_the_reboot(places: Places) -> None:
    machine = Fake()
    assert made(machine, places).run().reboot is False
    with lease("fleet", "release", directory=places.leases):
        pass
    machine.reasons = ["/run/reboot-required is there"]
    assert made(machine, places).run().reboot
    with pytest.raises(LeaseHeld, match="held by reboot after the upgrade by root"):
        acquire("fleet", "release", directory=places.leases)


def test_a_reboot_that_is_due_is_told_when_it_is_not_to_be(places: Places) -> None:
    machine = Fake()
    machine.reasons = ["/run/reboot-required is there"]
    outcome = made(machine, places, reboot="never").run()
    assert not outcome.reboot
    assert outcome.warnings == ["a reboot is due, and upgrade_reboot is never: /run/reboot-required is there"]
    outcome = made(machine, places).run()
    assert outcome.plan[-1] == "reboot: /run/reboot-required is there"


def test_the_memory_of_an_upgrade_that_was_not_proved_good_stays(places: Places) -> None:
    machine = Fake()
    made(machine, places).run()
    again = made(machine, places).run()
    assert machine.done.count("remember") == 1
    assert "was not proved good" in again.warnings[0]


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def proved(machine: Any, places: Places, undrain: Sequence[str] = ()) -> dict[str, Any]:
    time = Time()
    return upgrade.prove(machine, places, 20, undrain, lambda: time.now, time.sleep)


def test_health_must_hold_for_a_while(places: Places) -> None:
    machine = Fake()
    made(machine, places).run()
    machine.worse = [["a"], [], [], ["flaps"], []]
    assert proved(machine, places, ["undrain"]) == {"units": 1, "containers": 0}
    assert machine.worse == [[]]
    assert machine.done[-1] == "undrain"
    assert files.read_json(upgrade.JOURNAL) is None
    assert proved(machine, places) == {"units": 0, "containers": 0}


def test_what_stays_worse_is_told_and_the_host_stays_drained(places: Places) -> None:
    machine = Fake()
    made(machine, places).run()
    machine.worse = [["unit a.service: ran before, is failed now"]]
    with pytest.raises(UpgradeError, match=r"unit a\.service: ran before.*No further host is touched"):
        proved(machine, places, ["undrain"])
    assert "undrain" not in machine.done
    assert files.read_json(upgrade.JOURNAL) is not None

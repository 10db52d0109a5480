from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease import lease as leases
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import (
    LeaseHeld,
    LeaseLost,
    acquire,
    holder,
    lease,
)
from ansible_collections.slipway.ops.plugins.module_utils._state import files


def test_only_one_holds_it_and_the_error_names_the_owner(tmp_path: Path) -> None:
    with lease("fleet", "release 7", directory=str(tmp_path)) as held:
        assert held.fencing == 1
        record = holder("fleet", str(tmp_path))
        assert record is not None
        assert record["owner"] == "release 7"
        with pytest.raises(LeaseHeld, match=r"held by release 7 \(process \d+\) since .* UTC, so backup cannot start"):
            acquire("fleet", "backup", directory=str(tmp_path))
    assert holder("fleet", str(tmp_path)) is None


def test_fencing_number_grows_and_other_names_are_free(tmp_path: Path) -> None:
    with lease("fleet", "a", directory=str(tmp_path)), lease("shop", "b", directory=str(tmp_path)):
        pass
    with lease("fleet", "c", directory=str(tmp_path)) as held:
        assert held.fencing == 2


def test_released_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), lease("fleet", "a", directory=str(tmp_path)):
        raise RuntimeError
    assert holder("fleet", str(tmp_path)) is None


def record(**changes: Any) -> dict[str, Any]:
    now = 1000.0
    base = {
        "owner": "release 1",
        "pid": os.getpid(),
        "process_start": leases.process_start(os.getpid()),
        "boot_id": leases.boot_id(),
        "since": now,
        "heartbeat": now,
        "ttl_seconds": 60,
        "fencing": 3,
    }
    return {**base, **changes}


@pytest.mark.parametrize(
    ("changes", "now", "stale"),
    [
        pytest.param({}, 1030.0, False, id="alive"),
        pytest.param({}, 1061.0, True, id="ttl-passed"),
        pytest.param({"boot_id": "other"}, 1001.0, True, id="rebooted"),
        pytest.param({"process_start": 1}, 1001.0, True, id="process-number-reused"),
        pytest.param({"pid": 2**22 + 1}, 1001.0, True, id="dead"),
        pytest.param({"owner": None}, 1001.0, True, id="released"),
    ],
)
def test_stale(changes: dict[str, Any], now: float, stale: bool) -> None:
    assert leases.is_stale(record(**changes), now, leases.boot_id()) is stale


def test_a_killed_holder_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import acquire\n"
        "acquire('fleet', 'killed', directory=sys.argv[1]); print('held', flush=True); time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(LeaseHeld, match="held by killed"):
        acquire("fleet", "next", directory=str(tmp_path))
    process.kill()
    process.wait()
    with lease("fleet", "next", directory=str(tmp_path)) as held:
        assert held.fencing == 2


def test_the_old_holder_learns_that_it_lost(tmp_path: Path) -> None:
    held = acquire("fleet", "slow", ttl_seconds=600, directory=str(tmp_path))
    path = str(tmp_path / "fleet.json")
    stored = files.read_json(path)
    assert stored is not None
    files.write_json(path, dict(stored, heartbeat=time.time() - 601))
    with lease("fleet", "next", directory=str(tmp_path)) as winner:
        with pytest.raises(LeaseLost, match="lost to next"):
            held.check()
        held.release()
        winner.check()


def test_the_heartbeat_moves(tmp_path: Path) -> None:
    with lease("fleet", "a", ttl_seconds=0.2, directory=str(tmp_path)):
        first = files.read_json(str(tmp_path / "fleet.json"))
        time.sleep(0.4)
        second = files.read_json(str(tmp_path / "fleet.json"))
        assert second["heartbeat"] > first["heartbeat"]


def test_waits_for_the_other(tmp_path: Path) -> None:
    first = acquire("fleet", "a", directory=str(tmp_path))
    first.release()
    with lease("fleet", "b", wait_seconds=5, directory=str(tmp_path)) as held:
        assert held.fencing == 2


def test_it_can_be_left_to_the_reboot_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with lease("fleet", "upgrade", directory=str(tmp_path)) as held:
        held.leave_until_reboot("the reboot", 60)
    with pytest.raises(LeaseHeld, match="held by the reboot"):
        acquire("fleet", "release", directory=str(tmp_path))
    begun = leases.process_start(1)
    monkeypatch.setattr(leases, "process_start", lambda pid: (begun or 0) + 1)
    with lease("fleet", "release", directory=str(tmp_path)) as after:
        assert after.fencing == 3


def test_a_reboot_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    with lease("fleet", "upgrade", directory=str(tmp_path)) as held:
        held.leave_until_reboot("the reboot", 0.05)
    with lease("fleet", "release", wait_seconds=5, directory=str(tmp_path)) as after:
        assert after.fencing == 3


def test_what_a_killed_holder_left_half_written_goes_with_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".fleet.json.vitl5ygm"
    other = tmp_path / ".fleet2.json.vitl5ygm"
    left.write_text("{")
    other.write_text("{")
    with lease("fleet", "release", directory=str(tmp_path)):
        assert not left.exists()
        assert other.exists()

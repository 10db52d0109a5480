# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that are run, and the lock that others hold."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._upgrade import gateway
from ansible_collections.slipway.ops.plugins.module_utils._upgrade.gateway import Machine, UpgradeError


class Recorder(Host):
    def __init__(self) -> None:
        super().__init__()
        self.ran: list[list[str]] = []
        self.answer = Completed(0, "", "")

    def run(self, argv: Sequence[str], environment: Any = None) -> Completed:
        self.ran.append(list(argv))
        return self.answer


@pytest.fixture
def host() -> Recorder:
    return Recorder()


def test_in_check_mode_the_lists_are_laid_aside_and_removed(host: Recorder) -> None:
    machine = Machine(host, True)
    with machine.lists():
        machine.simulate("upgrade")
        place = next(word for word in host.ran[0] if word.startswith("Dir::State::lists=")).partition("=")[2]
        assert Path(place, "partial").is_dir()
        assert f"Dir::State::lists={place}" in host.ran[1]
        assert "--simulate" in host.ran[1]
    assert not Path(place).exists()
    with Machine(host, False).lists():
        assert not any("lists=" in word for word in host.ran[2])


def test_lists_that_cannot_be_fetched_end_it(host: Recorder) -> None:
    host.answer = Completed(100, "", "E: Failed to fetch http://x  Could not connect to x:80")
    with pytest.raises(UpgradeError, match="way to the internet"), Machine(host, False).lists():
        pytest.fail("must not be reached")


def test_a_failing_command_is_told_with_its_variable(host: Recorder) -> None:
    host.answer = Completed(3, "", "no such node")
    with pytest.raises(UpgradeError, match=r"^upgrade_drain_command: docker ended with 3: no such node"):
        Machine(host, False).command(["docker", "node"], "upgrade_drain_command")


def test_who_holds_the_lock_is_named_and_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lock"
    path.touch()
    monkeypatch.setattr(gateway, "LOCK_FILE", str(path))
    code = f"import fcntl, time; f = open({str(path)!r}, 'w'); fcntl.lockf(f, fcntl.LOCK_EX)"
    code += "; print('held', flush=True); time.sleep(30)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert gateway.lock_holder(str(path)).endswith(f"(process {process.pid})")
        machine = Machine(Host(), False)
        with pytest.raises(UpgradeError, match=r"are locked by .* for more than 0 s; nothing was changed"):
            machine.wait_for_lock(0, print)
        monkeypatch.setattr(gateway.time, "sleep", lambda _seconds: (process.kill(), process.wait()))
        told: list[str] = []
        machine.wait_for_lock(10, told.append)
        assert "which had locked the packages" in told[0]
    assert gateway.lock_holder(str(path)) == ""
    assert gateway.lock_holder(str(tmp_path / "no/lock")) == ""


def test_a_lock_of_our_own_process_is_not_seen(tmp_path: Path) -> None:
    with open(tmp_path / "lock", "w", encoding="ascii") as handle:
        fcntl.lockf(handle, fcntl.LOCK_EX)
        assert gateway.lock_holder(os.path.join(tmp_path, "lock")) == ""


def test_this_process_runs_files_that_are_there() -> None:
    assert isinstance(Machine(Host(), False).stale_units(), set)
    assert "/" in Machine(Host(), False).free_bytes()


def test_pages_and_stacks_that_are_bad_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"host": "a", "checks": [{"name": "shop", "kind": "http", "url": "http://127.0.0.1:1/"}]}
    (tmp_path / "watch.json").write_text(json.dumps(config))
    (tmp_path / "secrets.json").write_text("{}")
    monkeypatch.setattr(gateway, "CONFIG_FILE", str(tmp_path / "watch.json"))
    monkeypatch.setattr(gateway, "SECRETS_FILE", str(tmp_path / "secrets.json"))
    (tmp_path / "stacks/fleet").mkdir(parents=True)
    (tmp_path / "stacks/fleet/stack.json").write_text("{}")
    services = {"web": {"ok": False, "replicas": 2}, "db": {"ok": True, "replicas": 1}}
    monkeypatch.setattr(gateway, "status", lambda _name, _places: {"services": services})
    assert Machine(Host(), False).problems(Places(str(tmp_path / "stacks"))) == [
        "stack fleet: service web has not all of its 2 replicas ready",
        "check shop: is bad",
    ]


def test_units_are_asked_for_once(host: Recorder) -> None:
    host.answer = Completed(0, "Id=a.service\nActiveState=active\nSubState=running\n", "")
    assert Machine(host, False).units()["a.service"]["sub"] == "running"
    assert [argv[1] for argv in host.ran] == ["list-units", "show"]

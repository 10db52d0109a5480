# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args
from ansible_collections.slipway.ops.plugins.module_utils._armed import gateway as arming
from ansible_collections.slipway.ops.plugins.module_utils._armed import snapshot as snapshots
from ansible_collections.slipway.ops.plugins.module_utils._host import wish
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host, HostError
from ansible_collections.slipway.ops.plugins.modules import host_state

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(f"root:x:{os.getuid()}:{os.getgid()}::/root:/bin/sh\n")
    (tmp_path / "etc/group").write_text(f"root:x:{os.getgid()}:\n")
    monkeypatch.setattr(host_state, "Host", lambda: Host(str(tmp_path)))

    warned: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda module, text: warned.append(text))

    def call(check: bool = False, diff: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {**arguments, "_ansible_check_mode": check, "_ansible_diff": diff}
        with patch_module_args(given), pytest.raises(SystemExit):
            host_state.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return {**result, "warnings": warned}

    return call


FILE = {"path": "/etc/x/y", "content": "text\n"}


def test_predicts_does_and_is_content(run: Run, tmp_path: Path) -> None:
    plan = ["directory /etc/x: create (0755 root:root)", "file /etc/x/y: create (0644 root:root)"]
    predicted = run(check=True, diff=True, files=[FILE])
    assert predicted["changed"]
    assert predicted["plan"] == plan
    assert predicted["diff"][1]["after"] == "text\n"
    assert not (tmp_path / "etc/x").exists()
    (tmp_path / "etc/os-release").write_text("VERSION_CODENAME=trixie\n")
    done = run(files=[FILE])
    assert done["ansible_facts"] == {"distribution_release": "trixie"}
    assert done["plan"] == plan
    assert "diff" not in done
    assert (tmp_path / "etc/x/y").read_text() == "text\n"
    again = run(diff=True, files=[FILE])
    assert not again["changed"]
    assert again["plan"] == []


def test_all_problems_in_one_message(run: Run) -> None:
    result = run(files=[{"path": "x", "content": ""}], units=[{"name": "x"}])
    assert result["failed"]
    assert result["msg"].splitlines()[0].startswith("files[0].path: ")
    assert result["msg"].splitlines()[1].startswith("units[0].name: ")


def test_problems_with_the_host_touch_nothing(run: Run, tmp_path: Path) -> None:
    result = run(files=[{**FILE, "owner": "ghost"}])
    assert result["msg"] == "/etc/x/y: its owner ghost does not exist; declare it under users"
    assert not (tmp_path / "etc/x").exists()


def test_a_validation_that_would_refuse_is_a_warning_in_check_mode(run: Run) -> None:
    result = run(check=True, files=[{**FILE, "validate": "false %s"}])
    assert result["changed"]
    assert "/etc/x/y: refused by `false %s`" in str(result["warnings"])
    assert "refused" in run(files=[{**FILE, "validate": "false %s"}])["msg"]


def test_a_program_yet_to_come_is_not_asked(run: Run) -> None:
    assert run(check=True, files=[{**FILE, "validate": "slipway-no-such-program %s"}])["warnings"] == []


def test_armed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "ROOT", "/armed")
    armed: list[str] = []

    class Store(arming.Store):
        def arm(self, snapshot: snapshots.Snapshot) -> None:
            armed.append(snapshot.name)
            directory = Path(f"{tmp_path}{snapshots.directory_of(snapshot.name)}")
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "armed.json").write_text('{"armed_at": 1, "limit_seconds": 60}')

        def revert(self, name: str, why: str) -> arming.Status:
            return arming.Status(name, arming.REVERTED, why="a check failed")

    monkeypatch.setattr(host_state, "Store", Store)
    result = run(files=[FILE], armed={"name": "try"})
    assert armed == ["try"]
    assert result["armed"] == "try"
    assert run(files=[FILE], armed={"name": "try"})["armed"] == "try", "an earlier run left it unconfirmed"
    failed = run(files=[{**FILE, "content": "x", "validate": "false %s"}], armed={"name": "try"})
    assert "armed change try: put back" in failed["msg"]


def test_what_was_put_back_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "ROOT", "/armed")
    monkeypatch.setattr(
        arming.Store, "settled", lambda self, name: arming.Status(name, arming.REVERTED, why="nobody came", at=1.0)
    )
    assert "armed change try: put back" in str(run(armed={"name": "try"})["warnings"])


def test_a_refusal_of_the_host_is_one_message(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise HostError("packages x: no")

    monkeypatch.setattr(Host, "install", refuse)
    assert run(packages=["tool"])["msg"] == "packages x: no"


def test_what_a_program_says_is_not_needed_for_no_change(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def note(self: Host, argv: Any, environment: Any = None) -> Completed:
        calls.append(argv)
        return Completed(0, "", "")

    monkeypatch.setattr(Host, "run", note)
    run(files=[FILE])
    calls.clear()
    run(files=[FILE], checks=[{"command": "x"}])
    assert calls == []


def test_the_documented_keys_are_those_that_are_read() -> None:
    options = yaml.safe_load(host_state.DOCUMENTATION)["options"]
    assert set(options) == {*wish.SECTIONS, "foreseen"}
    for section, keys in wish.KEYS.items():
        assert set(options[section]["suboptions"]) == set(keys), section
    assert set(options["armed"]["suboptions"]) == set(wish.ARMED_KEYS)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._armed import cli, gateway
from ansible_collections.slipway.ops.plugins.module_utils._armed import snapshot as snapshots
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import Store
from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import Snapshot
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import PathState

OLD = PathState("file", "0640", "0", "0", content=b"old")


class Quiet(Host):
    def __init__(self) -> None:
        super().__init__()
        self.ran: list[str] = []
        self.fails = ""
        self.full = ""

    def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Completed:
        self.ran.append(" ".join(argv))
        if argv[0] == "/bin/sh":
            directory = Path(argv[1]).parent
            (directory / "armed.json").unlink()
            (directory / "reverted.json").write_text(f'{{"reverted_at": 7, "why": "{argv[2]}", "failed": ""}}')
        return Completed(1, "", "no systemd") if argv[0] == self.fails else Completed(0, "", "")

    def write_file(self, path: str, *arguments: Any, **options: Any) -> None:
        if self.full and path.endswith(self.full):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        super().write_file(path, *arguments, **options)

    def ids(self, owner: str, group: str) -> tuple[int, int]:
        return -1, -1


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quiet:
    monkeypatch.setattr(snapshots, "ROOT", str(tmp_path / "armed"))
    (tmp_path / "system").mkdir()
    monkeypatch.setattr(gateway, "SYSTEM", str(tmp_path / "system"))
    return Quiet()


def test_arm_and_confirm(host: Quiet, tmp_path: Path) -> None:
    store = Store(host)
    assert store.status("ssh").state == gateway.NOTHING
    store.arm(Snapshot("ssh", 60, (("/etc/x", OLD),)))
    status = store.status("ssh")
    assert status.state == gateway.ARMED
    assert 55 < status.left_seconds <= 60
    assert (tmp_path / "armed/ssh/files/0").read_bytes() == b"old"
    assert (tmp_path / "system/sysinit.target.wants/slipway-armed-ssh-boot.service").is_symlink()
    assert "--on-active=60s" in host.ran[-1]
    assert store.confirm("ssh").state == gateway.CONFIRMED
    assert "systemctl stop slipway-armed-ssh.timer" in host.ran
    assert list((tmp_path / "system").rglob("slipway*")) == []
    assert store.names() == []


def test_nothing_is_armed_before_its_timer_runs(host: Quiet) -> None:
    states: list[str] = []
    started = host.run

    def run(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Completed:
        states.append(f"{argv[0]} {Store(host).status('ssh').state}")
        return started(argv, environment)

    host.run = run  # type: ignore[method-assign]
    Store(host).arm(Snapshot("ssh", 60))
    assert states[-1] == f"systemd-run {gateway.NOTHING}"
    assert Store(host).status("ssh").state == gateway.ARMED


def test_arming_again_remembers_the_first_state(host: Quiet, tmp_path: Path) -> None:
    store = Store(host)
    store.arm(Snapshot("ssh", 60, (("/etc/x", OLD),)))
    store.arm(Snapshot("ssh", 60, (("/etc/x", PathState()),)))
    assert (tmp_path / "armed/ssh/files/0").read_bytes() == b"old"
    assert "put_file 0 /etc/x" in (tmp_path / "armed/ssh/revert.sh").read_text()


def test_what_was_put_back_is_told_and_not_confirmed(host: Quiet) -> None:
    store = Store(host)
    store.arm(Snapshot("ssh", 60))
    assert store.revert("ssh", 'he said "no"\n and left').state == gateway.REVERTED
    status = store.confirm("ssh")
    assert status.state == gateway.REVERTED
    assert status.why == "he said 'no' and left"
    assert store.revert("ssh", "a play that cleans up").why == status.why, "it is there until a run has told it"


def test_without_a_timer_nothing_is_armed(host: Quiet) -> None:
    host.fails = "systemd-run"
    with pytest.raises(HostError, match="so nothing was changed: its timer could not be started: no systemd"):
        Store(host).arm(Snapshot("ssh", 60))
    assert Store(host).status("ssh").state == gateway.NOTHING


def test_command_line(host: Quiet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "Host", lambda: host)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cli.confirm([]) == 0
    assert capsys.readouterr().out == "nothing is armed on this host\n"
    Store(host).arm(Snapshot("ssh", 60))
    assert cli.confirm(["--json"]) == 0
    assert '"state": "armed"' in capsys.readouterr().out
    assert cli.confirm(["ssh"]) == 0
    assert cli.confirm(["ssh"]) == 1
    told = capsys.readouterr().out.splitlines()
    assert told == ["ssh: confirmed", cli.BY_HAND, "ssh: nothing is armed by this name", "armed on this host: nothing"]
    Store(host).arm(Snapshot("ssh", 60))
    assert cli.confirm(["ssh", "--revert"]) == 0
    assert "put back at 1970-01-01 00:00:07 UTC, an operator asked for it" in capsys.readouterr().out


def test_command_line_lists_the_seconds_left(
    host: Quiet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "Host", lambda: host)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    Store(host).arm(Snapshot("firewall", 60))
    Store(host).arm(Snapshot("ssh", 90))
    os.makedirs(snapshots.directory_of("begun-and-killed"))
    assert cli.confirm([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["firewall", "ssh"]
    assert "puts itself back in 60 s" in lines[0]
    assert cli.confirm(["--json"]) == 0
    assert [round(item["left_seconds"]) for item in json.loads(capsys.readouterr().out)] == [60, 90]
    assert cli.confirm(["fire"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "armed on this host: firewall, ssh"


def test_command_line_is_for_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(PermissionError, match="use sudo slipway confirm"):
        cli.confirm(["ssh"])
    with pytest.raises(SystemExit):
        cli.confirm(["--revert"])


@pytest.mark.parametrize("full", ["files/0", "data/live", "revert.sh", "armed.json.next", "-boot.service"])
def test_a_full_disk_is_found_before_anything_is_changed(host: Quiet, tmp_path: Path, full: str) -> None:
    host.full = full
    whole = Snapshot("ssh", 60, (("/etc/x", OLD),), data=(("live", "x"),))
    with pytest.raises(HostError, match=f"nothing was changed: .*{full}: No space left"):
        Store(host).arm(whole)
    assert Store(host).status("ssh").state == gateway.NOTHING
    assert list((tmp_path / "system").rglob("slipway*")) == []
    assert not [line for line in host.ran if line.startswith("systemd-run")]


def test_a_full_disk_leaves_an_earlier_arming_as_it_is(host: Quiet, tmp_path: Path) -> None:
    store = Store(host)
    store.arm(Snapshot("ssh", 60, (("/etc/x", OLD),)))
    before = (tmp_path / "armed/ssh/revert.sh").read_text()
    host.ran.clear()
    host.full = "files/1"
    with pytest.raises(HostError, match="No space left"):
        store.arm(Snapshot("ssh", 90, (("/etc/a", OLD), ("/etc/x", PathState()))))
    assert store.status("ssh").state == gateway.ARMED
    assert (tmp_path / "armed/ssh/revert.sh").read_text() == before
    assert (tmp_path / "armed/ssh/files/0").read_bytes() == b"old"
    assert host.ran == [], "its timer runs on"


def test_what_runs_is_remembered_across_a_second_arming(host: Quiet, tmp_path: Path) -> None:
    store = Store(host)
    store.arm(Snapshot("firewall", 60, live=(("rules", ("load old",)),), data=(("rules", "old"),), lock="/run/x.lock"))
    store.arm(Snapshot("firewall", 60, live=(("rules", ("load new",)),), data=(("rules", "new"),)))
    script = (tmp_path / "armed/firewall/revert.sh").read_text()
    assert "load old" in script
    assert "load new" not in script
    assert "/run/x.lock" in script
    assert (tmp_path / "armed/firewall/data/rules").read_text() == "old"


def test_two_changes_have_their_own_memory_and_share_no_file(host: Quiet) -> None:
    store = Store(host)
    store.arm(Snapshot("ssh", 60, (("/etc/ssh/x", OLD), ("/etc/new", PathState()))))
    store.arm(Snapshot("firewall", 60, (("/etc/ufw/user.rules", OLD), ("/etc/new", PathState()))))
    with pytest.raises(HostError, match=r"/etc/ssh/x belongs to the armed change ssh too.*`slipway confirm ssh"):
        store.arm(Snapshot("firewall", 60, (("/etc/ssh/x", OLD),)))
    assert store.confirm("ssh").state == gateway.CONFIRMED
    assert store.status("firewall").state == gateway.ARMED


def test_what_was_put_back_is_told_to_one_run(host: Quiet) -> None:
    store = Store(host)
    store.arm(Snapshot("ssh", 60))
    store.revert("ssh", "the network was lost")
    assert store.told("ssh").why == "the network was lost"
    assert store.told("ssh").state == gateway.NOTHING

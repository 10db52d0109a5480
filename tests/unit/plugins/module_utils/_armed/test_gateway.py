# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

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

    def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Completed:
        self.ran.append(" ".join(argv))
        if argv[0] == "/bin/sh":
            directory = Path(argv[1]).parent
            (directory / "armed.json").unlink()
            (directory / "reverted.json").write_text(f'{{"reverted_at": 7, "why": "{argv[2]}", "failed": ""}}')
        return Completed(1, "", "no systemd") if argv[0] == self.fails else Completed(0, "", "")

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
    assert store.status("ssh").state == gateway.NOTHING, "told once"


def test_without_a_timer_nothing_is_armed(host: Quiet) -> None:
    host.fails = "systemd-run"
    with pytest.raises(HostError, match="armed change ssh: its timer could not be started: no systemd"):
        Store(host).arm(Snapshot("ssh", 60))
    assert Store(host).status("ssh").state == gateway.NOTHING


def test_command_line(host: Quiet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "Host", lambda: host)
    assert cli.confirm([]) == 0
    assert capsys.readouterr().out == "nothing is armed on this host\n"
    Store(host).arm(Snapshot("ssh", 60))
    assert cli.confirm(["--json"]) == 0
    assert '"state": "armed"' in capsys.readouterr().out
    assert cli.confirm(["ssh"]) == 0
    assert cli.confirm(["ssh"]) == 1
    assert capsys.readouterr().out == "ssh: confirmed\nssh: nothing\n"
    Store(host).arm(Snapshot("ssh", 60))
    assert cli.confirm(["ssh", "--revert"]) == 0
    assert "put back at 1970-01-01 00:00:07 UTC, an operator asked for it" in capsys.readouterr().out

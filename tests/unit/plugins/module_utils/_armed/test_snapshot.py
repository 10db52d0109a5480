# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import fcntl
import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._armed import snapshot as snapshots
from ansible_collections.slipway.ops.plugins.module_utils._armed.snapshot import Snapshot, merged, snapshot_of
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import Observation, PathState, UnitState
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import make_plan
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import File, Unit, Wish

OLD = PathState("file", "0640", "root", "adm", content=b"old")
RUNNING = UnitState("ssh.service", "loaded", "active", "running", "enabled")
SOCKET = UnitState("ssh.socket", "loaded", "active", "listening", "enabled")


def test_the_snapshot_is_what_the_plan_touches() -> None:
    wish = Wish(
        files=(File("/etc/ssh/x", b"new"), File("/etc/ssh/same", b"old", mode="0640", group="adm")),
        sysctls=(("net.core.somaxconn", "2"),),
        units=(Unit("ssh.service", True, "started", restart_on=("/etc/ssh/x",)), Unit("other.service")),
    )
    seen = Observation(
        groups={},
        paths={"/etc": PathState("directory"), "/etc/ssh": PathState("directory"), "/etc/ssh/same": OLD},
        sysctls={"net.core.somaxconn": "1"},
        units={"ssh.service": RUNNING},
    )
    found = snapshot_of(wish, make_plan(wish, seen, True), seen, "ssh", 30)
    assert found.paths == (("/etc/ssh/x", PathState()),)
    assert found.sysctls == (("net.core.somaxconn", "1"),)
    assert ("systemctl", "$block", "restart", "ssh.service") in found.commands
    assert not [command for command in found.commands if "other.service" in command]


@pytest.mark.parametrize(
    ("before", "ends"),
    [
        pytest.param([RUNNING], [("restart", "ssh.service")], id="it-ran"),
        pytest.param([UnitState("x.service", "loaded", file="disabled")], [("stop", "x.service")], id="it-did-not"),
        pytest.param(
            [SOCKET, RUNNING],
            [
                ("stop", "ssh.socket"),
                ("stop", "ssh.service"),
                ("start", "ssh.socket"),
                ("start", "ssh.service"),
            ],
            id="socket-before-service",
        ),
    ],
)
def test_units_go_back(before: list[UnitState], ends: list[tuple[str, str]]) -> None:
    commands = [command for command in snapshots.unit_commands(before) if snapshots.NO_BLOCK in command]
    assert [(command[2], command[3]) for command in commands] == ends


def test_a_unit_that_was_only_to_reload_is_not_restarted() -> None:
    wish = Wish(
        files=(File("/etc/ssh/x", b"new"),), units=(Unit("ssh.service", None, "started", reload_on=("/etc/ssh/x",)),)
    )
    seen = Observation(
        paths={"/etc": PathState("directory"), "/etc/ssh": PathState("directory")}, units={"ssh.service": RUNNING}
    )
    found = snapshot_of(wish, make_plan(wish, seen, True), seen, "ssh", 30)
    assert found.commands[-1] == ("systemctl", "$block", "reload-or-restart", "ssh.service")


def test_units_are_enabled_and_unmasked_as_before() -> None:
    before = [UnitState("x.service", "loaded", file="disabled"), UnitState("y.service", "masked", file="masked")]
    commands = [" ".join(command) for command in snapshots.unit_commands(before, masked_now=["x.service"])]
    assert commands[:4] == [
        "systemctl daemon-reload",
        "systemctl unmask x.service",
        "systemctl disable x.service",
        "systemctl mask y.service",
    ]
    assert snapshots.unit_commands([], read_again=True) == (("systemctl", "daemon-reload"),)
    assert snapshots.unit_commands([]) == ()


def test_a_new_unit_goes_with_its_file() -> None:
    new = UnitState("x.service", "not-found")
    assert snapshots.unit_commands([new]) == (("systemctl", "daemon-reload"),)
    assert snapshots.unit_commands([new], done={"x.service": {"enable", "start"}})[1:] == (
        ("systemctl", "disable", "x.service"),
        ("systemctl", "$block", "stop", "x.service"),
    )


def test_arming_again_keeps_the_first_memory() -> None:
    first = Snapshot("ssh", 30, (("/a", OLD),), (("k", "1"),), (("x",),))
    second = Snapshot("ssh", 60, (("/a", PathState()), ("/b", OLD)), (("k", "2"),), (("x",), ("y",)))
    found = merged(first, second)
    assert dict(found.paths) == {"/a": OLD, "/b": OLD}
    assert dict(found.sysctls) == {"k": "1"}
    assert found.commands == (("x",), ("y",))
    assert found.limit_seconds == 60


def test_arming_again_does_not_remember_how_a_unit_was_in_between() -> None:
    stop, restart = ("systemctl", "stop", "x.service"), ("systemctl", "restart", "x.service")
    found = merged(Snapshot("ssh", 30, commands=(stop,)), Snapshot("ssh", 30, commands=(restart, ("other",))))
    assert found.commands == (stop, ("other",))


def script_for(tmp_path: Path, snapshot: Snapshot) -> str:
    state = tmp_path / "armed" / snapshot.name
    (state / "data").mkdir(parents=True)
    (state / "armed.json").write_text("{}")
    for name, text in snapshot.data:
        (state / "data" / name).write_text(text)
    found = snapshots.script(snapshot)
    return found.replace("systemctl", ":").replace("/etc/systemd/system", str(tmp_path)).replace("logger -t", ": -t")


LIVE = Snapshot(
    "try", 30, live=(("rules", ('cat "$state/data/rules" > loaded',)), ("the rest", ("false && x",))),
    data=(("rules", "old"),), lock="the.lock",
)  # fmt: skip


def test_what_runs_is_put_back_at_once_but_not_at_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "ROOT", str(tmp_path / "armed"))
    script = script_for(tmp_path, LIVE)
    at_boot = subprocess.run(["sh", "-c", script, "revert", "why", "boot"], cwd=tmp_path, check=False)
    assert at_boot.returncode == 0
    assert not (tmp_path / "loaded").exists()
    (tmp_path / "armed/try/armed.json").write_text("{}")
    (tmp_path / "armed/try/data").mkdir()
    (tmp_path / "armed/try/data/rules").write_text("old")
    assert subprocess.run(["sh", "-c", script], cwd=tmp_path, check=False).returncode == 1
    assert (tmp_path / "loaded").read_text() == "old"
    assert '"failed": " the rest"' in (tmp_path / "armed/try/reverted.json").read_text()
    assert not (tmp_path / "armed/try/data").exists()


def test_it_waits_for_a_program_that_changes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs such as ufw take a POSIX lock, which a shell cannot take."""
    monkeypatch.setattr(snapshots, "ROOT", str(tmp_path / "armed"))
    script = script_for(tmp_path, LIVE)
    with open(tmp_path / "the.lock", "w", encoding="ascii") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        with subprocess.Popen(["sh", "-c", script], cwd=tmp_path) as running:
            with pytest.raises(subprocess.TimeoutExpired):
                running.wait(1)
            assert not (tmp_path / "loaded").exists()
            fcntl.lockf(held, fcntl.LOCK_UN)
            running.wait(5)
    assert (tmp_path / "loaded").read_text() == "old"


def test_the_script_puts_back_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run for real, with systemctl out of the way and all paths in a directory."""
    monkeypatch.setattr(snapshots, "ROOT", str(tmp_path / "armed"))
    changed, added, link, folder = (tmp_path / name for name in ("it's changed", "added", "link", "folder"))
    state = tmp_path / "armed/try"
    (state / "files").mkdir(parents=True)
    (state / "files/0").write_text("old")
    (state / "files/0").chmod(0o640)
    (state / "armed.json").write_text("{}")
    changed.write_text("new")
    added.write_text("new")
    link.symlink_to("elsewhere")
    folder.mkdir()
    value = tmp_path / "sysctl"
    value.write_text("2\n")
    monkeypatch.setattr(snapshots, "sysctl_path", lambda key: str(value))
    script = snapshots.script(
        Snapshot(
            "try",
            30,
            (
                (str(changed), OLD),
                (str(folder), PathState()),
                (str(added), PathState()),
                (str(link), PathState("link", target="target")),
            ),
            (("k", "1"),),
            (("test", "x", "=", "y"),),
        )
    )
    script = script.replace("systemctl", ":").replace("/etc/systemd/system", str(tmp_path)).replace("logger -t", ": -t")
    done = subprocess.run(
        ["sh", "-c", script, "revert", "nobody \t confirmed"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 1, "one command failed, and that is said"
    assert changed.read_text() == "old"
    assert changed.stat().st_mode & 0o777 == 0o640
    assert not added.exists()
    assert not folder.exists()
    assert link.readlink() == Path("target")
    assert value.read_text() == "1\n"
    assert not (state / "armed.json").exists()
    told = (state / "reverted.json").read_text()
    assert '"failed": " test x = y"' in told
    again = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert again.returncode == 0, "what was put back or confirmed stays as it is"


def test_the_boot_unit_comes_before_what_it_concerns() -> None:
    unit = snapshots.boot_unit("ssh")
    assert "Before=network-pre.target ufw.service nftables.service ssh.socket ssh.service" in unit
    assert "ConditionPathExists=/var/lib/slipway/armed/ssh/armed.json" in unit
    assert unit.count(" boot\n") == 1


def test_an_arming_that_was_never_finished_leaves_no_unit_behind() -> None:
    unit = "slipway-armed-ssh-boot.service"
    tidy = f"rm -f -- /etc/systemd/system/{unit} /etc/systemd/system/sysinit.target.wants/{unit}"
    assert f'[ -e "$state/armed.json" ] || {{ {tidy}; exit 0; }}' in snapshots.script(Snapshot("ssh", 60))


def test_what_a_killed_writer_left_goes_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "ROOT", str(tmp_path / "armed"))
    path = tmp_path / "a b.conf"
    path.write_text("new")
    (tmp_path / ".a b.conf.x1_y2z3w.slipway").write_text("half")
    (tmp_path / ".other.conf.x1_y2z3w.slipway").write_text("not ours")
    script = script_for(tmp_path, Snapshot("try", 30, ((str(path), PathState()),)))
    assert subprocess.run(["sh", "-c", script], cwd=tmp_path, check=False).returncode == 0
    assert sorted(item.name for item in tmp_path.glob("*.*")) == [".other.conf.x1_y2z3w.slipway"]

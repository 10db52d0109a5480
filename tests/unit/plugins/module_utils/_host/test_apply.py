# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import apply as applying
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Completed, Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import MountState, Observation, UnitState
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import make_plan
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import Plan, path_of
from ansible_collections.slipway.ops.plugins.module_utils._host.system import Mount
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import (
    Armed,
    Check,
    Directory,
    File,
    Link,
    Unit,
    User,
    Wish,
    parse,
)

ALIVE = UnitState("x.service", "loaded", "active", "running", "enabled", kind="notify")


class Pretended(Host):
    """Real files in a directory, and programs that answer as they are told."""

    def __init__(self, root: Path, units: Mapping[str, UnitState] | None = None) -> None:
        super().__init__(str(root))
        self.ran: list[str] = []
        self.answers: dict[str, Completed] = {}
        self.states = dict(units or {})
        self.after: dict[str, UnitState] = {}
        (root / "etc").mkdir()
        (root / "etc/passwd").write_text(f"root:x:{os.getuid()}:{os.getgid()}::/root:/bin/sh\n")
        (root / "etc/group").write_text(f"root:x:{os.getgid()}:\n")

    def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> Completed:
        line = " ".join(argv)
        self.ran.append(line)
        if argv[0] == "useradd":
            with open(f"{self.root}/etc/passwd", "a", encoding="utf-8") as handle:
                handle.write(f"{argv[-1]}:x:4242:4242::/home/{argv[-1]}:/bin/sh\n")
        if argv[0] == "systemctl" and argv[1] in ("start", "restart", "reload-or-restart"):
            self.states.update(self.after)
        return self.answers.get(line, Completed(0, "", ""))

    def units(self, names: Sequence[str]) -> dict[str, UnitState]:
        return {name: self.states.get(name, UnitState(name)) for name in names}

    def install(self, names: Sequence[str], held: Sequence[str] = ()) -> None:
        self.ran.append("install " + " ".join(names))
        Path(f"{self.root}/var/lib/dpkg").mkdir(parents=True, exist_ok=True)
        Path(f"{self.root}/var/lib/dpkg/status").write_text(
            "\n\n".join(f"Package: {name}\nStatus: install ok installed" for name in names)
        )

    def pause(self, seconds: float) -> None:
        return

    def journal(self, unit: str, lines: int = 15) -> str:
        return "last words"


def carry_out(host: Host, wish: Wish) -> applying.Outcome:
    seen = host.observe(wish)
    plan = make_plan(wish, seen)
    assert plan.problems == ()
    return applying.apply(host, wish, plan, seen)


def lines(host: Host, wish: Wish) -> list[str]:
    return [step.line for step in carry_out(host, wish).steps]


def test_everything_and_then_nothing(tmp_path: Path) -> None:
    host = Pretended(tmp_path, {"x.service": ALIVE})
    wish = Wish(
        packages=("tool",),
        users=(User("deploy"),),
        directories=(Directory("/srv/x", "0700"),),
        files=(File("/etc/x.conf", b"one\n", mode="0600"),),
        links=(Link("/etc/link", "x.conf"),),
        checks=(Check("x --check", ("/etc/",)),),
        units=(Unit("x.service", True, "started", restart_on=("/etc/x.conf",)),),
    )
    assert lines(host, wish)[0] == "install packages tool"
    assert host.ran.index("install tool") < host.ran.index(
        "useradd --create-home --user-group --key PASS_MAX_DAYS=-1 --shell /bin/bash deploy"
    )
    assert host.ran[-2:] == ["x --check", "systemctl restart -- x.service"]
    assert (tmp_path / "etc/x.conf").read_bytes() == b"one\n"
    assert (tmp_path / "etc/x.conf").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "srv/x").stat().st_mode & 0o777 == 0o700
    assert os.readlink(tmp_path / "etc/link") == "x.conf"
    host.ran.clear()
    assert lines(host, wish) == []
    assert host.ran == []
    assert [path.name for path in (tmp_path / "etc").iterdir() if path.name.endswith(".slipway")] == []


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    found: dict[str, tuple[int, str]] = {}
    for path in sorted(root.rglob("*")):
        content = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[str(path.relative_to(root))] = (path.lstat().st_mode, content)
    return found


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        pytest.param(Wish(checks=(Check("no", ("/etc/",)),)), "check `no` failed: it is wrong", id="check"),
        pytest.param(
            Wish(files=(File("/etc/late", b"x", validate="no %s"),)), "/etc/late: refused by `no %s`", id="validate"
        ),
        pytest.param(
            Wish(sysctls=(("net.slipway.none", "1"),)), "sysctl net.slipway.none: the kernel refused", id="sysctl"
        ),
    ],
)
def test_a_failure_before_the_units_puts_everything_back(tmp_path: Path, wish: Wish, says: str) -> None:
    class Failing(Pretended):
        def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> Completed:
            return Completed(1, "", "it is wrong") if argv[0] == "no" else super().run(argv, environment, stdin)

        def sysctl(self, key: str) -> str | None:
            return "0"

    host = Failing(tmp_path, {"x.service": ALIVE})
    (tmp_path / "etc/old").write_text("old")
    (tmp_path / "etc/old").chmod(0o640)
    (tmp_path / "etc/gone").symlink_to("old")
    (tmp_path / "etc/dir").mkdir(0o755)
    (tmp_path / "var/lib/slipway/host").mkdir(parents=True)
    before = snapshot(tmp_path)
    whole = Wish(
        directories=(Directory("/etc/dir", "0700"), Directory("/etc/new/dir")),
        files=(File("/etc/old", b"new"), File("/etc/new/dir/file", b"x"), *wish.files),
        links=(Link("/etc/gone", "elsewhere"),),
        checks=wish.checks,
        sysctls=wish.sysctls,
        units=(Unit("x.service", restart_on=("/etc/old",)),),
    )
    with pytest.raises(HostError, match=r"every file is as it was before") as caught:
        carry_out(host, whole)
    assert says in str(caught.value)
    assert snapshot(tmp_path) == before
    assert "systemctl restart -- x.service" not in host.ran


def test_a_secret_file_that_is_refused_is_not_quoted(tmp_path: Path) -> None:
    class Talkative(Pretended):
        def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Completed:
            return Completed(1, "", "line 1: s3cret")

    host = Talkative(tmp_path)
    wish = Wish(files=(File("/etc/s", b"s3cret", secret=True, validate="judge %s"),))
    with pytest.raises(HostError) as caught:
        carry_out(host, wish)
    assert "s3cret" not in str(caught.value)


def test_a_restart_that_a_failed_run_owes_comes_with_the_next(tmp_path: Path) -> None:
    host = Pretended(tmp_path, {"x.service": ALIVE, "y.service": ALIVE})
    wish = Wish(
        files=(File("/etc/x", b"x"),),
        units=(Unit("y.service", restart_on=("/etc/x",)), Unit("x.service", restart_on=("/etc/x",))),
    )
    host.answers["systemctl restart -- y.service"] = Completed(1, "", "no")
    with pytest.raises(HostError, match=r"unit y.service: restart failed: no\nits journal ends with:\nlast words"):
        carry_out(host, wish)
    host.answers.clear()
    host.ran.clear()
    assert lines(host, wish) == [
        "unit y.service: restart (in an earlier run that failed, a file changed)",
        "unit x.service: restart (in an earlier run that failed, a file changed)",
    ]
    assert lines(host, wish) == []


@pytest.mark.parametrize(
    ("after", "dead"),
    [
        (UnitState("x.service", "loaded", "failed", "failed", kind="simple"), True),
        (UnitState("x.service", "loaded", "activating", "auto-restart", kind="simple"), True),
        (UnitState("x.service", "loaded", "inactive", "dead", kind="simple"), True),
        (UnitState("x.service", "loaded", "inactive", "dead", kind="oneshot"), False),
        (ALIVE, False),
    ],
)
def test_a_unit_must_still_run_a_moment_later(tmp_path: Path, after: UnitState, dead: bool) -> None:
    host = Pretended(tmp_path, {"x.service": UnitState("x.service", "loaded", file="enabled")})
    host.after = {"x.service": after}
    wish = Wish(units=(Unit("x.service", True, "started"),))
    if dead:
        with pytest.raises(HostError, match=r"unit x.service: start failed: it is "):
            carry_out(host, wish)
    else:
        assert lines(host, wish) == ["unit x.service: start"]


def test_a_start_that_a_condition_refuses_is_no_change(tmp_path: Path) -> None:
    host = Pretended(tmp_path, {"x.service": UnitState("x.service", "loaded", file="enabled")})
    host.after = {"x.service": UnitState("x.service", "loaded", file="enabled", condition_refused=True)}
    outcome = carry_out(host, Wish(units=(Unit("x.service", True, "started"),)))
    assert outcome.steps == []
    assert "condition" in outcome.warnings[0]


def test_arming_comes_before_the_first_write(tmp_path: Path) -> None:
    host = Pretended(tmp_path)
    wish = Wish(files=(File("/etc/x", b"x"),))
    seen = host.observe(wish)
    there: list[bool] = []
    applying.apply(
        host, wish, make_plan(wish, seen), seen, lambda plan, now: there.append((tmp_path / "etc/x").exists())
    )
    assert there == [False]
    seen = host.observe(wish)
    applying.apply(host, wish, make_plan(wish, seen), seen, lambda plan, now: there.append(True))
    assert there == [False], "without a change there is nothing to arm"


def test_problems_that_show_after_the_packages_are_told(tmp_path: Path) -> None:
    host = Pretended(tmp_path)
    wish = Wish(packages=("tool",), files=(File("/etc/x", b"", owner="nobody-made-it"),))
    seen = Observation(paths=host.observe(wish).paths)
    with pytest.raises(HostError, match="packages are installed, and then: /etc/x: its owner"):
        applying.apply(host, wish, make_plan(wish, seen), seen)


def test_arming_is_for_what_calls_for_it_alone(tmp_path: Path) -> None:
    host = Pretended(tmp_path)
    armed = Armed("network", only=("/etc/sysctl.d/", "net."))
    wish = Wish(files=(File("/etc/x", b"x"),), armed=armed)
    seen = host.observe(wish)
    given: list[Plan] = []
    applying.apply(host, wish, make_plan(wish, seen), seen, lambda plan, now: given.append(plan))
    assert given == []
    wish = Wish(files=(File("/etc/y", b"y"), File("/etc/sysctl.d/z", b"z")), armed=armed)
    seen = host.observe(wish)
    applying.apply(host, wish, make_plan(wish, seen), seen, lambda plan, now: given.append(plan))
    assert [path_of(step) for step in given[0].steps] == ["/etc/sysctl.d/z"]


def test_a_mount_that_failed_is_given_back_its_options(tmp_path: Path) -> None:
    class Mounted(Pretended):
        def mounts(self) -> dict[str, MountState]:
            return {"/tmp": MountState("/tmp", ("rw", "nosuid"), "tmpfs")}

        def sysctl(self, key: str) -> str | None:
            return "0"

    host = Mounted(tmp_path)
    (tmp_path / "tmp").mkdir()
    wish = Wish(mounts=(Mount("/tmp", ("nodev", "noexec")),), sysctls=(("net.slipway.none", "1"),))
    seen = host.observe(wish)
    with pytest.raises(HostError, match=r"net\.slipway\.none"):
        applying.apply(host, wish, make_plan(wish, seen), seen)
    assert [line for line in host.ran if line.startswith("mount")] == [
        "mount -o remount,bind,rw,nosuid,nodev,noexec /tmp",
        "mount -o remount,bind,rw,nosuid /tmp",
    ]


def test_a_swap_file_and_its_unit(tmp_path: Path) -> None:
    host = Pretended(tmp_path, {"swapfile.swap": UnitState("swapfile.swap", "loaded", "inactive", "dead", "disabled")})
    host.after = {"swapfile.swap": UnitState("swapfile.swap", "loaded", "active", "active", "enabled", kind="")}
    wish, problems = parse({"swap": {"path": "/swapfile", "size_mib": 8}})
    assert problems == []
    assert lines(host, wish) == [
        "directory /etc/systemd: create (0755 root:root)",
        "directory /etc/systemd/system: create (0755 root:root)",
        "file /etc/systemd/system/swapfile.swap: create (0644 root:root)",
        "swap file /swapfile: 8 MiB",
        "systemd: read unit files again",
        "unit swapfile.swap: enable",
    ]
    assert "fallocate --length 8MiB /swapfile" in host.ran
    assert host.ran.index("mkswap /swapfile") < host.ran.index("swapon /swapfile")


def test_swap_that_the_kernel_refuses_leaves_nothing(tmp_path: Path) -> None:
    host = Pretended(tmp_path, {"swapfile.swap": UnitState("swapfile.swap", "loaded", "inactive", "dead", "disabled")})
    host.answers["swapon /swapfile"] = Completed(255, "", "swapon failed: Invalid argument")
    wish, _problems = parse({"swap": {"path": "/swapfile", "size_mib": 8}})
    with pytest.raises(HostError, match=r"swapon /swapfile. failed: swapon failed: Invalid argument; every file is as"):
        carry_out(host, wish)
    assert not (tmp_path / "etc/systemd").exists()


def test_changes_in_a_row_are_no_crash_loop(tmp_path: Path) -> None:
    """systemd refuses a start after several within a minute; the count is cleared and the start made once more."""
    host = Pretended(tmp_path)
    host.answers["systemctl restart -- x.service"] = Completed(1, "", "start of the service was attempted too often.")
    applying.act_on_unit(host, "restart", "x.service")
    assert host.ran == [
        "systemctl restart -- x.service",
        "systemctl reset-failed -- x.service",
        "systemctl restart -- x.service",
    ]
    host.ran.clear()
    host.answers["systemctl restart -- x.service"] = Completed(1, "", "control process exited")
    assert applying.act_on_unit(host, "restart", "x.service").code == 1
    assert host.ran == ["systemctl restart -- x.service"]

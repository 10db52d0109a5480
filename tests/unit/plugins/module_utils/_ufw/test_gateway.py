# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is run and written, in which order, and that a failure leaves things as they were."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, Optional

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._ufw import docker, gateway, plan
from ansible_collections.slipway.ops.plugins.module_utils._ufw.model import V4, V6

ROUTES = (
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
    "eth0\t00000000\t01001EAC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
    "docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
)
ROUTES_6 = (
    "fd0051001b0000000000000000000000 40 00000000000000000000000000000000 00 "
    "00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
    "fd0051001b0000000000000000000001 00000400 00000001 00000000 00000003     eth1\n"
    "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
    "00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo\n"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host of files under a temporary directory."""
    rules = {family: str(tmp_path / f"user.{family}") for family in (V4, V6)}
    guard = {family: str(tmp_path / "guard" / f"rules.{family}") for family in (V4, V6)}
    settings = {"DEFAULTS": str(tmp_path / "default"), "CONFIGURATION": str(tmp_path / "ufw.conf")}
    monkeypatch.setattr(plan, "RULES", rules)
    monkeypatch.setattr(docker, "FILES", guard)
    monkeypatch.setattr(docker, "DIRECTORY", str(tmp_path / "guard"))
    monkeypatch.setattr(plan, "FILES", (*rules.values(), *settings.values(), *guard.values()))
    for name, value in settings.items():
        monkeypatch.setattr(plan, name, value)
    monkeypatch.setattr(plan, "UFW_FILES", (*rules.values(), *settings.values()))
    monkeypatch.setattr(gateway, "_LOCK", str(tmp_path / "lock"))
    (tmp_path / "user.v4").write_text("old 4\n")
    (tmp_path / "user.v6").write_text("old 6\n")
    (tmp_path / "default").write_text("IPV6=yes\n")
    (tmp_path / "ufw.conf").write_text("ENABLED=yes\n")
    return tmp_path


class Tools:
    """Stands for ufw and iptables: remembers what was run, fails on request."""

    def __init__(self, fail: str = "") -> None:
        self.ran: list[str] = []
        self.texts: list[str] = []
        self.outputs: dict[str, str] = {}
        self.fail = fail

    def __call__(self, command: list[str], text: Optional[str]) -> tuple[int, str, str]:
        line = " ".join(command)
        self.ran.append(line)
        if self.fail and self.fail in line:
            return 1, "", "some context\nline 3 failed\n"
        if text is not None:
            self.texts.append(text)
        return 0, self.outputs.get(command[0], ""), ""

    def loads(self) -> list[str]:
        return [line for line in self.ran if "-save" not in line]


def accept(_seen: Any) -> list[str]:
    return []


def a_plan(root: Path, load: str = plan.RESTORE, **more: Any) -> plan.Plan:
    return plan.Plan({str(root / "user.v4"): "new 4\n", str(root / "user.v6"): "new 6\n"}, load, steps=["x"], **more)


def test_tries_then_writes_then_loads_once(root: Path) -> None:
    tools = Tools()
    gateway.Firewall(tools).apply(a_plan(root), accept)
    assert tools.loads() == [
        "iptables-restore --noflush --test",
        "ip6tables-restore --noflush --test",
        "iptables-restore --noflush --wait 10",
        "ip6tables-restore --noflush --wait 10",
    ]
    assert (root / "user.v4").read_text() == "new 4\n"


@pytest.mark.parametrize(
    ("load", "command"),
    [(plan.ENABLE, "/lib/ufw/ufw-init start"), (plan.RELOAD, "/usr/sbin/ufw reload")],
)
def test_defaults_are_loaded_by_ufw_itself(root: Path, load: str, command: str) -> None:
    tools = Tools()
    gateway.Firewall(tools).apply(a_plan(root, load), accept)
    assert [line for line in tools.loads() if "--test" not in line] == [command]


def test_rules_that_the_tools_refuse_are_never_written(root: Path) -> None:
    tools = Tools(fail="ip6tables-restore --noflush --test")
    with pytest.raises(
        gateway.FirewallError, match=r"user\.v6: ip6tables-restore refuses the new rules: line 3 failed"
    ):
        gateway.Firewall(tools).apply(a_plan(root), accept)
    assert (root / "user.v4").read_text() == "old 4\n"
    assert [line for line in tools.loads() if "--test" not in line] == []


def test_a_failed_load_puts_the_files_back_and_loads_them(root: Path) -> None:
    tools = Tools(fail="ip6tables-restore --noflush --wait")
    with pytest.raises(gateway.FirewallError, match="The old rules were put back and are in force"):
        gateway.Firewall(tools).apply(a_plan(root), accept)
    assert [(root / name).read_text() for name in ("user.v4", "user.v6")] == ["old 4\n", "old 6\n"]
    assert tools.loads()[-1] == "/usr/sbin/ufw reload"


def test_live_rules_other_than_declared_put_the_files_back(root: Path) -> None:
    tools = Tools()
    with pytest.raises(gateway.FirewallError, match="not as declared after loading: chain differs"):
        gateway.Firewall(tools).apply(a_plan(root), lambda _seen: ["chain differs"])
    assert (root / "user.v4").read_text() == "old 4\n"
    assert tools.loads()[-1] == "/usr/sbin/ufw reload"


def test_a_firewall_that_was_off_is_off_again_after_a_failure(root: Path) -> None:
    (root / "ufw.conf").write_text("ENABLED=no\n")
    tools = Tools(fail="ufw-init")
    with pytest.raises(gateway.FirewallError):
        gateway.Firewall(tools).apply(a_plan(root, plan.ENABLE), accept)
    assert tools.loads()[-1] == "/usr/sbin/ufw disable"


def test_says_so_when_nothing_can_be_loaded_any_more(root: Path) -> None:
    with pytest.raises(gateway.FirewallError, match="look at the host now"):
        gateway.Firewall(Tools(fail="/usr/sbin/ufw")).apply(a_plan(root, plan.RELOAD), accept)
    assert (root / "user.v4").read_text() == "old 4\n"


def test_the_docker_rules_are_written_and_applied(root: Path) -> None:
    tools = Tools()
    guard = str(root / "guard" / "rules.v4")
    gateway.Firewall(tools).apply(plan.Plan({guard: "x\n"}, guard=True, steps=["x"]), accept)
    assert (root / "guard" / "rules.v4").read_text() == "x\n"
    assert tools.loads() == ["iptables-restore --noflush --test", docker.PROGRAM]


def test_the_docker_rules_are_taken_away(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = Tools()
    tools.outputs = {
        "iptables-save": ":DOCKER-USER - [0:0]\n:SLIPWAY-DOCKER - [0:0]\n-A DOCKER-USER -j SLIPWAY-DOCKER\n"
    }
    monkeypatch.setattr(gateway.os.path, "exists", lambda _path: True)
    gateway.Firewall(tools).apply(plan.Plan(guard=True, guard_gone=True, steps=["x"]), accept)
    early = "ip6tables -w 10 -t mangle"
    assert tools.loads() == [
        "iptables-restore --noflush --wait 10",
        f"{early} -n -L SLIPWAY-DOCKER",
        f"{early} -D FORWARD -j SLIPWAY-DOCKER",
        f"{early} -F SLIPWAY-DOCKER",
        f"{early} -X SLIPWAY-DOCKER",
    ]
    assert "-D DOCKER-USER -j SLIPWAY-DOCKER\n-F SLIPWAY-DOCKER\n-X SLIPWAY-DOCKER\n" in tools.texts[-1]


def test_forwarding_stays_closed_for_docker_when_ufw_stops(root: Path) -> None:
    tools = Tools()
    off = plan.Plan(load=plan.DISABLE, guard_gone=True, forward_dropped=[V4], steps=["x"])
    gateway.Firewall(tools).apply(off, accept)
    assert tools.loads()[:2] == ["/usr/sbin/ufw disable", "iptables -w 10 -P FORWARD DROP"]


def test_remembers_files_with_mode_and_what_is_not_there(root: Path) -> None:
    (root / "user.v4").chmod(0o640)
    (root / "user.v6").unlink()
    found = gateway.Firewall(Tools()).remember(a_plan(root), plan.Observed(True), "firewall", 60)
    paths = dict(found.paths)
    assert paths[str(root / "user.v4")].content == b"old 4\n"
    assert paths[str(root / "user.v4")].mode == "0640"
    assert paths[str(root / "user.v6")].kind == "missing"
    assert str(root / "default") not in paths, "only what will change"
    everything = gateway.Firewall(Tools()).remember(a_plan(root, plan.RELOAD), plan.Observed(True), "firewall", 60)
    assert str(root / "default") in dict(everything.paths), "ufw itself may write it"


def test_a_full_disk_puts_the_files_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = gateway.durable.write_whole

    def write(path: str, text: str, mode: int) -> None:
        if path.endswith("user.v6") and text.startswith("new"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        whole(path, text, mode)

    monkeypatch.setattr(gateway.durable, "write_whole", write)
    with pytest.raises(gateway.FirewallError, match=r"user\.v6: No space left on device\. The old rules"):
        gateway.Firewall(Tools()).apply(a_plan(root), accept)
    assert (root / "user.v4").read_text() == "old 4\n"


def test_keeps_the_mode_of_a_file(root: Path) -> None:
    (root / "user.v4").chmod(0o600)
    gateway.Firewall(Tools()).apply(a_plan(root), accept)
    assert (root / "user.v4").stat().st_mode & 0o777 == 0o600


def test_public_interfaces_are_those_of_default_routes() -> None:
    assert gateway.public_interfaces(ROUTES, ROUTES_6) == ["eth0", "eth1"]
    assert gateway.public_interfaces(ROUTES, "") == ["eth0"]
    assert gateway.public_interfaces("", "") == []


def test_the_connection_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "203.0.113.7 51234 127.0.0.1 2222")
    found = gateway.connection()
    assert found is not None
    assert (found.client, found.port, found.interface) == ("203.0.113.7", 2222, "lo")


def test_other_interfaces_are_those_that_others_may_come_in_by(tmp_path: Path) -> None:
    for name, kind, part in (
        ("eth0", "1", ""),
        ("eth1", "1", ""),
        ("wg0", "65534", ""),
        ("lo", "772", ""),
        ("shop0", "1", "bridge"),
        ("eth2", "1", "master"),
        ("veth1", "1", ""),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
        if part:
            (tmp_path / name / part).mkdir()
    (tmp_path / "bonding_masters").write_text("")
    assert gateway.other_interfaces(["eth0"], str(tmp_path)) == ["eth1", "wg0"]

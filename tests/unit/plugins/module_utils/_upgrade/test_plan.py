# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What APT prints, and what follows from it."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._upgrade import plan

APT_2 = """Reading package lists...
The following packages have been kept back:
  docker.io runc
The following NEW packages will be installed:
  linux-image-6.1.0-30-amd64
1 upgraded, 1 newly installed, 0 to remove and 2 not upgraded.
Inst openssl [3.0.15-1] (3.0.17-1 Debian:12.11/oldstable [amd64])
Inst linux-image-6.1.0-30-amd64 (6.1.124-1 Debian:12.11/oldstable [amd64])
Conf openssl (3.0.17-1 Debian:12.11/oldstable [amd64])
Remv old-thing [1.0]
"""
APT_3 = """Not upgrading:
  docker.io

Upgrading:
  openssl

Summary:
  Upgrading: 1, Installing: 0, Removing: 0, Not Upgrading: 1
  Download size: 1,234 kB
  Space needed: 2.5 MB / 40.1 GB available
Inst openssl [3.5.1-1] (3.5.4-1 Debian:13.2/stable [amd64])
"""


def test_reads_a_simulation_of_either_apt() -> None:
    old = plan.parse_simulation(APT_2)
    assert [change.line for change in old.changes] == [
        "upgrade openssl 3.0.15-1 -> 3.0.17-1",
        "install linux-image-6.1.0-30-amd64 6.1.124-1",
    ]
    assert [change.is_kernel for change in old.changes] == [False, True]
    assert (old.removed, old.kept_back) == (("old-thing",), ("docker.io", "runc"))
    new = plan.parse_simulation(APT_3)
    assert ([change.name for change in new.changes], new.kept_back) == (["openssl"], ("docker.io",))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (APT_3, 3_734_000),
        ("Need to get 10.5 MB\nAfter this operation, 512 kB of additional disk space will be used.\n", 11_012_000),
        ("Need to get 0 B of archives.\nAfter this operation, 5 MB disk space will be freed.\n", 0),
    ],
    ids=["apt 3", "apt 2", "freed"],
)  # fmt: skip
def test_what_an_upgrade_needs(text: str, expected: int) -> None:
    assert plan.needed_bytes(text) == expected


def test_no_way_to_the_internet_is_told_apart_from_a_wrong_source() -> None:
    away = plan.update_problem("E: Failed to fetch http://x/InRelease  Temporary failure resolving 'x'\n")
    wrong = plan.update_problem("E: The repository 'http://x lab Release' is not signed.\n")
    assert "the host's way to the internet" in away
    assert "nothing was changed. Check the host's package sources" in wrong
    assert plan.update_problem("")


def test_the_smallest_filesystem_decides() -> None:
    mib = 1024**2
    assert plan.space_problem(100 * mib, {"/": 700 * mib, "/var": 800 * mib}, 512 * mib) == ""
    assert plan.space_problem(100 * mib, {"/": 700 * mib, "/var": 600 * mib}, 512 * mib).startswith(
        "/var: 600 MiB are free, and the upgrade needs 100 MiB beside the 512 MiB"
    )


@pytest.mark.parametrize(
    ("running", "installed", "newer"),
    [
        ("6.1.0-28-amd64", ["6.1.0-28-amd64", "6.1.0-30-amd64"], "6.1.0-30-amd64"),
        ("6.1.0-9-amd64", ["6.1.0-9-amd64", "6.1.0-10-amd64"], "6.1.0-10-amd64"),
        ("6.12.48+deb13-amd64", ["6.12.48+deb13-amd64", "6.12.57+deb13-amd64"], "6.12.57+deb13-amd64"),
        ("6.1.0-28-amd64", ["6.1.0-28-amd64", "6.9.0-1-cloud-amd64"], ""),
        ("6.1.0-30-amd64", ["6.1.0-28-amd64", "6.1.0-30-amd64"], ""),
        ("6.18.44-fc", [], ""),
        ("6.18.44-fc", ["6.19.0-fc"], ""),
    ],
    ids=["newer", "by number", "trixie", "another flavour", "newest runs", "none installed", "a foreign kernel runs"],
)
def test_a_newer_kernel(running: str, installed: list[str], newer: str) -> None:
    assert plan.newer_kernel(running, installed) == newer


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        ("0::/system.slice/nginx.service\n", "nginx.service"),
        ("12:cpu:/x\n1:name=systemd:/docker/abc/system.slice/ssh.service\n", "ssh.service"),
        ("0::/system.slice/docker-0a1b.scope\n", ""),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.service\n", ""),
        ("1:name=systemd:/docker/abc/docker/0a1b\n", ""),
        ("0::/system.slice/docker.service/docker/0a1b\n", ""),
        ("", ""),
    ],
)
def test_the_service_of_a_process(cgroup: str, unit: str) -> None:
    assert plan.unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("maps", "program", "expected"),
    [
        ("", "/usr/bin/x (deleted)", True),
        ("7f-8f r-xp 00000000 08:01 12 /usr/lib/libssl.so.3 (deleted)\n", "/usr/bin/x", True),
        ("7f-8f r--p 00000000 08:01 12 /usr/lib/libssl.so.3 (deleted)\n", "/usr/bin/x", False),
        ("7f-8f r-xp 00000000 00:01 12 /memfd:jit (deleted)\n", "/usr/bin/x", False),
        ("7f-8f r-xp 00000000 08:01 12 /usr/lib/libssl.so.3\n7f-8f rw-p 0 0:0 0\n", "/usr/bin/x", False),
    ],
    ids=["program", "library", "data of it", "just in time", "current"],
)
def test_replaced_files_that_still_run(maps: str, program: str, expected: bool) -> None:
    assert plan.uses_replaced_files(maps, program) is expected


def test_what_would_take_the_session_along_asks_for_a_reboot() -> None:
    assert plan.restarts(["ssh.service", "dbus.service", "a.service"]) == (
        ["a.service", "ssh.service"],
        ["dbus.service"],
    )
    assert plan.reboot_reasons(True, "2", "1", ["dbus.service"]) == [
        "/run/reboot-required is there",
        "kernel 2 is installed and 1 runs",
        "dbus.service runs replaced files and cannot be restarted",
    ]


@pytest.mark.parametrize(
    ("policy", "due", "changed", "expected"),
    [("auto", True, False, True), ("auto", False, True, False), ("never", True, True, False),
     ("always", False, True, True), ("always", False, False, False)],
)  # fmt: skip
def test_whether_to_reboot(policy: str, due: bool, changed: bool, expected: bool) -> None:
    assert plan.reboots(policy, ["why"] if due else [], changed) is expected

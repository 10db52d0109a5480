# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import storage
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    MountState,
    SwapState,
    file_system_of,
    parse_mountinfo,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import SetMount
from ansible_collections.slipway.ops.plugins.module_utils._host.system import Mount, Swap

MOUNTINFO = """\
21 28 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/x
22 21 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw,hidepid=2
23 21 0:22 / /tmp rw,nosuid,nodev shared:6 - tmpfs tmpfs rw,size=1k
24 21 254:0 /v /var/lib/docker rw,relatime - ext4 /dev/vda rw,discard
"""
SEEN = parse_mountinfo(MOUNTINFO)


def test_mountinfo() -> None:
    assert SEEN["/tmp"] == MountState("/tmp", ("rw", "nosuid", "nodev", "size=1k"), "tmpfs")
    assert "hidepid=invisible" in SEEN["/proc"].options
    assert file_system_of("/var/lib/docker/swap", SEEN) == "ext4"
    assert file_system_of("/var/lib/dockers", SEEN) == "overlay"


def test_only_options_that_are_missing_are_added() -> None:
    problems: list[str] = []
    wanted = [Mount("/tmp", ("nodev", "noexec")), Mount("/proc", ("hidepid=2",)), Mount("/var/tmp", ("nodev",))]
    steps = storage.plan_mounts(wanted, SEEN, {"/var/tmp": True}, problems)
    assert [step.line for step in steps] == [
        "mount /tmp: add noexec",
        "mount /var/tmp: mount it on itself, add nodev",
    ]
    assert problems == []


def test_a_mount_of_nothing_is_refused() -> None:
    problems: list[str] = []
    storage.plan_mounts([Mount("/nowhere", ("nodev",))], SEEN, {"/nowhere": False}, problems)
    assert problems == ["mounts: /nowhere is not a directory of this host; leave it out"]


def test_commands_keep_what_a_mount_has() -> None:
    flags = SetMount("/tmp", ("noexec",), ("rw", "nosuid", "relatime", "size=1k"))
    assert storage.mount_commands(flags) == [["mount", "-o", "remount,bind,rw,nosuid,noexec", "/tmp"]]
    assert storage.undo_commands(flags) == [["mount", "-o", "remount,bind,rw,nosuid", "/tmp"]]
    made = SetMount("/var/tmp", ("nodev",), (), is_mount=False)
    assert storage.mount_commands(made) == [
        ["mount", "--bind", "/var/tmp", "/var/tmp"],
        ["mount", "-o", "remount,bind,nodev", "/var/tmp"],
    ]
    assert storage.undo_commands(made) == [["umount", "--lazy", "/var/tmp"]]
    proc = SetMount("/proc", ("hidepid=2",), ("rw", "nosuid"))
    assert storage.mount_commands(proc) == [["mount", "-o", "remount,rw,nosuid,hidepid=2", "/proc"]]
    assert storage.undo_commands(proc)[-1] == ["mount", "-o", "remount,rw,nosuid,hidepid=off", "/proc"]


@pytest.mark.parametrize(
    ("seen", "line", "says"),
    [
        (SwapState(file_system="ext4", free_mib=2000), "swap file /swapfile: 512 MiB", ""),
        (SwapState(524284, 512 * 1024 * 1024, "ext4"), "", ""),
        (SwapState(0, 512 * 1024 * 1024, "ext4"), "swap file /swapfile: turn on", ""),
        (
            SwapState(512, 256 * 1024 * 1024, "ext4", 2000),
            "swap file /swapfile: 256 MiB -> 512 MiB",
            "",
        ),
        (SwapState(file_system="ext4", free_mib=500), "swap file /swapfile: 512 MiB", "512 MiB do not fit"),
        (SwapState(file_system="overlay", free_mib=2000), "swap file /swapfile: 512 MiB", "lies on overlay"),
    ],
)
def test_swap(seen: SwapState, line: str, says: str) -> None:
    problems: list[str] = []
    steps = storage.plan_swap(Swap("/swapfile", 512), seen, problems)
    assert [step.line for step in steps] == ([line] if line else [])
    assert [says in problem for problem in problems] == ([True] if says else [])

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mount options and swap: what the host has, and the steps to what it should have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import SAME_OPTION, MountState, SwapState
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import MakeSwapFile, SetMount, Step
from ansible_collections.slipway.ops.plugins.module_utils._host.system import Mount, Swap

# Flags of one mount; anything else belongs to the file system itself and is set without `bind`.
FLAGS = ("nodev", "noexec", "nosuid", "noatime", "nodiratime", "relatime", "ro", "rw", "nosymfollow")
CANNOT_SWAP = ("overlay", "tmpfs", "ramfs", "nfs", "nfs4", "zfs", "fuse", "squashfs", "9p", "virtiofs")


def plan_mounts(
    wanted: Iterable[Mount], seen: Mapping[str, MountState], directories: Mapping[str, bool], problems: list[str]
) -> list[Step]:
    steps: list[Step] = []
    for mount in wanted:
        found = seen.get(mount.path)
        if found is None and not directories.get(mount.path, False):
            problems.append(f"mounts: {mount.path} is not a directory of this host; leave it out")
            continue
        have = found.options if found is not None else ()
        missing = tuple(option for option in mount.options if SAME_OPTION.get(option, option) not in have)
        if missing:
            steps.append(SetMount(mount.path, missing, have, is_mount=found is not None))
    return steps


def plan_swap(wanted: Swap | None, seen: SwapState, problems: list[str]) -> list[Step]:
    """A file of another size is made anew; one that is too big for the disk is refused."""
    if wanted is None or (seen.size_bytes == wanted.size_mib * 1024 * 1024 and seen.active_kib):
        return []
    if seen.file_system in CANNOT_SWAP or seen.file_system.startswith("fuse."):
        problems.append(
            f"swap.path: {wanted.path} lies on {seen.file_system}, which cannot hold a swap file; "
            "choose a path on a disk (ext4, xfs), or have no swap on this host"
        )
    free = seen.free_mib + seen.size_bytes // (1024 * 1024)
    if wanted.size_mib >= free and seen.size_bytes != wanted.size_mib * 1024 * 1024:
        problems.append(
            f"swap.size_mib: {wanted.size_mib} MiB do not fit, {wanted.path} has {free} MiB of free disk; choose less"
        )
    return [MakeSwapFile(wanted.path, wanted.size_mib, seen.size_bytes, seen.active_kib > 0)]


def mount_commands(step: SetMount) -> list[list[str]]:
    """The commands that give a mount its options and keep those it has."""
    commands: list[list[str]] = []
    if not step.is_mount:
        commands.append(["mount", "--bind", step.path, step.path])
    flags = [option for option in step.missing if option in FLAGS]
    others = [option for option in step.missing if option not in FLAGS]
    kept = [option for option in step.before if option in FLAGS and option != "relatime"]
    if flags:
        commands.append(["mount", "-o", ",".join(["remount", "bind", *kept, *flags]), step.path])
    if others:
        commands.append(["mount", "-o", ",".join(["remount", *kept, *flags, *others]), step.path])
    return commands


def undo_commands(step: SetMount) -> list[list[str]]:
    if not step.is_mount:
        return [["umount", "--lazy", step.path]]
    kept = [option for option in step.before if option in FLAGS and option != "relatime"]
    others = {option.partition("=")[0] for option in step.missing if option not in FLAGS}
    commands = [["mount", "-o", ",".join(["remount", "bind", *(kept or ["rw"])]), step.path]]
    old = [option for option in step.before if option.partition("=")[0] in others]
    for name in others:
        back = next((option for option in old if option.startswith(name)), "hidepid=off" if name == "hidepid" else "")
        if back:
            commands.append(["mount", "-o", ",".join(["remount", *kept, back]), step.path])
    return commands

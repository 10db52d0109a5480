# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An upgrade as values: what APT would do, what it needs, and whether a reboot is due. Nothing runs here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

AUTO, NEVER, ALWAYS = "auto", "never", "always"
REBOOT_CHOICES = (AUTO, NEVER, ALWAYS)
KERNEL = re.compile(r"^linux-(image|modules)-")
# A restart of these takes the session, or the machine, along: a new program is there after the next boot.
NEVER_RESTARTED = re.compile(
    r"^(dbus|dbus-broker|systemd-logind|systemd-manager|getty@.*|serial-getty@.*|user@.*|emergency|rescue)\.service$"
)

# Files that no package brings.
NO_PACKAGE = ("/memfd:", "/dev/", "/tmp/", "/run/", "/SYSV")  # noqa: S108

_INSTALL = re.compile(r"^Inst (?P<name>\S+) (?:\[(?P<old>[^\]]+)\] )?\((?P<new>\S+)")
_REMOVE = re.compile(r"^Remv (?P<name>\S+)")
_SIZES = (
    re.compile(r"^(?:Need to get|\s*Download size:) (?P<size>[\d.,]+ [kMGT]?B)", re.M),
    re.compile(r"^After this operation, (?P<size>[\d.,]+ [kMGT]?B) of additional", re.M),
    re.compile(r"^\s*Space needed: (?P<size>[\d.,]+ [kMGT]?B)", re.M),
)
_UNITS = {"B": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4}
_UNREACHABLE = re.compile(
    r"could not resolve|temporary failure resolving|could not connect|connection (?:refused|timed out|failed)|"
    r"unable to connect|network is unreachable|no route to host",
    re.I,
)


@dataclass(frozen=True)
class Change:
    """One package that comes or goes to another version."""

    name: str
    old: str
    new: str

    @property
    def line(self) -> str:
        return f"upgrade {self.name} {self.old} -> {self.new}" if self.old else f"install {self.name} {self.new}"

    @property
    def is_kernel(self) -> bool:
        return KERNEL.match(self.name) is not None


@dataclass(frozen=True)
class Simulation:
    """What `apt-get --simulate` prints."""

    changes: tuple[Change, ...] = ()
    removed: tuple[str, ...] = ()
    kept_back: tuple[str, ...] = ()


def parse_simulation(text: str) -> Simulation:
    changes: list[Change] = []
    removed: list[str] = []
    kept: list[str] = []
    in_kept = False
    for line in text.splitlines():
        if line.lower().startswith(("the following packages have been kept back", "not upgrading:")):
            in_kept = True
            continue
        if in_kept and line.startswith("  "):
            kept += line.split()
            continue
        in_kept = False
        found = _INSTALL.match(line)
        if found:
            changes.append(Change(found["name"], found["old"] or "", found["new"]))
        elif _REMOVE.match(line):
            removed.append(line.split()[1])
    return Simulation(tuple(changes), tuple(removed), tuple(kept))


def needed_bytes(text: str) -> int:
    """What the download and the unpacked files take, by what `apt-get` says before it asks."""
    return sum(_bytes(found["size"]) for found in (pattern.search(text) for pattern in _SIZES) if found)


def _bytes(text: str) -> int:
    number, unit = text.replace(",", "").split()
    return int(float(number) * _UNITS[unit])


def update_problem(errors: str) -> str:
    """Why the package lists could not be fetched, in one line with the remedy."""
    lines = [line.strip() for line in errors.splitlines() if line.startswith(("E:", "W:", "Err:"))]
    told = (lines or [line.strip() for line in errors.splitlines() if line.strip()] or ["apt-get update failed"])[0]
    if _UNREACHABLE.search(errors):
        return (
            f"the package lists cannot be fetched ({told}); nothing was changed. "
            "Check the host's way to the internet, its DNS and its proxy"
        )
    return f"the package lists cannot be fetched ({told}); nothing was changed. Check the host's package sources"


def space_problem(needed: int, free: dict[str, int], margin: int) -> str:
    """Which filesystem is too small for the upgrade, or nothing."""
    for path, available in sorted(free.items()):
        if available < needed + margin:
            free_mib, needed_mib, margin_mib = (size // 1024**2 for size in (available, needed, margin))
            return (
                f"{path}: {free_mib} MiB are free, and the upgrade needs {needed_mib} MiB beside the {margin_mib} MiB "
                "of upgrade_free_mib; nothing was changed. Free some, such as by: apt-get clean"
            )
    return ""


def newer_kernel(running: str, installed: Iterable[str]) -> str:
    """The newest installed kernel of the running one's flavour, when it is newer; else nothing."""
    flavour = _flavour(running)
    candidates = [release for release in installed if _flavour(release) == flavour]
    newest = max(candidates, key=_numbers, default="")
    return newest if newest and running in candidates and _numbers(newest) > _numbers(running) else ""


def _flavour(release: str) -> str:
    return re.sub(r"^[0-9.+~-]*", "", release)


def _numbers(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def unit_of(cgroup: str) -> str:
    """The service that a process belongs to, from its /proc/*/cgroup; nothing for containers, sessions and users."""
    for line in cgroup.splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number != "0" and controllers != "name=systemd":
            continue
        parts = path.split("/")
        services = [part for part in parts if part.endswith(".service")]
        if services and services[0] == parts[-1] and not services[0].startswith("user@"):
            return services[0]
    return ""


def uses_replaced_files(maps: str, program: str) -> bool:
    """Whether a process runs code of a file that is not there any more."""
    if program.endswith(" (deleted)"):
        return True
    for line in maps.splitlines():
        fields = line.split(None, 5)
        if len(fields) < 6 or "x" not in fields[1] or not fields[5].endswith(" (deleted)"):
            continue
        if fields[5].startswith("/") and not fields[5].startswith(NO_PACKAGE):
            return True
    return False


def restarts(units: Iterable[str]) -> tuple[list[str], list[str]]:
    """Which units are restarted now, and which ask for a reboot."""
    found = sorted(set(units))
    return (
        [unit for unit in found if not NEVER_RESTARTED.match(unit)],
        [unit for unit in found if NEVER_RESTARTED.match(unit)],
    )


def reboot_reasons(marker: bool, kernel: str, running: str, stale: Sequence[str]) -> list[str]:
    reasons = ["/run/reboot-required is there"] if marker else []
    if kernel:
        reasons.append(f"kernel {kernel} is installed and {running} runs")
    if stale:
        reasons.append(f"{', '.join(stale)} runs replaced files and cannot be restarted")
    return reasons


def reboots(policy: str, reasons: Sequence[str], changed: bool) -> bool:
    return (bool(reasons) and policy != NEVER) or (changed and policy == ALWAYS)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a plan. A step says what it does in one line; the applier knows how."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._host.observed import PathState
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Directory, File, Link


@dataclass(frozen=True)
class Step:
    @property
    def line(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class InstallPackages(Step):
    names: tuple[str, ...]

    @property
    def line(self) -> str:
        return "install packages " + ", ".join(self.names)


@dataclass(frozen=True)
class RunCommand(Step):
    """A command of the account tools: its arguments hold no secret."""

    argv: tuple[str, ...]
    summary: str
    stdin: str = ""  # what no process list may show

    @property
    def line(self) -> str:
        return self.summary


@dataclass(frozen=True)
class MakeDirectory(Step):
    directory: Directory
    before: PathState

    @property
    def line(self) -> str:
        wanted = f"{self.directory.mode} {self.directory.owner}:{self.directory.group}"
        if self.before.kind == "directory":
            return f"directory {self.directory.path}: {_attributes(self.before)} -> {wanted}"
        return f"directory {self.directory.path}: create ({wanted})"


@dataclass(frozen=True)
class WriteFile(Step):
    file: File
    before: PathState
    content_differs: bool = True

    @property
    def line(self) -> str:
        wanted = f"{self.file.mode} {self.file.owner}:{self.file.group}"
        if self.before.kind != "file":
            return f"file {self.file.path}: create ({wanted})"
        parts = ["change content"] if self.content_differs else []
        if _attributes(self.before) != wanted:
            parts.append(f"{_attributes(self.before)} -> {wanted}")
        return f"file {self.file.path}: " + ", ".join(parts)


@dataclass(frozen=True)
class MakeLink(Step):
    link: Link
    before: PathState

    @property
    def line(self) -> str:
        return f"link {self.link.path} -> {self.link.target}"


@dataclass(frozen=True)
class Remove(Step):
    path: str
    before: PathState

    @property
    def line(self) -> str:
        return f"remove {self.before.kind} {self.path}"


@dataclass(frozen=True)
class WriteSysctl(Step):
    key: str
    value: str
    before: str | None

    @property
    def line(self) -> str:
        return f"sysctl {self.key}: {self.before} -> {self.value}"


@dataclass(frozen=True)
class SetMount(Step):
    path: str
    missing: tuple[str, ...]
    before: tuple[str, ...]
    is_mount: bool = True

    @property
    def line(self) -> str:
        made = "" if self.is_mount else "mount it on itself, "
        return f"mount {self.path}: {made}add {', '.join(self.missing)}"


@dataclass(frozen=True)
class MakeSwapFile(Step):
    path: str
    size_mib: int
    before_bytes: int = 0
    active: bool = False

    @property
    def made(self) -> bool:
        """False where the file is right and only to be turned on."""
        return self.before_bytes != self.size_mib * 1024 * 1024

    @property
    def line(self) -> str:
        if not self.made:
            return f"swap file {self.path}: turn on"
        was = f"{self.before_bytes // (1024 * 1024)} MiB -> " if self.before_bytes else ""
        return f"swap file {self.path}: {was}{self.size_mib} MiB"


@dataclass(frozen=True)
class ReloadManager(Step):
    @property
    def line(self) -> str:
        return "systemd: read unit files again"


@dataclass(frozen=True)
class ActOnUnit(Step):
    """One verb of systemctl for one unit; `reason` names the path that calls for it."""

    verb: str
    name: str
    reason: str = ""

    @property
    def line(self) -> str:
        return f"unit {self.name}: {self.verb}" + (f" ({self.reason} changed)" if self.reason else "")


PathStep = (MakeDirectory, WriteFile, MakeLink, Remove)


@dataclass(frozen=True)
class Plan:
    packages: tuple[Step, ...] = ()
    accounts: tuple[Step, ...] = ()
    paths: tuple[Step, ...] = ()
    checks: tuple[str, ...] = ()
    swap: tuple[Step, ...] = ()
    mounts: tuple[Step, ...] = ()
    sysctls: tuple[Step, ...] = ()
    units: tuple[Step, ...] = ()
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.packages + self.accounts + self.paths + self.swap + self.mounts + self.sysctls + self.units


def path_of(step: Step) -> str:
    if isinstance(step, MakeDirectory):
        return step.directory.path
    if isinstance(step, WriteFile):
        return step.file.path
    if isinstance(step, MakeLink):
        return step.link.path
    if isinstance(step, Remove):
        return step.path
    return ""


def _attributes(state: PathState) -> str:
    return f"{state.mode} {state.owner}:{state.group}"

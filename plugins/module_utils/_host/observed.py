# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host is now, as values, and the parsers of what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MISSING = "missing"
FILE = "file"
DIRECTORY = "directory"
LINK = "link"
OTHER = "other"
SAME_OPTION = {"hidepid=2": "hidepid=invisible", "hidepid=1": "hidepid=noaccess", "hidepid=0": "hidepid=off"}


@dataclass(frozen=True)
class PathState:
    kind: str = MISSING
    mode: str = ""
    owner: str = ""
    group: str = ""
    content: bytes | None = None
    target: str | None = None
    empty: bool = True  # of a directory


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int
    comment: str
    home: str
    shell: str


@dataclass(frozen=True)
class AccountGroup:
    name: str
    gid: int
    members: tuple[str, ...]


@dataclass(frozen=True)
class UnitState:
    """One block of `systemctl show`."""

    name: str
    load: str = "not-found"
    active: str = "inactive"
    sub: str = "dead"
    file: str = ""
    result: str = "success"
    kind: str = ""
    condition_refused: bool = False
    never_here: bool = False  # a condition fails that no file of ours can make true, such as "not in a container"
    needs_reload: bool = False
    restarts: int = 0

    @property
    def exists(self) -> bool:
        return self.load not in ("not-found", "error", "bad-setting")

    @property
    def running(self) -> bool:
        return self.active in ("active", "reloading", "activating", "refreshing")


@dataclass(frozen=True)
class Login:
    """The login that the request came by. `key` is its fingerprint, where the host knows it."""

    user: str
    key: str = ""


@dataclass(frozen=True)
class MountState:
    """One line of /proc/self/mountinfo."""

    path: str
    options: tuple[str, ...]
    kind: str


@dataclass(frozen=True)
class SwapState:
    active_kib: int = 0
    size_bytes: int = 0
    file_system: str = ""
    free_mib: int = 0


@dataclass(frozen=True)
class Observation:
    packages: frozenset[str] = frozenset()
    accounts: Mapping[str, Account] = field(default_factory=dict)
    groups: Mapping[str, AccountGroup] = field(default_factory=dict)
    paths: Mapping[str, PathState] = field(default_factory=dict)
    sysctls: Mapping[str, str | None] = field(default_factory=dict)
    units: Mapping[str, UnitState] = field(default_factory=dict)
    programs: frozenset[str] = frozenset()  # of the programs that checks and validations ask for
    pending: Mapping[str, str] = field(default_factory=dict)  # unit → restart or reload an earlier run still owes
    mounts: Mapping[str, MountState] = field(default_factory=dict)
    swap: SwapState = SwapState()
    passwords: Mapping[str, str] = field(default_factory=dict)  # from the shadow file, where a request asks
    login: Login | None = None  # only when the way in of the connected user may change

    def path(self, path: str) -> PathState:
        return self.paths.get(path, PathState())


def sysctl_path(key: str) -> str:
    return "/proc/sys/" + (key if "/" in key else key.replace(".", "/"))


def parse_dpkg_status(text: str, wanted: frozenset[str]) -> frozenset[str]:
    """Return which of the wanted packages are installed; a virtual package counts when one that provides it is."""
    installed: set[str] = set()
    provided: set[str] = set()
    for stanza in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in stanza.split("\n"):
            if line[:1] in (" ", "\t", ""):
                continue
            key, _colon, value = line.partition(":")
            if key in ("Package", "Status", "Architecture", "Provides"):
                fields[key] = value.strip()
        if not fields.get("Status", "").endswith(" installed"):
            continue
        name = fields.get("Package", "")
        if name in wanted:
            installed.add(name)
        qualified = f"{name}:{fields.get('Architecture', '')}"
        if qualified in wanted:
            installed.add(qualified)
        for entry in fields.get("Provides", "").split(","):
            provided.add(entry.split("(")[0].strip())
    return frozenset(installed | (provided & wanted))


def parse_passwd(text: str) -> dict[str, Account]:
    found: dict[str, Account] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 7 and parts[2].isdigit() and parts[3].isdigit():
            found[parts[0]] = Account(parts[0], int(parts[2]), int(parts[3]), parts[4], parts[5], parts[6])
    return found


def parse_group(text: str) -> dict[str, AccountGroup]:
    found: dict[str, AccountGroup] = {}
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 4 and parts[2].isdigit():
            members = tuple(member for member in parts[3].split(",") if member)
            found[parts[0]] = AccountGroup(parts[0], int(parts[2]), members)
    return found


def parse_shadow(text: str) -> dict[str, str]:
    """The hash of each account; empty, `*` or beginning with `!` where no password opens it."""
    rows = (line.split(":") for line in text.splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1}


def parse_mountinfo(text: str) -> dict[str, MountState]:
    """By mount point; of several on top of each other, the last is the one that counts."""
    found: dict[str, MountState] = {}
    for line in text.splitlines():
        left, separator, right = line.partition(" - ")
        before, after = left.split(), right.split()
        if not separator or len(before) < 6 or len(after) < 2:
            continue
        path = before[4].replace("\\040", " ")
        own = [option for option in after[2].split(",") if option not in ("rw", "ro")] if len(after) > 2 else []
        options = tuple(SAME_OPTION.get(option, option) for option in (*before[5].split(","), *own))
        found[path] = MountState(path, options, after[0])
    return found


def file_system_of(path: str, mounts: Mapping[str, MountState]) -> str:
    best = ""
    for point in mounts:
        inside = path == point or path.startswith(point if point == "/" else point + "/")
        if inside and len(point) > len(best):
            best = point
    return mounts[best].kind if best else ""


FILE_CONDITIONS = (
    "ConditionPath",
    "ConditionFile",
    "ConditionDirectory",
    "AssertPath",
    "AssertFile",
    "AssertDirectory",
)
UNIT_PROPERTIES = (
    "Id",
    "LoadState",
    "ActiveState",
    "SubState",
    "UnitFileState",
    "Result",
    "Type",
    "ConditionResult",
    "ConditionTimestampMonotonic",
    "NeedDaemonReload",
    "NRestarts",
)


def never_here(text: str) -> bool:
    """Read `systemd-analyze condition`: which conditions fail, and whether any of them is about more than files."""
    failed = [line.split(": ")[-1] for line in text.splitlines() if line.endswith(" failed.")]
    return any(not condition.startswith(FILE_CONDITIONS) for condition in failed)


def parse_units(names: list[str], text: str) -> dict[str, UnitState]:
    """Read `systemctl show`: one block a unit, in the order they were asked for."""
    blocks = [block for block in text.strip("\n").split("\n\n") if block.strip()]
    found: dict[str, UnitState] = {}
    for name, block in zip(names, blocks):
        values: dict[str, str] = {}
        for line in block.splitlines():
            key, _equals, value = line.partition("=")
            values[key] = value
        tried = values.get("ConditionTimestampMonotonic", "0") not in ("", "0")
        refused = tried and values.get("ConditionResult") == "no"
        found[name] = UnitState(
            name=name,
            load=values.get("LoadState", "not-found"),
            active=values.get("ActiveState", "inactive"),
            sub=values.get("SubState", "dead"),
            file=values.get("UnitFileState", ""),
            result=values.get("Result", "success"),
            kind=values.get("Type", ""),
            condition_refused=refused or values.get("Result") == "exec-condition",
            needs_reload=values.get("NeedDaemonReload") == "yes",
            restarts=int(values.get("NRestarts", "0") or 0),
        )
    return found

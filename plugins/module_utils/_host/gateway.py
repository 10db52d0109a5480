# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host itself: the only code here that reads files, writes them and starts programs."""

from __future__ import annotations

import glob
import json
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from ansible_collections.slipway.ops.plugins.module_utils._host import observed
from ansible_collections.slipway.ops.plugins.module_utils._host.accounts import keys_path, removed_keys
from ansible_collections.slipway.ops.plugins.module_utils._host.connection import (
    connected_user,
    connection,
    used_key,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import (
    Login,
    MountState,
    Observation,
    PathState,
    SwapState,
    UnitState,
    sysctl_path,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.plan import paths_of_interest, programs_of_interest
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish

SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PENDING = "/var/lib/slipway/host/pending.json"
APT_LISTS = "/var/lib/apt/lists"
APT_LISTS_HOURS = 24
START_POLICY = "/usr/sbin/policy-rc.d"
# Maintainer scripts ask this program. It stops objecting when the installation that wrote it is over, however it ended.
START_POLICY_TEXT = """#!/bin/sh
# Written by slipway: what a package starts by itself waits until it is configured.
[ -d /proc/{process} ] && [ "$2" = start ] || exit 0
case "${{1%.service}}" in {names}) exit 101 ;; esac
exit 0
"""
APT_OPTIONS = (
    "-o", "DPkg::Lock::Timeout=120",
    "-o", "Dpkg::Options::=--force-confdef",
    "-o", "Dpkg::Options::=--force-confold",
    "-o", "Dpkg::Use-Pty=0",
)  # fmt: skip
APT_ENVIRONMENT = {
    "DEBIAN_FRONTEND": "noninteractive",
    "NEEDRESTART_SUSPEND": "1",
    "APT_LISTCHANGES_FRONTEND": "none",
}
APT_RETRY = ("Unable to locate package", "has no installation candidate", "Failed to fetch", "404  Not Found")


class HostError(Exception):
    """Something the host refused, told so that a person can act on it."""


@dataclass(frozen=True)
class Completed:
    code: int
    output: str
    errors: str

    @property
    def said(self) -> str:
        return (self.errors.strip() or self.output.strip())[-2000:]


class Host:
    """One real host."""

    def __init__(self, root: str = "") -> None:
        self.root = root  # for trials in a directory; empty on a host

    # observe

    def observe(self, wish: Wish) -> Observation:
        accounts = observed.parse_passwd(self.text("/etc/passwd"))
        groups = observed.parse_group(self.text("/etc/group"))
        packages: frozenset[str] = frozenset()
        if wish.packages:
            packages = observed.parse_dpkg_status(self.text("/var/lib/dpkg/status"), frozenset(wish.packages))
        known = Observation(accounts=accounts, groups=groups)
        # the first of several names for a number is the one that everybody shows
        owners = {account.uid: account.name for account in reversed(list(accounts.values()))}
        owning_groups = {group.gid: group.name for group in reversed(list(groups.values()))}
        paths = {path: self.path_state(path, owners, owning_groups) for path in paths_of_interest(wish, known)}
        return Observation(
            packages=packages,
            accounts=accounts,
            groups=groups,
            paths=paths,
            sysctls={key: self.sysctl(key) for key, _value in wish.sysctls},
            units=self.units_of(wish),
            programs=frozenset(
                name for name in programs_of_interest(wish) if shutil.which(name, path=SEARCH_PATH) is not None
            ),
            pending=self.pending(),
            mounts=self.mounts() if wish.mounts or wish.swap else {},
            swap=self.swap(wish.swap.path) if wish.swap else SwapState(),
            passwords=self.passwords(wish),
            login=self.login(wish, replace(known, paths=paths)),
        )

    def login(self, wish: Wish, known: Observation) -> Login | None:
        """Who is connected, asked only when that user's way in may change; the key, when one is to go."""
        came, name = connection(), connected_user()
        for user in wish.users if came.port else ():
            if user.name == name and removed_keys(user, known.path(keys_path(user, known)).content or b""):
                return Login(name, used_key(name, came))
            if user.name == name and (user.shell is not None or user.home is not None):
                return Login(name)
        return None

    def mounts(self) -> dict[str, MountState]:
        return observed.parse_mountinfo(self.text("/proc/self/mountinfo"))

    def swap(self, path: str) -> SwapState:
        size, above = 0, path
        while not os.path.isdir(self.root + above):
            if above == path and os.path.isfile(self.root + path):
                size = os.stat(self.root + path).st_size
            above = os.path.dirname(above)
        disk = os.statvfs(self.root + above)
        rows = [line.split() for line in self.text("/proc/swaps").splitlines()]
        return SwapState(
            active_kib=next((int(row[2]) for row in rows if len(row) > 2 and row[0] == path), 0),
            size_bytes=size,
            file_system=observed.file_system_of(path, self.mounts()),
            free_mib=disk.f_bavail * disk.f_frsize // (1024 * 1024),
        )

    def passwords(self, wish: Wish) -> dict[str, str]:
        if not any(user.password is not None or user.login for user in wish.users):
            return {}
        return observed.parse_shadow(self.text("/etc/shadow"))

    def release(self) -> str:
        """The release's code name."""
        fields = dict(line.partition("=")[::2] for line in self.text("/etc/os-release").splitlines())
        return fields.get("VERSION_CODENAME", "").strip("\"'")

    def text(self, path: str) -> str:
        try:
            with open(self.root + path, encoding="utf-8", errors="surrogateescape") as handle:
                return handle.read()
        except FileNotFoundError:
            return ""

    def path_state(self, path: str, owners: Mapping[int, str], groups: Mapping[int, str]) -> PathState:
        real = self.root + path
        try:
            info = os.lstat(real)
        except (FileNotFoundError, NotADirectoryError):
            return PathState()
        owner = owners.get(info.st_uid, str(info.st_uid))
        group = groups.get(info.st_gid, str(info.st_gid))
        mode = f"{stat.S_IMODE(info.st_mode):04o}"
        if stat.S_ISLNK(info.st_mode):
            return PathState(observed.LINK, mode, owner, group, target=os.readlink(real))
        if stat.S_ISDIR(info.st_mode):
            with os.scandir(real) as entries:
                return PathState(observed.DIRECTORY, mode, owner, group, empty=next(entries, None) is None)
        if stat.S_ISREG(info.st_mode):
            with open(real, "rb") as handle:
                return PathState(observed.FILE, mode, owner, group, content=handle.read())
        return PathState(observed.OTHER, mode, owner, group)

    def sysctl(self, key: str) -> str | None:
        try:
            with open(sysctl_path(key), encoding="ascii", errors="replace") as handle:
                return " ".join(handle.read().split())
        except OSError:
            return None

    def units(self, names: Sequence[str]) -> dict[str, UnitState]:
        if not names:
            return {}
        argv = ["systemctl", "show", "--property=" + ",".join(observed.UNIT_PROPERTIES), "--", *names]
        done = self.run(argv)
        if done.code != 0:
            raise HostError(f"systemctl show {' '.join(names)}: {done.said}; this needs a host that systemd runs")
        return observed.parse_units(list(names), done.output)

    def units_of(self, wish: Wish) -> dict[str, UnitState]:
        """Of those that are to start and do not run, also whether they could on this host."""
        found = self.units([unit.name for unit in wish.units])
        for unit in wish.units:
            state = found[unit.name]
            if unit.state == "started" and state.load == "loaded" and not state.running:
                said = self.run(["systemd-analyze", "condition", f"--unit={unit.name}"])
                found[unit.name] = replace(state, never_here=observed.never_here(said.errors + said.output))
        return found

    def pending(self) -> dict[str, str]:
        try:
            found = json.loads(self.text(PENDING) or "{}")
        except ValueError:
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}

    # change

    def run(self, argv: Sequence[str], environment: Mapping[str, str] | None = None, stdin: str = "") -> Completed:
        merged = {**os.environ, "PATH": SEARCH_PATH, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", **(environment or {})}
        try:
            done = subprocess.run(
                list(argv), capture_output=True, env=merged, input=stdin.encode(), check=False, cwd="/", umask=0o022
            )
        except FileNotFoundError:
            return Completed(127, "", f"{argv[0]}: no such program; declare the package that brings it")
        output, errors = (stream.decode("utf-8", "replace") for stream in (done.stdout, done.stderr))
        return Completed(done.returncode, output, errors)

    def install(self, names: Sequence[str], held: Sequence[str] = ()) -> None:
        """Install packages; units that are held do not start before their files are there."""
        with self._holding_back(held):
            self._install(names)

    @contextmanager
    def _holding_back(self, held: Sequence[str]) -> Iterator[None]:
        ours = "Written by slipway" in self.text(START_POLICY)
        if not held or (os.path.lexists(self.root + START_POLICY) and not ours):
            yield
            return
        names = "|".join(shlex.quote(name[: -len(".service")]) for name in held if name.endswith(".service")) or "''"
        text = START_POLICY_TEXT.format(process=os.getpid(), names=names)
        self.write_file(START_POLICY, text.encode(), "0755", "root", "root")
        try:
            yield
        finally:
            self.remove(START_POLICY)

    def _install(self, names: Sequence[str]) -> None:
        environment = APT_ENVIRONMENT
        updated = False
        if not self._lists_are_fresh():
            self._update(environment)
            updated = True
        argv = ["apt-get", "install", "--yes", "--no-install-recommends", *APT_OPTIONS, "--", *names]
        done = self.run(argv, environment)
        if done.code != 0 and not updated and any(word in done.errors + done.output for word in APT_RETRY):
            self._update(environment)
            done = self.run(argv, environment)
        if done.code != 0:
            raise HostError(f"packages {', '.join(names)}: apt-get install failed: {done.said}")

    def _update(self, environment: Mapping[str, str]) -> None:
        done = self.run(["apt-get", "update", *APT_OPTIONS], environment)
        if done.code != 0:
            raise HostError(f"packages: apt-get update failed: {done.said}; check the host's package sources")

    def _lists_are_fresh(self) -> bool:
        if not glob.glob(f"{APT_LISTS}/*Release"):
            return False
        try:
            # apt touches this directory at every update; the lists themselves keep the archive's times
            age = time.time() - os.stat(f"{APT_LISTS}/partial").st_mtime
        except OSError:
            return False
        return age < APT_LISTS_HOURS * 3600

    def write_file(
        self,
        path: str,
        content: bytes,
        mode: str,
        owner: str,
        group: str,
        validate: str | None = None,
        secret: bool = False,
    ) -> None:
        """Replace a file whole: mode, owner and validity are settled before it gets its name."""
        real = self.root + path
        directory, name = os.path.split(real)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".slipway", dir=directory)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fchown(stream.fileno(), *self.ids(owner, group))
                os.fchmod(stream.fileno(), int(mode, 8))
                os.fsync(stream.fileno())
            if validate:
                self.validate(path, validate, temporary, secret)
            os.rename(temporary, real)
        except BaseException:
            if os.path.lexists(temporary):
                os.unlink(temporary)
            raise
        sync_directory(directory)

    def validate(self, path: str, command: str, temporary: str, secret: bool = False) -> None:
        argv = [word.replace("%s", temporary) for word in shlex.split(command)]
        done = self.run(argv)
        if done.code != 0:
            said = "(not shown, the file is secret)" if secret else done.said.replace(temporary, path)
            raise HostError(f"{path}: refused by `{command}`: {said}")

    def try_validate(self, path: str, content: bytes, command: str, secret: bool = False) -> str | None:
        """Validate without a change to the host: what the program says against it, or nothing."""
        handle, temporary = tempfile.mkstemp(suffix=".slipway")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            self.validate(path, command, temporary, secret)
        except HostError as error:
            return str(error)
        finally:
            os.unlink(temporary)
        return None

    def ids(self, owner: str, group: str) -> tuple[int, int]:
        accounts = observed.parse_passwd(self.text("/etc/passwd"))
        groups = observed.parse_group(self.text("/etc/group"))
        if owner not in accounts and not owner.isdigit():
            raise HostError(f"user {owner} does not exist; declare it under users")
        if group not in groups and not group.isdigit():
            raise HostError(f"group {group} does not exist; declare it under groups")
        return (
            accounts[owner].uid if owner in accounts else int(owner),
            groups[group].gid if group in groups else int(group),
        )

    def make_directory(self, path: str, mode: str, owner: str, group: str) -> None:
        real = self.root + path
        ids = self.ids(owner, group)
        if not os.path.isdir(real):
            os.mkdir(real, 0o700)
        os.chown(real, *ids, follow_symlinks=False)
        os.chmod(real, int(mode, 8))

    def make_link(self, path: str, target: str) -> None:
        real = self.root + path
        temporary = f"{real}.slipway-{os.getpid()}"
        os.symlink(target, temporary)
        os.rename(temporary, real)
        sync_directory(os.path.dirname(real))

    def remove(self, path: str) -> None:
        real = self.root + path
        if os.path.isdir(real) and not os.path.islink(real):
            os.rmdir(real)
        elif os.path.lexists(real):
            os.unlink(real)
        sync_directory(os.path.dirname(real))

    def make_swap_file(self, path: str, size_mib: int, active: bool, made: bool) -> None:
        """A file without holes that only root reads, formatted as swap space, and turned on."""
        commands = [["swapoff", path]] if active else []
        if made:
            commands += [["rm", "-f", "--", path], ["install", "-m", "0600", "/dev/null", path]]
            commands += [["fallocate", "--length", f"{size_mib}MiB", path], ["mkswap", path]]
        commands.append(["swapon", path])
        for argv in commands:
            done = self.run(argv)
            if done.code != 0:
                raise HostError(f"swap file {path}: `{' '.join(argv)}` failed: {done.said}")

    def set_sysctl(self, key: str, value: str) -> None:
        try:
            with open(sysctl_path(key), "w", encoding="ascii") as handle:
                handle.write(value + "\n")
        except OSError as error:
            raise HostError(
                f"sysctl {key}: the kernel refused {value!r} ({error.strerror}); leave it out of sysctls on this host"
            ) from error

    def set_pending(self, pending: Mapping[str, str]) -> None:
        if pending == self.pending():
            return
        directory = self.root + os.path.dirname(PENDING)
        os.makedirs(directory, mode=0o755, exist_ok=True)
        if pending:
            self.write_file(PENDING, json.dumps(dict(pending), sort_keys=True).encode() + b"\n", "0644", "root", "root")
        else:
            self.remove(PENDING)

    def pause(self, seconds: float) -> None:
        time.sleep(seconds)

    def journal(self, unit: str, lines: int = 15) -> str:
        argv = ["journalctl", "--unit", unit, "--lines", str(lines), "--no-pager", "--output", "cat", "--quiet"]
        done = self.run(argv)
        return done.output.strip()


def sync_directory(path: str) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

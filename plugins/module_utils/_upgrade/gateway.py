# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that is upgraded: APT, processes, units and containers. The only code here that touches anything."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import SOCKET, Api, ApiError
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import APT_ENVIRONMENT, Completed, Host
from ansible_collections.slipway.ops.plugins.module_utils._release import records
from ansible_collections.slipway.ops.plugins.module_utils._release.status import status
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._upgrade import health, plan
from ansible_collections.slipway.ops.plugins.module_utils._watch import cli as watch
from ansible_collections.slipway.ops.plugins.module_utils._watch import decide
from ansible_collections.slipway.ops.plugins.module_utils._watch import gateway as watching
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import CONFIG_FILE, HTTP, SECRETS_FILE

LOCK_FILE = "/var/lib/dpkg/lock-frontend"
MARKER = "/run/reboot-required"
OPTIONS = (
    "--yes", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "Dpkg::Use-Pty=0",
)  # fmt: skip
ALL = ("upgrade", "--with-new-pkgs")
UNIT_KINDS = "service,socket,timer,path"
SHOWN = "Id,ActiveState,SubState,UnitFileState,Result"


class UpgradeError(Exception):
    """Why a host cannot be upgraded, or was not upgraded well; one line with the remedy."""


class Machine:
    def __init__(self, host: Host, check: bool) -> None:
        self.host = host
        self._check = check
        self._lists: tuple[str, ...] = ()

    # APT

    def wait_for_lock(self, limit_seconds: float, warn: Callable[[str], None]) -> None:
        """Until nobody works on the packages, such as unattended-upgrades; it is left to end its work."""
        begun = time.monotonic()
        told = ""
        while True:
            holder = lock_holder(LOCK_FILE)
            if not holder:
                break
            told = holder
            if time.monotonic() - begun >= limit_seconds:
                raise UpgradeError(
                    f"the packages are locked by {holder} for more than {limit_seconds:g} s; nothing was changed. "
                    "Wait until it has ended, and run again"
                )
            time.sleep(1)
        if told:
            warn(f"waited {time.monotonic() - begun:.0f} s for {told}, which had locked the packages")

    @contextlib.contextmanager
    def lists(self) -> Iterator[None]:
        """Fresh package lists. In check mode they are laid aside, and the host's own stay as they are."""
        with contextlib.ExitStack() as held:
            if self._check:
                place = tempfile.mkdtemp(prefix="slipway-lists-")
                held.callback(shutil.rmtree, place, True)
                os.mkdir(f"{place}/partial")
                caches = ("-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=")
                self._lists = ("-o", f"Dir::State::lists={place}", "-o", "APT::Sandbox::User=root", *caches)
            done = self._apt("update", "-o", "APT::Update::Error-Mode=any")
            if done.code != 0:
                raise UpgradeError(plan.update_problem(done.errors or done.output))
            yield

    def simulate(self, *arguments: str) -> plan.Simulation:
        done = self._apt("--simulate", *arguments)
        if done.code != 0:
            raise UpgradeError(f"apt-get cannot plan the upgrade: {done.said}; see: apt-get --simulate upgrade")
        return plan.parse_simulation(done.output)

    def needed_bytes(self, *arguments: str) -> int:
        return plan.needed_bytes(self.host.run(["apt-get", *self._lists, "--assume-no", *arguments]).output)

    def apply(self, *arguments: str) -> None:
        done = self._apt(*arguments)
        if done.code != 0:
            raise UpgradeError(f"apt-get {' '.join(arguments)} failed: {done.said}; look at it, and run again")

    def _apt(self, *arguments: str) -> Completed:
        return self.host.run(["apt-get", *OPTIONS, *self._lists, *arguments], APT_ENVIRONMENT)

    def is_interrupted(self) -> bool:
        """Whether an earlier run of dpkg did not end."""
        return bool(os.listdir("/var/lib/dpkg/updates")) or bool(self.host.run(["dpkg", "--audit"]).output.strip())

    def finish_interrupted(self, warn: Callable[[str], None]) -> None:
        done = self.host.run(
            ["dpkg", "--configure", "--pending", "--force-confdef", "--force-confold"], APT_ENVIRONMENT
        )
        if done.code != 0:
            warn(f"dpkg cannot finish what was interrupted ({done.said}); newer versions may")

    def held(self) -> frozenset[str]:
        return frozenset(self.host.run(["apt-mark", "showhold"]).output.split())

    def set_hold(self, verb: str, names: Sequence[str]) -> None:
        done = self.host.run(["apt-mark", verb, *names])
        if names and done.code != 0:
            raise UpgradeError(f"apt-mark {verb} {' '.join(names)}: {done.said}")

    def installed(self, names: Sequence[str]) -> list[str]:
        listed = self.host.run(["dpkg-query", "-W", "-f", "${binary:Package} ${db:Status-Status}\n", *names]).output
        rows = [line.split() for line in listed.splitlines()]
        return [row[0].partition(":")[0] for row in rows if row[1:] == ["installed"]]

    # The machine

    def free_bytes(self) -> dict[str, int]:
        found: dict[int, tuple[str, int]] = {}
        for path in ("/", "/usr", "/var", "/var/cache/apt/archives"):
            if os.path.isdir(path):
                seen = os.statvfs(path)
                found.setdefault(os.stat(path).st_dev, (path, seen.f_bavail * seen.f_frsize))
        return dict(found.values())

    def reboot_reasons(self) -> list[str]:
        running = os.uname().release
        kernels = [path.rpartition("/vmlinuz-")[2] for path in glob.glob("/boot/vmlinuz-*")]
        stale = plan.restarts(self.stale_units())[1]
        return plan.reboot_reasons(os.path.exists(MARKER), plan.newer_kernel(running, kernels), running, stale)

    def stale_units(self) -> set[str]:
        """Services with a process whose program or libraries were replaced."""
        found: set[str] = set()
        for directory in glob.glob("/proc/[0-9]*"):
            try:
                program = os.readlink(f"{directory}/exe")
                with open(f"{directory}/maps", encoding="utf-8", errors="replace") as handle:
                    stale = plan.uses_replaced_files(handle.read(), program)
                if stale:
                    with open(f"{directory}/cgroup", encoding="utf-8", errors="replace") as handle:
                        found.add(plan.unit_of(handle.read()))
            except OSError:
                continue  # it has ended meanwhile, or is a thread of the kernel
        return found - {""}

    def restart(self, units: Sequence[str]) -> None:
        """A unit that does not come up again is found by the proof of health."""
        for unit in units:
            self.host.run(["systemctl", "restart", "--", unit])

    def command(self, argv: Sequence[str], name: str) -> None:
        done = self.host.run(argv)
        if done.code != 0:
            raise UpgradeError(f"{name}: {argv[0]} ended with {done.code}: {done.said}; nothing was changed after it")

    # Health

    def units(self) -> dict[str, dict[str, str]]:
        listed = self.host.run(["systemctl", "list-units", f"--type={UNIT_KINDS}", "--all", "--plain", "--no-legend"])
        names = [line.split()[0] for line in listed.output.splitlines() if line.split()]
        return health.parse_units(self.host.run(["systemctl", "show", f"--property={SHOWN}", "--", *names]).output)

    def containers(self) -> dict[str, str]:
        try:
            return health.parse_containers(Api().containers()) if os.path.exists(SOCKET) else {}
        except ApiError:
            return {}

    def problems(self, places: Places) -> list[str]:
        """What is wrong with stacks and pages, whether it was before or not."""
        found = []
        for name in records.stacks(places.stacks):
            for service, seen in status(name, places)["services"].items():
                if not seen["ok"]:
                    found.append(
                        f"stack {name}: service {service} has not all of its {seen['replicas']} replicas ready"
                    )
        return found + self._pages()

    def _pages(self) -> list[str]:
        if not os.path.exists(CONFIG_FILE):
            return []
        now = time.time()
        checks = [check for check in watch.load(CONFIG_FILE, SECRETS_FILE).checks if check.kind == HTTP]
        judged = [(check, decide.judge(check, watching.read(check), now, now)) for check in checks]
        return [f"check {check.name}: is bad" for check, (good, _message) in judged if not good]

    def snapshot(self, places: Places) -> dict[str, Any]:
        return health.snapshot(self.units(), self.containers(), self.problems(places))

    def worse_than(self, before: dict[str, Any], places: Places) -> list[str]:
        return health.problems(before, self.units(), self.containers(), self.problems(places))


def lock_holder(path: str) -> str:
    """Which process holds the lock, or nothing."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
    except FileNotFoundError:
        return ""
    try:
        asked = struct.pack("hhqqi", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _whence, _start, _length, pid = struct.unpack("hhqqi", fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    finally:
        os.close(handle)
    if kind == fcntl.F_UNLCK:
        return ""
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as comm:
            return f"{comm.read().strip()} (process {pid})"
    except OSError:
        return f"process {pid}"

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine of a host in one go: its states, what really runs, holds and logins; each observe, plan, apply."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._armed.converge import converge
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import Store
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import PID_FILE, Api, ApiError
from ansible_collections.slipway.ops.plugins.module_utils._docker.daemon import RELOADABLE
from ansible_collections.slipway.ops.plugins.module_utils._docker.engine import (
    DAEMON_FILE,
    KEY_FILE,
    RESTART_FILE,
    SOURCES_FILE,
)
from ansible_collections.slipway.ops.plugins.module_utils._docker.login_keeper import LoginKeeper
from ansible_collections.slipway.ops.plugins.module_utils._docker.logins import Login
from ansible_collections.slipway.ops.plugins.module_utils._docker.running import differences, started_before
from ansible_collections.slipway.ops.plugins.module_utils._host import report
from ansible_collections.slipway.ops.plugins.module_utils._host.apply import act_on_unit
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import path_of
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish

UNIT = "docker.service"
# What restarts or replaces the engine when it is upgraded.
ENGINE_PACKAGES = ("docker.io", "docker-cli", "docker-ce", "docker-ce-cli", "containerd", "containerd.io", "runc")
ANSWER_SECONDS = 30


@dataclass
class Outcome:
    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    diff: list[dict[str, str]] = field(default_factory=list)
    foreseen: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    states: tuple[Wish, ...]
    daemon: Mapping[str, Any]
    version: str = ""
    hold: bool = True
    logins: tuple[Login, ...] = ()
    login_users: tuple[str, ...] = ("root",)
    foreseen: Mapping[str, Any] = field(default_factory=dict)


class EngineHost:
    def __init__(self, host: Host, api: Api, check: bool) -> None:
        self.host = host
        self.api = api
        self.check = check
        self.outcome = Outcome()

    def converge(self, request: Request) -> Outcome:
        self.outcome.foreseen = dict(request.foreseen)
        self._keep_containers(request.daemon)
        for wish in request.states:
            try:
                self._state(wish)
            except HostError as error:
                raise self._explained(error, request) from error
        begun = any(line.startswith(f"unit {UNIT}: ") for line in self.outcome.lines)
        if not (self.check and (begun or not os.path.exists(PID_FILE))):
            self._running(request.daemon)
        self._hold(request)
        self._version(request.version)
        keeper = LoginKeeper(self.host, self.api, self.check, self._did, self.outcome.warnings.append)
        keeper.keep(list(request.logins), list(request.login_users))
        return self.outcome

    def _state(self, wish: Wish) -> None:
        done = converge(
            self.host, Store(self.host), wish, self.check, self.outcome.warnings.append, self.outcome.foreseen
        )
        self.outcome.foreseen = done.foreseen
        if not self.check and any(path_of(step) in (SOURCES_FILE, KEY_FILE) for step in done.steps):
            self._fetch_lists()
        self.outcome.lines += report.lines(done.steps)
        self.outcome.diff += report.diff(done.steps)

    def _fetch_lists(self) -> None:
        """A repository that the key has not signed must not be passed over for the distribution's packages."""
        one = ("-o", f"Dir::Etc::sourcelist={SOURCES_FILE}", "-o", "Dir::Etc::sourceparts=-")
        done = self.host.run(
            ["apt-get", "update", "-o", "APT::Update::Error-Mode=any", "-o", "APT::Get::List-Cleanup=0", *one]
        )
        if done.code != 0:
            self.host.remove(SOURCES_FILE)
            raise HostError(
                f"docker_repository_url: APT does not accept the repository ({done.said}); it is taken out again. Give "
                "the key that it is signed by now, with its fingerprint, and a suite that it has"
            )

    def _did(self, line: str) -> None:
        self.outcome.lines.append(line)
        self.outcome.diff.append({"before_header": "host", "after_header": "host", "before": "", "after": line + "\n"})

    def _must(self, argv: Sequence[str]) -> None:
        done = self.host.run(argv)
        if done.code != 0:
            raise HostError(f"{' '.join(argv)}: {done.said}")

    def _explained(self, error: HostError, request: Request) -> HostError:
        """Of a pinned version that is not to be had, say which ones are."""
        package = next((name for name in ("docker-ce", "docker.io") if f"{name}" in str(error)), "")
        if not request.version or not package or "apt-get install" not in str(error):
            return error
        listed = self.host.run(["apt-cache", "madison", package]).output
        there = [line.split("|")[1].strip() for line in listed.splitlines() if line.count("|") > 1]
        if any(fnmatch.fnmatch(version, request.version) for version in there):
            return error
        told = ", ".join(dict.fromkeys(there)) or "none at all"
        return HostError(
            f"docker_version: {request.version} of {package} is not to be had from the host's package sources, "
            f"which have {told}; choose one of them, or leave docker_version empty"
        )

    # What really runs

    def _keep_containers(self, settings: Mapping[str, Any]) -> None:
        """An engine that was here before gets live restore by a reload, ahead of its first restart."""
        if not settings.get("live-restore") or self.host.text(RESTART_FILE):
            return
        try:
            found = self.api.information()
            held = json.loads(self.host.text(DAEMON_FILE) or "{}")
        except (ApiError, ValueError):
            return
        in_swarm = (found.get("Swarm") or {}).get("LocalNodeState", "inactive") not in ("", "inactive")
        if found.get("LiveRestoreEnabled") or not found.get("ContainersRunning") or in_swarm:
            return
        self._did(f"unit {UNIT}: reload, so that containers run on when it restarts")
        if self.check:
            return
        text = json.dumps({**held, "live-restore": True}, indent=2, sort_keys=True) + "\n"
        self._must(["mkdir", "-p", os.path.dirname(DAEMON_FILE)])
        self.host.write_file(DAEMON_FILE, text.encode(), "0644", "root", "root")
        self._must(["systemctl", "reload", UNIT])
        deadline = time.monotonic() + ANSWER_SECONDS
        while not self.api.information().get("LiveRestoreEnabled") and time.monotonic() < deadline:
            self.host.pause(0.2)

    def _running(self, settings: Mapping[str, Any]) -> None:
        reason = self._found_wrong(settings)
        if not reason:
            return
        only_reload = all(key in RELOADABLE for key in reason)
        verb = "reload" if only_reload else "restart"
        self._did(f"unit {UNIT}: {verb} (it runs with other settings: {', '.join(reason)})")
        if self.check:
            return
        done = act_on_unit(self.host, verb, UNIT)
        if done.code != 0:
            raise HostError(f"systemctl {verb} {UNIT}: {done.said}")
        deadline = time.monotonic() + ANSWER_SECONDS
        while reason and time.monotonic() < deadline:
            self.host.pause(0.5)
            reason = self._found_wrong(settings)
        if reason:
            raise HostError(
                f"unit {UNIT}: runs with other settings than /etc/docker/daemon.json after a {verb}: "
                f"{', '.join(reason)}; look for flags in: systemctl cat {UNIT}"
            )

    def _found_wrong(self, settings: Mapping[str, Any]) -> list[str]:
        try:
            found = differences(settings, self.api.information())
        except ApiError as error:
            raise HostError(str(error)) from error
        started, changed = engine_started(), modified(RESTART_FILE)
        if started and changed and started_before(started, changed):
            found.append("a file that changed after its start")
        return found

    # Packages

    def _hold(self, request: Request) -> None:
        text = self.host.text("/var/lib/dpkg/status")
        states = {name: selection(text, name) for name in ENGINE_PACKAGES}
        wrong = [name for name, found in states.items() if found and (found == "hold") != request.hold]
        coming = any(not states.get(name, "-") for wish in request.states for name in wish.packages)
        verb = "hold" if request.hold else "unhold"
        if wrong or (self.check and coming and request.hold):
            self._did(f"{verb} the engine's packages")
        if wrong and not self.check:
            self._must(["apt-mark", verb, *wrong])

    def _version(self, version: str) -> None:
        text = self.host.text("/var/lib/dpkg/status") if version else ""
        for name in ("docker-ce", "docker.io"):
            found = re.search(
                rf"^Package: {re.escape(name)}\nStatus: \S+ ok installed\n(?:.+\n)*?Version: (.+)$", text, re.M
            )
            if found and not fnmatch.fnmatch(found.group(1), version):
                self.outcome.warnings.append(
                    f"docker_version: {name} {found.group(1)} is installed, not {version}; playbooks/upgrade.yml"
                    " upgrades the engine; what is newer stays"
                )


def selection(status: str, package: str) -> str:
    """`hold` or `install`, as dpkg keeps it; empty when the package is not installed."""
    found = re.search(rf"^Package: {re.escape(package)}\nStatus: (\S+) ok installed$", status, re.M)
    return found.group(1) if found else ""


def modified(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def engine_started(pid_file: str = PID_FILE) -> float:
    """When dockerd was started, in seconds since 1970; 0 when that cannot be known."""
    try:
        with open(pid_file, encoding="ascii") as handle:
            pid = int(handle.read())
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            ticks = int(handle.read().rpartition(")")[2].split()[19])
        with open("/proc/stat", encoding="ascii") as handle:
            boot = next(int(line.split()[1]) for line in handle if line.startswith("btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0
    return boot + ticks / os.sysconf("SC_CLK_TCK")

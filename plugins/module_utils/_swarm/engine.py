# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""dockerd as a process: halted for a moment, stopped and started."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import PID_FILE, Api, ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError

# Managers take a leader for lost after 10 s; nobody should notice that one was halted.
PAUSE_LIMIT_SECONDS = 5.0
START_SECONDS = 120
UNITS = ("docker.socket", "docker.service")


class Dockerd:
    def __init__(self, pid_file: str = PID_FILE) -> None:
        self._pid_file = pid_file

    def pid(self) -> int:
        try:
            with open(self._pid_file, encoding="ascii") as stream:
                found = int(stream.read())
            with open(f"/proc/{found}/comm", encoding="utf-8") as stream:
                name = stream.read().strip()
        except (OSError, ValueError) as error:
            raise SwarmError(f"dockerd does not run ({error}); start docker.service") from error
        if name != "dockerd":
            raise SwarmError(f"{self._pid_file} names process {found}, which is {name}; restart docker.service")
        return found

    @contextlib.contextmanager
    def paused(self, limit_seconds: float = PAUSE_LIMIT_SECONDS) -> Iterator[None]:
        """dockerd halted; it goes on at the end, after the limit, and also when this process is killed meanwhile."""
        pid = self.pid()
        reading, writing = os.pipe()
        guard = os.fork()
        if guard == 0:
            _guard(reading, writing, pid, limit_seconds)
        os.close(reading)
        begun = time.monotonic()
        try:
            os.kill(pid, signal.SIGSTOP)
            _wait_until_halted(pid, begun + limit_seconds)
            yield
        finally:
            os.kill(pid, signal.SIGCONT)
            took = time.monotonic() - begun
            os.close(writing)
            os.waitpid(guard, 0)
        if took > limit_seconds:
            raise SwarmError(f"dockerd went on after {limit_seconds:g} s, before its state was copied; try again later")

    @staticmethod
    def stop() -> None:
        _systemctl("stop", *UNITS)

    @staticmethod
    def start() -> None:
        _systemctl("start", *UNITS)
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            try:
                Api().information()
                return
            except ApiError as error:
                if time.monotonic() >= give_up_at:
                    raise SwarmError(str(error)) from error
            time.sleep(0.5)


def _wait_until_halted(pid: int, give_up_at: float) -> None:
    """A signal is only asked for: each thread halts when it next leaves the kernel."""
    while not all(_state(f"/proc/{pid}/task/{thread}/stat") in ("T", "") for thread in os.listdir(f"/proc/{pid}/task")):
        if time.monotonic() >= give_up_at:
            raise SwarmError("dockerd did not halt, so its state was not copied; try again later")
        time.sleep(0.001)


def _state(path: str) -> str:
    """A thread's state; empty for one that has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _guard(reading: int, writing: int, pid: int, limit_seconds: float) -> None:
    """A child that lets dockerd go on when its parent is done, is gone, or takes too long."""
    os.close(writing)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    try:
        select.select([reading], [], [], limit_seconds)
    finally:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGCONT)
        os._exit(0)


def _systemctl(verb: str, *units: str) -> None:
    done = subprocess.run(
        ["systemctl", verb, *units], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SwarmError(f"systemctl {verb} {' '.join(units)}: {done.stderr.strip() or done.returncode}")

"""The operator, who logs in anew all the time and notes when that worked."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

PAUSE_SECONDS = 2.0


@dataclass(frozen=True)
class Attempt:
    begun: float
    ended: float
    worked: bool


def out_for(attempts: Sequence[Attempt]) -> float | None:
    """The longest time without a login, from the last one that worked to the next; None when there was no next."""
    longest = 0.0
    last = attempts[0].begun if attempts else 0.0
    failing = False
    for attempt in attempts:
        if not attempt.worked:
            failing = True
            continue
        if failing:
            longest = max(longest, attempt.ended - last)
        last, failing = attempt.begun, False
    return None if failing else longest


def login_command(user: str, address: str, port: int, key: str) -> list[str]:
    """A connection of its own, past everything that Ansible holds open."""
    options = ["BatchMode=yes", "IdentitiesOnly=yes", "ControlMaster=no", "ControlPath=none", "ConnectTimeout=2"]
    options += ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
    given = [word for option in options for word in ("-o", option)]
    return ["ssh", "-F", "none", "-i", key, "-p", str(port), *given, f"{user}@{address}", "sudo -n id -un"]


def logs_in(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(
            list(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=8, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0 and done.stdout.strip() == "root"


class Operator:
    """Tries in a thread of its own; `command` is asked each time, for a host's address may change."""

    def __init__(self, command: Callable[[], Sequence[str]]) -> None:
        self._command = command
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.attempts: list[Attempt] = []

    def __enter__(self) -> Operator:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self.attempt()
            self._over.wait(PAUSE_SECONDS)

    def attempt(self) -> bool:
        begun = time.monotonic()
        worked = logs_in(self._command())
        self.attempts.append(Attempt(begun, time.monotonic(), worked))
        return worked

    def back_within(self, seconds: float) -> bool:
        """Wait until an attempt that begins from now on works."""
        begun = time.monotonic()
        while time.monotonic() < begun + seconds:
            if any(attempt.worked and attempt.begun >= begun for attempt in self.attempts[-3:]):
                return True
            time.sleep(0.1)
        return False

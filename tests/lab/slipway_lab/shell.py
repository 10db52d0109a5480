"""Run programs, tell progress, and fail in one line."""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path


class LabError(Exception):
    """Something the person at the keyboard can act on, told in one line."""


def run(
    command: Sequence[str],
    *,
    stdin: bytes | None = None,
    check: bool = True,
    timeout: float | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    """Run a program with its output captured; a failure quotes the end of what it said."""
    try:
        result = subprocess.run(
            list(command), input=stdin or b"", capture_output=True, check=False, timeout=timeout, env=env
        )
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command[:4])} did not end within {timeout:.0f} s") from error
    if check and result.returncode != 0:
        raise LabError(f"{' '.join(command[:4])} failed (exit {result.returncode}): {tail(result)}")
    return result


def tail(result: subprocess.CompletedProcess[bytes], lines: int = 3) -> str:
    """The last lines a program wrote, on one line."""
    text = (result.stderr.strip() or result.stdout.strip()).decode(errors="replace")
    return " | ".join(text.splitlines()[-lines:]) or "it said nothing"


def output(command: Sequence[str]) -> str:
    return run(command).stdout.decode().strip()


def say(text: str) -> None:
    """Progress goes to stderr: stdout belongs to results."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step that takes time, and say how long it took."""
    say(f"  … {title}")
    start = time.monotonic()
    yield
    say(f"  ✓ {title} ({time.monotonic() - start:.1f} s)")


@contextlib.contextmanager
def lock(path: Path) -> Iterator[None]:
    """One process at a time: scenarios may start side by side."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def wait_until(what: str, ready: Callable[[], bool], seconds: float, pause: float = 0.2, remedy: str = "") -> None:
    """Ask until the answer is yes; the error says what was waited for and where to look."""
    deadline = time.monotonic() + seconds
    while True:
        if ready():
            return
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not come up within {seconds:.0f} s{'; ' + remedy if remedy else ''}")
        time.sleep(pause)


def family(process: int) -> list[int]:
    """A process and all that came from it."""
    found = [process]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in path.read_text(encoding="ascii").split()]
    return found

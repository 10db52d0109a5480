# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host's part of a release over several hosts: a process of its own here, which waits at each barrier.

The play opens a barrier when every host has reached it, or tells all of them to give up. Where no word comes in time,
because the play was killed or the network is lost, the host gives up by itself and the old version serves on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import process_start
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import Plan
from ansible_collections.slipway.ops.plugins.module_utils._release.release import BARRIERS, Outcome
from ansible_collections.slipway.ops.plugins.module_utils._state import files

DIRECTORY = "/run/slipway/releases"
PROGRAM = "/usr/local/bin/slipway"
POLL_SECONDS = 0.1
START_SECONDS = 30.0  # for the process to say its first word
END_SECONDS = 10.0  # for a process that has said its last word to end


class TogetherError(Exception):
    """The conversation with the release on this host is not possible; one line with the remedy."""


class GivenUp(Exception):
    """Another host failed, or no word came in time."""


@dataclass(frozen=True)
class State:
    """What the release on this host says of itself."""

    token: str
    waiting_for: str = ""
    ended: bool = False
    reason: str = ""  # why it failed; empty when it did not
    changed: bool = False
    release: int = 0
    plan: list[str] = field(default_factory=list)
    before: str = ""
    after: str = ""
    images: dict[str, str] = field(default_factory=dict)
    process: int = 0
    process_start: int = 0

    @property
    def alive(self) -> bool:
        return bool(self.process) and process_start(self.process) == self.process_start


class Board:
    """Where the play and the release on this host leave each other word; root's alone, and gone after a reboot."""

    def __init__(self, stack: str, directory: str = DIRECTORY) -> None:
        self.stack = stack
        self.directory = os.path.join(directory, stack)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, f"{name}.json")

    def write(self, name: str, value: Mapping[str, Any]) -> None:
        files.ensure_directory(self.directory, 0o700)
        files.write_json(self._path(name), dict(value), 0o600)

    def read(self, name: str) -> dict[str, Any]:
        value = files.read_json(self._path(name))
        return value if isinstance(value, dict) else {}

    def clear(self, name: str) -> None:
        if os.path.isdir(self.directory):
            files.remove(self._path(name))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Between plays that begin."""
        files.ensure_directory(self.directory, 0o700)
        descriptor = os.open(self._path("begin"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def state(self) -> State | None:
        value = self.read("state")
        return State(**value) if value else None


# On the host: the process


class Gate:
    """What the release calls at each barrier."""

    def __init__(self, board: Board, state: State, limit_seconds: float) -> None:
        self.board = board
        self.state = state
        self.limit_seconds = limit_seconds
        self.images: Callable[[], dict[str, str]] = dict  # the release's own, once there is one

    def say(self, **changes: Any) -> None:
        self.state = replace(self.state, **changes)
        self.board.write("state", asdict(self.state))

    def __call__(self, barrier: str, plan: Plan) -> None:
        self.say(waiting_for=barrier, release=plan.release, plan=plan.lines(), changed=True, images=self.images())
        deadline = time.monotonic() + self.limit_seconds
        while time.monotonic() < deadline:
            word = self.board.read("word")
            if word.get("token") == self.state.token:
                if word.get("give_up"):
                    raise GivenUp(str(word["give_up"]))
                if word.get("open") == barrier:
                    self.say(waiting_for="")
                    return
            time.sleep(POLL_SECONDS)
        raise GivenUp(f"no word came from the play within {self.limit_seconds:g} s to go on with {barrier}")

    def run(self, release: Callable[[], Outcome]) -> bool:
        """The whole release; its end is on the board however it ends."""
        try:
            outcome = release()
        except BaseException as error:
            self.say(ended=True, waiting_for="", reason=str(error) or type(error).__name__)
            if not isinstance(error, Exception):
                raise
            return False
        self.say(
            ended=True,
            waiting_for="",
            changed=outcome.changed,
            release=outcome.release,
            plan=outcome.plan,
            before=outcome.before,
            after=outcome.after,
            images=dict(outcome.images),
        )
        return True


def new_state(token: str) -> State:
    return State(token, process=os.getpid(), process_start=process_start(os.getpid()) or 0)


# On the host: the play's side


def begin(board: Board, request: Mapping[str, Any]) -> State:
    """Start the release and wait for its first barrier or its end."""
    token = secrets.token_hex(8)
    with board.locked():
        _require_free(board)
        _start(board, {**request, "token": token})
        _await_first_word(board, token)
    return _await(board, token, BARRIERS[0])


def _require_free(board: Board) -> None:
    there = board.state()
    begun = time.monotonic()
    while there is not None and there.alive:
        if not there.ended or time.monotonic() - begun > END_SECONDS:
            raise TogetherError(
                f"stack {board.stack}: another release waits on this host for {there.waiting_for or 'its end'}; "
                "wait until it has ended, it gives up by itself when nobody tells it to go on"
            )
        time.sleep(POLL_SECONDS)


def _start(board: Board, request: Mapping[str, Any]) -> None:
    for name in ("state", "word"):
        board.clear(name)
    board.write("request", request)
    unit = f"slipway-release-{board.stack}"
    command = ["systemd-run", "--quiet", "--collect", f"--unit={unit}", PROGRAM, "release", board.stack]
    subprocess.run(["systemctl", "reset-failed", unit], capture_output=True, check=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        board.clear("request")
        raise TogetherError(f"stack {board.stack}: the release could not be started: {done.stderr.strip()}")


def _await_first_word(board: Board, token: str) -> None:
    begun = time.monotonic()
    while True:
        state = board.state()
        if state is not None and state.token == token:
            return
        if time.monotonic() - begun > START_SECONDS:
            raise TogetherError(
                f"stack {board.stack}: the release did not begin; see journalctl -u slipway-release-{board.stack}"
            )
        time.sleep(POLL_SECONDS)


def go_on(board: Board, token: str, barrier: str) -> State:
    """Open a barrier and wait for the next one or the end. A release that has ended is not bothered."""
    state = _ours(board, token)
    if not state.ended:
        board.write("word", {"token": token, "open": barrier})
    following = BARRIERS[BARRIERS.index(barrier) + 1 :]
    return _await(board, token, following[0] if following else "")


def give_up(board: Board, token: str, reason: str) -> State:
    """Tell it to put everything back, and wait until it has."""
    state = _ours(board, token)
    if not state.ended:
        board.write("word", {"token": token, "give_up": reason})
    return _await(board, token, "")


def _ours(board: Board, token: str) -> State:
    state = board.state()
    if state is None or state.token != token:
        raise TogetherError(f"stack {board.stack}: the release of this play is not on this host any more; run again")
    return state


def _await(board: Board, token: str, barrier: str) -> State:
    while True:
        state = _ours(board, token)
        if state.ended or (barrier and state.waiting_for == barrier):
            return state
        if not state.alive:
            last = _ours(board, token)  # it may have said it just before it ended
            if last.ended:
                return last
            return replace(
                state,
                ended=True,
                reason=f"the release ended without a word; see journalctl -u slipway-release-{board.stack}",
            )
        time.sleep(POLL_SECONDS)

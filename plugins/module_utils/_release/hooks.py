# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands of the operator's own before and after the phases of a release, on the host, while the lease is held."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import report
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

PHASES = (
    *("pull", "recovery_point", "prepare", "stop", "migrate", "start", "switch", "watch", "replace", "finish"),
    "release",
)
MOMENTS = tuple(f"{when}_{phase}" for phase in PHASES for when in ("before", "after"))
TIMEOUT_SECONDS = 300

RUNNING = "running"
SUCCEEDED = "succeeded"
FAILED = "failed"

Run = Callable[[list[str], Mapping[str, str], float], "tuple[int, str]"]


class HookError(EngineError):
    """A hook failed; one line with its moment and its last words."""


def read(given: Mapping[str, Any]) -> dict[str, list[list[str]]]:
    """The hooks as given, in one form. Raises ValueError with the path of what cannot be meant."""
    found: dict[str, list[list[str]]] = {}
    for moment, commands in given.items():
        path = f"stack_hooks.{moment}"
        if moment not in MOMENTS:
            raise ValueError(f"{path}: there is no such moment; write before_ or after_ and one of {', '.join(PHASES)}")
        if not isinstance(commands, list) or not all(isinstance(each, list) and each for each in commands):
            raise ValueError(f"{path}: is not a list of commands; write [[command, argument, ...], ...]")
        found[moment] = [[str(word) for word in command] for command in commands]
        for index, command in enumerate(found[moment]):
            if not command[0].startswith("/"):
                raise ValueError(f"{path}[{index}]: {command[0]!r} is no absolute path; write where the program is")
    return {moment: commands for moment, commands in found.items() if commands}


def into(model: Mapping[str, Any], given: Mapping[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """The model with the hooks in it, where a release that comes back finds them. Without hooks it stays as it is."""
    hooks = read(given)
    if not hooks:
        return dict(model)
    return {**model, "slipway": {**model["slipway"], "hooks": hooks, "hook_timeout_seconds": timeout_seconds}}


def run(command: list[str], environment: Mapping[str, str], timeout_seconds: float) -> tuple[int, str]:
    """The exit status and everything it said. At the end of its time it is killed with all that it started."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        cwd="/",
        start_new_session=True,
        text=True,
        errors="replace",
    ) as process:
        try:
            said, _nothing = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, said


class Hooks:
    """The commands of one stack; `call` runs those of a moment, one after another."""

    def __init__(
        self,
        stack: str,
        wanted: Mapping[str, list[list[str]]],
        secrets: Iterable[str] = (),
        timeout_seconds: float = TIMEOUT_SECONDS,
        run: Run = run,
    ) -> None:
        self._stack = stack
        self._wanted = wanted
        self._secrets = list(secrets)
        self._timeout = timeout_seconds
        self._run = run

    def call(self, moment: str, release: int, outcome: str = RUNNING) -> None:
        when, _underscore, phase = moment.partition("_")
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
            "SLIPWAY_STACK": self._stack,
            "SLIPWAY_RELEASE": str(release),
            "SLIPWAY_PHASE": phase,
            "SLIPWAY_WHEN": when,
            "SLIPWAY_OUTCOME": outcome,
        }
        for index, command in enumerate(self._wanted.get(moment, [])):
            what = f"stack_hooks.{moment}[{index}] ({command[0]})"
            try:
                code, said = self._run(command, environment, self._timeout)
            except OSError as error:
                raise HookError(f"{what}: cannot be started: {error.strerror}") from error
            except subprocess.TimeoutExpired as error:
                raise HookError(f"{what}: did not end within {self._timeout:g} s and was killed") from error
            if code != 0:
                words = report.last_lines(report.mask(said, self._secrets), 5)
                raise HookError(f"{what}: exit code {code}{f', its last lines: {words}' if words else ''}")

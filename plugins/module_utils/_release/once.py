# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One command in a container of its own, as the stack runs now; the container goes with it, however it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, BinaryIO, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._release import observed as state
from ansible_collections.slipway.ops.plugins.module_utils._release.container import ContainerSpec, once_spec
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import COMPOSE, Stack

# What a shell says of a command that a signal ended, and what docker says of its own failures.
SIGNAL_STATUS = 128
OWN_FAILURE_STATUS = 125
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class OnceError(EngineError):
    """The command cannot be run; one line with the remedy."""


class Gateway(Protocol):
    """What is asked of the engine."""

    def containers(self, stack: str) -> list[dict[str, Any]]: ...
    def image(self, reference: str) -> dict[str, Any] | None: ...
    def create(self, name: str, body: Mapping[str, Any]) -> str: ...
    def join(self, container: str, network: str, endpoint: Mapping[str, Any]) -> None: ...
    def attach(self, container: str, name: str) -> Iterator[tuple[bytes | None, bytes | None]]: ...
    def start(self, container: str, name: str) -> None: ...
    def wait(self, container: str, name: str, timeout_seconds: float) -> int: ...
    def remove(self, container: str, name: str, volumes: bool = False) -> None: ...


def spec(
    stack: Stack, service: str, command: list[str], raw: list[dict[str, Any]], files: str, number: int
) -> ContainerSpec:
    """From what runs: the image of the service's newest container, so that a tag that moved since means nothing."""
    if stack.engine != COMPOSE:
        raise OnceError(
            f"stack {stack.name}: runs on {stack.engine}, and output and end of a command are passed on from a Compose "
            "host only; use docker exec in a task, on its node"
        )
    if service not in stack.services:
        where = f"; {stack.elsewhere[service]} runs it" if service in stack.elsewhere else ""
        raise OnceError(
            f"stack {stack.name}: there is no service {service}{where or '; it has ' + ', '.join(stack.services)}"
        )
    mine = [state.parse_container(each) for each in raw]
    running = [each for each in mine if each.service == service and each.running and not each.oneoff]
    newest = max(running, key=lambda each: (each.release, each.number), default=None)
    made = once_spec(stack, service, command, state.RUN_PURPOSE, newest.release if newest else 0, files)
    body = {**made.body, "Tty": False, "OpenStdin": False}
    if newest is not None:
        body["Image"] = newest.image_id
    return ContainerSpec(f"{stack.name}-{service}-run-{number}", service, 0, body, made.further_networks)


class _Signalled(BaseException):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """A signal ends the command in an orderly way instead of leaving its container."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise _Signalled(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def guarded(remove: Callable[[], None]) -> Iterator[None]:
    """`remove` is done by a process of its own when this one ends before its time, even by a SIGKILL."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _watch(reading, writing, remove)
    os.close(reading)
    try:
        yield
        # It was removed here: the other process is told that nothing is left to do.
        os.write(writing, b"done")
    finally:
        os.close(writing)
        os.waitpid(child, 0)


def _watch(reading: int, writing: int, remove: Callable[[], None]) -> None:
    """Wait for word or for the end of the other process; never returns."""
    status = 1
    try:
        os.setsid()
        os.close(writing)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        if not os.read(reading, 16):
            remove()
        status = 0
    finally:
        os._exit(status)


def run(gateway: Gateway, made: ContainerSpec, output: BinaryIO, errors: BinaryIO, timeout_seconds: float) -> int:
    """Run it to its end and pass on what it says; its exit status."""
    with _signals():
        try:
            container = gateway.create(made.name, made.body)
            for network, endpoint in made.further_networks.items():
                gateway.join(container, network, endpoint)
            said = gateway.attach(container, made.name)
            gateway.start(container, made.name)
            for out, err in said:
                _pass(output, out)
                _pass(errors, err)
            return gateway.wait(container, made.name, timeout_seconds)
        except _Signalled as ended:
            return SIGNAL_STATUS + ended.number
        finally:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            gateway.remove(made.name, made.name, volumes=True)


def _pass(stream: BinaryIO, data: bytes | None) -> None:
    if data:
        stream.write(data)
        stream.flush()


def streams() -> tuple[BinaryIO, BinaryIO]:
    return sys.stdout.buffer, sys.stderr.buffer

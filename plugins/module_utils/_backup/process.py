# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Commands that run: alone (`run`), or one whose output flows into another (`pump`)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import IO, Protocol

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError

CHUNK = 1 << 20
STDERR_KEPT = 64 * 1024
# What Linux lets any process have for a pipe (fs.pipe-max-size); the usual 64 KiB make sixteen times as many switches.
PIPE_BYTES = 1 << 20
_F_SETPIPE_SZ = 1031
# How long a command that was asked to end may put its things in order (restic removes its lock).
ORDERLY_SECONDS = 10.0


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


def _nothing() -> None:
    return None


@dataclass(frozen=True)
class Stream:
    """A command whose output is wanted as it comes. `end` ends what the command began elsewhere: a program that
    `docker exec` started goes on when the client has gone."""

    command: tuple[str, ...]
    end: Callable[[], object] = field(default=_nothing, compare=False)


class Reader(Protocol):
    """Looks at a stream as it flows by."""

    def feed(self, chunk: bytes) -> None:
        """Take the next piece. May raise: the stream is not what it should be."""

    def judge(self, outcome: Outcome) -> None:
        """The command has ended, in this way and with nothing more to come. Raises unless the stream is whole."""


class _Tail:
    """Reads a pipe to its end in a thread, so that the command never waits for us; keeps the end. Calls `stop`
    when one of the decisive texts has come (in lower case)."""

    def __init__(self, stream: IO[bytes], decisive: Sequence[str] = (), stop: Callable[[], None] = _nothing) -> None:
        self._stream = stream
        self._data = b""
        self._decisive = [text.encode() for text in decisive]
        self._stop = stop
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for chunk in iter(lambda: os.read(self._stream.fileno(), 8192), b""):
            self._data = (self._data + chunk)[-STDERR_KEPT:]
            if any(text in self._data.lower() for text in self._decisive):
                self._stop()

    def text(self) -> str:
        self._thread.join(timeout=10)
        return self._data.decode("utf-8", "replace")


def _begin(
    command: Sequence[str], stdin: IO[bytes] | int, environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            list(command), env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except FileNotFoundError as error:
        raise BackupError(f"{command[0]}: is not installed; run the play again") from error


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise AssertionError("the pipe was asked for when the command was begun")
    return stream


def _chunks(stream: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: os.read(stream.fileno(), CHUNK), b"")


def run(
    command: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    text: str | None = None,
    source: str | None = None,
    sink: Callable[[bytes], None] | None = None,
    limit_seconds: float | None = None,
    decisive: Sequence[str] = (),
) -> Outcome:
    """Run a command to its end. Its input is a text or a file; its output goes to `sink` in chunks, or is returned. It
    is ended when the limit has passed, or when it writes one of the decisive texts on stderr."""
    with contextlib.ExitStack() as stack:
        stdin: IO[bytes] | int = subprocess.DEVNULL
        if source is not None:
            stdin = stack.enter_context(open(source, "rb"))
        elif text is not None:
            stdin = subprocess.PIPE
        process = _begin(command, stdin, environment)
        try:
            return _attend(process, text, sink, limit_seconds, decisive)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def _attend(
    process: subprocess.Popen[bytes],
    text: str | None,
    sink: Callable[[bytes], None] | None,
    limit_seconds: float | None,
    decisive: Sequence[str],
) -> Outcome:
    errors = _Tail(_pipe(process.stderr), decisive, process.kill)
    late = threading.Event()

    def stop() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(limit_seconds, stop) if limit_seconds else None
    if timer:
        timer.start()
    try:
        if process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write((text or "").encode("utf-8"))
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
        collected: list[bytes] = []
        take = sink or collected.append
        for chunk in _chunks(_pipe(process.stdout)):
            take(chunk)
        status = process.wait()
    finally:
        if timer:
            timer.cancel()
    message = errors.text()
    if late.is_set():
        message += f"\nended by the limit of {limit_seconds:.0f} s"
    return Outcome(status, b"".join(collected).decode("utf-8", "replace"), message)


def pump(
    source: Stream,
    reader: Reader,
    target: Sequence[str],
    *,
    environment: dict[str, str] | None = None,
    before: bytes = b"",
    after: bytes = b"",
) -> Outcome:
    """Run two commands, the output of `source` being the input of `target`, with `before` and `after` around it. The
    reader sees each chunk first. Returns how `target` ended.

    The target's input comes to its end only after the reader has judged the source's own end. Otherwise the target is
    ended while it still waits for more, so that it never takes half a stream for a whole one: restic makes no snapshot,
    a database gets no COMMIT. A target that ends early ends the source; its status is then never 0.
    """
    with contextlib.ExitStack() as stack:
        taker = _begin(target, subprocess.PIPE, environment)
        stack.callback(_end, taker)
        giver = _begin(source.command, subprocess.DEVNULL)
        whole = threading.Event()
        stack.callback(_end_source, giver, source, whole)
        into, out = _pipe(taker.stdin), _pipe(giver.stdout)
        for end in (into, out):
            with contextlib.suppress(OSError):
                fcntl.fcntl(end.fileno(), _F_SETPIPE_SZ, PIPE_BYTES)
        answer, errors = _Tail(_pipe(taker.stdout)), _Tail(_pipe(taker.stderr))
        complaints = _Tail(_pipe(giver.stderr))
        early = not _write(into, before)
        if not early:
            for chunk in _chunks(out):
                reader.feed(chunk)
                early = not _write(into, chunk)
                if early:
                    break
        if not early:
            reader.judge(Outcome(giver.wait(), "", complaints.text()))
            whole.set()
            early = not _write(into, after)
            with contextlib.suppress(BrokenPipeError):
                into.close()
        status = taker.wait()
        return Outcome(status or (1 if early else 0), answer.text(), errors.text())


def _write(stream: IO[bytes], data: bytes) -> bool:
    """Write all of it; whether somebody still reads."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(stream.fileno(), rest) :]
    except BrokenPipeError:
        return False
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command whose input is still open; that is closed only when the command is no more."""
    if process.poll() is None:
        # restic 0.14 puts things in order on an interrupt alone.
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=ORDERLY_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with contextlib.suppress(OSError):
        _pipe(process.stdin).close()


def _end_source(process: subprocess.Popen[bytes], source: Stream, whole: threading.Event) -> None:
    if not whole.is_set():
        source.end()
    if process.poll() is None:
        process.kill()
        process.wait()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doors to the host, to Docker and to restic: the only files here that run something are this one's classes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import IO, Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import restic
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    BusyError,
    Place,
    Point,
    Settings,
)

CHUNK = 1 << 20
STDERR_KEPT = 64 * 1024
LABEL_STACK = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_ONE_OFF = "com.docker.compose.oneoff"


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str


class _Tail:
    """Reads a pipe to its end in a thread, so that the command never waits for us; keeps the end. Calls `stop`
    when one of the decisive texts has come (in lower case)."""

    def __init__(self, stream: IO[bytes], decisive: Sequence[str], stop: Callable[[], None]) -> None:
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
        try:
            process = subprocess.Popen(
                list(command), env=environment, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        except FileNotFoundError as error:
            raise BackupError(f"{command[0]}: is not installed; run the play again") from error
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
    if process.stdout is None or process.stderr is None:
        raise AssertionError("the pipes are asked for above")
    errors = _Tail(process.stderr, decisive, process.kill)
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
        for chunk in iter(lambda: os.read(process.stdout.fileno(), CHUNK), b""):  # type: ignore[union-attr]
            take(chunk)
        status = process.wait()
    finally:
        if timer:
            timer.cancel()
    message = errors.text()
    if late.is_set():
        message += f"\nended by the limit of {limit_seconds:.0f} s"
    return Outcome(status, b"".join(collected).decode("utf-8", "replace"), message)


@dataclass(frozen=True)
class Container:
    """What matters of a container."""

    id: str
    name: str
    service: str
    image: str
    image_id: str
    running: bool
    health: str = ""
    one_off: bool = False
    ended: bool = False
    restarts: int = 0
    # Mount point inside the container → (volume, directory on the host).
    volumes: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        return self.running and self.health in ("", "healthy")


class Docker:
    """Docker through its client program."""

    def containers(self, stack: str) -> list[Container]:
        """All containers of the stack, running or not, in the order of their names."""
        ids = self._client("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL_STACK}={stack}").split()
        if not ids:
            return []
        outcome = run(["docker", "inspect", "--type", "container", *ids])
        # A container that went between the two calls is missing from the answer; the others are in it.
        found = [self._container(record) for record in json.loads(outcome.stdout or "[]")]
        return sorted((item for item in found if not item.one_off), key=lambda item: item.name)

    @staticmethod
    def _container(record: dict[str, Any]) -> Container:
        labels = record["Config"].get("Labels") or {}
        state = record["State"]
        return Container(
            id=record["Id"],
            name=record["Name"].lstrip("/"),
            service=labels.get(LABEL_SERVICE, ""),
            image=record["Config"]["Image"],
            image_id=record["Image"],
            running=bool(state.get("Running")) and not state.get("Restarting"),
            health=(state.get("Health") or {}).get("Status", ""),
            one_off=labels.get(LABEL_ONE_OFF) == "True",
            ended=state.get("Status") in ("exited", "dead"),
            restarts=int(record.get("RestartCount") or 0),
            volumes={
                mount["Destination"]: (mount["Name"], mount["Source"])
                for mount in record.get("Mounts") or []
                if mount.get("Type") == "volume"
            },
        )

    def volume_directory(self, volume: str) -> str | None:
        """Where the volume's files are on the host; None when there is no such volume."""
        outcome = run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", volume])
        return outcome.stdout.strip() if outcome.status == 0 else None

    def execute(self, container: Container, command: Sequence[str], text: str = "") -> Outcome:
        return run(["docker", "exec", "--interactive", container.id, *command], text=text)

    def execute_to(self, container: Container, command: Sequence[str], sink: Callable[[bytes], None]) -> Outcome:
        return run(["docker", "exec", container.id, *command], sink=sink)

    def execute_from(self, container: Container, command: Sequence[str], path: str) -> Outcome:
        return run(["docker", "exec", "--interactive", container.id, *command], source=path)

    def stop(self, containers: Sequence[Container]) -> None:
        """Stop them, each within its own grace period."""
        if containers:
            self._client("stop", *[container.id for container in containers])

    def start(self, containers: Sequence[Container]) -> None:
        if containers:
            self._client("start", *[container.id for container in containers])

    @staticmethod
    def _client(*words: str) -> str:
        outcome = run(["docker", *words])
        if outcome.status != 0:
            reason = " ".join(outcome.stderr.split()) or f"exit status {outcome.status}"
            raise BackupError(f"docker {words[0]}: {reason}")
        return outcome.stdout


class Host:
    """The host's own disk and clock."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def free_bytes(self, path: str) -> int:
        """What may still be written below the path, or below the nearest directory above it that exists."""
        while not os.path.exists(path):
            path = os.path.dirname(path)
        return shutil.disk_usage(path).free

    def measure(self, path: str) -> tuple[int, int]:
        """How many files there are at or below the path, and their bytes."""
        if os.path.isfile(path):
            return 1, os.path.getsize(path)
        files = size = 0
        for directory, _names, names in os.walk(path):
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(directory, name)).st_size
                    files += 1
        return files, size

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def make_empty(self, path: str) -> None:
        """An empty directory that only root can enter."""
        self.remove_tree(path)
        os.makedirs(path, mode=0o700)
        os.chmod(path, 0o700)

    def remove_tree(self, path: str) -> None:
        if os.path.islink(path) or os.path.isfile(path):
            os.unlink(path)
        elif os.path.isdir(path):
            shutil.rmtree(path)

    def move(self, path: str, target: str) -> None:
        """Give a directory another name on the same file system."""
        os.rename(path, target)

    def make_like(self, path: str, model: str) -> None:
        """An empty directory with the owner and the mode of another, if that exists."""
        os.makedirs(path, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(model)
            os.chown(path, status.st_uid, status.st_gid)
            os.chmod(path, status.st_mode & 0o7777)

    def names(self, path: str) -> list[str]:
        """What is in a directory; nothing when it is missing."""
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []


class Repository:
    """A stack's repository, through restic."""

    def __init__(self, settings: Settings, place: Place) -> None:
        self.settings = settings
        self._place = place

    def _environment(self) -> dict[str, str]:
        try:
            with open(self._place.environment, encoding="utf-8") as stream:
                credentials = stream.read()
        except FileNotFoundError:
            credentials = ""
        if not os.path.isfile(self._place.password):
            raise BackupError(f"{self._place.password}: is missing; run the play with the role backup again")
        return restic.environment(self.settings, self._place, credentials)

    def _run(self, command: list[str], attempt: str, accepted: Sequence[int] = (0,), **options: Any) -> Outcome:
        outcome = run(command, environment=self._environment(), **options)
        if outcome.status not in accepted:
            raise restic.explain(self.settings, attempt, outcome.stderr)
        return outcome

    def probe(self) -> None:
        """Raise RepositoryMissing when there is none, and BackupError when it cannot be opened."""
        command = restic.arguments(self.settings, "cat", "config", "--no-lock")
        self._run(command, "open", limit_seconds=60, decisive=restic.IMPATIENT)

    def initialise(self) -> None:
        command = restic.arguments(self.settings, "init")
        self._run(command, "initialise", limit_seconds=120, decisive=restic.DENIED)

    def points(self) -> list[Point]:
        """All points of the stack, oldest first."""
        command = restic.snapshots(self.settings)
        outcome = self._run(command, "list the points", limit_seconds=120, decisive=restic.PERMANENT)
        return restic.parse_snapshots(outcome.stdout)

    def store(self, point: str, kind: str, paths: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Make the snapshot; returns restic's summary and warnings."""
        for path in paths:
            # restic itself passes over a path that is missing, and reports success.
            if not os.path.lexists(path):
                raise BackupError(f"{path}: has gone while the backup ran; nothing was stored. Run the backup again")
        command = restic.backup(self.settings, point, kind, paths)
        outcome = self._run(command, "store the snapshot", accepted=(0, restic.EXIT_INCOMPLETE))
        warnings = []
        if outcome.status == restic.EXIT_INCOMPLETE:
            if not restic.vanished_only(outcome.stderr):
                reason = " ".join(outcome.stderr.split())[-500:]
                raise BackupError(f"point {point}: files could not be read, so it is not whole: {reason}")
            warnings.append("files were removed by the application while they were being stored")
        return restic.summary(restic.parse_messages(outcome.stdout.splitlines())), warnings

    def mark_verified(self, point: str, proof: dict[str, Any]) -> None:
        command = restic.evidence(self.settings, point, f"verified-{point}.json")
        self._run(command, "store the proof", text=json.dumps(proof, sort_keys=True) + "\n")

    def fetch(self, snapshot: str, path: str, target: str | None = None) -> tuple[str, int]:
        """Read one file from the repository, into a file or only through; returns its SHA-256 and size."""
        digest = hashlib.sha256()
        size = 0
        with contextlib.ExitStack() as stack:
            stream = None
            if target is not None:
                descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                stream = stack.enter_context(os.fdopen(descriptor, "wb"))

            def take(chunk: bytes) -> None:
                nonlocal size
                digest.update(chunk)
                size += len(chunk)
                if stream is not None:
                    stream.write(chunk)

            command = restic.arguments(self.settings, "dump", "--no-lock", snapshot, path)
            self._run(command, f"read {os.path.basename(path)} back", sink=take)
        return digest.hexdigest(), size

    def fetch_text(self, snapshot: str, path: str) -> str:
        command = restic.arguments(self.settings, "dump", "--no-lock", snapshot, path)
        return self._run(command, f"read {os.path.basename(path)} back").stdout

    def count(self, snapshot: str, paths: Sequence[str]) -> dict[str, tuple[int, int]]:
        """For each path: how many files the snapshot has at or below it, and their bytes."""
        found = dict.fromkeys(paths, (0, 0))
        rest = b""

        def take(chunk: bytes) -> None:
            nonlocal rest
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                node = json.loads(line)
                if node.get("struct_type") != "node" or node.get("type") == "dir":
                    continue
                name = str(node.get("path", ""))
                for path in paths:
                    if name == path or name.startswith(path.rstrip("/") + "/"):
                        files, size = found[path]
                        found[path] = (files + 1, size + int(node.get("size") or 0))

        self._run(
            restic.arguments(self.settings, "ls", "--json", "--no-lock", snapshot), "list the snapshot", sink=take
        )
        return found

    def unpack(self, snapshot: str, target: str, path: str | None = None) -> None:
        """Write what the snapshot has at or below the path under `target`, with the full path kept."""
        chosen = ["--include", path] if path else []
        command = restic.arguments(self.settings, "restore", "--no-lock", snapshot, "--target", target, *chosen)
        self._run(command, "unpack the snapshot")

    def check(self) -> None:
        """Check the repository's structure."""
        self._unlocked(restic.arguments(self.settings, "check"), "check the structure")

    def remove(self, points: Sequence[Point]) -> None:
        """Remove these points, their proofs, and the data that nothing else uses."""
        ids = [snapshot for point in points for snapshot in (point.snapshot, *point.evidence)]
        if ids:
            self._unlocked(restic.forget(self.settings, ids), "remove old points")

    def _unlocked(self, command: list[str], attempt: str) -> None:
        """A job that was killed leaves its lock behind, and these need the repository for themselves. `restic unlock`
        removes only the locks of dead processes."""
        outcome = run(command, environment=self._environment())
        if outcome.status != 0 and "already locked" in outcome.stderr:
            self._run(restic.arguments(self.settings, "unlock"), "remove dead locks", limit_seconds=300)
            outcome = run(command, environment=self._environment())
            if outcome.status != 0 and "already locked" in outcome.stderr:
                raise BusyError(str(restic.explain(self.settings, attempt, outcome.stderr)))
        if outcome.status != 0:
            raise restic.explain(self.settings, attempt, outcome.stderr)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to restic: a repository of a stack."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup import restic
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    BusyError,
    Catalogue,
    Orphan,
    Place,
    Point,
    RepositorySettings,
    StoredPart,
    public_url,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Reader, Stream, pump, run
from ansible_collections.slipway.ops.plugins.module_utils._log.rclone import parse_credentials


class _Sum:
    """Hands a stream on to the reader it belongs to, and knows its size and checksum."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._hash = hashlib.sha256()
        self.bytes = 0

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def feed(self, chunk: bytes) -> None:
        self._hash.update(chunk)
        self.bytes += len(chunk)
        self._reader.feed(chunk)

    def judge(self, outcome: Outcome) -> None:
        self._reader.judge(outcome)


class Repository:
    """One of a stack's repositories, through restic."""

    def __init__(
        self,
        stack: str,
        settings: RepositorySettings,
        place: Place,
        password: str = "",
        secrets: Mapping[str, str] | None = None,
    ) -> None:
        """With a password of its own it is opened by that, and not by the one that lies on the host; in the same way
        with an environment of its own."""
        self.stack = stack
        self.settings = settings
        self._place = place
        self._files = place.repository(settings.name)
        self._password = password
        self._own = secrets

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def address(self) -> str:
        """For people: without a password that may stand in it."""
        return public_url(self.settings.url)

    def _secrets(self) -> dict[str, str]:
        found = dict(self._own or {})
        if self._own is None:
            with contextlib.suppress(FileNotFoundError), open(self._files.environment, encoding="utf-8") as stream:
                found = parse_credentials(stream.read())
        if self._password:
            # restic looks at the file first.
            found["RESTIC_PASSWORD"] = self._password
        elif not os.path.isfile(self._files.password):
            raise BackupError(f"{self._files.password}: is missing; run the play with the role backup again")
        return found

    def _environment(self) -> dict[str, str]:
        found = restic.environment(self.settings, self._files.password, self._place.cache, self._secrets())
        if self._password:
            del found["RESTIC_PASSWORD_FILE"]
        return found

    def _run(self, command: list[str], attempt: str, accepted: Sequence[int] = (0,), **options: Any) -> Outcome:
        outcome = run(command, environment=self._environment(), **options)
        if outcome.status not in accepted:
            raise restic.explain(self.settings, attempt, outcome.stderr)
        return outcome

    def probe(self) -> None:
        """Raise RepositoryMissing when there is none, and BackupError when it cannot be opened."""
        command = restic.arguments(self.settings, "cat", "config", "--no-lock")
        self._run(command, "open", limit_seconds=60, decisive=restic.IMPATIENT)

    def escrow_marks(self) -> dict[str, str]:
        """The objects that escrow copies of the password are tried on. Opens the repository: raises as `probe`."""
        command = restic.snapshots(self.settings, self.stack)
        outcome = self._run(command, "open", limit_seconds=60, decisive=restic.IMPATIENT)
        return restic.parse_escrow(outcome.stdout)

    def store_escrow(self, mark: str, text: str) -> None:
        """Store such an object."""
        self._run(restic.escrow(self.settings, self.stack, mark), "store the escrow's test object", text=text)

    def initialise(self) -> None:
        command = restic.arguments(self.settings, "init")
        self._run(command, "initialise", limit_seconds=120, decisive=restic.DENIED)

    def points(self) -> list[Point]:
        """All points of the stack, oldest first."""
        return list(self.catalogue().points)

    def catalogue(self) -> Catalogue:
        """The points, and the parts that belong to none."""
        command = restic.snapshots(self.settings, self.stack)
        outcome = self._run(command, "list the points", limit_seconds=120, decisive=restic.PERMANENT)
        return restic.parse_snapshots(outcome.stdout, outcome.stderr)

    def store(self, point: str, kind: str, paths: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
        """Make the snapshot; returns restic's summary and warnings."""
        for path in paths:
            # restic itself passes over a path that is missing, and reports success.
            if not os.path.lexists(path):
                raise BackupError(f"{path}: has gone while the backup ran; nothing was stored. Run the backup again")
        command = restic.backup(self.settings, self.stack, point, kind, paths)
        outcome = self._run(command, "store the snapshot", accepted=(0, restic.EXIT_INCOMPLETE))
        warnings = []
        if outcome.status == restic.EXIT_INCOMPLETE:
            if not restic.vanished_only(outcome.stderr):
                reason = " ".join(outcome.stderr.split())[-500:]
                raise BackupError(f"point {point}: files could not be read, so it is not whole: {reason}")
            warnings.append("files were removed by the application while they were being stored")
        return restic.summary(restic.parse_messages(outcome.stdout.splitlines())), warnings

    def store_stream(self, point: str, key: str, file_name: str, stream: Stream, reader: Reader) -> StoredPart:
        """Store what a command writes as a part of the point, without a detour over the disk.

        The reader sees each chunk, and judges the end of the command. What it refuses becomes no part: restic is ended
        before its input ends, so that it makes no snapshot. A restic that fails ends the command.
        """
        counted = _Sum(reader)
        command = restic.part(self.settings, self.stack, point, key, file_name)
        outcome = pump(stream, counted, command, environment=self._environment())
        # Status 3 is a snapshot without the file in it (restic 0.18 and an input that cannot be read).
        if outcome.status != 0:
            raise restic.explain(self.settings, f"store {file_name}", outcome.stderr)
        summary = restic.summary(restic.parse_messages(outcome.stdout.splitlines()))
        taken = int(summary.get("total_bytes_processed") or 0)
        if taken != counted.bytes:
            raise BackupError(
                f"point {point}: restic took {taken} bytes of {file_name}, which has {counted.bytes}; the part is not"
                " good. Run the backup again"
            )
        return StoredPart(
            str(summary["snapshot_id"]), counted.bytes, counted.sha256, int(summary.get("data_added") or 0)
        )

    def mark_verified(self, point: str, proof: dict[str, Any]) -> None:
        command = restic.evidence(self.settings, self.stack, point, f"verified-{point}.json")
        self._run(command, "store the proof", text=json.dumps(proof, sort_keys=True) + "\n")

    def fetch(
        self, snapshot: str, path: str, target: str | None = None, sink: Callable[[bytes], None] | None = None
    ) -> tuple[str, int]:
        """Read one file from the repository: into a file, piece by piece into `sink`, or only through. Returns its
        SHA-256 and size."""
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
                if sink is not None:
                    sink(chunk)

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
        """Remove these points, their proofs and parts, and the data that nothing else uses."""
        whole = [snapshot for point in points for snapshot in (point.snapshot, *point.evidence)]
        parts = [part.snapshot for point in points for part in point.parts]
        if whole and parts:
            # restic removes in any order. A kill in between must leave parts without a point, which are found and
            # removed later, and never a point without its parts.
            self._unlocked(restic.forget(self.settings, whole, prune=False), "remove old points")
            self._unlocked(restic.forget(self.settings, parts), "remove the parts of old points")
        elif whole:
            self._unlocked(restic.forget(self.settings, whole), "remove old points")

    def remove_orphans(self, orphans: Sequence[Orphan]) -> None:
        """Remove parts that belong to no point, and the data that nothing else uses."""
        if orphans:
            command = restic.forget(self.settings, [orphan.snapshot for orphan in orphans])
            self._unlocked(command, "remove parts without a point")

    def copy_from(self, source: Repository, snapshots: Sequence[str]) -> None:
        """Copy these snapshots from another repository. They get names of their own here, and remember the old ones."""
        secrets = self._secrets()
        way = restic.origin(source.settings, self.settings, source._files.password, source._secrets(), secrets)
        command = restic.copy(way.repository, snapshots)
        self._unlocked(command, f"copy from {source.address}", {**self._environment(), **way.environment})

    def _unlocked(self, command: list[str], attempt: str, environment: dict[str, str] | None = None) -> None:
        """A job that was killed leaves its lock behind, and these need the repository for themselves. `restic unlock`
        removes only the locks of dead processes."""
        environment = environment or self._environment()
        outcome = run(command, environment=environment)
        if outcome.status != 0 and "already locked" in outcome.stderr:
            self._run(restic.arguments(self.settings, "unlock"), "remove dead locks", limit_seconds=300)
            outcome = run(command, environment=environment)
            if outcome.status != 0 and "already locked" in outcome.stderr:
                raise BusyError(str(restic.explain(self.settings, attempt, outcome.stderr)))
        if outcome.status != 0:
            raise restic.explain(self.settings, attempt, outcome.stderr)

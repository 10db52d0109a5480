# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the logs in a repository: list, fetch, read back, delete, and send.

Sending is what happens every second, so it goes through a process that stays (`Sender`). It never overwrites: what is
there with the right size counts as sent, what is there with another size is read back and compared. An object that
cannot be read is the rest of a transfer that was killed (a local or SFTP repository gives a file its name at once) or
of a full disk: it is replaced. One that can be read and holds something else is left as it is, and said aloud.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import re
import secrets
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome, run
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, public_url
from ansible_collections.slipway.ops.plugins.module_utils._log import rclone
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Piece, UnreadableError
from ansible_collections.slipway.ops.plugins.module_utils._state import files

LIST_SECONDS = 600
ASK_SECONDS = 60
START_SECONDS = 30
# A transfer may take as long as it would over a line of this speed, and never less than the least.
SLOWEST_BYTES_PER_SECOND = 64 << 10
LEAST_SECONDS = 60
SPOKEN_KEPT = 32 << 10
# Every restic repository has it.
RESTIC_FILE = "config"

_PORT = re.compile(rb"http://127\.0\.0\.1:(\d+)/")


class Access:
    """How rclone is called for one repository: its environment, put together once."""

    def __init__(self, repository: rclone.LogRepository, known_hosts: str = "") -> None:
        self.repository = repository
        self.address = rclone.parse_address(repository.url)
        self._known_hosts = known_hosts
        self._found: dict[str, str] | None = None
        self._lock = threading.Lock()

    def environment(self) -> dict[str, str]:
        with self._lock:
            if self._found is None:
                self._found = self._read()
            return self._found

    def demand(self) -> None:
        """Raise when a repository on the host's own disks is not there. rclone would make its directories anew, on the
        disk that another one should be mounted over."""
        path = f"{self.address.path}/{RESTIC_FILE}"
        if self.address.kind == rclone.LOCAL and not os.path.isfile(path):
            raise BackupError(
                f"repository {public_url(self.repository.url)}: there is none ({path} is missing); mount its disk, or"
                " run the play with the role backup"
            )

    def forget(self) -> None:
        """Read password and credentials again at the next use: they may have been corrected."""
        with self._lock:
            self._found = None

    def _read(self) -> dict[str, str]:
        repository = self.repository
        password = files.read_text(repository.password_file)
        if not password or not password.strip("\n"):
            raise BackupError(f"{repository.password_file}: is missing; run the play with the role backup again")
        credentials = rclone.parse_credentials(files.read_text(repository.environment_file or "") or "")
        outcome = run(rclone.obscure(), text=password.split("\n", 1)[0], limit_seconds=ASK_SECONDS)
        if outcome.status != 0:
            raise rclone.explain(repository, "prepare its password", outcome.stderr)
        ssh, identity, known_hosts = None, "", ""
        if self.address.kind == rclone.SFTP:
            ssh, identity, known_hosts = self._ssh()
        return rclone.environment(repository, credentials, outcome.stdout.strip(), ssh, identity, known_hosts)

    def _ssh(self) -> tuple[rclone.Ssh, str, str]:
        where = f"repository {public_url(self.repository.url)}"
        outcome = run(rclone.ssh_question(self.address), limit_seconds=ASK_SECONDS)
        if outcome.status != 0:
            raise rclone.explain(self.repository, "ask ssh about the host", outcome.stderr)
        ssh = rclone.parse_ssh(outcome.stdout, os.path.expanduser("~"))
        identity = next((path for path in ssh.identities if os.path.isfile(path)), "")
        if not identity:
            raise BackupError(
                f"{where}: root has no SSH key; make one without a passphrase, or name it in ~/.ssh/config"
            )
        known = [path for path in ssh.known_hosts if os.path.isfile(path)]
        if not known:
            raise BackupError(f"{where}: the SSH host key is not known; add it to root's known_hosts")
        if not self._known_hosts:
            return ssh, identity, known[0]
        content = "".join((files.read_text(path) or "") for path in known)
        files.ensure_directory(os.path.dirname(self._known_hosts))
        files.write_whole(self._known_hosts, content)
        # What it says does not matter: when the server cannot be reached, rclone says so better.
        run(rclone.ssh_learning(self.address, self._known_hosts), limit_seconds=ASK_SECONDS)
        return ssh, identity, self._known_hosts


class Store:
    """The logs in one repository."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.repository = access.repository

    def _run(self, command: list[str], attempt: str, accepted: Sequence[int] = (0,), **options: Any) -> Outcome:
        self.access.demand()
        outcome = run(command, environment=self.access.environment(), **options)
        if outcome.status not in accepted:
            self.access.forget()
            raise rclone.explain(self.repository, attempt, outcome.stderr)
        return outcome

    def pieces(self, prefix: str = "") -> list[Piece]:
        """All objects below a directory such as `<stack>/<source>`; none when it is not there."""
        outcome = self._run(
            rclone.listing(prefix), "list the log", (0, rclone.EXIT_NO_DIRECTORY), limit_seconds=LIST_SECONDS
        )
        return rclone.parse_listing(outcome.stdout, prefix)

    def directories(self, prefix: str) -> list[str]:
        """The names of the directories in a directory."""
        outcome = self._run(
            rclone.directories(prefix), "list the log", (0, rclone.EXIT_NO_DIRECTORY), limit_seconds=LIST_SECONDS
        )
        return sorted(line.rstrip("/") for line in outcome.stdout.splitlines() if line.endswith("/"))

    def fetch(self, pieces: Iterable[Piece], directory: str) -> None:
        """Bring objects below a directory, under their own paths. Raises UnreadableError for one that is not there any
        more, which rclone passes over, or is damaged; and BackupError when the repository cannot be reached."""
        wanted = list(pieces)
        if not wanted:
            return
        self.access.demand()
        files.ensure_directory(directory)
        outcome = run(
            rclone.fetch(directory),
            environment=self.access.environment(),
            text="".join(f"{piece.path}\n" for piece in wanted),
            limit_seconds=_limit(sum(max(piece.stored, piece.size) for piece in wanted)),
        )
        missing = [piece for piece in wanted if not os.path.isfile(f"{directory}/{piece.path}")]
        if outcome.status != 0:
            for piece in missing if rclone.is_damaged(outcome.stderr) else ():
                self.check(piece)
            raise rclone.explain(self.repository, "fetch the log", outcome.stderr)
        if missing:
            raise UnreadableError(f"{missing[0].path}: is not in the repository any more", missing[0])

    def delete(self, pieces: Iterable[Piece]) -> None:
        """Delete exactly these objects; one that is not there any more is no fault."""
        text = "".join(f"{piece.path}\n" for piece in pieces)
        if text:
            self._run(rclone.delete(), "delete old parts of the log", text=text, limit_seconds=LIST_SECONDS)

    def check(self, piece: Piece) -> int:
        """Read an object back, through to its last byte; returns the CRC-32 of what it holds. Raises UnreadableError
        when that is not as many bytes as its name says, or nothing that can be read."""
        self.access.demand()
        measure = Measure()
        outcome = self._read(piece, measure)
        if outcome.status != 0 and rclone.is_damaged(outcome.stderr):
            # A connection that ends early says the same as an object that does.
            measure = Measure()
            outcome = self._read(piece, measure)
        if outcome.status != 0:
            error = rclone.explain(self.repository, f"read {piece.path} back", outcome.stderr)
            raise UnreadableError(str(error), piece) if rclone.is_damaged(outcome.stderr) else error
        measure.demand(piece)
        return measure.crc

    def _read(self, piece: Piece, measure: Measure) -> Outcome:
        return run(
            rclone.read(piece),
            environment=self.access.environment(),
            sink=measure.feed,
            limit_seconds=_limit(max(piece.stored, piece.size)),
        )


@dataclass
class Measure:
    """Unpacks a gzip stream as it flows by and measures it."""

    size: int = 0
    crc: int = 0
    problem: str = ""
    _unpacker: Any = field(default_factory=lambda: zlib.decompressobj(31))

    def feed(self, data: bytes) -> None:
        try:
            raw = self._unpacker.decompress(data)
        except zlib.error as error:
            self.problem = self.problem or str(error)
            return
        self.size += len(raw)
        self.crc = zlib.crc32(raw, self.crc)

    def demand(self, piece: Piece) -> None:
        """Raise unless this was the whole object."""
        problem = self.problem
        if not problem and not self._unpacker.eof:
            problem = f"it ends after {self.size} bytes"
        if not problem and self.size != piece.size:
            problem = f"it holds {self.size} bytes"
        if problem:
            raise UnreadableError(f"{piece.path}: does not hold what its name says: {problem}", piece)


def measure_file(path: str, piece: Piece) -> int:
    """The CRC-32 of what an object in a file holds. Raises UnreadableError."""
    measure = Measure()
    try:
        with open(path, "rb") as stream:
            for data in iter(lambda: stream.read(1 << 20), b""):
                measure.feed(data)
    except OSError as error:
        raise UnreadableError(f"{piece.path}: {error.strerror}", piece) from error
    measure.demand(piece)
    return measure.crc


def _limit(size: int) -> float:
    return LEAST_SECONDS + size / SLOWEST_BYTES_PER_SECOND


@dataclass(frozen=True)
class Sent:
    """What came of sending: what is surely there now, and what is there with another content."""

    done: tuple[Piece, ...]
    conflicts: tuple[Piece, ...] = ()


class Sender:
    """Sends objects through one rclone that stays. May be used by several threads; one that hangs is killed, and what
    the others were sending fails and is tried again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._access = store.access
        self._lock = threading.Lock()
        self._daemon: _Daemon | None = None
        self._closed = False

    def send(self, root: str, pieces: Sequence[Piece]) -> Sent:
        """Send objects that lie below a directory under their own paths. An object that has gone from there meanwhile
        is passed over. Raises BackupError when it does not work; then each of them may be there or not."""
        present = [piece for piece in pieces if os.path.isfile(f"{root}/{piece.path}")]
        if not present:
            return Sent(())
        self._access.demand()
        done, conflicts = present, list[Piece]()
        try:
            self._copy(root, present)
        except _ImmutableError:
            done, conflicts = self._settle(root, present)
        # rclone passes over what it does not find: only what was there before and after was there meanwhile.
        done = [piece for piece in done if os.path.isfile(f"{root}/{piece.path}")]
        self._make_durable(done)
        return Sent(tuple(done), tuple(conflicts))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._daemon is not None:
                self._daemon.stop()
                self._daemon = None

    def _copy(self, root: str, pieces: Sequence[Piece]) -> None:
        size = sum(os.path.getsize(f"{root}/{piece.path}") for piece in pieces)
        with tempfile.NamedTemporaryFile("w", prefix="slipway-log-", suffix=".list") as listing:
            listing.write("".join(f"{piece.path}\n" for piece in pieces))
            listing.flush()
            self._call("sync/copy", rclone.send_request(root, listing.name), _limit(size))

    def _settle(self, root: str, pieces: Sequence[Piece]) -> tuple[list[Piece], list[Piece]]:
        """Some are there with another size: find them, and send the others."""
        done: list[Piece] = []
        conflicts: list[Piece] = []
        different: list[Piece] = []
        for piece in pieces:
            answer = self._call("operations/stat", rclone.stat_request(piece.path), LEAST_SECONDS)
            item = answer.get("item")
            if item and int(item.get("Size", -1)) != os.path.getsize(f"{root}/{piece.path}"):
                different.append(piece)
            else:
                done.append(piece)
        for piece in different:
            try:
                there: int | None = self._store.check(piece)
            except UnreadableError:
                there = None
            if there is None and self._remove(piece):
                done.append(piece)
            elif there is None or there != measure_file(f"{root}/{piece.path}", piece):
                conflicts.append(piece)
        if done:
            self._copy(root, done)
        return [piece for piece in pieces if piece not in conflicts], conflicts

    def _remove(self, piece: Piece) -> bool:
        """Remove what is left of an object. Credentials that may only add cannot, and say so."""
        try:
            self._call("operations/deletefile", rclone.delete_request(piece.path), LEAST_SECONDS)
        except BackupError as error:
            if not any(remedy in str(error) for remedy in rclone.DENIALS):
                raise
            return False
        return True

    def _make_durable(self, pieces: Sequence[Piece]) -> None:
        """rclone leaves what it wrote on the host's own disks to the kernel."""
        if self._access.address.kind != rclone.LOCAL:
            return
        directories = set()
        for piece in pieces:
            path = rclone.local_object(self._access.address, piece.path)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            directory = os.path.dirname(path)
            for _level in range(5):
                directories.add(directory)
                directory = os.path.dirname(directory)
        for directory in sorted(directories):
            files.sync_directory(directory)

    def _call(self, method: str, body: dict[str, object], limit_seconds: float) -> dict[str, Any]:
        with self._lock:
            if self._closed:
                raise BackupError(f"repository {public_url(self._store.repository.url)}: sending has ended")
            if self._daemon is None or not self._daemon.alive:
                self._daemon = _Daemon(self._access.environment())
                self._daemon.start(lambda text: rclone.explain(self._store.repository, "start rclone", text))
            daemon = self._daemon
        try:
            status, answer = daemon.call(method, body, limit_seconds)
        except (OSError, http.client.HTTPException, ValueError) as error:
            spoken = daemon.spoken()
            daemon.stop()
            late = isinstance(error, TimeoutError) or "timed out" in str(error)
            reason = f"ended by the limit of {limit_seconds:.0f} s" if late else spoken or str(error)
            raise rclone.explain(self._store.repository, "send the log", reason) from error
        if status == 200:
            return answer
        text = str(answer.get("error", ""))
        if rclone.IMMUTABLE in text:
            raise _ImmutableError
        # Credentials that were wrong may be corrected meanwhile; only a new start reads them.
        daemon.stop()
        self._access.forget()
        raise rclone.explain(self._store.repository, "send the log", text)


class _ImmutableError(Exception):
    """An object is there with another size."""


class _Daemon:
    """One rclone that stays."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._password = secrets.token_hex(16)
        self._environment = {**environment, "RCLONE_RC_USER": "slipway", "RCLONE_RC_PASS": self._password}
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._ready = threading.Event()
        self._spoken = b""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, explain: Callable[[str], BackupError]) -> None:
        command = rclone.daemon()
        try:
            self._process = subprocess.Popen(
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
        except FileNotFoundError as error:
            raise BackupError(f"{command[0]}: is not installed; run the play again") from error
        if self._process.stderr is None:
            raise AssertionError("the pipe is asked for above")
        threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True).start()
        if not self._ready.wait(START_SECONDS) or not self._port:
            spoken = self.spoken()
            self.stop()
            raise explain(spoken)

    def _listen(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                found = _PORT.search(line)
                if found and not self._port:
                    self._port = int(found[1])
                    self._ready.set()
                else:
                    self._spoken = (self._spoken + line)[-SPOKEN_KEPT:]
        self._ready.set()

    def spoken(self) -> str:
        """The messages of what it wrote."""
        found = []
        for line in self._spoken.decode("utf-8", "replace").splitlines():
            with contextlib.suppress(ValueError):
                value = json.loads(line)
                line = str(value.get("msg", "")) if isinstance(value, dict) else line
            found.append(line)
        return "\n".join(found)

    def call(self, method: str, body: dict[str, object], limit_seconds: float) -> tuple[int, dict[str, Any]]:
        token = base64.b64encode(f"slipway:{self._password}".encode()).decode()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=limit_seconds)
        try:
            headers = {"Authorization": f"Basic {token}", "Content-Type": "application/json"}
            connection.request("POST", f"/{method}", json.dumps(body), headers)
            answer = connection.getresponse()
            value = json.loads(answer.read() or b"{}")
            return answer.status, value if isinstance(value, dict) else {}
        finally:
            connection.close()

    def stop(self) -> None:
        process = self._process
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.wait()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The doors to the host and to Docker; the one to restic is `repository`. Nothing else here runs anything."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import stat
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome, Reader, Stream, pump, run

LABEL_STACK = "com.docker.compose.project"
LABEL_SERVICE = "com.docker.compose.service"
LABEL_ONE_OFF = "com.docker.compose.oneoff"
# What a container that is made for a look at data says of itself; never a label of Compose, so that no release sees it.
LABEL_ISOLATED = "slipway.isolated"
# Marks the processes that a job starts within containers, so that they can be found and ended from the host.
MARK = "SLIPWAY_JOB"
LOG_LINES = 400
# What an entry point needs to put its files in order and to become another user: nothing of networks or devices.
BEGINNING_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")


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
    # The same for directories of the host.
    binds: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    exit_status: int = 0
    memory_bytes: int = 0
    # Who it runs as, and where; empty for what the image says.
    user: str = ""
    directory: str = ""

    @property
    def ready(self) -> bool:
        return self.running and self.health in ("", "healthy")


@dataclass(frozen=True)
class Isolated:
    """A container beside the live ones, without a network or with others of its kind: what it reads and writes is
    mounted from the host."""

    name: str
    image: str
    entrypoint: str
    arguments: tuple[str, ...]
    # By number: what the image calls its users is not known here. Empty for what the image says.
    user: str
    labels: Mapping[str, str]
    # On the host, inside, and whether it may be written.
    mounts: tuple[tuple[str, str, bool], ...]
    memory_bytes: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    # How it is asked to end; empty for what the image says.
    stop_signal: str = ""
    # `none`, which has nothing but its own loopback, or `container:<id>`, which shares that of another one.
    network: str = "none"
    # Names that mean its own loopback.
    names: tuple[str, ...] = ()
    # More of its environment, which must not be seen in a list of processes: a file, and what no file can say.
    environment_file: str = ""
    hidden: Mapping[str, str] = field(default_factory=dict, repr=False)
    directory: str = ""
    # Whether its program begins as root and gives that up by itself, as the entry points of images do.
    begins_as_root: bool = False
    cpus: float = 0.0

    def command(self, detach: bool = True) -> list[str]:
        """The command line that starts it."""
        words = ["docker", "run", *(["--detach"] if detach else []), "--name", self.name, "--pull", "never"]
        words += ["--network", self.network]
        words += [word for name in self.names for word in ("--add-host", f"{name}:127.0.0.1")]
        # Its last checkpoint may take long, and an end in the midst of it would be a crash.
        words += [
            "--stop-timeout",
            "3600",
            "--restart",
            "no",
            "--cap-drop",
            "ALL",
            "--security-opt",
            "no-new-privileges",
        ]
        words += ["--user", self.user] if self.user else []
        if self.begins_as_root:
            words += [word for name in BEGINNING_CAPABILITIES for word in ("--cap-add", name)]
        words += ["--cpus", f"{self.cpus:g}"] if self.cpus else []
        words += ["--workdir", self.directory] if self.directory else []
        words += ["--env-file", self.environment_file] if self.environment_file else []
        words += [word for name in self.hidden for word in ("--env", name)]
        # The weight gives way to whoever else wants the processors, and takes all of them when nobody does.
        words += ["--cpu-shares", "128", "--pids-limit", "512"]
        words += ["--stop-signal", self.stop_signal] if self.stop_signal else []
        words += ["--log-driver", "json-file", "--log-opt", "max-size=16m"]
        if self.memory_bytes:
            words += ["--memory", str(self.memory_bytes), "--memory-swap", str(self.memory_bytes)]
        for key, value in {LABEL_ISOLATED: "true", **self.labels}.items():
            words += ["--label", f"{key}={value}"]
        for key, value in self.environment.items():
            words += ["--env", f"{key}={value}"]
        for source, target, writable in self.mounts:
            words += ["--mount", f"type=bind,src={source},dst={target}{'' if writable else ',readonly'}"]
        return [*words, "--entrypoint", self.entrypoint, self.image, *self.arguments]


class Docker:
    """Docker through its client program. `cpus` limits the processors of each isolated container; 0 does not."""

    def __init__(self, cpus: float = 0.0) -> None:
        self._cpus = cpus

    def containers(self, stack: str) -> list[Container]:
        """All containers of the stack, running or not, in the order of their names."""
        ids = self._client("ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL_STACK}={stack}").split()
        return [item for item in self._inspect(ids) if not item.one_off]

    def isolated(self, labels: Mapping[str, str]) -> list[Container]:
        """All isolated containers that bear these labels, running or not, in the order of their names."""
        filters = [f"label={LABEL_ISOLATED}", *(f"label={key}={value}" for key, value in labels.items())]
        words = [word for text in filters for word in ("--filter", text)]
        return self._inspect(self._client("ps", "--all", "--quiet", "--no-trunc", *words).split())

    def _inspect(self, ids: Sequence[str]) -> list[Container]:
        if not ids:
            return []
        outcome = run(["docker", "inspect", "--type", "container", *ids])
        # A container that went between the two calls is missing from the answer; the others are in it.
        found = [self._container(record) for record in json.loads(outcome.stdout or "[]")]
        return sorted(found, key=lambda item: item.name)

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
            binds={
                mount["Destination"]: mount["Source"]
                for mount in record.get("Mounts") or []
                if mount.get("Type") == "bind"
            },
            environment=dict(
                text.split("=", 1)
                for text in record["Config"].get("Env") or []
                if isinstance(text, str) and "=" in text
            ),
            command=(*(record["Config"].get("Entrypoint") or ()), *(record["Config"].get("Cmd") or ())),
            labels=dict(labels),
            exit_status=int(state.get("ExitCode") or 0),
            memory_bytes=int((record.get("HostConfig") or {}).get("Memory") or 0),
            user=str(record["Config"].get("User") or ""),
            directory=str(record["Config"].get("WorkingDir") or ""),
        )

    def volume_directory(self, volume: str) -> str | None:
        """Where the volume's files are on the host; None when there is no such volume."""
        outcome = run(["docker", "volume", "inspect", "--format", "{{.Mountpoint}}", volume])
        return outcome.stdout.strip() if outcome.status == 0 else None

    def execute(self, container: Container, command: Sequence[str], text: str = "") -> Outcome:
        return run(["docker", "exec", "--interactive", container.id, *command], text=text)

    def stream(self, container: Container, command: Sequence[str], owner: str) -> Stream:
        """A command in the container whose output is wanted as it comes. It bears the owner's mark: the program goes on
        when the client of Docker has gone, so that it must be ended by itself."""
        token = f"{owner}:{secrets.token_hex(8)}"
        words = ["docker", "exec", "--env", f"{MARK}={token}", container.id, *command]
        return Stream(tuple(words), lambda: end_marked(token))

    def copy_out(self, container: Container, path: str) -> Stream:
        """A directory in the container as a tar archive. The engine makes it: the image need not have the program, and
        no link leads out of the container."""
        return Stream(("docker", "cp", f"{container.id}:{path}", "-"))

    def pipe(
        self,
        stream: Stream,
        reader: Reader,
        container: Container,
        command: Sequence[str],
        owner: str,
        before: str = "",
        after: str = "",
    ) -> Outcome:
        """Let a stream flow into a command in a container. `after` follows only when the stream was whole."""
        token = f"{owner}:{secrets.token_hex(8)}"
        words = ["docker", "exec", "--interactive", "--env", f"{MARK}={token}", container.id, *command]
        try:
            return pump(stream, reader, words, before=before.encode(), after=after.encode())
        except BaseException:
            end_marked(token)
            raise

    def end_leftovers(self, owner: str) -> int:
        """End what jobs of the owner left running within containers; returns how many there were."""
        return end_marked(f"{owner}:")

    def execute_from(self, container: Container, command: Sequence[str], path: str) -> Outcome:
        return run(["docker", "exec", "--interactive", container.id, *command], source=path)

    def stop(self, containers: Sequence[Container]) -> None:
        """Stop them, each within its own grace period."""
        if containers:
            self._client("stop", *[container.id for container in containers])

    def start(self, containers: Sequence[Container]) -> None:
        if containers:
            self._client("start", *[container.id for container in containers])

    def remove(self, containers: Sequence[Container]) -> None:
        """Remove containers, with what they wrote in themselves."""
        if containers:
            self._client("rm", "--force", "--volumes", *[container.id for container in containers])

    def start_isolated(self, wish: Isolated) -> Container:
        outcome = run(self._limited(wish).command(), environment={**os.environ, **wish.hidden})
        if outcome.status != 0:
            reason = " ".join(outcome.stderr.split()) or f"exit status {outcome.status}"
            raise BackupError(f"docker run {wish.name}: {reason}")
        return self._inspect([outcome.stdout.strip()])[0]

    def run_isolated(self, wish: Isolated, limit_seconds: float) -> Outcome:
        """Run an isolated container to its end, or to the limit; it stays until it is removed."""
        command = self._limited(wish).command(detach=False)
        return run(command, environment={**os.environ, **wish.hidden}, limit_seconds=limit_seconds)

    def _limited(self, wish: Isolated) -> Isolated:
        return replace(wish, cpus=self._cpus) if self._cpus and not wish.cpus else wish

    def state(self, container: Container) -> Container | None:
        """The container as it is now; None when it has gone."""
        found = self._inspect([container.id])
        return found[0] if found else None

    def logs(self, container: Container) -> list[str]:
        """The last lines that the container wrote."""
        outcome = run(["docker", "logs", "--tail", str(LOG_LINES), container.id])
        return [line for line in (outcome.stdout + outcome.stderr).splitlines() if line.strip()]

    def image_id(self, image: str) -> str:
        """The image of this name that is on the host; empty when there is none."""
        outcome = run(["docker", "image", "inspect", "--format", "{{.Id}}", image])
        return outcome.stdout.strip() if outcome.status == 0 else ""

    def image_digest(self, image: str) -> str:
        """The name by which a registry gives exactly this image; empty when it came from none."""
        outcome = run(["docker", "image", "inspect", "--format", "{{range .RepoDigests}}{{println .}}{{end}}", image])
        return next(iter(outcome.stdout.split()), "") if outcome.status == 0 else ""

    def pull(self, image: str) -> None:
        self._client("pull", "--quiet", image)

    def ask_image(self, image: str, script: str) -> Outcome:
        """What a shell script within an image says: for what an image alone knows, as the number of a user."""
        words = ["docker", "run", "--rm", "--pull", "never", "--network", "none", "--entrypoint", "sh", image]
        return run([*words, "-c", script], limit_seconds=60)

    @staticmethod
    def _client(*words: str) -> str:
        outcome = run(["docker", *words])
        if outcome.status != 0:
            reason = " ".join(outcome.stderr.split()) or f"exit status {outcome.status}"
            raise BackupError(f"docker {words[0]}: {reason}")
        return outcome.stdout


def end_marked(prefix: str) -> int:
    """End the processes whose mark begins so. Root sees the processes of all containers below /proc."""
    wanted = f"{MARK}={prefix}".encode()
    count = 0
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/environ", "rb") as stream:
                marked = any(entry.startswith(wanted) for entry in stream.read().split(b"\0"))
            if marked:
                os.kill(int(name), signal.SIGTERM)
                count += 1
    return count


def _present(path: str) -> str:
    """The path, or the nearest directory above it that exists."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path


class Host:
    """The host's own disk and clock."""

    def now(self) -> datetime:
        return datetime.now(timezone.utc)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def free_bytes(self, path: str) -> int:
        """What may still be written below the path, or below the nearest directory above it that exists."""
        return shutil.disk_usage(_present(path)).free

    def is_read_only(self, path: str) -> bool:
        """Whether nothing at all can be written there: as a disk is mounted again after an error of it."""
        return bool(os.statvfs(_present(path)).f_flag & os.ST_RDONLY)

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

    def free_memory(self) -> int | None:
        """What may still be had of the memory without pushing others out, in bytes; None when nobody knows."""
        with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/meminfo", encoding="ascii") as stream:
            for line in stream:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
        return None

    def holds_only_files(self, path: str) -> bool:
        """Whether nothing but files and directories is at or below the path: no socket, through which what is isolated
        would reach what is alive."""
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return stat.S_ISREG(status.st_mode)
        for directory, _names, names in os.walk(path):
            for name in names:
                mode = os.lstat(os.path.join(directory, name)).st_mode
                if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
                    return False
        return True

    def tally(self, path: str) -> tuple[int, int]:
        """How many things other than directories there are at or below the path, and the bytes of the files among them,
        as a repository counts them."""
        if not os.path.isdir(path) or os.path.islink(path):
            return (1, os.lstat(path).st_size) if os.path.lexists(path) else (0, 0)
        count = size = 0
        with os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    more, bytes_ = self.tally(entry.path)
                    count, size = count + more, size + bytes_
                else:
                    count += 1
                    size += entry.stat(follow_symlinks=False).st_size if entry.is_file(follow_symlinks=False) else 0
        return count, size

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
        """Give a directory another name on the same file system, so that a loss of power does not take it back."""
        os.rename(path, target)
        for parent in sorted({os.path.dirname(path), os.path.dirname(target)}):
            descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def take_mode(self, path: str, model: str) -> None:
        """Give a directory the mode of another, if that exists and the world has no part in it."""
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(model).st_mode & 0o7777
            if mode & 0o7 == 0:
                os.chmod(path, mode)

    def make_parents(self, path: str) -> None:
        """The directories above a path, where they are missing."""
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)

    def make_directory(self, path: str, mode: int, uid: int = -1, gid: int = -1) -> None:
        """A directory that is not there yet."""
        os.mkdir(path, 0o700)
        os.chown(path, uid, gid)
        os.chmod(path, mode)

    def write(self, path: str, text: str, mode: int, uid: int = -1, gid: int = -1) -> None:
        """A small file."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchown(descriptor, uid, gid)
            os.fchmod(descriptor, mode)
            stream.write(text)

    def read(self, path: str) -> bytes:
        """A small file's content."""
        with open(path, "rb") as stream:
            return stream.read(1 << 20)

    def copy(self, path: str, target: str) -> None:
        shutil.copyfile(path, target)

    def give(self, path: str, mode: int, uid: int, gid: int) -> None:
        """Give a file or directory to somebody."""
        os.chown(path, uid, gid, follow_symlinks=False)
        os.chmod(path, mode)

    def set_mode(self, path: str, mode: int) -> None:
        os.chmod(path, mode)

    def owner(self, path: str) -> tuple[int, int]:
        status = os.stat(path)
        return status.st_uid, status.st_gid

    def is_mount(self, path: str) -> bool:
        return os.path.ismount(path)

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

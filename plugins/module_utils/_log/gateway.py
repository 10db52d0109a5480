# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the servers' containers: which run, what they answer, where their files are, and the receiver beside."""

from __future__ import annotations

import json
import os
import posixpath
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import (
    LABEL_ONE_OFF,
    LABEL_SERVICE,
    LABEL_STACK,
    Outcome,
    run,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._state import files

LABEL_RECEIVER = "ops.slipway.log"
ASK_SECONDS = 20
CLIENT_SECONDS = 60
PULL_SECONDS = 900
LINKS = 40


@dataclass(frozen=True)
class Server:
    """A running container of a database service. `begun` tells its process from another one with the same number."""

    id: str
    name: str
    image_id: str
    pid: int
    begun: str
    # Where directories of the host are seen in the container: (there, here), the deepest first.
    mounts: tuple[tuple[str, str], ...] = ()


def begun(pid: int, proc: str = "/proc") -> str:
    """When a process was started, in the kernel's own count; empty when there is none of this number."""
    text = files.read_text(f"{proc}/{pid}/stat") or ""
    # The name, in brackets, may hold anything; the start is the 20th field behind it.
    fields = text.rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def is_alive(server: Server, proc: str = "/proc") -> bool:
    """Whether this very process still runs."""
    return begun(server.pid, proc) == server.begun != ""


def parse_servers(records: Sequence[dict[str, Any]], proc: str = "/proc") -> list[Server]:
    """The running containers in what `docker inspect` says."""
    found = []
    for record in records:
        labels = record["Config"].get("Labels") or {}
        state = record["State"]
        pid = int(state.get("Pid") or 0)
        if not state.get("Running") or state.get("Restarting") or not pid or labels.get(LABEL_ONE_OFF) == "True":
            continue
        mounts = [
            (posixpath.normpath(mount["Destination"]), mount["Source"])
            for mount in record.get("Mounts") or []
            if mount.get("Type") in ("volume", "bind") and mount.get("Source")
        ]
        found.append(
            Server(
                id=record["Id"],
                name=record["Name"].lstrip("/"),
                image_id=record["Image"],
                pid=pid,
                begun=begun(pid, proc),
                mounts=tuple(sorted(mounts, key=lambda mount: len(mount[0]), reverse=True)),
            )
        )
    return sorted(found, key=lambda server: server.name)


class Engine:
    """Docker through its client program."""

    def servers(self, stack: str, service: str) -> list[Server]:
        """The running containers of a service."""
        labels = [f"{LABEL_STACK}={stack}", f"{LABEL_SERVICE}={service}"]
        filters = [word for label in labels for word in ("--filter", f"label={label}")]
        ids = self._client("ps", "--quiet", "--no-trunc", *filters).split()
        if not ids:
            return []
        outcome = run(["docker", "inspect", "--type", "container", *ids], limit_seconds=CLIENT_SECONDS)
        return parse_servers(json.loads(outcome.stdout or "[]"))

    def ask(self, server: Server, command: Sequence[str], text: str = "") -> Outcome:
        """Run a command in the container; it is given up when it does not answer."""
        return run(["docker", "exec", "--interactive", server.id, *command], text=text, limit_seconds=ASK_SECONDS)

    def once(self, command: Sequence[str], text: str = "") -> Outcome:
        """Run a container that answers and ends; it is given up when it does not answer."""
        return run(command, text=text, limit_seconds=ASK_SECONDS)

    def fetch_image(self, reference: str) -> None:
        """Pull the image when it is not here."""
        if run(["docker", "image", "inspect", reference], limit_seconds=CLIENT_SECONDS).status == 0:
            return
        outcome = run(["docker", "pull", "--quiet", reference], limit_seconds=PULL_SECONDS)
        if outcome.status != 0:
            reason = " ".join(outcome.stderr.split()) or f"exit status {outcome.status}"
            raise BackupError(f"docker pull {reference}: {reason}")

    def receive(self, command: Sequence[str]) -> Outcome:
        """Run a container until it ends."""
        return run(command)

    def remove_receivers(self, label: str) -> int:
        """Remove receivers of this label, running or not: those of a follower that was killed too."""
        ids = self._client(
            "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL_RECEIVER}={label}"
        ).split()
        if ids:
            # One that ends by itself meanwhile is gone as well.
            run(["docker", "rm", "--force", "--volumes", *ids], limit_seconds=CLIENT_SECONDS)
        return len(ids)

    @staticmethod
    def _client(*words: str) -> str:
        outcome = run(["docker", *words], limit_seconds=CLIENT_SECONDS)
        if outcome.status != 0:
            reason = " ".join(outcome.stderr.split()) or f"exit status {outcome.status}"
            raise BackupError(f"docker {words[0]}: {reason}")
        return outcome.stdout


def host_path(server: Server, path: str, proc: str = "/proc") -> str:
    """Where a path of the container is on the host.

    A directory that is mounted is found where it comes from, so that it can be read while its container is stopped;
    everything else below /proc/<pid>/root. Links are followed as the container would follow them: an absolute one must
    not lead into the host's own files.
    """
    rest = [part for part in posixpath.normpath(path).split("/") if part]
    done: list[str] = []
    for _link in range(LINKS):
        while rest:
            part = rest.pop(0)
            if part == "..":
                done = done[:-1]
                continue
            here = _mapped(server, [*done, part], proc)
            try:
                is_link = stat.S_ISLNK(os.lstat(here).st_mode)
            except FileNotFoundError:
                is_link = False
            if is_link:
                target = os.readlink(here)
                if target.startswith("/"):
                    done = []
                rest = [word for word in target.split("/") if word not in ("", ".")] + rest
                break
            done.append(part)
        else:
            return _checked(server, done, proc)
    raise RefusedError(f"{path} in {server.name}: has too many links")


def _checked(server: Server, parts: Sequence[str], proc: str) -> str:
    """What lies in a part of a volume is elsewhere than its mount says (`volume-subpath`): then the way through the
    process counts."""
    mapped, through = _mapped(server, parts, proc), f"{proc}/{server.pid}/root/{'/'.join(parts)}"
    try:
        return mapped if os.path.samefile(mapped, through) else through
    except OSError:
        return mapped


def _mapped(server: Server, parts: Sequence[str], proc: str) -> str:
    path = "/" + "/".join(parts)
    for there, here in server.mounts:
        if path == there or path.startswith(f"{there}/"):
            return here + path[len(there) :]
    return f"{proc}/{server.pid}/root{path}"

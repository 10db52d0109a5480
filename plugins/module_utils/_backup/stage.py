# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a drill plays: the stack's servers on what was put together, and the application's own check beside them.

All of them share one network namespace that has nothing but a loopback, where the names of the stack's services lead.
That is stricter than a network of Docker without a gateway, in which the host's own address can be reached, and whose
name server asks the host's (in Docker before 25.0.5); and it leaves nothing behind in the host's networks. Nothing of
the live system is mounted but single files and directories without a socket, read-only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError, Smoke
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_DRILL,
    Beside,
    Prepared,
    Tools,
    Workspace,
    last_line,
    wait_ready,
)

MEMORY_BYTES = 1 << 30
SERVING_SECONDS = 300
# What an environment may not say to Docker's own client.
_NOT_HIDDEN = ("PATH", "HOME", "TMPDIR")
_NOT_HIDDEN_PREFIXES = ("DOCKER_", "LD_", "GO")


def split_environment(environment: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """An environment as the text of a file for Docker, and what of it no such file can hold (values of many lines)."""
    lines, hidden = [], {}
    for name, value in sorted(environment.items()):
        if "\n" not in value and "\r" not in value:
            lines.append(f"{name}={value}\n")
        elif name not in _NOT_HIDDEN and not name.startswith(_NOT_HIDDEN_PREFIXES):
            hidden[name] = value
    return "".join(lines), hidden


class NotContent(BackupError):
    """The application's own check failed: everything came back and was started, and yet it is not what it needs."""


@dataclass
class Stage:
    """The place of one trial. `shared`: the servers see each other, because the application is to see them all."""

    tools: Tools
    drill_id: str
    directory: str
    shared: bool
    _servers: list[Container] = field(default_factory=list)
    _files: int = 0

    @property
    def labels(self) -> dict[str, str]:
        return {
            "slipway.stack": self.tools.settings.stack,
            "slipway.purpose": PURPOSE_DRILL,
            "slipway.restore": self.drill_id,
        }

    def serve(
        self, adapter: Beside, record: Mapping[str, Any], prepared: Prepared, workspace: Workspace
    ) -> dict[str, Any]:
        """Start the stack's own server, with its own settings, on what was prepared, and wait until it lets the stack's
        user in."""
        docker, host, live = self.tools.docker, self.tools.host, adapter.container()
        inside = str(record["data_directory"])
        self.tools.progress(f"starting {adapter.label} as the stack does")
        # What prepared it bears the same labels.
        docker.remove(docker.isolated(adapter.labels(workspace)))
        binds = {
            target: source
            for target, source in live.binds.items()
            if target != inside and not inside.startswith(target.rstrip("/") + "/")
        }
        wish = self._wish(
            live,
            f"{adapter.source.key}-serving",
            str(prepared.facts.get("image") or live.image_id),
            live.command,
            {**adapter.labels(workspace), **self.labels},
            [(prepared.data, inside, True), *self._mounts(binds)],
        )
        container = docker.start_isolated(wish)
        self._servers.append(container)
        ready = wait_ready(
            host,
            lambda: docker.state(container) or container,
            lambda: adapter.answers(container, prepared),
            SERVING_SECONDS,
        )
        if not ready:
            said = " / ".join(docker.logs(container)[-3:]) or "nothing"
            raise BackupError(f"{adapter.label}: the stack's own server does not serve the restored data: {said}")
        return {"container": container.name, "image": live.image}

    def smoke(self, wanted: Smoke, volumes: Mapping[str, str]) -> dict[str, Any]:
        """Run the application's own check: in the image of its service, with its environment, on these directories in
        the place of its volumes."""
        docker, live = self.tools.docker, self.tools.container(wanted.service)
        if live is None:
            raise RefusedError(missing_service(wanted.service))
        self.tools.progress(f"asking service {wanted.service} whether it can use what was restored")
        mounts = [
            (volumes[name], target, True) for target, (name, _source) in sorted(live.volumes.items()) if name in volumes
        ]
        wish = self._wish(
            live,
            "smoke",
            live.image_id,
            wanted.command,
            self.labels,
            [*mounts, *self._mounts(live.binds)],
        )
        begun = self.tools.host.now()
        outcome = docker.run_isolated(wish, wanted.timeout_seconds)
        said = last_line(outcome.stdout + outcome.stderr)
        what = f"the application's own check ({wanted.command[0]} in service {wanted.service})"
        if outcome.status < 0:
            raise NotContent(f"{what} did not end within {wanted.timeout_seconds} s")
        if outcome.status != 0:
            raise NotContent(f"{what} ended with exit status {outcome.status}: {said}")
        return {
            "service": wanted.service,
            "seconds": round((self.tools.host.now() - begun).total_seconds(), 1),
            "said": said[:500] if outcome.stdout.strip() or outcome.stderr.strip() else "",
        }

    def end(self) -> None:
        """Remove every container of the trial, and what was unpacked."""
        docker = self.tools.docker
        docker.remove(docker.isolated(self.labels))
        self.tools.host.remove_tree(self.directory)

    def _wish(
        self,
        live: Container,
        name: str,
        image: str,
        command: tuple[str, ...],
        labels: Mapping[str, str],
        mounts: list[tuple[str, str, bool]],
    ) -> Isolated:
        stack = self.tools.settings.stack
        text, hidden = split_environment(live.environment)
        self._files += 1
        path = f"{self.directory}/environment-{self._files}"
        self.tools.host.write(path, text, 0o600)
        first = self._servers[0].id if self.shared and self._servers else ""
        return Isolated(
            name=f"slipway-drill-{stack}-{name}-{self.drill_id}",
            image=image,
            entrypoint=command[0],
            arguments=tuple(command[1:]),
            user=live.user,
            labels=labels,
            mounts=tuple(mounts),
            memory_bytes=live.memory_bytes or MEMORY_BYTES,
            network=f"container:{first}" if first else "none",
            # The others take the first one's names, with its network.
            names=() if first else self._names(),
            environment_file=path,
            hidden=hidden,
            directory=live.directory,
            begins_as_root=live.user.split(":")[0] in ("", "0", "root"),
        )

    def _names(self) -> tuple[str, ...]:
        """What the services call each other. A cache that is in no point is named too, so that it is seen at once that
        it is not there."""
        found = self.tools.docker.containers(self.tools.settings.stack)
        return tuple(sorted({name for item in found for name in (item.service, item.name) if name}))

    def _mounts(self, binds: Mapping[str, str]) -> list[tuple[str, str, bool]]:
        host = self.tools.host
        return [
            (source, target, False)
            for target, source in sorted(binds.items())
            if host.exists(source) and host.holds_only_files(source)
        ]


def missing_service(service: str) -> str:
    """Why a check cannot be run."""
    return (
        f"the drill's own check is to run as service {service}, of which the stack has no container; deploy the stack,"
        " or correct backup_drill_smoke_service"
    )

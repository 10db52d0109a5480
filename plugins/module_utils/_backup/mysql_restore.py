# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The isolated server of MySQL or MariaDB that data is put together with."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server as server
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools, Workspace, last_line

# A server that recovers writes now and then; one that says nothing for so long hangs.
SILENT_SECONDS = 3600
SAY_SECONDS = 15
_START = """\
for tool in mariadbd mysqld; do
  if command -v "$tool" >/dev/null 2>&1; then exec "$tool" "$@"; fi
done
echo "there is neither mariadbd nor mysqld in this image" >&2
exit 127
"""


class RestoreServer:
    """One workspace's server. It is reached by nobody but through `docker exec`, and sees nothing of the host but the
    workspace."""

    def __init__(
        self,
        tools: Tools,
        label: str,
        workspace: Workspace,
        labels: Mapping[str, str],
        image: str,
        user: str,
        owner: tuple[int, int],
        memory_bytes: int,
        data_directory: str,
    ) -> None:
        self._tools = tools
        self._label = label
        self._workspace = workspace
        self._labels = labels
        self._image = image
        self._user = user
        self._owner = owner
        self._memory_bytes = memory_bytes
        self._data_directory = data_directory
        self._container: Container | None = None

    @property
    def container(self) -> Container:
        if self._container is None:
            raise AssertionError("the server was started before")
        return self._container

    @property
    def run_directory(self) -> str:
        return f"{self._workspace.directory}/run"

    def _name(self, purpose: str) -> str:
        labels = self._labels
        return f"slipway-{purpose}-{labels['slipway.stack']}-{labels['slipway.source']}-{self._workspace.id}"

    def _wish(self, purpose: str, arguments: Sequence[str], mounts: Sequence[tuple[str, str, bool]]) -> Isolated:
        return Isolated(
            name=self._name(purpose),
            image=self._image,
            entrypoint="sh",
            arguments=tuple(arguments),
            user=self._user,
            labels=self._labels,
            mounts=tuple(mounts),
            memory_bytes=self._memory_bytes,
        )

    def run(self, arguments: Sequence[str], inside: str, attempt: str) -> list[str]:
        """Run a tool of the image on the data, mounted at `inside`, to its end; returns what it said."""
        docker, host = self._tools.docker, self._tools.host
        docker.remove(docker.isolated(self._labels))
        wish = self._wish(self._workspace.purpose, arguments, [(self._workspace.data, inside, True)])
        container = docker.start_isolated(wish)
        said = host.now().timestamp()
        while True:
            state = docker.state(container)
            if state is None or not state.running:
                break
            if host.now().timestamp() - said >= SAY_SECONDS:
                said = host.now().timestamp()
                self._tools.progress(f"{attempt}: still at it")
            host.sleep(0.5)
        lines = docker.logs(container)
        status = state.exit_status if state is not None else 1
        docker.remove([container])
        if status != 0:
            raise BackupError(f"{self._label}: {attempt}: exit status {status}: {last_words(lines)}")
        return lines

    def start(self, arguments: Sequence[str]) -> None:
        """Start the server, in the place of one that may be there, and wait until it answers."""
        docker, host = self._tools.docker, self._tools.host
        docker.remove(docker.isolated(self._labels))
        password = secrets.token_urlsafe(24) + "aA1-"
        host.remove_tree(self.run_directory)
        host.make_directory(self.run_directory, 0o700, *self._owner)
        host.write(f"{self.run_directory}/init.sql", server.init_sql(password), 0o600, *self._owner)
        host.write(f"{self.run_directory}/client.cnf", server.client_file(password), 0o600, *self._owner)
        mounts = [(self._workspace.data, self._data_directory, True), (self.run_directory, server.INSIDE_RUN, True)]
        if host.exists(self._workspace.log):
            mounts.append((self._workspace.log, server.INSIDE_LOG, True))
        self._container = docker.start_isolated(
            self._wish(self._workspace.purpose, ["-c", _START, "slipway", *arguments], mounts)
        )
        self._wait()

    def _wait(self) -> None:
        docker, host = self._tools.docker, self._tools.host
        heard, last = host.now().timestamp(), -1
        while True:
            state = docker.state(self.container)
            if state is None or not state.running:
                raise BackupError(
                    f"{self._label}: the isolated server ended: {last_words(docker.logs(self.container))}"
                )
            if self.execute(server.isolated_client(), "SELECT 1;\n").status == 0:
                return
            lines, now = len(docker.logs(self.container)), host.now().timestamp()
            if lines != last:
                last, heard = lines, now
            if now - heard > SILENT_SECONDS:
                raise BackupError(
                    f"{self._label}: the isolated server said nothing for an hour:"
                    f" {last_words(docker.logs(self.container))}"
                )
            host.sleep(0.5)

    def execute(self, command: Sequence[str], text: str = "") -> Outcome:
        return self._tools.docker.execute(self.container, command, text)

    def sql(self, text: str, attempt: str, names: bool = False) -> str:
        """Run SQL as our own user; `names` gives the names of the columns as the first row."""
        command = server.isolated_client()
        if names:
            command = [word for word in command if word != "--skip-column-names"]
        outcome = self.execute(command, text)
        if outcome.status != 0:
            raise BackupError(f"{self._label}: {attempt}: {last_line(outcome.stderr)}")
        return outcome.stdout

    def takes(self, user: str, password: str) -> bool:
        """Whether a user can log in with this password."""
        return self.execute(server.try_login(user), f"{password}\n").status == 0

    def stop(self) -> None:
        """Put the data to rest: the server ends in good order, with all that it holds on the disk."""
        docker, host = self._tools.docker, self._tools.host
        docker.stop([self.container])
        state = docker.state(self.container)
        if state is None or state.exit_status != 0:
            raise BackupError(
                f"{self._label}: the isolated server did not end in good order:"
                f" {last_words(docker.logs(self.container))}"
            )
        docker.remove([self.container])
        self._container = None
        host.remove_tree(self.run_directory)


def last_words(lines: Sequence[str]) -> str:
    """The lines of a server's log that say why, or its last ones."""
    decisive = [line for line in lines if "[ERROR]" in line or "[FATAL]" in line or "FATAL ERROR" in line]
    return server.shorten(" / ".join((decisive or list(lines))[-3:]) or "nothing")

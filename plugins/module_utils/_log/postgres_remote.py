# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's log, received from a server on another host: what was committed there outlives that host and its disk.

Programs of the server's image run in this host's network and speak to the server as a standby does: with a role that
may replicate and a replication slot of their own. The objects that come of it are those that the server's own host
makes, in the same lineage; whichever of the two hosts is lost, the other one has sent its own. Where the server waits
for this receiver (`synchrony.py`), nothing that it confirmed is on its host alone.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Server
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage
from ansible_collections.slipway.ops.plugins.module_utils._log.postgres import (
    EXPLANATIONS,
    PostgresLog,
    Way,
    passfile,
    receiver_slot,
)
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import Remote
from ansible_collections.slipway.ops.plugins.module_utils._state import files

REMOTE_EXPLANATIONS = (
    (
        "no pg_hba.conf entry for replication",
        "add to the server's pg_hba.conf: host replication {user} <this host's address>/32 scram-sha-256",
    ),
    (
        "no pg_hba.conf entry",
        "add to the server's pg_hba.conf: host postgres {user} <this host's address>/32 scram-sha-256",
    ),
    (
        "connection refused",
        "nothing listens there; look whether the server runs, and its port is published to this host",
    ),
    ("password authentication failed", "receiver_databases does not hold the password of {user}"),
)

Names = Callable[[str], list[str]]  # of the directories in a directory of a repository's log


def ask_command(image: str, way: Way, secret: str, user: str) -> list[str]:
    """Run SQL from stdin."""
    return [
        *("docker", "run", "--rm", "--interactive", "--log-driver", "none"),
        *way.words(secret),
        *("--entrypoint", "psql", image),
        *("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--no-password"),
        *(f"--username={user}", "--dbname=postgres"),
    ]


class RemotePostgresLog(PostgresLog):
    """The adapter. `repositories` list what is in each of them."""

    # A server that comes back may have commits that wait for us.
    backoff_seconds = (1, 2, 2, 3, 3, 5, 5, 5, 10)

    def __init__(self, source: Any, tools: Any, repositories: Sequence[Names]) -> None:
        self.remote: Remote = source.remote
        self._repositories = repositories
        super().__init__(source, tools)

    def _own_slot(self) -> str:
        return receiver_slot(self.source.key, self.remote.name)

    # The server, as it is from here

    def find_server(self) -> Server:
        if self.server is None:
            name = f"{self.remote.address}:{self.remote.port}"
            self.server = Server(id="", name=name, image_id=self.remote.image, pid=0, begun="")
            self.server_changed()
        self.tools.engine.fetch_image(self.remote.image)
        return self.server

    def _is_there(self, server: Server) -> bool:
        """It is asked how it stands once something can have been received."""
        return self.tail is not None

    def _way(self, server: Server) -> Way:
        remote = self.remote
        return Way("host", remote.address, remote.port, remote.name, remote.ca_file)

    @contextlib.contextmanager
    def _credentials(self, server: Server) -> Iterator[tuple[str, str]]:
        password = files.read_text(self.remote.password_file)
        if password is None:
            raise BackupError(f"{self.remote.password_file}: is missing; run the play with the role receiver")
        # Two threads ask, each with a file of its own.
        path = f"{self.directory}/passfile.{threading.get_ident()}"
        with passfile(path, self.source.user, password.rstrip("\n")) as secret:
            yield self.source.user, secret

    def _run(self, server: Server, sql: str) -> Outcome:
        with self._credentials(server) as (user, secret):
            return self.tools.engine.once(ask_command(server.image_id, self._way(server), secret, user), sql)

    def _explanations(self) -> tuple[tuple[str, str], ...]:
        return (*REMOTE_EXPLANATIONS, *EXPLANATIONS)

    # What only the server's own host can do, or knows

    def fill(self, server: Server) -> int:
        """Its files are out of reach; its own host fills what is missing."""
        return 0

    def lineage_of(self, identity: str) -> Lineage:
        """The newest that the server's own host, or this one, has begun. Raises BackupError where no repository tells:
        what went back must not be taken for what it was before."""
        own = super().lineage_of(identity)
        names: list[str] = []
        failures: list[BackupError] = []
        for listed in self._repositories:
            try:
                names += listed(f"{own.stack}/{own.source}")
            except BackupError as error:
                failures.append(error)
        if failures and len(failures) == len(self._repositories):
            raise failures[0]
        epochs = [own.epoch]
        for name in names:
            with contextlib.suppress(ValueError):
                lineage = Lineage.named(own.stack, own.source, name)
                if lineage.identity == identity:
                    epochs.append(lineage.epoch)
        return Lineage(own.stack, own.source, identity, max(epochs))

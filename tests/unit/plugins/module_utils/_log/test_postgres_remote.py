# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log.follow import make_source
from ansible_collections.slipway.ops.plugins.module_utils._log.postgres_remote import RemotePostgresLog
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource, Remote
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.servers import (
    MIB,
    Cluster,
    FakeEngine,
    answer_postgres,
    tools,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import FakeRepository


class Far:
    """A server on another host, and who receives from it here. The password's file, as a program sees it, is kept."""

    def __init__(self, root: Path, ca_file: str = "") -> None:
        self.root = root
        password = root / "password"
        password.write_text("a:b\\c\n", encoding="utf-8")
        remote = Remote("192.0.2.7", "postgres:17", str(password), "slipway_receiver", 6432, ca_file)
        self.source = LogSource("postgresql", "database", user="receiver", remote=remote)
        self.cluster = Cluster(root / "data")
        self.tools = tools(root, self.source)
        self.engine: FakeEngine = self.tools.engine  # type: ignore[assignment]
        self.engine.start("far", root / "data", "/data")
        self.commands: list[str] = []
        self.secrets: list[str] = []
        answer = answer_postgres(self.cluster)

        def answers(server: object, command: Sequence[str], text: str) -> Outcome:
            self.look(command[2].split())
            return answer(self.engine.running[0], command, text)

        self.engine.answers = answers
        self.engine.receiver = self.receive
        self.repository = FakeRepository()
        log = make_source(self.source, self.tools, [self.repository])
        assert isinstance(log, RemotePostgresLog)
        self.log = log

    def look(self, command: Sequence[str]) -> None:
        self.commands.append(" ".join(command))
        secret = next(word for word in command if "target=/slipway/passfile" in word)
        self.secrets.append(Path(secret.split("source=")[1].split(",")[0]).read_text(encoding="utf-8"))

    def receive(self, command: Sequence[str]) -> Outcome:
        self.look(command)
        mount = next(word for word in command if "target=/slipway/received" in word)
        self.cluster.stream(Path(mount.split("source=")[1].split(",")[0]))
        return Outcome(1, "", "pg_receivewal: error: disconnected\n")

    def follow(self) -> None:
        with pytest.raises(BackupError, match="disconnected"):
            self.log.receive_once()
        self.log.tick()
        while self.log.work():
            pass
        waiting = [item.piece for item in self.log.outbox.waiting("main")]
        self.log.outbox.remove("main", self.repository.send(self.log.outbox.directory("main"), waiting).done)


@pytest.fixture
def far(tmp_path: Path) -> Far:
    return Far(tmp_path)


def test_it_speaks_to_the_other_host_as_a_standby_of_its_own_name(far: Far) -> None:
    far.cluster.write(5000)
    far.follow()
    assert far.engine.fetched == ["postgres:17"]
    *asked, received = far.commands
    assert len(asked) == 2  # for the facts, and the slot
    for command in far.commands:
        assert "--network host" in command
        assert "PGHOST=192.0.2.7" in command
        assert "PGPORT=6432" in command
        assert "PGAPPNAME=slipway_receiver" in command
        assert "--username=receiver" in command
        assert "PGSSLMODE" not in command
        assert "a:b" not in command
    assert "--entrypoint pg_receivewal postgres:17" in received
    assert "--slot=slipway_database_slipway_receiver --synchronous" in received
    # The password never is a word of a command, and its file is gone.
    assert set(far.secrets) == {"*:*:*:receiver:a\\:b\\\\c\n"}
    assert not list((far.root / "state/fleet/log/database").glob("passfile*"))


def test_certificates_are_verified_when_an_authority_is_given(tmp_path: Path) -> None:
    far = Far(tmp_path, "/etc/slipway/ca.pem")
    far.cluster.write(100)
    far.follow()
    assert all("PGSSLMODE=verify-full --env PGSSLROOTCERT=/slipway/ca.pem" in command for command in far.commands)
    assert all("source=/etc/slipway/ca.pem,target=/slipway/ca.pem,readonly" in command for command in far.commands)


def test_its_objects_are_those_of_the_server_s_own_lineage(far: Far) -> None:
    """Two hosts that cut one log say the same; nothing is in the way of what the other has sent."""
    far.cluster.write(3 * MIB)
    far.follow()
    assert far.log.tail is not None
    assert far.log.tail.lineage.path == f"fleet/database/{far.cluster.system}"
    assert {piece.stream.lineage for piece in far.repository.pieces("fleet/database")} == {far.log.tail.lineage}


def test_the_lineage_that_the_server_s_own_host_has_begun_is_gone_on_with(far: Far) -> None:
    far.repository.objects[f"fleet/database/{far.cluster.system}.3/000000010000000000000005/whole-000000000008.gz"] = (
        b""
    )
    far.repository.objects["fleet/database/1234.7/000000010000000000000005/whole-000000000008.gz"] = b""
    far.cluster.write(1000)
    far.follow()
    assert far.log.tail is not None
    assert far.log.tail.lineage.name == f"{far.cluster.system}.3"


def test_while_no_repository_tells_the_lineage_nothing_is_received(far: Far) -> None:
    far.repository.fault = BackupError("repository main: no answer")
    with pytest.raises(BackupError, match="no answer"):
        far.log.receive_once()
    assert far.engine.received == []


def test_a_password_that_is_not_there_is_named(far: Far) -> None:
    Path(far.source.remote.password_file).unlink()  # type: ignore[union-attr]
    with pytest.raises(BackupError, match="password: is missing; run the play with the role receiver"):
        far.log.receive_once()


@pytest.mark.parametrize(
    ("stderr", "remedy"),
    [
        (
            'FATAL:  no pg_hba.conf entry for replication connection from host "192.0.2.9", user "receiver"',
            "add to the server's pg_hba.conf: host replication receiver <this host's address>/32 scram-sha-256",
        ),
        (
            'FATAL:  no pg_hba.conf entry for host "192.0.2.9", user "receiver", database "postgres"',
            "add to the server's pg_hba.conf: host postgres receiver",
        ),
        ('FATAL:  password authentication failed for user "receiver"', "receiver_databases does not hold the password"),
        ("ERROR:  permission denied to use replication slots", "ALTER ROLE receiver REPLICATION; GRANT pg_monitor"),
        ("connection to server at 192.0.2.7 failed: No route to host", "No route to host"),
        (
            "connection to server failed: Connection refused\n\tIs the server running on that host?",
            "nothing listens there",
        ),
    ],
)
def test_why_it_cannot_receive(far: Far, stderr: str, remedy: str) -> None:
    far.engine.answers = lambda server, command, text: Outcome(2, "", f"psql: error: {stderr}\n")
    with pytest.raises(BackupError) as caught:
        far.log.receive_once()
    assert remedy in str(caught.value)


def test_holes_are_left_to_the_server_s_own_host(far: Far) -> None:
    far.cluster.write(1000)
    far.follow()
    assert far.log.server is not None
    assert far.log.fill(far.log.server) == 0
    assert far.log.audit()["server"] == "192.0.2.7:6432"

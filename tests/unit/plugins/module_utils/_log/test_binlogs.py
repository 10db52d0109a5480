# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import collect_binlogs
from ansible_collections.slipway.ops.plugins.module_utils._log.binlogs import BinaryLog
from ansible_collections.slipway.ops.plugins.module_utils._log.gateway import Server
from ansible_collections.slipway.ops.plugins.module_utils._log.model import HoleError
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.source import WaitingError
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.servers import (
    SAMPLES,
    FakeEngine,
    FakeHost,
    tools,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import FakeRepository

UUID = "3dc28938-e615-11f1-8789-0242ac110004"
THERE = "/var/lib/mysql"
HEAD = (SAMPLES / "mysql.000003").read_bytes()[:198]
MARIA = (SAMPLES / "mariadb.000003").read_bytes()[:401]


class World:
    """A MySQL or MariaDB server with real heads of files, and what follows it."""

    def __init__(self, root: Path, kind: str = "mysql", directory: str = "", **options: int) -> None:
        self.root = root
        self.source = LogSource(kind, "database", directory=directory)
        self.tools = tools(root, self.source, **options)
        self.engine: FakeEngine = self.tools.engine  # type: ignore[assignment]
        self.host: FakeHost = self.tools.host  # type: ignore[assignment]
        self.data = root / "data"
        self.data.mkdir()
        self.repository = FakeRepository()
        self.uuid = UUID if kind == "mysql" else ""
        self.outcome: Outcome | None = None
        self.sync = "1"
        self.stamp = 0
        self.engine.start("fleet-database-1", self.data, THERE)
        self.engine.answers = self.answer
        self.log = BinaryLog(self.source, self.tools)

    @property
    def said(self) -> list[str]:
        return self.tools.said  # type: ignore[attr-defined, no-any-return]

    def answer(self, server: Server, command: Sequence[str], text: str) -> Outcome:
        return self.outcome or Outcome(0, f"1\t{THERE}/binlog\t{self.sync}\t{self.uuid}\n", "")

    def path(self, number: int) -> Path:
        return self.data / f"binlog.{number:06d}"

    def write(self, number: int, count: int = 100) -> None:
        with open(self.path(number), "ab") as stream:
            if not stream.tell():
                self.stamp += 1
                head = bytearray(HEAD if self.source.kind == "mysql" else MARIA)
                # Every file is begun at another second.
                head[4:8] = (1_700_000_000 + self.stamp).to_bytes(4, "little")
                stream.write(head)
            stream.write(b"x" * count)

    def follow(self) -> None:
        self.host.pass_time(5)
        self.log.tick()
        while self.log.work():
            pass
        waiting = [item.piece for item in self.log.outbox.waiting("main")]
        self.log.outbox.remove("main", self.repository.send(self.log.outbox.directory("main"), waiting).done)

    def restart(self) -> None:
        self.log = BinaryLog(self.source, self.tools)

    def check(self, first: int = 1) -> None:
        assert self.log.tail is not None
        shutil.rmtree(self.root / "out", ignore_errors=True)
        pieces = self.repository.pieces(f"{self.log.tail.lineage.path}/")
        found = collect_binlogs(self.repository, pieces, str(self.root / "out"), f"binlog.{first:06d}")
        last = max(binlog.file_number(path.name) or 0 for path in self.data.iterdir())
        assert found.names == tuple(f"binlog.{number:06d}" for number in range(first, last + 1))
        for name in found.names:
            wanted = bytearray((self.data / name).read_bytes())
            wanted[binlog.IN_USE_OFFSET] &= ~binlog.IN_USE
            assert (self.root / "out" / name).read_bytes() == wanted


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_what_the_server_writes_is_followed(world: World) -> None:
    world.write(1)
    world.follow()
    world.write(1, 300)
    world.follow()
    for number in (2, 3):
        world.write(number, 500)
        world.follow()
    world.check()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == UUID
    assert world.log.position() == "binlog.000003:698"
    assert world.log.holes() == []
    world.restart()
    world.write(3)
    world.follow()
    world.check()


def test_other_files_are_no_log(world: World) -> None:
    world.write(1)
    for name in ("binlog.index", "binlog.000001.idx", "mysqld-relay-bin.000009", "ibdata1", "binlog.~rec~"):
        (world.data / name).write_bytes(b"x" * 1000)
    world.follow()
    assert {piece.stream.name for piece in world.repository.pieces()} == {"binlog.000001"}


def test_a_server_that_was_killed(world: World) -> None:
    """It cuts off what it had not committed, and begins the next file."""
    world.write(1, 1000)
    world.follow()
    content = world.path(1).read_bytes()
    world.engine.running = []
    with pytest.raises(WaitingError):
        world.follow()
    world.path(1).write_bytes(content[:700])
    world.engine.start("fleet-database-1", world.data, THERE, pid=101)
    world.follow()
    assert "binlog.000001 became shorter: waits until its server has begun the next" in world.log.problems[0]
    world.write(2)
    world.follow()
    assert world.log.problems == []
    world.check()


def test_what_was_written_last_is_read_when_the_container_has_gone(world: World) -> None:
    world.write(1)
    world.follow()
    world.write(1, 50)
    world.engine.running = []
    with pytest.raises(WaitingError, match="waits for a running container"):
        world.log.tick()
    waiting = [item.piece.end for item in world.log.outbox.waiting("main")]
    assert waiting == [348]


def test_a_container_that_is_re_created_is_found(world: World) -> None:
    world.write(1)
    world.follow()
    world.engine.start("fleet-database-2", world.data, THERE, pid=200)
    world.write(2)
    world.follow()
    world.check()
    assert world.said[-1] == "log of database (mysql): follows fleet-database-2"


def test_two_containers_of_the_service_are_refused(world: World) -> None:
    world.write(1)
    first = world.engine.running[0]
    world.engine.running = [first, replace(first, id="b", name="fleet-database-2")]
    with pytest.raises(BackupError, match="has 2 containers"):
        world.log.tick()
    assert world.log.outbox.totals("main") == (0, 0)


def test_a_server_that_does_not_answer_yet_is_waited_for(world: World) -> None:
    world.write(1)
    world.outcome = Outcome(1, "", "ERROR 2002 (HY000): Can't connect to local MySQL server through socket\n")
    with pytest.raises(WaitingError, match="waits until fleet-database-1 answers"):
        world.log.tick()
    world.outcome = None
    world.follow()
    world.check()
    # Where its files are is known from then on.
    world.restart()
    world.outcome = Outcome(1, "", "ERROR 2002 (HY000): Can't connect to local MySQL server through socket\n")
    world.write(1)
    world.follow()
    world.check()


@pytest.mark.parametrize(
    ("outcome", "kind", "message"),
    [
        (Outcome(1, "", "ERROR 1045 (28000): Access denied for user 'root'\n"), BackupError, "Access denied for user"),
        (Outcome(0, "0\t\t1\tuuid\n", ""), RefusedError, "writes no binary log; start it with --log-bin"),
        (Outcome(0, "nonsense\n", ""), BackupError, "answered 'nonsense"),
        (Outcome(1, "", ""), BackupError, "exit status 1"),
        (Outcome(0, "1\t/x/my log\t1\tuuid\n", ""), RefusedError, "cannot be named in a repository"),
        (Outcome(0, "1\t/var/lib/mysql/b\t1\t../x\n", ""), RefusedError, "cannot be named in a repository"),
        (Outcome(0, "1\t/var/lib/mysql/b\t1\t\n", ""), BackupError, "is it MariaDB"),
    ],
)
def test_what_a_server_may_say(world: World, outcome: Outcome, kind: type[BackupError], message: str) -> None:
    world.outcome = outcome
    with pytest.raises(kind, match=message):
        world.log.tick()


def test_the_password_never_leaves_the_container(world: World) -> None:
    world.write(1)
    world.follow()
    ((script, text),) = world.engine.asked
    assert '"${MYSQL_ROOT_PASSWORD-}"' in script
    assert '"$(cat "$MYSQL_ROOT_PASSWORD_FILE")"' in script
    assert text.startswith("SELECT @@GLOBAL.log_bin")


def test_a_log_that_was_reset_begins_a_new_lineage(world: World) -> None:
    for number in (1, 2, 3):
        world.write(number)
        world.follow()
    for number in (1, 2, 3):
        world.path(number).unlink()
    world.write(1, 50)
    world.follow()
    world.follow()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == f"{UUID}.2"
    assert any("was begun anew" in line for line in world.said)
    world.check()
    # The old lineage is what it was.
    old = world.repository.pieces(f"fleet/database/{UUID}/")
    assert {piece.stream.name for piece in old} == {"binlog.000001", "binlog.000002", "binlog.000003"}
    world.restart()
    world.write(1)
    world.follow()
    world.check()


def test_a_log_that_was_reset_while_nobody_looked(world: World) -> None:
    for number in (1, 2):
        world.write(number)
        world.follow()
    for number in (1, 2):
        world.path(number).unlink()
    for number in (1, 2, 3):
        world.write(number, 400)
    world.restart()
    world.follow()
    world.follow()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == f"{UUID}.2"
    world.check()


def test_older_data_under_the_same_name_is_noticed(world: World) -> None:
    """A volume was put back by hand: the same server, whose last file goes on otherwise."""
    world.write(1)
    world.follow()
    saved = world.path(1).read_bytes()
    for number in (2, 3):
        world.write(number)
        world.follow()
    for number in (2, 3):
        world.path(number).unlink()
    world.path(1).write_bytes(saved)
    world.engine.start("fleet-database-2", world.data, THERE, pid=200)
    for number in (2, 3, 4):
        world.write(number, 77)
    world.follow()
    world.follow()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == f"{UUID}.2"
    world.check()


def test_another_server_is_another_lineage(world: World) -> None:
    world.write(1)
    world.follow()
    shutil.rmtree(world.data)
    world.data.mkdir()
    world.uuid = UUID.replace("3d", "4d")
    world.engine.start("fleet-database-2", world.data, THERE, pid=200)
    world.write(1, 7)
    world.follow()
    world.check()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == world.uuid


def test_mariadb_s_data_gets_a_name_and_keeps_it(tmp_path: Path) -> None:
    world = World(tmp_path, "mariadb")
    world.write(1)
    world.follow()
    assert world.log.tail is not None
    name = world.log.tail.lineage.name
    assert len(name) == 16
    world.restart()
    world.write(2)
    world.follow()
    world.check()
    assert world.log.tail.lineage.name == name
    # The volume was moved to another disk: another directory, with the files that are known.
    shutil.copytree(world.data, tmp_path / "moved")
    world.data = tmp_path / "moved"
    world.engine.start("fleet-database-2", world.data, THERE, pid=200)
    world.write(2)
    world.follow()
    world.check()
    assert world.log.tail.lineage.name == name
    # New data is another lineage.
    world.data = tmp_path / "new"
    world.data.mkdir()
    world.engine.start("fleet-database-3", world.data, THERE, pid=300)
    world.write(1)
    world.follow()
    world.check()
    assert world.log.tail.lineage.name != name


def test_a_directory_that_is_named_needs_no_question(tmp_path: Path) -> None:
    world = World(tmp_path, directory=f"{THERE}/")
    world.outcome = Outcome(1, "", "ERROR 1045 Access denied")
    world.write(1)
    for base in ("binlog", "fleet-relay-bin", "old"):
        (world.data / f"{base}.index").write_text("", encoding="utf-8")
    with pytest.raises(RefusedError, match=r"no auto.cnf tells whose log it is"):
        world.follow()
    (world.data / "auto.cnf").write_text(f"[auto]\nserver-uuid={UUID}\n", encoding="utf-8")
    world.follow()
    world.check()
    assert world.log.tail is not None
    assert world.log.tail.lineage.name == UUID
    assert world.engine.asked == []
    (world.data / "old.000001").write_bytes(HEAD)
    world.restart()
    with pytest.raises(RefusedError, match="holds binlog, old as binary logs, and must hold one"):
        world.follow()


def test_an_encrypted_log_is_refused_before_anything_is_cut(tmp_path: Path) -> None:
    world = World(tmp_path, "mariadb")
    shutil.copy(SAMPLES / "mariadb.encrypted", world.path(1))
    with pytest.raises(binlog.EncryptedError, match="encrypt_binlog=OFF"):
        world.follow()
    assert world.log.outbox.totals("main") == (0, 0)


def test_a_file_that_was_made_a_moment_ago(world: World) -> None:
    world.write(1)
    world.follow()
    world.path(2).write_bytes(b"")
    world.follow()
    world.path(2).write_bytes(HEAD[:50])
    world.follow()
    world.path(2).write_bytes(HEAD)
    world.follow()
    world.check()


def test_old_files_are_no_burden_at_the_beginning(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=2000)
    for number in range(1, 7):
        world.write(number, 200)
    world.follow()
    names = sorted({piece.stream.name for piece in world.repository.pieces()})
    assert names == ["binlog.000005", "binlog.000006"]
    world.restart()
    world.write(7, 200)
    world.follow()
    world.check(5)


def test_a_large_file_is_taken_even_so(tmp_path: Path) -> None:
    world = World(tmp_path, budget_bytes=100)
    world.write(1, 50)
    world.write(2, 5000)
    world.follow()
    assert {piece.stream.name for piece in world.repository.pieces()} == {"binlog.000002"}


def test_files_that_were_purged_unseen_are_a_hole(world: World) -> None:
    world.write(1)
    world.follow()
    world.path(1).unlink()
    world.write(4)
    world.write(5)
    world.follow()
    assert world.log.holes() == [f"file binlog.00000{number}" for number in (1, 2, 3)]
    pieces = world.repository.pieces()
    with pytest.raises(HoleError, match=r"binlog.000001 has no known end, and a file follows it"):
        collect_binlogs(world.repository, pieces, str(world.root / "out"), "binlog.000001")
    assert collect_binlogs(world.repository, pieces, str(world.root / "out"), "binlog.000004").end == 298
    with pytest.raises(HoleError, match=r"does not hold binlog.000009"):
        collect_binlogs(world.repository, pieces, str(world.root / "out"), "binlog.000009")


def test_a_file_that_was_deleted_in_the_repository_is_a_hole(world: World) -> None:
    for number in (1, 2, 3):
        world.write(number)
        world.follow()
    pieces = [piece for piece in world.repository.pieces() if piece.stream.name != "binlog.000002"]
    with pytest.raises(HoleError, match=r"file 000002 of the log is missing behind binlog.000001"):
        collect_binlogs(world.repository, pieces, str(world.root / "out"), "binlog.000001")


def test_a_file_without_a_known_end(tmp_path: Path) -> None:
    """The repository was away when it was closed, and the host was lost then: its last event may still say it."""
    world = World(tmp_path)
    for sample, number in (("mysql.000003", 3), ("mysql.000005", 4)):
        shutil.copy(SAMPLES / sample, world.path(number))
        world.follow()
    objects = world.repository.objects
    for path in [path for path in objects if "000003/whole" in path or "000003/000000001695-000000001695" in path]:
        del objects[path]
    found = collect_binlogs(world.repository, world.repository.pieces(), str(tmp_path / "out"), "binlog.000003")
    assert found.names == ("binlog.000003", "binlog.000004")
    world.path(3).unlink()
    for path in [path for path in objects if "000003/" in path]:
        del objects[path]
    world.path(3).write_bytes((SAMPLES / "mysql.000003").read_bytes()[:1651])
    other = World(tmp_path / "x") if (tmp_path / "x").mkdir() is None else world
    shutil.copy(world.path(3), other.path(3))
    other.follow()
    shutil.copy(SAMPLES / "mysql.000005", other.path(4))
    other.follow()
    for path in [
        path for path in other.repository.objects if "-000000001651.gz" in path and "000000000000-" not in path
    ]:
        del other.repository.objects[path]
    with pytest.raises(HoleError, match=r"binlog.000003 has no known end"):
        collect_binlogs(other.repository, other.repository.pieces(), str(tmp_path / "out"), "binlog.000003")


def test_the_audit_knows_the_server_s_files(world: World) -> None:
    assert world.log.audit() == {"server": ""}
    world.sync = "0"
    for number in (1, 2):
        world.write(number)
    world.follow()
    assert world.log.audit() == {
        "server": "fleet-database-1",
        "oldest_file": "binlog.000001",
        "newest_file": "binlog.000002",
        "server_bytes": 2 * 298,
    }
    assert "fleet-database-1 has sync_binlog=0: a power cut may take what was committed; set 1" in world.log.problems


def test_links_in_the_log_s_directory_are_not_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(HEAD + b"root:x" * 100)
    os.symlink(tmp_path / "secret", world.path(1))
    with pytest.raises(OSError, match="symbolic"):
        world.follow()
    assert world.log.outbox.totals("main") == (0, 0)


def test_a_disk_that_is_nearly_full_stops_cutting(world: World) -> None:
    world.write(1)
    world.follow()
    world.log.hold(True)
    world.write(1)
    assert world.log.tick() == 0
    world.log.hold(False)
    world.follow()
    world.check()

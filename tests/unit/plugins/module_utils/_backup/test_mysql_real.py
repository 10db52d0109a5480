# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""MySQL and MariaDB for real: a server in a container, restic, the binary log as it is followed, recovery to every kind
of target. Where this machine has Docker, restic and the lab's stand-ins:
pytest -m long tests/unit/plugins/module_utils/_backup/test_mysql_real.py"""

import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import beside as besides
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Docker
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Stream
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import read_back
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.real_servers import (
    IMAGES,
    NAMES,
    FollowedLog,
    RealServer,
    Written,
    docker,
    unavailable,
)

pytestmark = pytest.mark.long

# Everything besides rows that a restore must bring back: what is in the log as a statement, and what is not.
FURNITURE = """
CREATE TABLE left_account (id INT PRIMARY KEY, amount INT NOT NULL);
CREATE TABLE right_account (id INT PRIMARY KEY, amount INT NOT NULL);
CREATE TABLE parts (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) UNIQUE, image BLOB,
    price DECIMAL(8, 2), double_price DECIMAL(9, 2) GENERATED ALWAYS AS (price * 2) STORED);
CREATE TABLE `odd``name` (g INT, part INT, FOREIGN KEY (part) REFERENCES parts (id) ON DELETE CASCADE);
CREATE VIEW dear AS SELECT name FROM parts WHERE price > 10;
CREATE TRIGGER named BEFORE INSERT ON parts FOR EACH ROW SET NEW.name = COALESCE(NEW.name, 'no name');
CREATE PROCEDURE nothing() SELECT 1;
CREATE EVENT sweep ON SCHEDULE EVERY 1 DAY DO DELETE FROM shop.parts WHERE price < 0;
CREATE USER keeper@'%' IDENTIFIED BY 'first';
GRANT SELECT ON shop.* TO keeper@'%';
INSERT INTO left_account VALUES (1, 0);
INSERT INTO right_account VALUES (1, 0);
INSERT INTO parts (name, image, price) VALUES ('wheel', x'00ff27', 20), ('it''s', '', 5), (NULL, NULL, 1);
INSERT INTO `odd``name` VALUES (1, 1), (2, 2)
"""


@pytest.fixture(scope="module", params=sorted(NAMES))
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    why = unavailable(request.param)
    if why:
        pytest.skip(why)
    with RealServer(request.param, tmp_path_factory.mktemp(request.param)) as found:
        found.sql(FURNITURE)
        yield found


@dataclass
class Story:
    """What was committed after the point, and when."""

    written: Written
    numbers: list[int]
    # Whole seconds in which nothing was committed, with the last number before them.
    quiet: list[tuple[float, int]] = field(default_factory=list)
    dropped: str = ""
    # The last row that was committed after the table had been made again.
    last: int = 0


@pytest.fixture(scope="module")
def story(server: RealServer) -> Story:
    """A base backup while rows are written, more of them, statements of every kind, and then a mishap."""
    before = server.write(1, 20)
    with server.writing(100) as written:
        time.sleep(0.5)
        make_point(server.tools(), "manual")
        time.sleep(0.5)
    story = Story(written, [])
    # Two tables that always say the same, changed by several writers, in transactions that overlap.
    moving = [_move(server, 40) for _number in range(3)]
    number = written.numbers[-1] + 1
    for _pause in range(4):
        server.write(number, 30, written)
        number += 30
        time.sleep(2.2)
        story.quiet.append((time.time() - 1.1, written.numbers[-1]))
    assert [process.wait(60) for process in moving] == [0, 0, 0]
    server.run("ALTER TABLE parts ADD COLUMN colour VARCHAR(10) DEFAULT 'red'")
    server.run("UPDATE parts SET price = price + 1, name = CONCAT(name, UUID()) WHERE id > 1")
    server.run("ALTER EVENT sweep DISABLE")
    server.run("CREATE EVENT later ON SCHEDULE EVERY 1 DAY DO SET @nothing = 1")
    server.run("ALTER USER keeper@'%' IDENTIFIED BY 'second'")
    # One that is larger than a file of the log.
    server.run("INSERT INTO numbers SELECT -a.n, REPEAT('y', 40) FROM numbers a LIMIT 400")
    server.run("DELETE FROM numbers WHERE n < 0")
    server.write(number, 20, written)
    story.numbers = before.numbers + written.numbers
    story.dropped = server.drop()
    server.run("CREATE TABLE numbers (n INT PRIMARY KEY, note VARCHAR(40))")
    server.run("INSERT INTO numbers VALUES (7, 'after')")
    story.last = 7
    return story


def _move(server: RealServer, count: int) -> subprocess.Popen[bytes]:
    text = "UPDATE left_account SET amount = amount + 1; UPDATE right_account SET amount = amount + 1"
    line = f"BEGIN; {text}; COMMIT;\n" * count
    process = subprocess.Popen(
        ["docker", "exec", "-i", server.name, *server.client()], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    assert process.stdin is not None
    process.stdin.write(line.encode())
    process.stdin.close()
    process.stdin = None
    return process


def balanced(found: Any) -> bool:
    """Whether no transaction was cut in two."""
    left = found.sql("SELECT amount FROM shop.left_account")
    return bool(left == found.sql("SELECT amount FROM shop.right_account"))


def test_a_point_is_a_base_backup_that_reads_back(server: RealServer, story: Story) -> None:
    record, point = server.newest()
    assert record["part"] == f"{server.kind}-database"
    assert record["gtid"]
    assert record["binlog_file"].startswith("binlog.")
    assert record["lineage"]
    assert record["begin_time"] < record["end_time"]
    assert record["databases"]["shop"]["tables"] == 5
    low, high = record["counts"]["shop.numbers"]
    assert 20 < low <= high
    assert "quoted" not in str(record)
    assert read_back(server.tools(), point)[0]["sha256"] == record["sha256"]


def test_the_point_alone(server: RealServer, story: Story) -> None:
    record, point = server.newest()
    low, high = record["counts"]["shop.numbers"]
    with server.look(server.target(point.name), thorough=True) as found:
        assert found.prepared.warnings == ()
        assert found.prepared.facts["checked_tables"] >= 5
        numbers = found.numbers
        # Some prefix of what was committed, and none of it torn.
        assert numbers == story.numbers[: len(numbers)]
        assert low <= len(numbers) <= high
        assert balanced(found)


def test_as_far_as_the_log_reaches(server: RealServer, story: Story) -> None:
    with server.look(Target()) as found:
        assert found.numbers == [story.last]
        assert found.sql("SELECT amount FROM shop.left_account") == "120"
        assert balanced(found)
        assert found.sql("SELECT colour FROM shop.parts WHERE id = 1") == "red"
        live = server.sql("SELECT name FROM parts ORDER BY id")
        assert found.sql("SELECT name FROM shop.parts ORDER BY id") == live
        assert found.sql("SELECT name, double_price FROM shop.parts WHERE id = 1") == "wheel\t40.00"
        assert found.sql("SELECT * FROM shop.dear") == "wheel"
        states = found.sql("SELECT event_name, status FROM information_schema.events ORDER BY 1").splitlines()
        assert states == ["later\tENABLED", "sweep\tDISABLED"]
        routines = "SELECT routine_name FROM information_schema.routines WHERE routine_schema = 'shop'"
        assert found.sql(routines) == "nothing"
        triggers = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = 'shop'"
        assert found.sql(triggers) == "named"
        assert found.prepared.facts["replayed"]["log_bytes"] > 100_000


def test_just_before_the_mishap(server: RealServer, story: Story) -> None:
    with server.look(server.before(story.dropped)) as found:
        assert found.numbers == story.numbers
        assert balanced(found)


def test_the_mishap_and_nothing_after_it(server: RealServer, story: Story) -> None:
    with server.look(server.behind(story.dropped)) as found:
        assert "numbers" not in found.sql("SHOW TABLES FROM shop").splitlines()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.55, 0.8, 0.99])
def test_before_and_behind_a_transaction(server: RealServer, story: Story, share: float) -> None:
    record, _point = server.newest()
    after = [row for row in story.written.rows if story.numbers.index(row[0]) >= record["counts"]["shop.numbers"][1]]
    number, gtid, _begun, _done = after[int(len(after) * share)]
    index = story.numbers.index(number)
    assert server.rows_at(server.before(gtid)) == story.numbers[:index]
    assert server.rows_at(server.behind(gtid)) == story.numbers[: index + 1]


def test_a_moment(server: RealServer, story: Story) -> None:
    for moment, number in story.quiet[1:3]:
        index = story.numbers.index(number)
        assert server.rows_at(server.at(moment)) == story.numbers[: index + 1]


def test_what_is_not_in_the_log(server: RealServer, story: Story) -> None:
    gtid = "0-1-99999999" if server.kind == "mariadb" else f"{story.dropped.partition(':')[0]}:99999999"
    with pytest.raises(BackupError, match="is not in the log"):
        server.rows_at(server.behind(gtid))


def test_an_exchange_and_the_way_back(server: RealServer, story: Story) -> None:
    adapter = server.adapter()
    record, point = server.newest()
    workspace = adapter.workspace("20260102T000000Z")
    prepared = adapter.prepare(record, point, server.before(story.dropped), workspace)
    assert adapter.check_target(record) == []
    before = os.stat(server.live)
    summary = adapter.swap(prepared, workspace.id)
    after = os.stat(server.live)
    # A volume's directory may be open to the world; what is put in its place is not.
    assert (before.st_uid, before.st_gid, 0) == (after.st_uid, after.st_gid, after.st_mode & 0o7)
    server.wait()
    assert [int(line) for line in server.sql("SELECT n FROM numbers ORDER BY n").splitlines()] == story.numbers
    assert server.sql("SELECT user FROM mysql.user WHERE user LIKE 'slipway%'") == ""
    # It writes a log of its own again, and users have what they had.
    server.sql("INSERT INTO numbers VALUES (-5, 'new life')")
    assert server.sql("SELECT @@GLOBAL.log_bin") == "1"
    client = "mariadb" if server.kind == "mariadb" else "mysql"
    login = f"MYSQL_PWD=second {client} --user=keeper --host=127.0.0.1 --protocol=tcp -e 'SELECT 1'"
    docker("exec", server.name, "sh", "-c", login)
    if server.kind == "mariadb":
        docker("exec", server.name, "healthcheck.sh", "--connect", "--innodb_initialized")
    assert Path(summary["previous"]).is_dir()
    assert adapter.swap(prepared, workspace.id)["previous"] == summary["previous"]
    assert adapter.undo(workspace.id)
    server.wait()
    assert server.sql("SELECT n FROM numbers") == str(story.last)
    assert adapter.undo(workspace.id) == ""
    adapter.discard(workspace)


def test_data_that_does_not_serve_is_taken_back(server: RealServer, story: Story) -> None:
    adapter = server.adapter()
    record, point = server.newest()
    workspace = adapter.workspace("20260103T000000Z")
    prepared = adapter.prepare(record, point, server.target(point.name), workspace)
    with open(f"{prepared.data}/ibdata1", "r+b") as stream:
        stream.truncate(1 << 20)
    with pytest.raises(BackupError, match=r"does not serve: .*The old data is back in its place"):
        adapter.swap(prepared, workspace.id)
    server.wait()
    assert server.sql("SELECT n FROM numbers") == str(story.last)
    adapter.discard(workspace)


@pytest.fixture
def opened(server: RealServer) -> Iterator[RealServer]:
    """Tables that hang together are saved and opened beside, and then lose rows in the live server."""
    server.sql(
        """
        DROP DATABASE IF EXISTS trade; CREATE DATABASE trade CHARACTER SET utf8mb4; USE trade;
        CREATE TABLE parts (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(40) UNIQUE, price INT CHECK (price > 0));
        CREATE TABLE pieces (part INT, n INT PRIMARY KEY AUTO_INCREMENT,
            CONSTRAINT of_part FOREIGN KEY (part) REFERENCES parts (id) ON DELETE CASCADE);
        CREATE TABLE alone (id INT PRIMARY KEY, word VARCHAR(200));
        CREATE TRIGGER speaking BEFORE INSERT ON alone FOR EACH ROW SET NEW.word = CONCAT('said ', NEW.word);
        CREATE VIEW words AS SELECT word FROM alone;
        CREATE PROCEDURE nothing() SELECT 1;
        INSERT INTO parts (name, price) VALUES ('wheel', 20), ('nail', 1), ('it''s', 5);
        INSERT INTO pieces (part) VALUES (1), (2);
        INSERT INTO alone VALUES (1, 'one'), (2, 'two')
        """,
        "",
    )
    make_point(server.tools(), "manual")
    tools = server.tools(log=None)
    found = besides.look(tools, Target())
    assert [item["container"] for item in found["opened"]] == [
        f"slipway-look-{server.stack}-{server.kind}-database-{found['id']}"
    ]
    server.sql("DELETE FROM alone WHERE id = 2; INSERT INTO alone VALUES (3, 'three')", "trade")
    try:
        yield server
    finally:
        assert besides.discard_look(tools) == [f"{server.kind}-database"]
        assert server.isolated() == ""
        for name in server.sql("SHOW DATABASES", "").splitlines():
            if "restored" in name or name == "trade":
                server.sql(f"DROP DATABASE `{name}`", "")


def copy(server: RealServer, database: str, table: str = "", **changes: Any) -> dict[str, Any]:
    return besides.copy(server.tools(log=None, **changes), besides.parse_wanted(database, table), server.stack)


def counted(server: RealServer, table: str) -> tuple[int, int | None]:
    plan = besides.copy(server.tools(log=None), besides.parse_wanted("trade", table), "", plan_only=True)
    return plan["rows"], plan["live_rows"]


def words(server: RealServer, table: str = "alone") -> list[str]:
    return server.sql(f"SELECT word FROM `{table}` ORDER BY id", "trade").splitlines()


def test_one_table_comes_back_in_its_place(opened: RealServer) -> None:
    assert counted(opened, "alone") == (2, 2)
    result = copy(opened, "trade", "alone")
    assert (result["copied"], result["rows"], result["warnings"]) == ("trade.alone", 2, [])
    assert words(opened) == ["said one", "said two"]
    kept = result["kept"].partition(".")[2]
    assert kept.startswith("alone_before_2")
    assert words(opened, kept) == ["said one", "said three"]
    # What led to the table leads to the new one.
    assert opened.sql("SELECT * FROM words", "trade").splitlines() == ["said one", "said two"]
    opened.sql("INSERT INTO alone VALUES (4, 'four')", "trade")
    assert words(opened)[-1] == "said four"
    # And again.
    time.sleep(1)
    assert copy(opened, "trade", "alone")["rows"] == 2
    assert "restored" not in opened.sql("SHOW DATABASES", "")


def test_a_table_that_was_dropped_comes_back(opened: RealServer) -> None:
    opened.sql("DROP TABLE pieces", "trade")
    assert counted(opened, "pieces") == (2, None)
    result = copy(opened, "trade", "pieces")
    assert (result["kept"], result["rows"], result["warnings"]) == ("", 2, [])
    assert opened.sql("SELECT COUNT(*) FROM pieces JOIN parts ON part = id", "trade") == "2"
    with pytest.raises(AssertionError, match="foreign key constraint fails"):
        opened.sql("INSERT INTO pieces (part) VALUES (99)", "trade")


def test_a_foreign_key_that_the_rows_do_not_allow_is_said(opened: RealServer) -> None:
    opened.sql("DELETE FROM parts WHERE id = 2", "trade")
    result = copy(opened, "trade", "pieces")
    assert result["rows"] == 2
    assert "foreign key of_part is not on it" in result["warnings"][0]
    assert opened.sql("SELECT part FROM pieces ORDER BY n", "trade").splitlines() == ["1", "2"]


def test_a_table_that_cannot_come_back_changes_nothing(opened: RealServer) -> None:
    with pytest.raises(BackupError, match=r"foreign keys of trade.pieces would go on with the old table"):
        copy(opened, "trade", "parts")
    with pytest.raises(BackupError, match="is no table there"):
        copy(opened, "trade", "nothing")

    class Dying(Docker):
        def stream(self, container: Any, command: Any, owner: str) -> Any:
            return super().stream(container, ["sh", "-c", '"$@"; kill -9 $$', "x", *command], owner)

    with pytest.raises(BackupError, match=r"ended with exit status 137.*Nothing was changed"):
        copy(opened, "trade", "alone", docker=Dying())
    assert words(opened) == ["said one", "said three"]
    assert "restored" not in opened.sql("SHOW DATABASES", "")


def test_one_database(opened: RealServer) -> None:
    result = copy(opened, "trade")
    beside = result["as"]
    assert beside.startswith("trade_restored_2")
    assert "stays as it is" in result["warnings"][0]
    assert words(opened) == ["said one", "said three"]
    assert opened.sql("SELECT word FROM alone ORDER BY id", beside).splitlines() == ["said one", "said two"]
    opened.sql("DROP DATABASE trade", "")
    result = copy(opened, "trade")
    assert (result["as"], result["rows"], result["warnings"]) == ("trade", 7, [])
    assert words(opened) == ["said one", "said two"]
    assert opened.sql("SELECT word FROM words", "trade").splitlines() == ["said one", "said two"]
    opened.sql("CALL nothing()", "trade")


def test_a_backup_that_is_ended_leaves_no_part(server: RealServer, story: Story) -> None:
    class Ending(Docker):
        def stream(self, container: Any, command: Any, owner: str) -> Any:
            return super().stream(container, [*cut, *command], owner)

        def copy_out(self, container: Any, path: str) -> Any:
            return Stream((*cut, *super().copy_out(container, path).command))

    cut = ("sh", "-c", '"$@" | head -c 3000000; kill -9 $$', "x")
    points = server.repository.points()
    with pytest.raises(BackupError, match=r"ended with exit status 137|ended after 2.9 MiB"):
        make_point(server.tools(docker=Ending()), "manual")
    assert server.repository.points() == points
    assert server.repository.catalogue().orphans == ()
    assert docker("exec", server.name, "sh", "-c", "ls -d /tmp/slipway* 2>/dev/null || true") == ""


@pytest.fixture(params=sorted(NAMES))
def kind(request: pytest.FixtureRequest) -> str:
    why = unavailable(request.param)
    if why:
        pytest.skip(why)
    return str(request.param)


def test_tables_without_transactions(kind: str, tmp_path: Path) -> None:
    """They are written to while the server is saved, and what the log has besides is neither lost nor there twice."""
    said: list[str] = []
    with RealServer(kind, tmp_path, stack="slipwayplain", say=said.append) as server:
        server.sql("CREATE TABLE plain (n INT, word VARCHAR(40)) ENGINE=MyISAM; INSERT INTO plain VALUES (0, 'x')")
        writer = subprocess.Popen(
            ["docker", "exec", "-i", server.name, *server.client()], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        assert writer.stdin is not None
        try:
            writer.stdin.write(b"".join(b"INSERT INTO plain VALUES (%d, 'y');\n" % n for n in range(1, 4001)))
            writer.stdin.close()
            make_point(server.tools(), "manual")
        finally:
            writer.wait(120)
        server.write(1, 5)
        if kind == "mysql":
            assert any("ALTER TABLE shop.plain ENGINE=InnoDB" in line for line in said)
        wanted = server.sql("SELECT COUNT(*), COUNT(DISTINCT n), MAX(n) FROM plain")
        assert wanted == "4001\t4001\t4000"
        with server.look(Target()) as found:
            assert found.sql("SELECT COUNT(*), COUNT(DISTINCT n), MAX(n) FROM shop.plain") == wanted
            assert found.numbers == [1, 2, 3, 4, 5]


def test_a_server_without_a_log(kind: str, tmp_path: Path) -> None:
    said: list[str] = []
    options = ["--skip-log-bin"] if kind == "mysql" else []
    with RealServer(kind, tmp_path, stack="slipwaybare", options=options, say=said.append) as server:
        server.write(1, 3) if server.logs else server.sql("INSERT INTO numbers VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        assert server.log is None
        make_point(server.tools(), "manual")
        record, point = server.newest()
        assert (record["binlog_file"], record["gtid"]) == ("", "")
        (problem,) = server.adapter().reach(record, server.at(time.time())).problems
        assert "the server wrote no binary log when it was saved; start it with --log-bin" in problem
        with server.look(server.target(point.name)) as found:
            assert found.numbers == [1, 2, 3]
        # Somebody who wants the log followed hears of it before anything is stored.
        with pytest.raises(RefusedError, match="writes no binary log; start it with --log-bin"):
            FollowedLog(server, tmp_path / "objects").tick()


def test_mysql_without_gtids(tmp_path: Path) -> None:
    """As the official image starts it. Its transactions have times, to the microsecond."""
    if unavailable("mysql"):
        pytest.skip(unavailable("mysql"))
    with RealServer("mysql", tmp_path, stack="slipwaytimes", options=("--max-binlog-size=65536",)) as server:
        server.sql("".join(f"INSERT INTO numbers VALUES ({n}, 'x');" for n in range(1, 40)))
        make_point(server.tools(), "manual")
        server.sql("".join(f"INSERT INTO numbers VALUES ({n}, 'x');" for n in range(40, 400)))
        server.sql("DROP TABLE numbers")
        assert server.log is not None
        record, _point = server.newest()
        assert record["gtid"] == ""
        found = server.log.transactions(record)
        (dropped,) = [item for item in found if item.statement.startswith("DROP TABLE")]
        assert dropped.loses
        moment = datetime.fromtimestamp(dropped.time, timezone.utc) - timedelta(microseconds=1)
        assert server.rows_at(Target("time", "x", time=moment)) == list(range(1, 400))
        inserts = [item for item in found if item.changes == ("shop.numbers: insert",)]
        for number in (100, 333):
            # The point has the first ones.
            moment = datetime.fromtimestamp(inserts[number - 40 + len(inserts) - 360].time, timezone.utc)
            assert server.rows_at(Target("time", "x", time=moment + timedelta(microseconds=1))) == list(
                range(1, number + 1)
            )
        with pytest.raises(RefusedError, match="have no GTIDs"):
            server.adapter().ends_before(record, server.target("gtid:0-1-4"))


def test_a_log_that_is_encrypted(tmp_path: Path) -> None:
    """The image has no keyring, so the switch cannot be thrown here; what it does to a file can."""
    if unavailable("mysql"):
        pytest.skip(unavailable("mysql"))
    with RealServer("mysql", tmp_path, stack="slipwaykeys", follow=False) as server:
        newest = sorted(Path(server.live).glob("binlog.0*"))[-1]
        with newest.open("r+b") as stream:
            stream.write(b"\xfdbin")
        with pytest.raises(RefusedError, match="is encrypted with keys that only its server has"):
            FollowedLog(server, tmp_path / "objects").tick()


OLD = os.environ.get("SLIPWAY_TEST_OLD_MARIADB", "")


@pytest.mark.skipif(not OLD, reason="needs an image of an older MariaDB in SLIPWAY_TEST_OLD_MARIADB")
def test_a_move_to_a_later_version(tmp_path: Path) -> None:
    """The stand-in's Dockerfile on the older base makes such an image."""
    with RealServer("mariadb", tmp_path, stack="slipwayold", image=OLD, dump="always") as server:
        # MariaDB of that time writes the name of such a table's foreign key without its quotes.
        server.sql(FURNITURE.replace("`odd``name`", "odd_name"))
        server.write(1, 50)
        make_point(server.tools(), "manual")
        record, point = server.newest()
        assert sorted(part.key for part in point.parts) == ["mariadb-database", "mariadb-database-dump"]
        assert [item["path"] for item in read_back(server.tools(), point)] == [
            "mariadb-database.xbstream",
            "mariadb-database.sql",
        ]
        # The same version takes the physical copy, and its log.
        server.write(51, 10)
        assert server.rows_at(Target()) == list(range(1, 61))
        server.replace_image(IMAGES["mariadb"])
        adapter = server.adapter()
        assert adapter.check_target(record) == []
        assert "another version cannot read its log" in adapter.reach(record, server.at(time.time())).problems[0]
        workspace = adapter.workspace("20260104T000000Z")
        prepared = adapter.prepare(record, point, server.target(point.name), workspace)
        assert f"was {record['server']}, and comes by its dump into 11.8" in prepared.warnings[0]
        adapter.swap(prepared, workspace.id)
        server.wait()
        assert server.sql("SELECT VERSION()").startswith("11.8")
        assert [int(line) for line in server.sql("SELECT n FROM numbers ORDER BY n").splitlines()] == list(range(1, 51))
        assert server.sql("SELECT * FROM dear") == "wheel"
        assert server.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'keeper'") == "1"
        assert "slipway" not in server.sql("SELECT GROUP_CONCAT(user) FROM mysql.user")
        adapter.discard(workspace)

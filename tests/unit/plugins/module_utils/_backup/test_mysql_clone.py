# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_clone as clone
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace

GIB = 1 << 30
UUID = "43393cfc-e617-11f1-8725-0242ac110002"


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (f"binlog.000006\t3285\t\t\t{UUID}:1-471\n", LogPlace("binlog.000006", 3285, f"{UUID}:1-471")),
        (f"binlog.000006\t3285\t\t\t{UUID}:1-4,\\n{UUID}:9\n", LogPlace("binlog.000006", 3285, f"{UUID}:1-4,{UUID}:9")),
        ("mysql-bin.000001\t157\t\t\t\n", LogPlace("mysql-bin.000001", 157)),
        ("", None),
    ],
)
def test_where_the_log_is(answer: str, place: LogPlace | None) -> None:
    assert clone.parse_place(answer) == place


def test_the_words_changed_with_the_version() -> None:
    assert clone.place_sql("8.4.3") == "SHOW BINARY LOG STATUS;\n"
    assert clone.place_sql("8.0.40") == "SHOW MASTER STATUS;\n"


def test_what_a_server_on_a_copy_says() -> None:
    found = clone.parse_status(f"Completed\t0\t./binlog.000006\t20063\t{UUID}:1-515\n")
    assert found == clone.CloneStatus("Completed", 0, LogPlace("binlog.000006", 20063, f"{UUID}:1-515"))
    assert clone.parse_status("Failed\t3862\t\t0\t\n") == clone.CloneStatus("Failed", 3862, None)
    assert clone.parse_status("") is None


@pytest.mark.parametrize(
    ("version", "foreign", "free", "plugin", "words"),
    [
        ("8.4.3", (), 10 * GIB, "ACTIVE", ""),
        ("5.7.44", (), 10 * GIB, "ACTIVE", "has no clone plugin"),
        ("8.4.3", ("shop.old",), 10 * GIB, "ACTIVE", "not InnoDB's (shop.old)"),
        ("8.4.3", (), 10 * GIB, "", "it is not in the image"),
        ("8.4.3", (), 1 * GIB, "ACTIVE", "MiB free, and a clone needs"),
    ],
)
def test_when_a_clone_cannot_be_made(
    version: str, foreign: tuple[str, ...], free: int, plugin: str, words: str
) -> None:
    found = clone.why_not({"version": version}, foreign, GIB, free, plugin)
    assert bool(found) == bool(words)
    assert words in found


def test_the_room_in_the_container() -> None:
    assert clone.parse_room("overlay  263174212 33072884 75481752  31% /\n") == 75481752 * 1024
    assert clone.parse_room("df: /tmp: No such file\n") == 0


def test_what_lies_beside_the_tables_is_saved_too() -> None:
    command = clone.besides_command("/var/lib/mysql")
    assert "mysqld-auto.cnf" in command[2]
    assert "auto.cnf" not in command[2].replace("mysqld-auto.cnf", "")
    assert command[-1] == "/var/lib/mysql"


def test_the_dump_has_everything_and_its_place() -> None:
    command = clone.dump_command("root", "MYSQL_ROOT_PASSWORD", "8.4.3", True)
    assert {"--all-databases", "--source-data=2", "--single-transaction"} <= set(command)
    assert not [word for word in command[3:] if "password" in word.lower()]
    assert "--master-data=2" in clone.dump_command("root", "MYSQL_ROOT_PASSWORD", "5.7.44", True)
    assert not [word for word in clone.dump_command("root", "PW", "8.4.3", False) if "-data=" in word]


def test_tables_without_transactions_are_locked_for_the_dump() -> None:
    command = clone.dump_command("root", "PW", "8.4.3", True, locked=True)
    assert "--lock-all-tables" in command
    assert "--single-transaction" not in command


# As mysqldump of 9.7 and of 8.0 write it.
HEAD = f"""\
-- MySQL dump 10.13  Distrib 9.7.4, for Linux (x86_64)
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
/* SET @@GLOBAL.GTID_PURGED='+{UUID}:1-244';*/
--
-- Position to start replication or point-in-time recovery from
--

-- CHANGE REPLICATION SOURCE TO SOURCE_LOG_FILE='binlog.000005', SOURCE_LOG_POS=8055;
"""
OLD = "-- CHANGE MASTER TO MASTER_LOG_FILE='mysql-bin.000001', MASTER_LOG_POS=157;\n"


@pytest.mark.parametrize(
    ("head", "place"),
    [
        (HEAD, LogPlace("binlog.000005", 8055, f"{UUID}:1-244")),
        (HEAD.replace("'+", "/*!80000 '+'*/ '"), LogPlace("binlog.000005", 8055, f"{UUID}:1-244")),
        (OLD, LogPlace("mysql-bin.000001", 157)),
        ("INSERT INTO t VALUES ('-- CHANGE MASTER TO');\n", None),
    ],
)
def test_the_place_of_a_dump(head: str, place: LogPlace | None) -> None:
    assert clone.dump_place(head.encode()) == place

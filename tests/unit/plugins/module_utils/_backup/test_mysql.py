# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql import (
    DumpReader,
    client_command,
    complaints,
)

HEAD = b"-- MySQL dump 10.13\n\nDROP TABLE IF EXISTS `t`;\nCREATE TABLE `t` (\n  `id` int\n);\n"
TAIL = b"\n-- Dump completed\n"


@pytest.mark.parametrize(
    ("body", "tables"),
    [
        pytest.param(b"", {"t": 0}, id="empty table"),
        pytest.param(b"INSERT INTO `t` VALUES (1,'a'),(2,'b');\n", {"t": 2}, id="mysql: all in one line"),
        pytest.param(b"INSERT INTO `t` VALUES\n(1,'a'),\n(2,NULL);\n", {"t": 2}, id="mariadb: a line each"),
        pytest.param(b"INSERT INTO `t` VALUES (1,'it''s (x),(y); z');\n", {"t": 1}, id="brackets in a text"),
        pytest.param(rb"INSERT INTO `t` VALUES (1,'a\'),(\\'),(2,'\\');" + b"\n", {"t": 2}, id="escaped quotes"),
        pytest.param(b"INSERT INTO `t` (`a(b`,`c`) VALUES (1,2);\n", {"t": 1}, id="column list with a bracket"),
        pytest.param(b"INSERT INTO `t` VALUES (0x28,_binary ''),(0x29,-1.5e3);\n", {"t": 2}, id="hexadecimal"),
        pytest.param(b"INSERT INTO `t` VALUES (1);\nINSERT INTO `t` VALUES (2);\n", {"t": 2}, id="two statements"),
        pytest.param(b"CREATE TABLE `a``b` (\n);\nINSERT INTO `a``b` VALUES (1);\n", {"t": 0, "a`b": 1}, id="odd name"),
        pytest.param("CREATE TABLE `é` (\n);\nINSERT INTO `é` VALUES ('ü(');\n".encode(), {"t": 0, "é": 1}, id="utf8"),
        pytest.param(b"/*!50001 CREATE VIEW `v` AS SELECT (1) */;\n", {"t": 0}, id="view"),
        pytest.param(b"INSERT INTO `t` VALUES (1,'x\\nINSERT INTO `u` VALUES (1)');\n", {"t": 1}, id="SQL in a text"),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_dump_is_counted(body: bytes, tables: dict[str, int], size: int) -> None:
    reader = DumpReader()
    dump = HEAD + body + TAIL
    for start in range(0, len(dump), size):
        reader.feed(dump[start : start + size])
    facts = reader.finish()
    assert facts.tables == tables
    assert facts.rows == sum(tables.values())
    assert facts.bytes == len(dump)
    assert facts.complete


@pytest.mark.parametrize(
    "dump",
    [b"", b"\n", HEAD, HEAD + b"INSERT INTO `t` VALUES (1,'-- Dump completed", HEAD + TAIL + b"mysqldump: Error\n"],
)
def test_a_dump_that_is_cut_off_is_not_complete(dump: bytes) -> None:
    reader = DumpReader()
    reader.feed(dump)
    assert not reader.finish().complete


def test_no_password_is_on_a_command_line() -> None:
    command = client_command("root", "MYSQL_ROOT_PASSWORD", "fleetbase")
    assert command[:2] == ["sh", "-c"]
    assert "MYSQL_PWD" in command[2]
    assert '"${MYSQL_ROOT_PASSWORD-}"' in command[2]
    assert "${MYSQL_ROOT_PASSWORD_FILE-}" in command[2]
    assert not [word for word in command[3:] if "password" in word.lower()]
    assert command[-1] == "fleetbase"


@pytest.mark.parametrize(
    ("stderr", "count"),
    [
        ("", 0),
        ("mysqldump: [Warning] Using a password on the command line interface can be insecure.\n", 0),
        ("mysqldump: Error: 'Access denied; you need PROCESS privilege'\n", 1),
        ("mysqldump: Couldn't execute 'SHOW CREATE VIEW'\nmysqldump: Got error: 2013: Lost connection\n", 2),
    ],
)
def test_complaints_of_the_dump_tool(stderr: str, count: int) -> None:
    assert len(complaints(stderr)) == count

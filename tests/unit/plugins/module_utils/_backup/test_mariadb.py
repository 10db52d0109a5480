# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import mariadb
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace


def test_no_password_is_on_a_command_line() -> None:
    command = mariadb.backup_command("root", "MARIADB_ROOT_PASSWORD")
    assert '"${MARIADB_ROOT_PASSWORD-}"' in command[2]
    assert "${MARIADB_ROOT_PASSWORD_FILE-}" in command[2]
    assert "--stream=xbstream" in command[2]
    assert not [word for word in command[3:] if "password" in word.lower()]


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        ("binlog.000002\t545\t0-1-4\n", LogPlace("binlog.000002", 545, "0-1-4")),
        ("./binlog.000008\t31785\n", LogPlace("binlog.000008", 31785)),
        ("mysql-bin.000001\t4\t0-1-4,1-2-9\n", LogPlace("mysql-bin.000001", 4, "0-1-4,1-2-9")),
        ("", None),
        ("\n", None),
    ],
)
def test_where_the_log_is(answer: str, place: LogPlace | None) -> None:
    assert mariadb.parse_binlog_info(answer) == place


def test_the_later_of_two_places() -> None:
    one, two = LogPlace("b.000002", 545), LogPlace("b.000002", 600)
    assert mariadb.later(one, two) == two
    assert mariadb.later(two, one) == two
    assert mariadb.later(one, None) == one


# As mariadb-backup 11.8 writes it.
ENDS = {
    "denied": """\
[00] 2026-11-22 01:33:25 Connecting to MariaDB server host: localhost, user: root, password: set, port: not set
[00] 2026-11-22 01:33:25 Failed to connect to MariaDB server: Access denied for user 'root'@'localhost'.
""",
    "grants": """\
[00] 2026-11-22 01:33:25 Error: missing required privilege PROCESS on *.*
[00] 2026-11-22 01:33:25 Current privileges, as reported by 'SHOW GRANTS':
[00] 2026-11-22 01:33:25   1.GRANT USAGE ON *.* TO `app`@`%`
""",
    "monitor": """\
[00] 2026-11-22 01:33:28 Start copying aria log file tail: /var/lib/mysql//aria_log.00000001
[00] FATAL ERROR: 2026-11-22 01:33:28 failed to execute query SHOW MASTER STATUS: Access denied; you need \
(at least one of) the BINLOG MONITOR privilege(s) for this operation
""",
    "gone": """\
[00] 2026-11-22 01:33:32         ...done
[00] FATAL ERROR: 2026-11-22 01:33:32 failed to execute query BACKUP LOCK `mysql`.`index_stats`: Server has gone away
""",
}


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("denied", "the password in the container's environment is wrong"),
        ("grants", "grant RELOAD, PROCESS, LOCK TABLES"),
        ("monitor", "BINLOG MONITOR"),
        ("gone", "the server ended, or closed the connection"),
    ],
)
def test_complaints_are_explained(end: str, words: str) -> None:
    found = mariadb.explain(ENDS[end])
    assert words in found
    assert "2026-11-22" not in found


def test_a_complaint_that_is_not_known_is_quoted() -> None:
    assert mariadb.explain("[00] 2026-11-22 01:33:25 Error: something new\n") == "Error: something new"
    assert mariadb.explain("") == "no reason was given"
    streaming = "[00] 2026-11-22 01:33:25 Streaming ibdata1\n[00] 2026-11-22 01:33:25         ...done\n"
    assert mariadb.explain(streaming, 137).startswith("it was killed")
    assert mariadb.explain(streaming, 1) == "...done"


def test_all_files_are_replayed_in_one_go() -> None:
    command = mariadb.replay_command(LogPlace("binlog.000008", 31785), ["binlog.000008", "binlog.000009"])
    assert command[:4] == ["bash", "-o", "pipefail", "-c"]
    assert command[-3:] == ["31785", "/slipway/log/binlog.000008", "/slipway/log/binlog.000009"]
    assert command[4].count("--start-position") == 1
    assert "--verify-binlog-checksum" in command[4]


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        (
            "--------------\nBINLOG 'x'\n--------------\n\nERROR 1062 (23000) at line 12: Duplicate entry '1'\n",
            "overlap",
        ),
        ("ERROR 1146 (42S02) at line 3: Table 'fleet.t' doesn't exist\n", "something is missing"),
        ("ERROR 1950 (HY000): An attempt was made to binlog GTID 0-1-2 which would create an out-of-order\n", "follow"),
        ("mariadb-binlog: Event crc check failed! Most likely there is event corruption.\n", "is damaged"),
        ("", "no reason was given"),
    ],
)
def test_errors_of_a_replay(stderr: str, words: str) -> None:
    assert words in mariadb.explain_replay(stderr)


def test_the_healthcheck_of_the_image_gets_a_new_password() -> None:
    assert mariadb.healthcheck_sql(["::1"], "p") == "ALTER USER 'healthcheck'@'::1' IDENTIFIED BY 'p';\n"
    assert "password=p\n" in mariadb.healthcheck_file("p")


def test_making_ready_reads_no_file_of_settings() -> None:
    command = mariadb.prepare_command()
    assert command[3:5] == ["--no-defaults", "--prepare"]
    assert mariadb.LEFT_OVER.match("mariadb_backup_binlog_info")
    assert mariadb.LEFT_OVER.match("xtrabackup_binlog_pos_innodb")
    assert not mariadb.LEFT_OVER.match("fleet")

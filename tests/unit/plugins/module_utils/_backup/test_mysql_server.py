# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_server as server


def test_what_is_asked_comes_back() -> None:
    assert "'gtid_executed'" in server.variables_sql()
    answer = "gtid_executed\ta:1-3,\\nb:1\nversion\t8.4.3\nnobody\tasked\nlog_bin\tON\n"
    assert server.parse_variables(answer) == {"gtid_executed": "a:1-3,\nb:1", "version": "8.4.3", "log_bin": "ON"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [("a\\tb", "a\tb"), ("a\\\\nb", "a\\nb"), ("plain", "plain"), ("x\\0y", "x\0y"), ("NULL", "NULL")],
)
def test_a_value_is_read_as_the_client_writes_it(written: str, meant: str) -> None:
    assert server.unescape(written) == meant


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("11.8.6-MariaDB-0+deb13u1 from Debian-log", (11, 8, 6)),
        ("8.4.10", (8, 4, 10)),
        ("9.7.4-2", (9, 7, 4)),
        ("10.6", (10, 6, 0)),
        ("", (0, 0, 0)),
    ],
)
def test_versions(text: str, version: tuple[int, ...]) -> None:
    assert server.version_of(text) == version


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, ["add to its command in Compose: --log-bin=binlog"]),
        ({"log_bin": "OFF", "binlog_format": "STATEMENT", "sync_binlog": "0"}, ["writes no binary log"]),
        ({"log_bin": "ON", "binlog_format": "ROW", "sync_binlog": "1", "innodb_flush_log_at_trx_commit": "1"}, []),
        ({"log_bin": "ON", "binlog_format": "STATEMENT", "sync_binlog": "1"}, ["set binlog_format=ROW"]),
        ({"log_bin": "ON", "sync_binlog": "0"}, ["set sync_binlog=1"]),
        ({"log_bin": "ON", "binlog_encryption": "ON"}, ["set binlog_encryption=OFF"]),
        ({"log_bin": "ON", "encrypt_binlog": "ON"}, ["only points can be restored; set encrypt_binlog=OFF"]),
        ({"log_bin": "ON", "innodb_flush_log_at_trx_commit": "2"}, ["set it to 1"]),
    ],
)
def test_settings_that_make_a_log_worth_less(settings: dict[str, str], words: list[str]) -> None:
    found = server.log_warnings(settings, "db")
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found))


def test_who_wants_no_log_hears_nothing_of_it() -> None:
    assert server.log_warnings({"log_bin": "OFF"}, "db", wanted=False) == []


def test_an_isolated_server_reads_no_file_of_settings_and_has_no_network() -> None:
    arguments = server.server_arguments({"lower_case_table_names": "1", "collation_server": "x; --evil"})
    assert arguments[0] == "--no-defaults"
    assert {"--skip-networking", "--skip-log-bin", "--event-scheduler=OFF"} <= set(arguments)
    assert "--loose-lower-case-table-names=1" in arguments
    assert not any("evil" in word for word in arguments)
    assert f"--server-id={server.SERVER_ID}" in arguments


def test_what_is_kept_of_the_settings() -> None:
    found = server.kept_settings(
        {"version": "8.4.3", "lower_case_table_names": "0", "hostname": "x", "sync_binlog": "1"}
    )
    assert found == {"version": "8.4.3", "lower_case_table_names": "0"}


def test_the_user_of_a_restore() -> None:
    lines = server.init_sql("it's \\ secret").splitlines()
    assert len(lines) == 3
    assert all(line.endswith(";") for line in lines)
    assert "IDENTIFIED BY 'it\\'s \\\\ secret'" in lines[0]
    assert "password=abc\n" in server.client_file("abc")
    assert not [word for word in server.isolated_client() if "password" in word.lower()]
    assert not [word for word in server.try_login("root") if "secret" in word]


def test_the_password_of_a_user_is_set_for_every_host() -> None:
    assert server.password_sql("root", ["%", "localhost"], "p'w") == (
        "ALTER USER 'root'@'%' IDENTIFIED BY 'p\\'w';\nALTER USER 'root'@'localhost' IDENTIFIED BY 'p\\'w';\n"
    )


TABLES = "shop\torders\tInnoDB\t10\t4096\nshop\told\tMyISAM\t3\t1024\nweb\ta`b\\tc\tInnoDB\t0\t16384\n"


def test_content() -> None:
    tables = server.parse_tables(TABLES)
    assert [table.key for table in tables] == ["shop.orders", "shop.old", "web.a`b\tc"]
    assert "FROM `web`.`a``b\tc`" in server.counts_sql(tables)
    counts = server.parse_counts("0\t12\n1\t3\n2\t0\nnoise\n", tables)
    found = server.content(["empty", "shop", "web"], tables, counts)
    assert found.databases["shop"] == {"tables": 2, "rows": 15, "bytes": 5120}
    assert found.databases["empty"] == {"tables": 0, "rows": 0, "bytes": 0}
    assert (found.rows, found.bytes, found.foreign) == (15, 21504, ("shop.old",))


def test_estimates_have_to_do_where_nothing_was_counted() -> None:
    assert server.content(["shop"], server.parse_tables(TABLES), {}).databases["shop"]["rows"] == 13


CHECKED = """\
shop.orders\tcheck\tstatus\tOK
shop.old\tcheck\twarning\t1 client is using or hasn't closed the table properly
shop.old\tcheck\tstatus\tOK
shop.csv\tcheck\tnote\tThe storage engine for the table doesn't support check
shop.bad\tcheck\tError\tTable 'shop.bad' doesn't exist
shop.bad\tcheck\terror\tCorrupt
"""


def test_what_a_check_says() -> None:
    assert server.parse_check(CHECKED) == ["shop.bad: Table 'shop.bad' doesn't exist", "shop.bad: Corrupt"]
    assert server.check_sql(server.parse_tables(TABLES)).count("CHECK TABLE") == 3
    assert server.parse_checksums("shop.orders\t123\nshop.v\tNULL\n") == {"shop.orders": "123", "shop.v": "NULL"}


A, B = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("part", "whole", "inside"),
    [
        ("", "", True),
        (f"{A}:5", f"{A}:1-10", True),
        (f"{A.upper()}:1-10", f"{A}:1-10", True),
        (f"{A}:1-11", f"{A}:1-10", False),
        (f"{A}:1-4", f"{A}:1-2:3-4", True),
        (f"{A}:1-5", f"{A}:1-2:4-5", False),
        (f"{B}:1", f"{A}:1-10", False),
        (f"{A}:1,\n{B}:2", f"{B}:1-3,{A}:1", True),
        (f"{A}:tag:3", f"{A}:1-10", False),
        (f"{A}:1-2:tag:3", f"{A}:1-10:tag:1-3", True),
    ],
)
def test_sets_of_gtids(part: str, whole: str, inside: bool) -> None:
    assert server.gtid_contained(part, whole) is inside


@pytest.mark.parametrize(
    ("part", "whole", "inside"),
    [
        ("0-1-5", "0-1-5", True),
        ("0-2-5", "0-1-9", True),
        ("0-1-6", "0-1-5", False),
        ("1-1-1", "0-1-5", False),
        ("0-1-1,1-1-2", "1-7-2,0-1-5", True),
        ("", "0-1-5", True),
    ],
)
def test_positions_of_mariadb(part: str, whole: str, inside: bool) -> None:
    assert server.position_contained(part, whole) is inside

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import mysql_replay as replay
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_replay import LogFile, Status

FILES = [
    LogFile("binlog.000007", 500, 450, "binlog.000008"),
    LogFile("binlog.000008", 600, 550, "binlog.000009"),
    LogFile("binlog.000009", 300, 300),
]


def test_the_files_in_order() -> None:
    assert replay.follow(FILES[::-1], "binlog.000007", 157) == tuple(FILES)
    assert replay.follow(FILES, "binlog.000008", 157) == tuple(FILES[1:])
    assert replay.index_text(FILES[:2]) == "/slipway/log/binlog.000007\n/slipway/log/binlog.000008\n"


@pytest.mark.parametrize(
    ("files", "first", "message"),
    [
        ([], "binlog.000007", "binlog.000007 is missing"),
        (FILES[1:], "binlog.000007", "binlog.000007 is missing"),
        ([FILES[0], FILES[2]], "binlog.000007", "between binlog.000007 and binlog.000009 a file is missing"),
        (
            [LogFile("binlog.000007", 5, 4, "other.000001"), FILES[1]],
            "binlog.000007",
            "goes on in other.000001, and binlog.000008 comes after it",
        ),
        ([LogFile("notes.txt", 5, 4)], "binlog.000007", "is no name of a file"),
    ],
)
def test_a_log_with_a_hole_is_refused(files: list[LogFile], first: str, message: str) -> None:
    # The server's applier passes over a missing file without a word.
    with pytest.raises(ValueError, match=message):
        replay.follow(files, first, 4)


def test_files_without_a_transaction_at_the_end_are_left_away() -> None:
    # A server never says that it has read to the end of such a file.
    empty = [LogFile("binlog.000010", 198, 0), LogFile("binlog.000011", 198, 0)]
    assert replay.follow([*FILES, *empty], "binlog.000007", 4) == tuple(FILES)
    assert replay.follow(FILES[2:], "binlog.000009", 300) == ()
    assert replay.follow(empty, "binlog.000010", 198) == ()


def test_numbers_beyond_six_digits() -> None:
    files = [LogFile("binlog.999999", 9, 8, "binlog.1000000"), LogFile("binlog.1000000", 9, 9)]
    assert replay.follow(files, "binlog.999999", 4) == tuple(files)


def test_the_isolated_server() -> None:
    arguments = replay.isolated_arguments({"version": "8.4.3"}, "/var/lib/mysql", "binlog")
    assert "--relay-log-recovery=OFF" in arguments
    assert "--relay-log=/slipway/log/binlog" in arguments
    assert "--gtid-mode=OFF_PERMISSIVE" in arguments
    assert not [word for word in replay.isolated_arguments({}, "/var/lib/mysql") if "relay" in word]


def test_where_it_begins() -> None:
    assert replay.start_sql(FILES[0], 157) == (
        "CHANGE REPLICATION SOURCE TO RELAY_LOG_FILE='binlog.000007', RELAY_LOG_POS=157, SOURCE_HOST='slipway',"
        " SOURCE_AUTO_POSITION=0;\nSTART REPLICA SQL_THREAD;\n"
    )


@pytest.mark.parametrize(("version", "old"), [("8.0.25", True), ("8.0.26", False), ("8.4.1", False), ("5.7.44", True)])
def test_old_servers(version: str, old: bool) -> None:
    assert replay.is_old(version) is old


READ_ALL = "Replica has read all relay log; waiting for more updates"


def status(file: str, position: int, state: str = READ_ALL, running: bool = True, number: int = 0) -> Status:
    names = (
        "Relay_Log_File\tRelay_Log_Pos\tReplica_SQL_Running\tLast_SQL_Errno\tLast_SQL_Error\tReplica_SQL_Running_State"
    )
    values = [file, str(position), "Yes" if running else "No", str(number), "said\\nso" if number else "", state]
    return replay.parse_status(f"{names}\n" + "\t".join(values) + "\n")


def test_the_end_is_the_last_byte_of_the_last_file() -> None:
    last = FILES[-1]
    assert replay.at_end(status("./binlog.000009", 300), last)
    # Measured: the coordinator waits for more while its workers still apply; the position comes later.
    assert not replay.at_end(status("binlog.000009", 127), last)
    assert replay.stuck(status("binlog.000009", 300), last) == ""
    assert replay.stuck(status("binlog.000008", 20, "Waiting for dependent transaction to commit"), last) == ""


def test_a_damaged_last_file_is_not_taken_for_the_end() -> None:
    reason = replay.stuck(status("binlog.000009", 290), FILES[-1])
    assert reason == "it takes byte 290 of binlog.000009 for the end, and binlog.000009 has 300 bytes"


def test_an_applier_that_stopped() -> None:
    assert replay.stuck(status("binlog.000007", 4, "", False, 1062), FILES[-1]) == "said\nso"
    assert replay.stuck(replay.parse_status(""), FILES[-1]) == "it stopped and says no reason"


# As MySQL 9.7 says it.
WORKER = (
    "1062\tWorker 1 failed executing transaction 'ANONYMOUS' at source log , end_log_pos 500; Could not execute"
    " Write_rows event on table fleet.t3; Duplicate entry '356' for key 't3.PRIMARY', Error_code: 1062; handler error"
    " HA_ERR_FOUND_DUPP_KEY; the event's source log FIRST, end_log_pos 500\n"
)


@pytest.mark.parametrize(
    ("number", "error", "worker", "words"),
    [
        (1062, "Coordinator stopped", WORKER, ["base and log overlap", "Duplicate entry '356'"]),
        (1146, "Table 'fleet.t1' doesn't exist", "", ["something is missing between base and log"]),
        (13121, "Relay log read failure: Could not parse", "", ["is damaged, or the position lies within an event"]),
        (4711, "Something new", "", ["4711: Something new"]),
    ],
)
def test_errors_are_explained(number: int, error: str, worker: str, words: list[str]) -> None:
    found = replay.explain(Status(error_number=number, error=error), worker)
    assert all(word in found for word in words)
    assert "Worker 1" not in found


@pytest.mark.parametrize(
    ("before", "statements", "after"),
    [
        ({}, [("d", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1")], {("d", "e"): "ENABLED"}),
        (
            {},
            [
                (
                    "d",
                    "CREATE DEFINER=`root`@`localhost` EVENT e2 on schedule every 1 day disable do delete from p",
                )
            ],
            {("d", "e2"): "DISABLED"},
        ),
        (
            {},
            [
                (
                    "",
                    "CREATE DEFINER=`a b`@`%` EVENT IF NOT EXISTS `o``d`.`e x` ON SCHEDULE AT '2030-01-01' DO DO 1",
                )
            ],
            {("o`d", "e x"): "ENABLED"},
        ),
        (
            {},
            [("d", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY COMMENT 'please DISABLE me; DO it' DO SELECT 'DISABLE'")],
            {("d", "e"): "ENABLED"},
        ),
        (
            {},
            [("d", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE ON SLAVE DO SELECT 1")],
            {("d", "e"): "REPLICA_SIDE_DISABLED"},
        ),
        ({("d", "e"): "ENABLED"}, [("d", "ALTER EVENT e ON SCHEDULE EVERY 2 DAY")], {("d", "e"): "ENABLED"}),
        ({("d", "e"): "DISABLED"}, [("d", "ALTER EVENT e COMMENT 'x'")], {("d", "e"): "DISABLED"}),
        ({("d", "e"): "ENABLED"}, [("d", "ALTER EVENT d.e DISABLE")], {("d", "e"): "DISABLED"}),
        ({("d", "e"): "ENABLED"}, [("d", "ALTER EVENT e RENAME TO f")], {("d", "f"): "ENABLED"}),
        ({("d", "e"): "ENABLED"}, [("d", "DROP EVENT IF EXISTS e")], {}),
        ({}, [("d", "ALTER EVENT unknown ON SCHEDULE EVERY 2 DAY")], {}),
        ({("d", "e"): "ENABLED"}, [("d", "CREATE TABLE event (a int)")], {("d", "e"): "ENABLED"}),
    ],
)
def test_how_events_were_meant(
    before: dict[tuple[str, str], str], statements: list[tuple[str, str]], after: dict[tuple[str, str], str]
) -> None:
    assert replay.event_states(before, statements) == after


def test_events_get_their_state_back() -> None:
    answer = "d\te1\tREPLICA_SIDE_DISABLED\nd\te2\tSLAVESIDE_DISABLED\nd\te3\tREPLICA_SIDE_DISABLED\nd\te4\tENABLED\n"
    found = replay.parse_events(f"{answer}d\te5\tREPLICA_SIDE_DISABLED\n")
    meant = {
        ("d", "e1"): "ENABLED",
        ("d", "e2"): "DISABLED",
        ("d", "e4"): "ENABLED",
        ("d", "e5"): "REPLICA_SIDE_DISABLED",
    }
    statements, unknown = replay.mend_events(found, meant)
    assert statements == "ALTER EVENT `d`.`e1` ENABLE;\nALTER EVENT `d`.`e2` DISABLE;\n"
    assert unknown == ["d.e3"]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_logfiles import event_statements, plan_replay
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server import LogPlace
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.binlogs import BEGIN, Row, query, write

ROWS = [Row(number, f"insert {number}", BEGIN + number) for number in range(1, 10)]


@pytest.fixture(params=[True, False], ids=["mariadb", "mysql"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[list[tuple[int, int]]]]:
    """Three files of three transactions each; the last one is still written to."""
    names = ["binlog.000001", "binlog.000002", "binlog.000003", ""]
    places = [
        write(tmp_path, names[index], ROWS[3 * index : 3 * index + 3], request.param, names[index + 1])
        for index in range(3)
    ]
    return tmp_path, places


def test_from_a_place_to_the_end(log: tuple[Path, list[list[tuple[int, int]]]]) -> None:
    directory, places = log
    found = plan_replay(str(directory), LogPlace("binlog.000001", places[0][0][1]))
    assert [file.name for file in found.files] == ["binlog.000001", "binlog.000002", "binlog.000003"]
    assert found.last is not None
    assert (found.last.end, found.files[-1].size) == (places[2][2][1], places[2][2][1])


def test_what_stands_behind_the_last_transaction_is_cut_off(log: tuple[Path, list[list[tuple[int, int]]]]) -> None:
    directory, places = log
    (directory / "binlog.000003").unlink()
    found = plan_replay(str(directory), LogPlace("binlog.000001", places[0][0][1]))
    # The name of the next file stood there.
    assert (directory / "binlog.000002").stat().st_size == places[1][2][1] == found.files[-1].size


def test_half_a_transaction_at_the_end_is_cut_off(log: tuple[Path, list[list[tuple[int, int]]]]) -> None:
    directory, places = log
    path = directory / "binlog.000003"
    path.write_bytes(path.read_bytes()[:-10])
    found = plan_replay(str(directory), LogPlace("binlog.000001", 4))
    assert found.files[-1].size == places[2][1][1]


def test_files_that_lead_nowhere_are_left_away(log: tuple[Path, list[list[tuple[int, int]]]]) -> None:
    directory, places = log
    write(directory, "binlog.000004", [], False)
    found = plan_replay(str(directory), LogPlace("binlog.000002", places[1][0][0]))
    assert [file.name for file in found.files] == ["binlog.000002", "binlog.000003"]
    assert plan_replay(str(directory), LogPlace("binlog.000003", places[2][2][1])).files == ()
    assert plan_replay(str(directory), LogPlace("binlog.000004", 4)).files == ()


def test_a_hole_is_refused(log: tuple[Path, list[list[tuple[int, int]]]]) -> None:
    directory, _places = log
    (directory / "binlog.000002").unlink()
    with pytest.raises(ValueError, match=r"between binlog.000001 and binlog.000003 a file is missing"):
        plan_replay(str(directory), LogPlace("binlog.000001", 4))
    with pytest.raises(ValueError, match=r"binlog.000002 is missing"):
        plan_replay(str(directory), LogPlace("binlog.000002", 4))


@pytest.mark.parametrize("name", ["binlog.000001", "binlog.000003"])
def test_a_damaged_file_is_refused(log: tuple[Path, list[list[tuple[int, int]]]], name: str) -> None:
    directory, places = log
    data = bytearray((directory / name).read_bytes())
    data[places[int(name[-1]) - 1][1][0] + 25] ^= 1
    (directory / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is damaged at byte"):
        plan_replay(str(directory), LogPlace("binlog.000001", 4))


def test_a_file_that_is_cut_off_in_the_middle_of_the_log_is_refused(
    log: tuple[Path, list[list[tuple[int, int]]]],
) -> None:
    directory, _places = log
    path = directory / "binlog.000002"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"binlog.000002 is cut off at byte"):
        plan_replay(str(directory), LogPlace("binlog.000001", 4))


def test_a_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "binlog.000001").write_bytes(b"hello")
    with pytest.raises(BackupError, match="is no binary log"):
        plan_replay(str(tmp_path), LogPlace("binlog.000001", 4))


def test_statements_about_events(tmp_path: Path) -> None:
    rows = [
        Row(1, "CREATE EVENT before ON SCHEDULE EVERY 1 DAY DO SELECT 1", BEGIN),
        Row(2, "insert 2", BEGIN),
        Row(3, "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO " + "SELECT 1;" * 100, BEGIN),
    ]
    places = write(tmp_path, "binlog.000001", rows, False)
    found = plan_replay(str(tmp_path), LogPlace("binlog.000001", places[0][1]))
    statements = event_statements(str(tmp_path), found.files, places[0][1])
    assert statements == [("shop", rows[2].text)]
    assert query("x").endswith(b"shop\0x")

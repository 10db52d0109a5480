# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.mariadb_source import MariadbAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    BackupError,
    Part,
    Point,
    RefusedError,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_beside import MysqlFamilyAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_server_source import MysqlServerAdapter
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import (
    PURPOSE_DRILL,
    Prepared,
    SourceError,
    prepared_from,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    KIND_LATEST,
    KIND_POINT,
    KIND_POSITION,
    KIND_TIME,
    KIND_TRANSACTION,
    Target,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.binlogs import BEGIN, SERVER, Row
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.servers import Database
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

POINT = "20260101T030000Z"


class Case:
    """A server with four rows that was saved, and went on."""

    def __init__(self, tmp_path: Path, kind: str) -> None:
        self.world = World(tmp_path)
        self.database = Database(self.world, kind)
        self.adapter = self.adapter_with()

    def adapter_with(self, log: bool = True) -> MysqlFamilyAdapter:
        kind = MariadbAdapter if self.database.mariadb else MysqlServerAdapter
        return kind(self.database.source, self.database.tools(log))

    def save(self) -> None:
        name, position = self.database.place
        self.database.facts["clone ends"] = (name, position)
        self.record: dict[str, Any] = self.adapter.collect(POINT)
        part = Part(str(self.record["part"]), str(self.record["snapshot"]))
        self.point = Point(POINT, "manual", "s", True, (), (part,))

    def prepare(self, target: Target, **options: Any) -> Prepared:
        workspace = self.adapter.workspace("r1", options.pop("purpose", "restore"))
        return self.adapter.prepare(self.record, self.point, target, workspace, **options)

    def rows(self, prepared: Prepared) -> list[int]:
        return list(Database.read(Path(prepared.data))["rows"])

    def transaction(self, row: Row, inclusive: bool = True) -> Target:
        return Target(KIND_TRANSACTION, "x", transaction=self.database.gtid(row), inclusive=inclusive)


@pytest.fixture(params=["mariadb", "mysql", "mysql-dump"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    found = Case(tmp_path, request.param.partition("-")[0])
    if request.param == "mysql-dump":
        found.database.engines["old"] = "MyISAM"
    found.save()
    return found


@pytest.fixture
def mariadb(tmp_path: Path) -> Case:
    return Case(tmp_path, "mariadb")


@pytest.fixture
def mysql(tmp_path: Path) -> Case:
    return Case(tmp_path, "mysql")


def test_what_a_record_says(case: Case) -> None:
    record, database = case.record, case.database
    name, position = database.place
    assert (record["binlog_file"], record["binlog_position"]) == (name, position)
    assert record["lineage"] == "f00d"
    assert record["gtid"] == ("0-1-4" if database.mariadb else f"{SERVER}:1-4" if record["base"] == "clone" else "")
    assert record["databases"]["shop"]["rows"] == record["rows"] == 4 * len(database.engines)
    assert record["counts"]["shop.orders"] == [4, 4]
    assert record["settings"]["lower_case_table_names"] == "0"
    assert record["data_directory"] == "/var/lib/mysql"
    assert record["begin_time"] < record["end_time"]
    assert "geheim" not in str(record)


def test_a_base_begins_a_file_of_the_log(case: Case) -> None:
    """A repository that came later has the present file from its midst."""
    assert case.database.facts["new files"] == 1


def test_a_point_alone(case: Case) -> None:
    case.database.add()
    prepared = case.prepare(Target(KIND_POINT, POINT, point=POINT))
    assert case.rows(prepared) == [1, 2, 3, 4]
    assert (prepared.rows, prepared.time) == (4 * len(case.database.engines), "")
    assert prepared.reached.endswith("no transaction after the point's end at 2026-01-01 02:00:02 UTC")
    assert prepared_from(prepared.as_dict()) == prepared
    assert case.database.isolated == {}
    assert sorted(item.name for item in Path(prepared.data).parent.iterdir()) == ["data"]


def test_to_the_end_of_the_log(case: Case) -> None:
    last = [case.database.add() for _number in range(6)][-1]
    prepared = case.prepare(Target(KIND_LATEST))
    assert case.rows(prepared) == list(range(1, 11))
    assert prepared.position == case.database.gtid(last)
    assert datetime.fromisoformat(prepared.time).timestamp() == last.seconds
    assert prepared.facts["replayed"]["to"] == "binlog.000004:" + str(case.database.place[1])


@pytest.mark.parametrize("more", range(1, 9))
def test_to_just_before_any_transaction_and_behind_it(case: Case, more: int) -> None:
    rows = [case.database.add() for _number in range(9)]
    before = case.prepare(case.transaction(rows[more], inclusive=False))
    assert case.rows(before) == list(range(1, 5 + more))
    behind = case.prepare(case.transaction(rows[more]))
    assert case.rows(behind) == list(range(1, 6 + more))


def test_a_mishap_is_undone(case: Case) -> None:
    case.database.add()
    lost = case.database.lose()
    case.database.add()
    prepared = case.prepare(case.transaction(lost, inclusive=False))
    assert case.rows(prepared) == [1, 2, 3, 4, 5]
    summary = case.adapter.swap(prepared, "r1")
    assert case.database.rows == [1, 2, 3, 4, 5]
    assert Database.read(Path(summary["previous"]))["rows"] == [7]
    assert case.adapter.undo("r1").endswith("the old data is back in its place")
    assert case.database.rows == [7]


def test_nothing_after_the_point_is_no_replay(case: Case) -> None:
    prepared = case.prepare(Target(KIND_LATEST))
    assert case.rows(prepared) == [1, 2, 3, 4]
    assert prepared.facts["replayed"]["log_bytes"] == 0


def test_a_file_that_is_missing_is_no_end(case: Case) -> None:
    for _number in range(9):
        case.database.add()
    case.world.faults["missing files"] = ["binlog.000003"]
    with pytest.raises(BackupError, match=r"between binlog.000002 and binlog.000004 a file is missing"):
        case.prepare(Target(KIND_LATEST))
    assert case.database.isolated == {}
    assert not Path(case.adapter.workspace("r1").directory).exists()


def test_a_replay_that_meets_its_own_rows_is_explained(case: Case) -> None:
    case.database.add()
    case.world.faults["applier"] = True
    with pytest.raises(BackupError, match=r"base and log overlap.*Duplicate entry '3'"):
        case.prepare(Target(KIND_LATEST))


def test_a_password_that_was_another_one_then_is_set(case: Case) -> None:
    case.database.write(case.database.data, case.database.rows, {"root": "other", "healthcheck": "x"})
    case.save()
    prepared = case.prepare(Target(KIND_POINT, POINT, point=POINT))
    assert Database.read(Path(prepared.data))["users"]["root"] == "geheim"
    assert any("root had another password then" in line for line in prepared.warnings)
    assert "geheim" not in str(prepared.as_dict())


def test_a_drill_checks_every_table(case: Case) -> None:
    prepared = case.prepare(Target(KIND_LATEST), purpose=PURPOSE_DRILL, thorough=True)
    assert prepared.facts["checked_tables"] == len(case.database.engines)
    case.world.faults["check"] = "Corrupt"
    with pytest.raises(BackupError, match=r"CHECK TABLE found damage: shop.orders: Corrupt"):
        case.prepare(Target(KIND_LATEST), thorough=True)


def test_a_server_that_does_not_start_says_why(case: Case) -> None:
    case.world.faults["isolated"] = True
    with pytest.raises(BackupError, match=r"the isolated server ended: 2026 0 .ERROR. InnoDB: Corruption"):
        case.prepare(Target(KIND_LATEST))
    assert case.database.isolated == {}


def test_a_server_that_does_not_end_well(case: Case) -> None:
    case.world.faults["unclean"] = True
    with pytest.raises(BackupError, match="did not end in good order"):
        case.prepare(Target(KIND_LATEST))


def test_a_look_at_old_data(case: Case) -> None:
    prepared = case.prepare(Target(KIND_LATEST), purpose="look")
    workspace = case.adapter.workspace("r1", "look")
    container = case.adapter.open(case.record, prepared, workspace)
    assert container.running
    assert container.name in case.adapter.visit(container)
    case.adapter.discard(workspace)
    assert case.database.isolated == {}
    assert not Path(workspace.directory).exists()


def test_a_point_whose_database_is_missing(case: Case) -> None:
    case.record["databases"]["gone"] = {"rows": 3}
    with pytest.raises(BackupError, match="database gone is not in it"):
        case.prepare(Target(KIND_POINT, POINT, point=POINT))
    case.database.add()
    assert "database gone is not in it" in " ".join(case.prepare(Target(KIND_LATEST)).warnings)


def test_a_point_without_a_row(case: Case) -> None:
    case.database.write(case.database.data, [], case.database.users)
    rows = case.record["rows"]
    case.save()
    case.record["rows"] = rows
    with pytest.raises(BackupError, match="has no row, and had about"):
        case.prepare(Target(KIND_POINT, POINT, point=POINT))


def test_no_log(case: Case) -> None:
    case.database.add()
    adapter = case.adapter_with(log=False)
    target = Target(KIND_TIME, "x", time=datetime.now(timezone.utc))
    assert "no log is kept of it" in adapter.reach(case.record, target).problems[0]
    assert adapter.reach(case.record, Target(KIND_LATEST)).problems == ()
    case.world.faults["no log"] = True
    assert "does not lead on from binlog.000002:" in case.adapter.reach(case.record, target).problems[0]
    without = {**case.record, "binlog_file": ""}
    assert "start it with --log-bin" in case.adapter.reach(without, target).problems[0]


def test_a_time_after_the_logs_end(case: Case) -> None:
    last = case.database.add()
    end = datetime.fromtimestamp(last.seconds, timezone.utc)
    assert case.adapter.reach(case.record, Target(KIND_TIME, "x", time=end)).problems == ()
    (problem,) = case.adapter.reach(case.record, Target(KIND_TIME, "x", time=end + timedelta(hours=1))).problems
    assert "is after the log's end; the log is whole from" in problem


def test_which_point_a_target_begins_from(case: Case) -> None:
    ends_before, record = case.adapter.ends_before, case.record
    ended = datetime.fromisoformat(record["end_time"])
    assert ends_before(record, Target(KIND_TIME, "x", time=ended))
    assert not ends_before(record, Target(KIND_TIME, "x", time=ended - timedelta(seconds=1)))
    assert ends_before(record, Target(KIND_LATEST))
    if not record["gtid"]:
        with pytest.raises(RefusedError, match="have no GTIDs"):
            ends_before(record, case.transaction(Row(5, "", BEGIN)))
        return
    assert ends_before(record, case.transaction(Row(5, "", BEGIN)))
    assert not ends_before(record, case.transaction(Row(4, "", BEGIN)))
    position = "0-1-4" if case.database.mariadb else f"{SERVER}:1-4"
    assert ends_before(record, Target(KIND_POSITION, "x", position=position))
    assert not ends_before(record, Target(KIND_POSITION, "x", position=position.replace("4", "3", 2)[: len(position)]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data_directory": "/elsewhere"}, "its data directory was /elsewhere"),
        ({"server": "10.4.1-MariaDB", "image_id": "sha256:then"}, "the point is of 10.4.1-MariaDB and mysql:8.4 has"),
    ],
)
def test_what_stands_in_the_way(case: Case, change: dict[str, str], words: str) -> None:
    assert case.adapter.check_target(case.record) == []
    (problem,) = case.adapter.check_target({**case.record, **change})
    assert words in problem


def test_a_stack_that_is_not_deployed(case: Case) -> None:
    del case.world.running["fleet-database-1"]
    (problem,) = case.adapter.check_target(case.record)
    assert "deploy the stack first" in problem


def test_a_data_directory_of_its_own(case: Case) -> None:
    case.database.facts["options"] = ("--datadir=/data",)
    with pytest.raises(RefusedError, match="/data of fleet-database-1 is on no volume"):
        case.adapter.live()


def test_the_plan_names_what_comes(case: Case) -> None:
    assert "put the databases of service database" in case.adapter.plan(case.record)
    path, size = case.adapter.space_needed(case.record)
    assert path == str(case.world.root / "volumes/fleet_mysql")
    assert size > case.record["bytes"]


def test_a_server_that_does_not_run(case: Case) -> None:
    case.world.running["fleet-database-1"] = False
    with pytest.raises(SourceError, match="does not run; start it"):
        case.adapter.collect(POINT)


def test_a_part_of_the_data_elsewhere(case: Case) -> None:
    case.database.variables["innodb_undo_directory"] = "/undo"
    with pytest.raises(SourceError, match="keeps a part of its data in /undo"):
        case.adapter.collect(POINT)


def test_the_other_kind_of_server(case: Case) -> None:
    case.database.variables["version"] = "8.4.3" if case.database.mariadb else "11.8.6-MariaDB"
    with pytest.raises(SourceError, match=r"set x-slipway.database.kind: m"):
        case.adapter.collect(POINT)


def test_settings_that_make_a_log_worth_less_are_said(case: Case) -> None:
    case.database.variables["sync_binlog"] = "0"
    case.adapter.collect(POINT)
    assert any("set sync_binlog=1" in line for line in case.world.said)


@pytest.mark.parametrize(("fault", "words"), [("dies", "exit status 137"), ("is cut off", "is not whole")])
def test_a_backup_that_is_not_whole(mariadb: Case, fault: str, words: str) -> None:
    mariadb.world.faults["backup"] = fault
    with pytest.raises(SourceError, match=words):
        mariadb.save()


def test_a_tool_that_does_not_end_with_its_word(mariadb: Case) -> None:
    mariadb.world.faults["backup"] = "says nothing"
    with pytest.raises(SourceError, match="did not end with 'completed OK!'"):
        mariadb.save()


def test_data_files_that_cannot_be_made_one_moment(mariadb: Case) -> None:
    mariadb.save()
    mariadb.world.faults["prepare"] = True
    with pytest.raises(BackupError, match=r"exit status 1: .*redo log is damaged"):
        mariadb.prepare(Target(KIND_LATEST))


def test_the_healthcheck_can_log_in(mariadb: Case) -> None:
    mariadb.save()
    prepared = mariadb.prepare(Target(KIND_LATEST))
    text = (Path(prepared.data) / ".my-healthcheck.cnf").read_text(encoding="utf-8")
    password = next(line for line in text.splitlines() if line.startswith("password=")).partition("=")[2]
    assert Database.read(Path(prepared.data))["users"]["healthcheck"] == password
    assert password not in str(prepared.as_dict())
    assert not [item.name for item in Path(prepared.data).iterdir() if "backup" in item.name]


def test_a_server_without_a_log(mariadb: Case) -> None:
    mariadb.database.variables["log_bin"] = "OFF"
    mariadb.save()
    assert "new files" not in mariadb.database.facts
    assert (mariadb.record["binlog_file"], mariadb.record["gtid"]) == ("", "")
    assert mariadb.rows(mariadb.prepare(Target(KIND_LATEST))) == [1, 2, 3, 4]


def test_an_old_mariadb(mariadb: Case) -> None:
    mariadb.database.variables["version"] = "10.4.30-MariaDB"
    with pytest.raises(SourceError, match=r"MariaDB 10.5 is the oldest"):
        mariadb.save()


def test_a_manifest_of_another_backup(mariadb: Case) -> None:
    mariadb.save()
    mariadb.record["binlog_position"] += 1
    with pytest.raises(BackupError, match="is not what its manifest says"):
        mariadb.prepare(Target(KIND_LATEST))


def test_a_clone_is_removed_from_the_container(mysql: Case) -> None:
    mysql.save()
    assert mysql.record["base"] == "clone"
    assert [step for step in mysql.world.events if "clone" in step] == ["clone", "remove the clone"]
    mysql.world.faults["backup"] = "is cut off"
    with pytest.raises(SourceError, match="the clone is not whole"):
        mysql.save()
    assert mysql.world.events[-1] == "remove the clone"


def test_a_clone_ends_where_its_server_says(mysql: Case) -> None:
    """The log was further before the copy was whole: what is in between must not be made twice."""
    row = mysql.database.log[1]
    name, begin, _ending = mysql.database.places[row.number]
    mysql.save()
    mysql.record.update(binlog_file=name, binlog_position=begin)
    mysql.database.add()
    assert mysql.rows(mysql.prepare(Target(KIND_LATEST))) == [1, 2, 3, 4, 5]


def test_what_lay_beside_the_tables_comes_back(mysql: Case) -> None:
    mysql.save()
    prepared = mysql.prepare(Target(KIND_LATEST))
    names = {item.name for item in Path(prepared.data).iterdir()}
    assert "mysqld-auto.cnf" in names
    assert not {"#clone", "#slipway"} & names


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"plugin": "", "no plugin": True}, "the clone plugin cannot be used"),
        ({"room": 1 << 20}, "a clone needs"),
    ],
)
def test_where_no_clone_can_be_made_everything_is_dumped(mysql: Case, facts: dict[str, Any], words: str) -> None:
    mysql.database.facts.update(facts)
    mysql.save()
    assert mysql.record["base"] == "dump"
    assert words in mysql.record["why_dump"]
    assert any("so everything is dumped instead" in line for line in mysql.world.said)
    mysql.database.add()
    assert mysql.rows(mysql.prepare(Target(KIND_LATEST))) == [1, 2, 3, 4, 5]


def test_the_plugin_is_installed_when_it_is_missing(mysql: Case) -> None:
    mysql.database.facts["plugin"] = ""
    mysql.save()
    assert mysql.record["base"] == "clone"


@pytest.mark.parametrize(("fault", "words"), [("dies", "exit status 137"), ("is cut off", "was cut off")])
def test_a_dump_that_is_not_whole(mysql: Case, fault: str, words: str) -> None:
    mysql.database.engines["old"] = "MyISAM"
    mysql.world.faults["backup"] = fault
    with pytest.raises(SourceError, match=words):
        mysql.save()


def test_encrypted_tables_are_refused(case: Case) -> None:
    case.database.facts["encrypted"] = "2"
    with pytest.raises(SourceError, match="2 encrypted tablespaces, whose keys are not saved"):
        case.save()


def test_tables_without_transactions_are_dumped_under_a_lock(mysql: Case) -> None:
    mysql.save()
    assert not any("nobody can write" in line for line in mysql.world.said)
    mysql.database.engines["old"] = "MyISAM"
    mysql.save()
    assert any("nobody can write while it is dumped" in line for line in mysql.world.said)


def test_a_clone_that_failed(mysql: Case) -> None:
    mysql.database.facts["clone status"] = "Failed\t3862\t\t0\t\n"
    with pytest.raises(SourceError, match="did not come to its end"):
        mysql.save()


def test_an_applier_that_takes_damage_for_the_end(mysql: Case) -> None:
    mysql.save()
    mysql.database.add()
    mysql.world.faults["applier stops short"] = 20
    with pytest.raises(BackupError, match="the replay stopped: it takes byte"):
        mysql.prepare(Target(KIND_LATEST))


def test_a_server_that_is_too_old_to_replay(mysql: Case) -> None:
    mysql.database.variables["version"] = "8.0.20"
    mysql.save()
    mysql.database.add()
    with pytest.raises(BackupError, match=r"MySQL 8.0.20 is too old for it"):
        mysql.prepare(Target(KIND_LATEST))
    assert mysql.rows(mysql.prepare(Target(KIND_POINT, POINT, point=POINT))) == [1, 2, 3, 4]


def test_events_that_the_replay_switched_off(mysql: Case) -> None:
    mysql.save()
    database = mysql.database
    for text in (
        "CREATE EVENT one ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "CREATE EVENT two ON SCHEDULE EVERY 1 DAY DISABLE DO DO 1",
    ):
        row = database.add()
        database.log[-1] = replace(row, text=text)
    database.add()
    mysql.prepare(Target(KIND_LATEST))
    assert "ALTER EVENT `shop`.`one` ENABLE;\nALTER EVENT `shop`.`two` DISABLE;" in mysql.world.said


def test_the_live_server_has_to_be_the_restored_one(mysql: Case) -> None:
    mysql.save()
    prepared = mysql.prepare(Target(KIND_LATEST))
    assert mysql.adapter.serves(prepared) == ""
    other = replace(prepared, facts={**prepared.facts, "server_uuid": "another"})
    assert "did not become ready" in mysql.adapter.serves(other)


@pytest.fixture(params=["mariadb", "mysql"])
def dumped(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    """A server that was saved with a dump beside the physical backup."""
    case = Case(tmp_path, request.param)
    case.database.dump = "always"
    case.adapter = case.adapter_with()
    case.save()
    part = case.record["sql"]
    case.point = replace(case.point, parts=(*case.point.parts, Part(str(part["part"]), str(part["snapshot"]))))
    return case


def test_a_dump_beside_is_a_part_of_its_own(dumped: Case) -> None:
    kind = dumped.database.kind
    assert [part.key for part in dumped.point.parts] == [f"{kind}-database", f"{kind}-database-dump"]
    assert dumped.record["sql"]["file"] == f"{kind}-database.sql"
    # The same version takes the physical backup and the log.
    dumped.database.add()
    assert dumped.rows(dumped.prepare(Target(KIND_LATEST))) == [1, 2, 3, 4, 5]


def test_a_base_that_is_a_dump_has_none_beside_it(mysql: Case) -> None:
    mysql.database.engines["old"] = "MyISAM"
    mysql.database.dump = "always"
    mysql.adapter = mysql.adapter_with()
    mysql.save()
    assert "sql" not in mysql.record


def test_a_later_version_takes_the_dump(dumped: Case) -> None:
    dumped.database.add()
    dumped.world.faults["image version"] = "12.3.1"
    assert dumped.adapter.check_target(dumped.record) == []
    moment = Target(KIND_TIME, "x", time=dumped.world.clock)
    assert "another version cannot read its log" in dumped.adapter.reach(dumped.record, moment).problems[0]
    assert dumped.adapter.reach(dumped.record, Target(KIND_LATEST)).problems == ()
    prepared = dumped.prepare(Target(KIND_LATEST))
    assert dumped.rows(prepared) == [1, 2, 3, 4]
    assert "comes by its dump into 12.3.1" in prepared.warnings[0]


def test_an_earlier_version_takes_nothing(dumped: Case) -> None:
    dumped.world.faults["image version"] = "5.5.1"
    assert "upgrade after the restore" in dumped.adapter.check_target(dumped.record)[0]


def test_a_log_that_went_meanwhile_is_no_way_to_the_point(case: Case) -> None:
    row = case.database.add()
    case.world.faults["no log"] = True
    with pytest.raises(RefusedError, match="its log does not lead on from"):
        case.prepare(case.transaction(row))
    assert case.rows(case.prepare(Target(KIND_LATEST))) == [1, 2, 3, 4]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql import lsn_number
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_source import PostgresqlAdapter, explain
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.proof import read_back
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Workspace, adapter_for
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import (
    SERVER_NAME,
    SYSTEM,
    Cluster,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import FakeStream, World


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(World(tmp_path))


def adapter(cluster: Cluster, log: bool = True) -> PostgresqlAdapter:
    found = adapter_for(cluster.source, cluster.tools(log))
    assert isinstance(found, PostgresqlAdapter)
    return found


def record_of(cluster: Cluster, point: str) -> dict[str, Any]:
    files = cluster.world.snapshots[f"snapshot-{point}"]
    (text,) = [data for name, data in files.items() if name.endswith("manifest.json")]
    return dict(json.loads(text)["sources"][0])


def target(cluster: Cluster, words: str, inclusive: bool = True) -> Target:
    return parse_target(words, cluster.world.clock, inclusive)


# Saving.


def test_a_point_says_all_that_a_restore_elsewhere_needs(cluster: Cluster) -> None:
    summary = make_point(cluster.tools(), "scheduled")
    record = record_of(cluster, summary["point"])
    expected = {
        **{"kind": "postgresql", "service": "postgres", "part": "postgresql-postgres", "login": "postgres"},
        **{"server": "17.5", "major": 17, "lineage": SYSTEM, "timeline": 1, "rows": 2, "slots": ["reporting"]},
        **{"start_lsn": "0/3000028", "end_lsn": "0/3000128", "end_xid": "101", "image": "postgres:17"},
        **{"image_id": "sha256:x", "data_directory": "/var/lib/postgresql/data"},
        **{"databases": {"shop": {"bytes": 1000, "tables": 1, "rows": 2}}, "counts": {"shop.public.orders": [2, 2]}},
    }
    assert expected.items() <= record.items()
    assert record["settings"]["max_connections"] == "200"
    assert record["begin_time"] < record["end_time"]
    # The log of this server that is followed now, and not that of another one.
    assert record["log_lineage"] == f"{SYSTEM}.2"
    (part,) = cluster.world.points[summary["point"]].parts
    assert part.snapshot.startswith(record["snapshot"])
    assert (summary["rows"], summary["files"]) == (2, 1)
    compared = read_back(cluster.tools(), cluster.world.points[summary["point"]])
    assert compared[0] == {"path": "postgresql-postgres.tar", "sha256": record["sha256"], "bytes": record["bytes"]}


def test_a_dump_beside_is_a_part_of_its_own(cluster: Cluster) -> None:
    cluster.dump = "always"
    summary = make_point(cluster.tools(), "scheduled")
    assert record_of(cluster, summary["point"])["sql"]["file"] == "postgresql-postgres.sql"
    parts = [part.key for part in cluster.world.points[summary["point"]].parts]
    assert parts == ["postgresql-postgres", "postgresql-postgres-dump"]


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (FakeStream(b"INSERT 1\n"), "ends without its last line after 9 B"),
        (FakeStream(b"", Outcome(1, "", "pg_dumpall: error: permission denied for table t\n")), "permission denied"),
    ],
)
def test_a_dump_that_is_not_whole_is_no_point(cluster: Cluster, stream: FakeStream, words: str) -> None:
    cluster.dump = "always"
    cluster.world.faults["dump"] = stream
    with pytest.raises(BackupError, match=words):
        make_point(cluster.tools(), "scheduled")
    assert cluster.world.points == {}


def test_the_log_of_another_server_is_not_the_point_s(cluster: Cluster) -> None:
    cluster.world.faults["log lineage"] = "1"
    record = record_of(cluster, make_point(cluster.tools(), "scheduled")["point"])
    assert record["log_lineage"] == ""


def fault(name: str, value: Any) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.world.faults.__setitem__(name, value)


def facts(**found: Any) -> Callable[[Cluster], None]:
    return lambda cluster: cluster.facts.update(found)


def stopped(cluster: Cluster) -> None:
    cluster.world.running[SERVER_NAME] = False


def said(status: int, text: str) -> Callable[[Cluster], None]:
    return fault("base backup", Outcome(status, "", f"pg_basebackup: error: {text}\n"))


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        pytest.param(fault("base backup", "dies"), "ended with exit status 137", id="dies half way"),
        pytest.param(fault("base backup", "is cut off"), "is not whole after", id="is cut off"),
        pytest.param(fault("base backup", "is empty"), "is not whole after 0 B", id="is empty"),
        pytest.param(fault("base backup", "complains"), "could not read", id="complains"),
        pytest.param(fault("base backup", lambda found: found[:-1]), "backup_manifest is missing", id="no manifest"),
        pytest.param(fault("base backup", lambda found: found[5:]), "backup_label is missing", id="no label"),
        pytest.param(stopped, "does not run", id="stopped"),
        pytest.param(facts(replica=True), "is a replica; back its primary up", id="replica"),
        pytest.param(facts(number=120011, version="12.11"), "13 is the oldest", id="too old"),
        pytest.param(facts(tablespaces=["fast"]), r"has tablespaces (fast)", id="tablespaces"),
        pytest.param(facts(max_wal_senders=0), "max_wal_senders=0", id="no sender"),
        pytest.param(facts(settings={"wal_level": "minimal"}), "wal_level=minimal", id="no log"),
        pytest.param(facts(system_identifier="1"), "is of another cluster", id="another cluster"),
        pytest.param(said(1, "no pg_hba.conf entry for replication connection"), "local replication all", id="hba"),
        pytest.param(fault("read back", "tar"), "reads back as", id="another checksum"),
    ],
)
def test_a_bad_base_backup_is_no_point(cluster: Cluster, switch: Callable[[Cluster], None], words: str) -> None:
    good = make_point(cluster.tools(), "scheduled")["point"]
    cluster.world.clock += timedelta(days=1)
    switch(cluster)
    with pytest.raises(BackupError) as caught:
        make_point(cluster.tools(), "scheduled")
    assert words in str(caught.value)
    assert [name for name, point in cluster.world.points.items() if point.verified] == [good]
    assert cluster.world.status()["ok"] is False


def test_rows_and_databases_that_are_gone_are_doubted(cluster: Cluster) -> None:
    make_point(cluster.tools(), "scheduled")
    cluster.world.clock += timedelta(days=1)
    cluster.write_rows(cluster.data, [])
    with pytest.raises(BackupError, match="has no row now and had 2"):
        make_point(cluster.tools(), "scheduled")
    cluster.write_rows(cluster.data, ["one", "two"])
    cluster.facts["databases"] = {"other": 5}
    with pytest.raises(BackupError, match="database shop is not there now and had about 2 rows"):
        make_point(cluster.tools(), "scheduled")


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("FATAL:  must be superuser or replication role to start walsender", "x-slipway.database.user"),
        ('FATAL:  Peer authentication failed for user "x"', "local replication all trust"),
        ('FATAL:  password authentication failed for user "x"', "the password in the container's environment"),
        ("requested WAL segment 000000010000000000000003 has already been removed", "raise wal_keep_size"),
        ("number of requested standby connections exceeds max_wal_senders (currently 1)", "raise the setting"),
        ("first\nsomething new\n", "something new"),
        ("", "no reason was given"),
    ],
)
def test_what_the_tools_say_becomes_a_remedy(stderr: str, words: str) -> None:
    assert words in explain(stderr)


# Preparing.


@pytest.fixture
def saved(cluster: Cluster) -> Cluster:
    """A point, and transactions a minute apart after it."""
    make_point(cluster.tools(), "scheduled")
    for row in ("three", "four", "five"):
        cluster.add(row)
    cluster.world.events.clear()
    return cluster


def prepare(cluster: Cluster, wanted: Target, log: bool = True, thorough: bool = False) -> Any:
    found = adapter(cluster, log)
    (point,) = cluster.world.points.values()
    workspace = Workspace("20260101T000000Z", str(cluster.world.root / "drill"), "drill")
    return found.prepare(record_of(cluster, point.name), point, wanted, workspace, thorough)


def rows(prepared: Any) -> list[str]:
    return Cluster.read_rows(Path(prepared.data))


def test_it_is_brought_to_its_target_and_put_to_rest(saved: Cluster) -> None:
    before = {path: path.read_bytes() for path in saved.data.rglob("*") if path.is_file()}
    prepared = prepare(saved, Target())
    assert rows(prepared) == ["one", "two", "three", "four", "five"]
    assert (prepared.rows, prepared.timeline) == (5, "2")
    assert prepared.time == saved.log[-1][3].isoformat()
    assert prepared.warnings == (
        "the databases of service postgres (postgresql): had the replication slots reporting, which a base backup does"
        " not keep; their users have to begin anew",
    )
    assert saved.isolated == {}
    assert not Path(prepared.data, "../log").exists()
    assert {path: path.read_bytes() for path in saved.data.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("words", "inclusive", "expected"),
    [
        ("{1}", True, ["one", "two", "three", "four"]),
        ("{1}", False, ["one", "two", "three"]),
        ("lsn:{1p}", True, ["one", "two", "three", "four"]),
        ("lsn:{1p}", False, ["one", "two", "three"]),
        ("xid:{0x}", True, ["one", "two", "three"]),
        ("xid:{0x}", False, ["one", "two"]),
    ],
)
def test_targets(saved: Cluster, words: str, inclusive: bool, expected: list[str]) -> None:
    places = {}
    for index, (_timeline, position, xid, moment, _row) in enumerate(saved.log):
        places.update({f"{{{index}}}": f"{moment:%Y-%m-%d %H:%M:%S}Z"})
        places.update({f"{{{index}p}}": f"0/{position:X}", f"{{{index}x}}": str(xid)})
    for mark, text in places.items():
        words = words.replace(mark, text)
    assert rows(prepare(saved, target(saved, words, inclusive))) == expected


def test_a_point_is_only_what_it_was(saved: Cluster) -> None:
    point = next(iter(saved.world.points))
    prepared = prepare(saved, target(saved, point))
    assert rows(prepared) == ["one", "two"]
    # On a timeline of its own: what the live server wrote after the point has the same names on the old one.
    assert prepared.timeline == "2"
    assert rows(prepare(saved, Target(), log=False)) == ["one", "two"]


def test_a_timeline_is_never_given_twice(saved: Cluster) -> None:
    (saved.data / "pg_wal/00000005.history").write_text("1\t0/1\tno reason\n", encoding="ascii")
    assert prepare(saved, target(saved, next(iter(saved.world.points)))).timeline == "6"
    assert prepare(saved, Target(), log=False).timeline == "6"


def test_a_quiet_hour_is_no_missing_transaction(saved: Cluster) -> None:
    saved.world.clock += timedelta(minutes=30)
    prepared = prepare(saved, target(saved, "now-10min"))
    assert rows(prepared) == ["one", "two", "three", "four", "five"]
    assert any("nothing was written between" in line for line in saved.world.said)


def test_the_log_s_very_end_is_a_position_as_well(saved: Cluster) -> None:
    prepared = prepare(saved, target(saved, f"0/{saved.position:X}"))
    assert rows(prepared) == ["one", "two", "three", "four", "five"]
    assert lsn_number(prepared.position) == saved.position


@pytest.mark.parametrize(
    ("switch", "wanted", "words"),
    [
        pytest.param(
            fault("recovery", "could not locate required checkpoint record"),
            "latest",
            "could not recover: FATAL:  could not locate required checkpoint record",
            id="does not start",
        ),
        pytest.param(
            fault("recovery", "requested recovery stop point is before consistent recovery point"),
            "xid:102",
            "transaction 102 is before the end of the point's own data",
            id="before the point",
        ),
        pytest.param(
            fault("recovery", "requested timeline 3 is not a child of this server's history"),
            "latest",
            "a restore left its branch",
            id="another branch",
        ),
        pytest.param(lambda cluster: None, "xid:999", "transaction 999 is not in the log between", id="no such xid"),
        pytest.param(fault("unclean", True), "latest", "is in production after its end", id="does not end well"),
        pytest.param(fault("read back", "tar"), "latest", "choose another point", id="another checksum"),
    ],
)
def test_what_cannot_be_prepared_leaves_nothing(
    saved: Cluster, switch: Callable[[Cluster], None], wanted: str, words: str
) -> None:
    switch(saved)
    with pytest.raises(BackupError) as caught:
        prepare(saved, target(saved, wanted))
    assert words in str(caught.value)
    assert saved.isolated == {}
    assert not (saved.world.root / "drill").exists()
    assert saved.rows == ["one", "two", "three", "four", "five"]


def test_a_log_that_cannot_be_read_as_far_as_it_goes(saved: Cluster) -> None:
    found = adapter(saved)
    record = record_of(saved, next(iter(saved.world.points)))
    log = saved.tools().log
    assert log is not None

    class Longer:
        def coverage(self, *words: Any) -> Any:
            known = log.coverage(*words)
            return replace(known, end="0/9000000") if known else None

        def fetch(self, *words: Any) -> Any:
            known = log.fetch(*words)
            return replace(known, end="0/9000000") if known else None

    found.tools.log = Longer()
    (point,) = saved.world.points.values()
    workspace = Workspace("20260101T000000Z", str(saved.world.root / "drill"), "drill")
    with pytest.raises(BackupError, match="goes on to 0/9000000 and cannot be read after"):
        found.prepare(record, point, Target(), workspace)


def test_a_drill_looks_into_every_table(saved: Cluster) -> None:
    assert prepare(saved, Target(), thorough=True).facts["amcheck"] == "not in this image"
    saved.world.faults["amcheck"] = 0
    assert prepare(saved, Target(), thorough=True).facts["amcheck"] == "no damage"
    saved.world.faults["amcheck"] = 2
    with pytest.raises(BackupError, match="pg_amcheck found damage: heap table has damage"):
        prepare(saved, Target(), thorough=True)


def test_a_point_that_lost_its_rows_in_the_way_is_refused(saved: Cluster) -> None:
    point = next(iter(saved.world.points))
    files = saved.world.snapshots[f"snapshot-{point}"]
    (name,) = [name for name in files if name.endswith("manifest.json")]
    manifest = json.loads(files[name])
    manifest["sources"][0]["counts"] = {"shop.public.orders": [7, 9]}
    files[name] = json.dumps(manifest).encode()
    prepared = prepare(saved, target(saved, point))
    assert "shop.public.orders has 2 rows; around the point it had 7 to 9" in prepared.warnings[0]
    manifest["sources"][0]["databases"]["gone"] = {"bytes": 5, "tables": 3, "rows": 9}
    files[name] = json.dumps(manifest).encode()
    with pytest.raises(BackupError, match="database gone is not in it"):
        prepare(saved, target(saved, point))
    assert any("database gone is not in it" in line for line in prepare(saved, Target()).warnings)


def test_the_isolated_server_reaches_nothing_and_does_nothing_else(saved: Cluster) -> None:
    seen = []
    tools = saved.tools()
    start = tools.docker.start_isolated

    def watch(wish: Any) -> Any:
        seen.append(wish)
        return start(wish)

    found = adapter(saved)
    found.tools.docker.start_isolated = watch  # type: ignore[method-assign]
    (point,) = saved.world.points.values()
    workspace = Workspace("20260101T000000Z", str(saved.world.root / "drill"), "drill")
    found.prepare(record_of(saved, point.name), point, Target(), workspace)
    (wish,) = seen
    words = " ".join(wish.arguments)
    for setting in (
        *("listen_addresses=", "max_worker_processes=0", "autovacuum=off", "archive_mode=off", "hot_standby=off"),
        *("max_connections=200", "recovery_target_action=promote", "recovery_target_timeline=latest"),
    ):
        assert f"-c {setting}" in words
    assert wish.labels == {
        "slipway.stack": "fleet",
        "slipway.source": "postgresql-postgres",
        "slipway.purpose": "drill",
        "slipway.restore": "20260101T000000Z",
    }
    assert [writable for _outside, _inside, writable in wish.mounts] == [True, False, False]
    assert "secret" not in str(wish.command())


def test_a_look_leaves_the_server_running(saved: Cluster) -> None:
    found = adapter(saved)
    (point,) = saved.world.points.values()
    record = record_of(saved, point.name)
    workspace = found.workspace("20260101T000000Z", "look")
    prepared = found.prepare(record, point, Target(), workspace)
    container = found.open(record, prepared, workspace)
    assert container.running
    assert container.name == "slipway-look-fleet-postgresql-postgres-20260101T000000Z"
    found.sweep("20270101T000000Z")
    assert saved.isolated
    found.discard(workspace)
    assert saved.isolated == {}
    assert not Path(workspace.directory).exists()


# The target host.


def test_what_stands_in_the_way(saved: Cluster) -> None:
    record = record_of(saved, next(iter(saved.world.points)))
    assert adapter(saved).check_target(record) == []
    saved.world.faults["major"] = 16
    (problem,) = adapter(saved).check_target(record)
    assert "is of PostgreSQL 17 and postgres:17 has 16; deploy postgres:17 first" in problem
    del saved.world.faults["major"]
    (saved.data / "standby.signal").touch()
    (problem,) = adapter(saved).check_target(record)
    assert "is a replica here" in problem
    (problem,) = adapter(saved).check_target({**record, "data_directory": "/data"})[:1]
    assert "its data directory was /data" in problem
    del saved.world.running[SERVER_NAME]
    (problem,) = adapter(saved).check_target(record)
    assert "deploy the stack first" in problem


def test_another_cluster_is_named_in_the_plan(saved: Cluster) -> None:
    record = record_of(saved, next(iter(saved.world.points)))
    assert "another cluster" not in adapter(saved).plan(record)
    assert f"another cluster than the present one, {SYSTEM}" in adapter(saved).plan({**record, "lineage": "1"})

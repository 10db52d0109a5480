"""Data that comes back, and old data that is kept."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from testinfra.host import Host

VOLUMES = "/var/lib/docker/volumes"


def slipway(host: Host, words: str) -> Any:
    done = host.run(f"slipway {words} --json")
    assert done.rc == 0, done.stderr
    return json.loads(done.stdout)


def sql(host: Host, text: str) -> str:
    return host.check_output(f"echo '{text}' | fleet-sql")


def pg(host: Host, text: str, container: str = "fleet-postgres-1") -> str:
    return host.check_output(f'echo "{text}" | fleet-pg shop {container}')


def kill_at(host: Host, point: str, word: str) -> None:
    """Begin a restore and kill it as soon as it tells this step."""
    host.check_output(
        f"slipway restore --point {point} --confirm fleet >/tmp/killed 2>&1 & pid=$!;"
        f" until grep -q '^{word}' /tmp/killed;"
        " do kill -0 $pid 2>/dev/null || { cat /tmp/killed; exit 9; }; sleep 0.02; done;"
        " kill -9 $pid; wait $pid; true"
    )


def interrupted_restore(host: Host) -> Any:
    """How the logs stand, which the exit status tells as well, hangs on the moment; this does not."""
    return json.loads(host.run("slipway backup status --json").stdout)["interrupted_restore"]


def regular(host: Host) -> list[str]:
    return [point["point"] for point in slipway(host, "points")["points"] if point["kind"] == "manual"]


def lsn_number(text: str) -> int:
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low or "0", 16)


def wait_for_log(host: Host) -> None:
    """Until all that was committed has been received and cut."""
    wanted = lsn_number(pg(host, "SELECT pg_current_wal_lsn()"))
    timeline = int(pg(host, "SELECT timeline_id FROM pg_control_checkpoint()"))
    file, offset = sql(host, "SHOW BINLOG STATUS").split()[:2]
    deadline = time.monotonic() + 90
    while True:
        sources = json.loads(host.check_output("cat /var/lib/slipway/backup/fleet/log.json"))["sources"]
        postgres = sources["postgres"]
        name, _colon, end = sources["database"]["position"].rpartition(":")
        if (
            (postgres.get("timeline"), lsn_number(postgres["position"]) >= wanted) == (timeline, True)
            and (name, int(end or "0")) >= (file, int(offset))
        ):  # fmt: skip
            return
        assert time.monotonic() < deadline, sources
        time.sleep(0.5)


def assert_whole(host: Host) -> None:
    assert sql(host, "SELECT COUNT(*), MAX(id) FROM orders") == "5002\t5002"
    assert sql(host, "SELECT HEX(photo), LENGTH(note) FROM orders WHERE id = 1") == "00FF27\t40"
    assert sql(host, "SELECT SUM(h) FROM `odd``name`") == "5"
    assert sql(host, "SELECT COUNT(*) FROM open_orders") == "5001"
    assert (
        sql(host, "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()")
        == "new_order"
    )
    assert "nothing" in sql(host, "SHOW PROCEDURE STATUS WHERE db = DATABASE()")
    # The last one was committed after the point, and before the tables were dropped.
    assert pg(host, "SELECT count(*), max(id) FROM trips") == "1001|1001"
    assert pg(host, "SELECT count(*) FROM long_trips") == "101"
    assert pg(host, "SELECT count(*) FROM stops") == "10"
    photo = host.file(f"{VOLUMES}/fleet_uploads/_data/photos/a.jpg")
    assert (photo.content_string, photo.uid, photo.gid, photo.mode) == ("hello\n", 33, 34, 0o600)
    assert host.file(f"{VOLUMES}/fleet_uploads/_data").uid == 33
    assert not host.file(f"{VOLUMES}/fleet_uploads/_data/new").exists
    assert host.check_output("docker exec fleet-application-1 cat /data/photos/a.jpg") == "hello"
    # The receiver of the log comes and goes beside the stack's own.
    names = host.check_output("docker ps --format '{{.Names}}' --filter label=com.docker.compose.project").split()
    services = ["application", "cache", "database", "postgres"]
    assert sorted(names) == [f"fleet-{service}-1" for service in services]
    assert host.check_output(f"ls -A {VOLUMES}/fleet_pg | grep -v previous") == "_data"


def test_the_play_brought_everything_back_as_it_was_before_the_tables_were_dropped(host: Host) -> None:
    assert_whole(host)


def test_what_was_there_before_is_kept(host: Host) -> None:
    saved = [point for point in slipway(host, "points")["points"] if point["kind"] == "before-restore"]
    assert saved
    assert saved[0]["verified"]
    (server, cluster, previous) = slipway(host, "backup status")["previous"]
    assert host.file(f"{previous}/new").content_string == "new\n"
    assert "fleet_mysql" in server
    assert "fleet_pg" in cluster
    assert host.file(f"{cluster}/PG_VERSION").exists


def test_what_was_restored_is_a_point_of_its_own(host: Host) -> None:
    """Its log begins anew, on a timeline of its own."""
    assert len(regular(host)) == 2
    assert pg(host, "SELECT timeline_id FROM pg_control_checkpoint()") == "2"


def test_latest_is_never_what_a_restore_replaced(host: Host) -> None:
    assert slipway(host, "restore --plan")["point"] == regular(host)[-1]


def test_nothing_is_overwritten_without_the_target_s_name(host: Host) -> None:
    for words in ("restore", "restore --confirm other", "restore --discard-previous"):
        done = host.run(f"slipway {words}")
        assert done.rc == 3
        assert done.stderr.count("\n") == 1
    done = host.run("slipway restore --point 20000101T000000Z --confirm fleet")
    assert done.rc == 3
    assert "there is none of this name" in done.stderr
    assert_whole(host)


def test_a_target_that_is_not_covered_is_refused(host: Host) -> None:
    done = host.run("slipway restore --to now-1d --confirm fleet")
    assert done.rc == 3
    assert "is before the end of the oldest good point" in done.stderr
    assert host.run("slipway restore --to yesterday --confirm fleet").rc == 2
    assert_whole(host)


def test_the_status_says_which_seconds_can_be_restored(host: Host) -> None:
    logs = slipway(host, "backup status")["logs"]
    assert sorted(logs) == ["database", "postgres"]
    for state in logs.values():
        assert state["ok"], logs
        assert state["from"] < state["until"]


@pytest.mark.usefixtures("newest_only")
def test_after_a_restore_the_log_leads_to_any_second_again(host: Host) -> None:
    """On the timeline that the first restore began, and over the place where it began."""
    moment = pg(host, "SELECT clock_timestamp()")
    time.sleep(1.1)
    pg(host, "DELETE FROM trips WHERE id > 500; INSERT INTO trips (note) VALUES ('too late')")
    sql(host, "DELETE FROM orders WHERE id > 9")
    wait_for_log(host)
    done = slipway(host, f'restore --to "{moment}" --confirm fleet')
    assert done["needs_point"]
    assert_whole(host)
    assert pg(host, "SELECT timeline_id FROM pg_control_checkpoint()") == "3"


@pytest.mark.usefixtures("newest_only")
def test_a_killed_restore_is_ended_by_the_same_command(host: Host) -> None:
    point = regular(host)[-1]
    sql(host, "DELETE FROM orders")
    host.check_output(f"echo precious > {VOLUMES}/fleet_uploads/_data/precious")
    started = "docker inspect --format '{{.State.StartedAt}}' fleet-cache-1"
    cache = host.check_output(started)
    kill_at(host, point, "unpacking volume")
    assert interrupted_restore(host)["step"] == "services stopped"
    assert not host.run("docker ps --format '{{.Names}}'").stdout.count("application")
    done = slipway(host, f"restore --point {point} --confirm fleet")
    assert done["started_services"] == ["fleet-application-1"]
    assert done["saved"]
    assert_whole(host)
    assert interrupted_restore(host) is None
    (kept,) = [path for path in done["previous"] if "fleet_uploads" in path]
    assert host.file(f"{kept}/precious").content_string == "precious\n"
    assert host.check_output(started) == cache


@pytest.mark.long
@pytest.mark.usefixtures("newest_only")
def test_killed_while_it_recovers_or_after_the_exchange_it_can_be_taken_back(host: Host) -> None:
    point = regular(host)[-1]
    pg(host, "DELETE FROM trips WHERE id > 500")
    for word, started in (("recovering", []), ("exchanging", ["fleet-application-1"])):
        kill_at(host, point, word)
        if not started:
            assert pg(host, "SELECT count(*) FROM trips") == "500"
            assert host.check_output("docker ps --format '{{.Names}}'").count("application") == 1
        assert slipway(host, "restore --abort --confirm fleet")["started_services"] == started
        assert pg(host, "SELECT count(*) FROM trips") == "500"
        assert host.check_output(f"ls -A {VOLUMES}/fleet_pg | grep -v previous") == "_data"
        assert host.check_output("docker ps --all --quiet --filter label=slipway.isolated") == ""
    slipway(host, f"restore --point {point} --confirm fleet")
    assert_whole(host)


@pytest.mark.usefixtures("newest_only")
def test_a_look_and_one_table_from_it(host: Host) -> None:
    pg(host, "DELETE FROM trips WHERE id > 500")
    look = f"restore --beside --service postgres --point {regular(host)[-1]}"
    (opened,) = slipway(host, look)["opened"]
    name = opened["container"]
    assert host.check_output(f"echo 'SELECT count(*) FROM trips' | fleet-pg shop {name}") == "1001"
    assert host.check_output(f"docker inspect --format '{{{{.HostConfig.NetworkMode}}}}' {name}") == "none"
    plan = slipway(host, "restore --database shop --table trips --plan")
    assert (plan["rows"], plan["live_rows"]) == (1001, 500)
    done = slipway(host, "restore --database shop --table trips --confirm fleet")
    assert done["rows"] == 1001
    assert pg(host, f"SELECT count(*) FROM {done['kept']}") == "500"
    slipway(host, "restore --discard-beside")
    pg(host, f"DROP TABLE {done['kept']}; DELETE FROM stops; INSERT INTO stops SELECT generate_series(1, 1000, 100)")
    assert_whole(host)


def test_destroyed_databases_come_back(host: Host) -> None:
    """PostgreSQL with what was committed last of all."""
    pg(host, "CREATE TABLE late AS SELECT 1 AS one")
    wait_for_log(host)
    host.check_output("docker stop fleet-postgres-1")
    host.check_output(f"rm -rf {VOLUMES}/fleet_pg/_data/global {VOLUMES}/fleet_mysql/_data/*")
    slipway(host, "restore --confirm fleet")
    assert_whole(host)
    assert pg(host, "SELECT one FROM late") == "1"
    # What was loaded is on the disk, and not only in what the old server held open.
    host.check_output("docker restart fleet-postgres-1 fleet-database-1")
    host.check_output("until echo 'SELECT 1' | fleet-pg >/dev/null 2>&1; do sleep 0.5; done")
    host.check_output("until echo 'SELECT 1' | fleet-sql >/dev/null 2>&1; do sleep 0.5; done")
    assert_whole(host)


@pytest.mark.usefixtures("newest_only")
def test_a_database_that_does_not_start_is_put_aside_also_when_nobody_listens_any_more(host: Host) -> None:
    host.check_output("docker stop fleet-database-1")
    host.check_output(
        f"sh -c 'for f in {VOLUMES}/fleet_mysql/_data/ibdata1 {VOLUMES}/fleet_mysql/_data/aria_log_control;"
        " do head -c 100000 /dev/urandom > $f; done'"
    )
    # The connection that began it goes away.
    host.check_output(
        "bash -c 'slipway restore --confirm fleet > >(head -n 3) 2>&1 & pid=$!; sleep 3; kill -HUP $pid; wait $pid'"
    )
    assert_whole(host)
    kept = [path for path in slipway(host, "backup status")["previous"] if "fleet_mysql" in path]
    assert any(host.file(f"{path}/ibdata1").exists for path in kept)


def test_old_data_goes_when_told(host: Host) -> None:
    assert slipway(host, "restore --discard-previous --confirm fleet")["removed"]
    assert slipway(host, "backup status")["previous"] == []
    assert_whole(host)

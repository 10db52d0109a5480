"""Data that comes back, and old data that is kept."""

from __future__ import annotations

import json
from typing import Any

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


def regular(host: Host) -> list[str]:
    return [point["point"] for point in slipway(host, "points")["points"] if point["kind"] == "manual"]


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
    assert pg(host, "SELECT count(*), max(id) FROM trips") == "1000|1000"
    assert pg(host, "SELECT count(*) FROM long_trips") == "100"
    assert pg(host, "SELECT count(*) FROM stops") == "10"
    photo = host.file(f"{VOLUMES}/fleet_uploads/_data/photos/a.jpg")
    assert (photo.content_string, photo.uid, photo.gid, photo.mode) == ("hello\n", 33, 34, 0o600)
    assert host.file(f"{VOLUMES}/fleet_uploads/_data").uid == 33
    assert not host.file(f"{VOLUMES}/fleet_uploads/_data/new").exists
    assert host.check_output("docker exec fleet-application-1 cat /data/photos/a.jpg") == "hello"
    names = host.check_output("docker ps --format '{{.Names}}'").split()
    services = ["application", "cache", "database", "postgres"]
    assert sorted(names) == [f"fleet-{service}-1" for service in services]
    assert host.check_output(f"ls -A {VOLUMES}/fleet_pg | grep -v previous") == "_data"


def test_the_play_brought_everything_back(host: Host) -> None:
    assert_whole(host)


def test_what_was_there_before_is_kept(host: Host) -> None:
    saved = [point for point in slipway(host, "points")["points"] if point["kind"] == "before-restore"]
    assert saved
    assert saved[0]["verified"]
    (cluster, previous) = slipway(host, "backup status")["previous"]
    assert host.file(f"{previous}/new").content_string == "new\n"
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


def test_a_cache_runs_on(host: Host) -> None:
    before = host.check_output("docker inspect --format '{{.State.StartedAt}}' fleet-cache-1")
    slipway(host, "restore --confirm fleet")
    assert host.check_output("docker inspect --format '{{.State.StartedAt}}' fleet-cache-1") == before
    assert_whole(host)


def test_a_killed_restore_is_ended_by_the_same_command(host: Host) -> None:
    sql(host, "DELETE FROM orders")
    host.check_output(f"echo precious > {VOLUMES}/fleet_uploads/_data/precious")
    host.run(
        "slipway restore --confirm fleet >/tmp/killed 2>&1 & pid=$!;"
        " until grep -q ^loading /tmp/killed; do sleep 0.05; done;"
        " kill -9 $pid; wait $pid; true"
    )
    interrupted = slipway(host, "backup status")["interrupted_restore"]
    assert interrupted["step"] == "services stopped"
    assert not host.run("docker ps --format '{{.Names}}'").stdout.count("application")
    done = slipway(host, "restore --confirm fleet")
    assert done["started_services"] == ["fleet-application-1"]
    assert done["saved"]
    assert_whole(host)
    assert slipway(host, "backup status")["interrupted_restore"] is None
    (kept,) = [path for path in done["previous"] if "fleet_uploads" in path]
    assert host.file(f"{kept}/precious").content_string == "precious\n"


def test_killed_while_the_database_recovers_the_old_one_serves(host: Host) -> None:
    pg(host, "DELETE FROM trips WHERE id > 500")
    host.run(
        "slipway restore --confirm fleet >/tmp/killed 2>&1 & pid=$!;"
        " until grep -q ^recovering /tmp/killed; do sleep 0.05; done; kill -9 $pid; wait $pid; true"
    )
    assert pg(host, "SELECT count(*) FROM trips") == "500"
    assert host.check_output("docker ps --format '{{.Names}}'").count("application") == 1
    assert slipway(host, "restore --abort --confirm fleet")["started_services"] == []
    assert pg(host, "SELECT count(*) FROM trips") == "500"
    assert host.check_output(f"ls -A {VOLUMES}/fleet_pg | grep -v previous") == "_data"
    assert host.check_output("docker ps --all --quiet --filter label=slipway.isolated") == ""
    slipway(host, "restore --confirm fleet")
    assert_whole(host)


def test_killed_after_the_exchange_it_can_be_taken_back(host: Host) -> None:
    pg(host, "DELETE FROM trips WHERE id > 500")
    host.run(
        "slipway restore --confirm fleet >/tmp/killed 2>&1 & pid=$!;"
        " until grep -q ^exchanging /tmp/killed; do sleep 0.02; done; kill -9 $pid; wait $pid; true"
    )
    slipway(host, "restore --abort --confirm fleet")
    assert pg(host, "SELECT count(*) FROM trips") == "500"
    slipway(host, "restore --confirm fleet")
    assert_whole(host)


def test_a_look_and_one_table_from_it(host: Host) -> None:
    pg(host, "DELETE FROM trips WHERE id > 500")
    (opened,) = slipway(host, "restore --beside")["opened"]
    name = opened["container"]
    assert host.check_output(f"echo 'SELECT count(*) FROM trips' | fleet-pg shop {name}") == "1000"
    assert host.check_output(f"docker inspect --format '{{{{.HostConfig.NetworkMode}}}}' {name}") == "none"
    done = slipway(host, "restore --database shop --table trips --confirm fleet")
    assert done["rows"] == 1000
    assert pg(host, f"SELECT count(*) FROM {done['kept']}") == "500"
    slipway(host, "restore --discard-beside")
    pg(host, f"DROP TABLE {done['kept']}; DELETE FROM stops; INSERT INTO stops SELECT generate_series(1, 1000, 100)")
    assert_whole(host)


def test_a_target_needs_a_log(host: Host) -> None:
    done = host.run("slipway restore --to now-1min --confirm fleet")
    assert done.rc == 3
    assert "only points can be restored" in done.stderr
    done = host.run("slipway restore --to yesterday --confirm fleet")
    assert done.rc == 2
    assert_whole(host)


def test_a_destroyed_cluster_comes_back(host: Host) -> None:
    host.check_output("docker stop fleet-postgres-1")
    host.check_output(f"rm -rf {VOLUMES}/fleet_pg/_data/global")
    slipway(host, "restore --confirm fleet")
    assert_whole(host)
    host.check_output("docker restart fleet-postgres-1")
    host.check_output("until echo 'SELECT 1' | fleet-pg >/dev/null 2>&1; do sleep 0.5; done")
    assert_whole(host)


def test_a_restore_outlives_the_connection_that_began_it(host: Host) -> None:
    sql(host, "DELETE FROM orders WHERE id > 7")
    host.run(
        "bash -c 'slipway restore --confirm fleet 2>&1 | head -n 3 & sleep 3; pkill -HUP -x slipway; wait; true';"
        " while pgrep -x slipway; do sleep 0.2; done"
    )
    assert_whole(host)


def test_a_destroyed_database_begins_anew(host: Host) -> None:
    host.check_output(f"rm -rf {VOLUMES}/fleet_mysql/_data/*")
    slipway(host, "restore --confirm fleet")
    assert_whole(host)
    # What was loaded is on the disk, and not only in what the old server held open.
    host.check_output("docker restart fleet-database-1")
    host.check_output("until echo 'SELECT 1' | fleet-sql >/dev/null 2>&1; do sleep 0.5; done")
    assert_whole(host)


def test_a_database_that_does_not_start_is_put_aside(host: Host) -> None:
    host.check_output("docker stop fleet-database-1")
    host.check_output(
        f"sh -c 'for f in {VOLUMES}/fleet_mysql/_data/ibdata1 {VOLUMES}/fleet_mysql/_data/aria_log_control;"
        " do head -c 100000 /dev/urandom > $f; done'"
    )
    done = slipway(host, "restore --confirm fleet")
    assert_whole(host)
    kept = [path for path in done["previous"] if "fleet_mysql" in path]
    assert host.file(f"{kept[0]}/ibdata1").exists


def test_old_data_goes_when_told(host: Host) -> None:
    assert slipway(host, "restore --discard-previous --confirm fleet")["removed"]
    assert slipway(host, "backup status")["previous"] == []
    assert_whole(host)

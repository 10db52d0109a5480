"""Backups that are made, read back, and refused when they would not be good."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from testinfra.host import Host

STATUS = "/var/lib/slipway/backup/fleet/status.json"
DATABASE = "docker exec fleet-database-1"
FOLLOWER = "slipway-backup-follow-fleet.service"


def slipway(host: Host, words: str) -> Any:
    return json.loads(host.check_output(f"slipway {words} --json 2>/dev/null"))


def status(host: Host) -> dict[str, Any]:
    return json.loads(host.file(STATUS).content_string)


def points(host: Host) -> list[str]:
    return [point["point"] for point in slipway(host, "backup points")["points"] if point["verified"]]


@pytest.fixture(scope="module")
def first(host: Host) -> dict[str, Any]:
    """The first backup is made by the unit, as the timer starts it."""
    host.check_output("mkdir -p /var/lib/prometheus/node-exporter")
    started = host.run("systemctl start slipway-backup-fleet.service")
    assert started.rc == 0, host.check_output("journalctl -u slipway-backup-fleet.service --no-pager")
    return status(host)


def test_timer_is_armed(host: Host) -> None:
    timer = host.service("slipway-backup-fleet.timer")
    assert timer.is_enabled
    assert timer.is_running


def test_secrets_are_root_s_alone(host: Host) -> None:
    for name in ("backup.json", "repositories/main/password", "repositories/second/environment"):
        file = host.file(f"/etc/slipway/backup/fleet/{name}")
        assert (file.user, file.mode) == ("root", 0o600)
    for directory in ("/etc/slipway/backup", "/etc/slipway/backup/fleet/repositories"):
        assert host.file(directory).mode == 0o700


def test_the_unit_makes_a_good_point(host: Host, first: dict[str, Any]) -> None:
    assert first["ok"] is True
    assert first["rows"] == 5004 + 1010
    assert points(host) == [first["point"]]
    assert slipway(host, "backup points")["points"][0]["kind"] == "scheduled"
    assert not host.file("/var/lib/slipway/backup/fleet/spool").exists
    metrics = host.file("/var/lib/prometheus/node-exporter/slipway_backup.prom").content_string
    assert f'slipway_backup_last_success_timestamp_seconds{{stack="fleet"}} {first["last_success_epoch"]}\n' in metrics


def test_the_point_holds_dump_files_and_environment(host: Host, first: dict[str, Any]) -> None:
    host.check_output("rm -rf /tmp/look && slipway restore --extract /tmp/look")
    spool = "/tmp/look/var/lib/slipway/backup/fleet/spool"
    manifest = json.loads(host.file(f"{spool}/manifest.json").content_string)
    server = manifest["sources"][0]
    assert server["databases"]["fleetbase"]["rows"] == 5004
    assert server["binlog_file"].startswith("binlog.")
    assert host.file("/tmp/look/mariadb-database.xbstream").sha256sum == server["sha256"]
    cluster = manifest["sources"][1]
    assert cluster["counts"] == {"shop.public.trips": [1000, 1000], "shop.public.stops": [10, 10]}
    assert host.file("/tmp/look/postgresql-postgres.tar").sha256sum == cluster["sha256"]
    names = host.check_output("tar --list --file /tmp/look/postgresql-postgres.tar").split()
    assert (names[0], names[-1]) == ("backup_label", "backup_manifest")
    photo = host.file("/tmp/look/var/lib/docker/volumes/fleet_uploads/_data/photos/a.jpg")
    assert (photo.content_string, photo.uid, photo.gid, photo.mode) == ("hello\n", 33, 34, 0o600)
    assert host.file("/tmp/look/etc/slipway/stacks/fleet/environment").content_string == "KEY=value\n"
    host.check_output("rm -r /tmp/look")


def test_no_secret_is_in_the_journal_or_the_status(host: Host, first: dict[str, Any]) -> None:
    # PostgreSQL's receiver has its password in a file of libpq's own kind; the rest of its directory is the log itself.
    state = (
        "find /var/lib/slipway/backup/fleet -type f -not -path '*/outgoing/*' -not -path '*/received/*'"
        " -not -path '*/log/*/passfile'"
    )
    assert host.check_output("find /var/lib/slipway/backup/fleet -name passfile -not -perm 0600") == ""
    seen = host.check_output(f"journalctl --no-pager -o cat; {state} -exec cat {{}} +; ps -eo args")
    assert "a repository password" not in seen
    assert "$ecret" not in seen


def sql(host: Host, *statements: str) -> None:
    host.check_output(f"echo '{' '.join(statements)}' | fleet-sql")


def log_status(host: Host) -> dict[str, Any]:
    return json.loads(host.check_output("cat /var/lib/slipway/backup/fleet/log.json"))["sources"]


def lsn_number(text: str) -> int:
    high, _slash, low = text.partition("/")
    return (int(high, 16) << 32) + int(low or "0", 16)


def write_and_wait(host: Host, what: str) -> None:
    """Commit something in both databases, and wait until all of it is in the repository."""
    lsn = host.check_output(
        f"echo \"INSERT INTO trips (note) VALUES ('{what}'); SELECT pg_current_wal_lsn()\" | fleet-pg"
    )
    sql(host, f'INSERT INTO orders (status) VALUES ("{what}");')
    place = host.check_output("echo 'SHOW BINLOG STATUS' | fleet-sql").split()
    deadline = time.monotonic() + 60
    while True:
        found = log_status(host)
        postgres, mariadb = found["postgres"], found["database"]
        name, _colon, offset = mariadb["position"].rpartition(":")
        if (
            lsn_number(postgres["position"]) >= lsn_number(lsn)
            and (name, int(offset or "0")) >= (place[0], int(place[1]))
            and not any(source["repositories"]["main"]["unsent_objects"] for source in found.values())
        ):
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{lsn}, {place}: {found}; {host.run(f'journalctl -u {FOLLOWER} --no-pager').stdout}")
        time.sleep(0.5)


def test_the_logs_are_followed(host: Host, first: dict[str, Any]) -> None:
    assert host.service(FOLLOWER).is_enabled
    assert host.service(FOLLOWER).is_running
    write_and_wait(host, "followed")
    found = slipway(host, "backup log")
    assert found["ok"]
    for source in ("postgres", "database"):
        state = found["sources"][source]
        assert (state["holes"], state["problems"]) == ([], [])
        assert list(state["held"]["main"]["lineages"]) == [state["lineage"]]
    metrics = host.file("/var/lib/prometheus/node-exporter/slipway_log.prom").content_string
    assert 'slipway_log_loss_seconds{stack="fleet",source="postgres"}' in metrics
    # Nothing of it can be read without the password.
    assert host.run("grep -rq 'followed' /srv/backup/fleet/slipway-log").rc == 1
    sql(host, 'DELETE FROM orders WHERE status = "followed";')


def test_the_logs_are_followed_over_kills_and_restarts(host: Host, first: dict[str, Any]) -> None:
    host.check_output(f"systemctl kill --signal KILL {FOLLOWER}")
    host.check_output("docker restart fleet-postgres-1")
    host.check_output("until echo 'SELECT 1' | fleet-pg >/dev/null 2>&1; do sleep 0.5; done")
    write_and_wait(host, "after kills")
    found = slipway(host, "backup log")
    assert found["sources"]["postgres"]["holes"] == []
    assert len(found["sources"]["postgres"]["held"]["main"]["lineages"]) == 1
    sql(host, 'DELETE FROM orders WHERE status = "after kills";')


def test_the_follower_begins_anew_with_another_program(host: Host, first: dict[str, Any]) -> None:
    before = host.check_output(f"systemctl show --value --property MainPID {FOLLOWER}")
    host.check_output("cp -p /usr/local/bin/slipway /root/new && mv /root/new /usr/local/bin/slipway")
    host.check_output(
        f"timeout 60 sh -c 'until pid=$(systemctl show --value --property MainPID {FOLLOWER});"
        f" [ $pid != 0 ] && [ $pid != {before} ]; do sleep 0.5; done'"
    )
    write_and_wait(host, "with another program")
    sql(host, 'DELETE FROM orders WHERE status = "with another program";')


def refused(host: Host, before: list[str], words: str = "backup run") -> str:
    """Run a backup that must fail; the good points stay, and the status says why. Returns the reason."""
    done = host.run(f"slipway {words}")
    assert done.rc == 1, done.stdout
    assert points(host) == before
    found = status(host)
    assert found["ok"] is False
    assert found["point"] == before[-1]
    assert not host.file("/var/lib/slipway/backup/fleet/spool").exists
    return str(found["error"])


def snapshots(host: Host) -> list[list[str]]:
    """All that is in the repository, with the parts: each with the tags that say what it belongs to."""
    command = "RESTIC_PASSWORD='a repository password' restic -r /srv/backup/fleet snapshots --json --no-lock"
    found = json.loads(host.check_output(command))
    return [[one["id"], *one["tags"]] for one in found if "slipway-escrow" not in one["tags"]]


@pytest.mark.long
def test_a_base_backup_that_dies_half_way(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    inside = "docker exec --user root fleet-postgres-1 sh -c"
    tool = host.check_output("docker exec fleet-postgres-1 sh -c 'command -v pg_basebackup'")
    host.check_output(f"{inside} 'mv {tool} {tool}.real'")

    def fake(script: str) -> None:
        text = f"#!/bin/sh\n{script}\n"
        host.check_output(f"printf '%s' '{text}' | docker exec -i --user root fleet-postgres-1 sh -c 'cat > {tool}'")
        host.check_output(f"docker cp fleet-postgres-1:{tool} /tmp/tool && chmod 755 /tmp/tool")
        host.check_output(f"docker cp /tmp/tool fleet-postgres-1:{tool}")

    try:
        fake(f'{tool}.real "$@" & sleep 0.3; kill -9 $!; kill -9 $$')
        assert "the base backup ended with exit status 137" in refused(host, before)
        fake("cat /etc/services /etc/passwd")
        assert "the base backup is not whole" in refused(host, before)
        fake("exit 0")
        assert "is not whole after 0 B" in refused(host, before)
    finally:
        host.check_output(f"{inside} 'mv {tool}.real {tool}'")


@pytest.mark.long
def test_a_killed_backup_leaves_nothing_that_counts(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    # What an earlier job that failed has left may go with this one.
    known = [found for found in snapshots(host) if any(f"point:{name}" in found for name in before)]
    host.run(
        "slipway backup run >/tmp/killed 2>&1 & pid=$!;"
        " until grep -q '^base backup' /tmp/killed; do sleep 0.05; done; kill -9 $pid; wait $pid; true"
    )
    assert points(host) == before
    # The dump that was stored before it belongs to no point, and goes with the next job.
    assert all(found in snapshots(host) for found in known)
    made = slipway(host, "backup run")
    found = json.loads(host.check_output("slipway backup points --json 2>/dev/null"))["points"]
    assert made["point"] in [point["point"] for point in found]
    # Of each point: the manifest with the files, the proof, the dump and the base backup.
    assert len(snapshots(host)) == 4 * len(found)


def test_a_database_that_lost_its_rows(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    dump = 'MYSQL_PWD="$MARIADB_ROOT_PASSWORD" exec mariadb-dump --user=root fleetbase'
    host.check_output(f"{DATABASE} sh -c '{dump}' > /root/keep.sql")
    sql(host, "DELETE FROM orders; DELETE FROM `odd``name`;")
    try:
        reason = refused(host, before)
        assert "has no row now and had 5004" in reason
        assert "--accept-smaller" in reason
    finally:
        host.check_output("fleet-sql < /root/keep.sql")


def test_a_full_disk(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    spool = "/var/lib/slipway/backup/fleet/spool"
    host.check_output(f"systemctl stop {FOLLOWER}")
    host.check_output(f"mkdir -p {spool}.small && mount -t tmpfs -o size=1m tmpfs {spool}.small")
    host.check_output(f"cp -a {STATUS} {spool}.small && mount --bind {spool}.small /var/lib/slipway/backup/fleet")
    try:
        done = host.run("slipway backup run")
        assert done.rc == 1
        assert "are free, and a backup wants" in done.stderr
    finally:
        host.check_output(f"umount /var/lib/slipway/backup/fleet && umount {spool}.small && rmdir {spool}.small")
        host.check_output(f"systemctl start {FOLLOWER}")
    assert points(host) == before


def test_a_wrong_repository_password(host: Host, first: dict[str, Any]) -> None:
    path = "/etc/slipway/backup/fleet/repositories/main/password"
    host.check_output(f"cp -a {path} {path}.good && echo wrong > {path}")
    try:
        done = host.run("slipway backup run")
        assert done.rc == 1
        assert "the repository's password is wrong" in done.stderr
        assert done.stderr.count("\n") == 1
    finally:
        host.check_output(f"mv {path}.good {path}")


@pytest.mark.long
def test_two_backups_at_once(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    done = host.run(
        "(slipway backup run >/tmp/one 2>&1; echo $? >>/tmp/one) & sleep 0.8; slipway backup run; two=$?; wait;"
        " tail -n 1 /tmp/one; exit $two"
    )
    assert done.rc == 4, done.stderr
    assert "held by backup (manual)" in done.stderr
    assert done.stdout.splitlines()[-1] == "0"
    assert len(points(host)) == len(before)  # the older one of the same day has gone


def test_what_has_not_changed_is_not_stored_again(host: Host, first: dict[str, Any]) -> None:
    slipway(host, "backup run")
    made = slipway(host, "backup run")
    assert made["size_bytes"] > 500_000
    assert made["added_bytes"] < made["size_bytes"] / 8
    assert slipway(host, "backup verify")["point"] == made["point"]
    assert slipway(host, "backup status")["overdue"] is False


def test_the_second_repository_has_every_point(host: Host, first: dict[str, Any]) -> None:
    there = slipway(host, "backup points --repository second")["points"]
    assert [point["point"] for point in there if point["verified"]] == points(host)
    assert slipway(host, "backup verify --repository second")["compared"]
    plan = slipway(host, "restore --plan --repository second")
    assert plan["problems"] == []
    metrics = host.file("/var/lib/prometheus/node-exporter/slipway_backup.prom").content_string
    assert 'slipway_backup_repository_ok{stack="fleet",repository="second"} 1' in metrics


def test_a_second_repository_that_is_away_is_caught_up(host: Host, first: dict[str, Any]) -> None:
    host.check_output("mv /srv/second/fleet /srv/second/away")
    try:
        made = slipway(host, "backup run")
        assert "repository second is behind" in made["warnings"][0]
        assert points(host)[-1] == made["point"]
        assert status(host)["repositories"]["second"]["ok"] is False
        assert host.run("slipway backup status").rc == 1
    finally:
        host.check_output("rm -rf /srv/second/fleet && mv /srv/second/away /srv/second/fleet")
    slipway(host, "backup run")
    assert status(host)["repositories"]["second"]["ok"] is True
    there = slipway(host, "backup points --repository second")["points"]
    assert points(host)[-1] in [point["point"] for point in there]


def test_a_lost_primary_names_the_other_one(host: Host, first: dict[str, Any]) -> None:
    host.check_output("mv /srv/backup/fleet /srv/backup/away")
    try:
        done = host.run("slipway restore --confirm fleet")
        assert done.rc == 1
        assert "slipway restore --plan --repository second" in done.stderr
        assert slipway(host, "restore --plan --repository second")["problems"] == []
    finally:
        host.check_output("mv /srv/backup/away /srv/backup/fleet")


def test_what_would_go_is_shown(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    found = slipway(host, "backup retention --dry-run")["repositories"]
    assert set(found) == {"main", "second"}
    assert points(host) == before


def test_a_damaged_repository_is_found(host: Host, first: dict[str, Any]) -> None:
    before = points(host)
    host.check_output(f"systemctl stop {FOLLOWER} && cp -a /srv/backup/fleet /srv/backup/fleet.good")
    try:
        # Every data pack loses a byte in each MiB, so one in nearly every blob: what is read back cannot be right.
        flip = (
            'size=$(stat -c %s "$f"); at=100; while [ $at -lt $size ]; do'
            ' printf X | dd of="$f" bs=1 seek=$at conv=notrunc status=none; at=$((at + 1048576)); done'
        )
        host.check_output(
            f"find /srv/backup/fleet/data -type f -exec chmod u+w {{}} + -exec sh -c 'for f; do {flip}; done' sh {{}} +"
        )
        assert host.run("slipway backup verify").rc == 1
        # What has not changed since is not stored again: a new point would stand on the damaged data.
        assert host.run("slipway backup run").rc == 1
    finally:
        host.check_output("rm -r /srv/backup/fleet && mv /srv/backup/fleet.good /srv/backup/fleet")
        host.check_output(f"systemctl start {FOLLOWER}")
    assert points(host) == before

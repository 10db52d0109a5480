"""Drills by their unit: a restore is tried for real, measured, and leaves nothing; what cannot be restored is found."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

STATE = "/var/lib/slipway/backup/fleet"
UNIT = "slipway-drill-fleet.service"
METRICS = "/var/lib/prometheus/node-exporter/slipway_drill.prom"


def drill(host: Host) -> dict[str, Any]:
    """One by the unit, as the timer starts it; what it wrote down."""
    host.run(f"systemctl reset-failed {UNIT}")
    host.run(f"systemctl start {UNIT}")
    return dict(json.loads(host.file(f"{STATE}/drill.json").content_string))


def assert_clean(host: Host) -> None:
    assert host.check_output("docker ps -aq --filter label=slipway.isolated") == ""
    assert host.check_output("ls -A /var/lib/docker/volumes/fleet_pg /var/lib/docker/volumes/fleet_mysql").split() == [
        "/var/lib/docker/volumes/fleet_mysql:",
        "_data",
        "/var/lib/docker/volumes/fleet_pg:",
        "_data",
    ]
    assert not host.file(f"{STATE}/drill").exists
    for service in ("database", "postgres", "application", "cache"):
        assert host.check_output(f"docker inspect --format '{{{{.State.Running}}}}' fleet-{service}-1") == "true"


@pytest.fixture(scope="module")
def points(host: Host) -> list[str]:
    """One of yesterday and one of today, and rows that only the logs have."""
    host.check_output("mkdir -p /var/lib/prometheus/node-exporter")
    host.check_output("faketime -f -1d /usr/local/bin/slipway backup run")
    host.check_output("touch /root/first; sleep 1.1; slipway backup run")
    host.check_output("echo \"INSERT INTO orders (status) VALUES ('late')\" | fleet-sql")
    host.check_output("echo \"INSERT INTO trips (note) VALUES ('late')\" | fleet-pg")
    host.check_output("sleep 8")
    found = json.loads(host.check_output("slipway backup points --json 2>/dev/null"))["points"]
    return [point["point"] for point in found]


def test_the_timer_is_armed(host: Host) -> None:
    timer = host.service("slipway-drill-fleet.timer")
    assert timer.is_enabled
    assert timer.is_running


def test_the_newest_point_and_a_random_second(host: Host, points: list[str]) -> None:
    found = drill(host)
    report = found["report"]
    assert (found["ok"], found["error"], report["point"]) == (True, "", points[-1])
    # With what only the logs have.
    assert report["smoke"]["said"] == "1001 trips"
    assert report["databases"]["mariadb-database"]["facts"]["databases"]["fleetbase"]["rows"] == 5005
    assert report["databases"]["postgresql-postgres"]["by_log"] is True
    assert report["databases"]["mariadb-database"]["by_log"] is True
    assert report["random"]["error"] == ""
    assert report["files"]["volume-fleet_uploads"]["files"] == 1
    assert 0 < report["rto_seconds"] < report["duration_seconds"]
    assert_clean(host)
    metrics = host.file(METRICS).content_string
    assert 'slipway_drill_last_attempt_succeeded{stack="fleet"} 1\n' in metrics
    assert "a repository password" not in host.check_output("journalctl --no-pager -o cat -u 'slipway-drill*'")
    status = host.run("slipway backup status")
    assert "RTO, back within: promised 1 h, now" in status.stdout
    assert status.rc == 0, status.stdout


def test_what_the_point_holds_of_the_host_s_own_server_can_be_loaded(host: Host, points: list[str]) -> None:
    plan = host.check_output("slipway restore --plan")
    (line,) = [line for line in plan.splitlines() if line.startswith("leave the host's own databases (postgresql)")]
    host.check_output("slipway restore --extract /root/out")
    host.check_output("runuser -u postgres -- dropdb ledger")
    host.check_output(line.partition(", then ")[2].rstrip(")").replace("DIRECTORY", "/root/out"))
    words = "SELECT count(*), count(DISTINCT word) FROM entries"
    assert host.check_output(f"runuser -u postgres -- psql -qtAd ledger -c '{words}'") == "300|300"


def test_a_killed_drill_is_swept_by_the_next(host: Host, points: list[str]) -> None:
    host.check_output(
        "slipway drill >/tmp/killed 2>&1 & pid=$!;"
        " until grep -q '^recovering' /tmp/killed; do sleep 0.1; done; kill -9 $pid; wait $pid; true"
    )
    host.check_output("slipway drill --sweep")
    assert_clean(host)
    assert host.run("slipway drill --list").rc == 0


def test_being_told_to_stop_leaves_nothing(host: Host, points: list[str]) -> None:
    host.run(f"systemctl start --no-block {UNIT}")
    said = f"journalctl -q -o cat -u {UNIT} -n 3 | grep -qE '^(unpacking|recovering)'"
    host.check_output(f"until {said}; do sleep 0.2; done")
    host.run(f"systemctl stop {UNIT}")
    assert_clean(host)
    assert "was told to stop" in json.loads(host.file(f"{STATE}/drill.json").content_string)["error"]


def test_a_flipped_byte_in_the_newest_point(host: Host, points: list[str]) -> None:
    """The last test: the repository stays damaged."""
    flip = "f=open(n,'r+b'); f.seek(0,2); p=f.tell()//2; f.seek(p); b=f.read(1); f.seek(p); f.write(bytes([b[0]^1]))"
    host.check_output(
        f"find /srv/backup/fleet/data -type f -newer /root/first | while read n; do python3 -c \"n='$n'; {flip}\"; done"
    )
    found = drill(host)
    assert found["ok"] is False
    assert found["report"]["tried"][0]["point"] == points[-1]
    assert (found["newest_good"], found["report"]["newest_good"]) == (points[0], points[0])
    assert f"the newest good one is {points[0]}" in found["error"]
    assert host.run(f"systemctl is-failed {UNIT}").stdout.strip() == "failed"
    assert_clean(host)
    assert host.run("slipway backup status").rc == 1

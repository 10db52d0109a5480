"""A server whose commits wait for a receiver on another host: nothing that it confirmed is lost with it."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
UNIT = "slipway-backup-follow-fleet"
STATUS = "/var/lib/slipway/backup/fleet/log.json"
RECEIVER = "slipway_receiver"
SLOT = f"slipway_database_{RECEIVER}"

WRITE = """
seq 1000000 | sed "s/.*/INSERT INTO trips (note) VALUES ('late &') RETURNING substr(note, 6);/" |
  fleet-pg > /root/confirmed 2>/dev/null &
sleep 4
docker kill fleet-database-1 >/dev/null
wait
rm -rf /var/lib/docker/volumes/fleet_pg/_data/*
"""


@pytest.fixture(scope="module")
def server() -> Host:
    return machine("receiver-server")


@pytest.fixture(scope="module")
def keeper() -> Host:
    return machine("receiver-keeper")


def machine(name: str) -> Host:
    (found,) = testinfra.get_hosts([f"ansible://{name}"], ansible_inventory=INVENTORY, sudo=True)
    return found


def play(*arguments: str) -> None:
    subprocess.run(["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/converge.yml", *arguments], check=True)


def sql(server: Host, statement: str) -> str:
    return str(server.check_output(f'echo "{statement}" | timeout 60 fleet-pg'))


def waits_for(server: Host) -> str:
    return sql(server, "SHOW synchronous_standby_names")


def status(host: Host) -> dict[str, Any]:
    return dict(json.loads(host.file(STATUS).content_string)["sources"]["database"])


def until(what: str, met: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(1)


def test_commits_wait_for_it_once_it_receives(server: Host, keeper: Host) -> None:
    until("commits wait", lambda: waits_for(server) == RECEIVER)
    until("the status says so", lambda: status(server).get("waits_for_receiver") is True)
    assert status(keeper)["receiving"] is True
    assert status(keeper)["problems"] == []
    assert sql(server, f"SELECT sync_state FROM pg_stat_replication WHERE application_name = '{RECEIVER}'") == "sync"


def test_no_secret_is_a_word_of_a_command(keeper: Host) -> None:
    processes = keeper.check_output("ps axww -o args; docker inspect $(docker ps -q)")
    assert "pg_receivewal" in processes
    assert "$ecret" not in processes
    assert keeper.file("/etc/slipway/backup/fleet/receiver/database.password").mode == 0o600


def test_a_receiver_that_is_gone_is_waited_for_a_while_and_that_is_told(server: Host, keeper: Host) -> None:
    keeper.check_output(f"systemctl stop {UNIT}")
    begun = time.monotonic()
    sql(server, "INSERT INTO trips (note) VALUES ('alone')")
    # It was waited for, no longer than the patience and what it takes to notice.
    assert 4 < time.monotonic() - begun < 40
    assert waits_for(server) == ""
    until("it is told", lambda: "on this host alone" in " ".join(status(server)["problems"]))
    assert status(server)["waits_for_receiver"] is False
    keeper.check_output(f"systemctl start {UNIT}")
    until("commits wait again", lambda: waits_for(server) == RECEIVER)
    until("nothing is told any more", lambda: status(server)["problems"] == [])


def test_nothing_confirmed_is_lost_with_the_server_and_its_disk(server: Host, keeper: Host) -> None:
    server.check_output("slipway backup run 2>&1")
    # From now on the server's own host sends nothing.
    server.check_output(f"systemctl stop {UNIT}")
    server.check_output(WRITE)
    confirmed = [int(line) for line in server.file("/root/confirmed").content_string.split()]
    assert len(confirmed) > 200

    def all_sent() -> bool:
        found = status(keeper)
        (repository,) = found["repositories"].values()
        return not found["receiving"] and repository["unsent_objects"] == 0

    until("the receiver has sent what it had", all_sent)
    server.check_output("slipway restore --confirm fleet 2>&1")
    found = [
        int(line)
        for line in sql(server, "SELECT substr(note, 6) FROM trips WHERE note LIKE 'late %' ORDER BY id").split()
    ]
    assert found[: len(confirmed)] == confirmed
    # One more may have been under way.
    assert len(found) - len(confirmed) in (0, 1)


def test_the_restored_server_is_received_from_as_before(server: Host, keeper: Host) -> None:
    server.check_output(f"systemctl start {UNIT}")
    until("commits wait", lambda: waits_for(server) == RECEIVER and status(keeper)["receiving"] is True, 90)
    assert sql(server, "INSERT INTO trips (note) VALUES ('after') RETURNING note") == "after"


def test_one_that_is_not_wanted_any_more_leaves_nothing(server: Host, keeper: Host) -> None:
    play("-e", '{"backup_log_receivers": [], "receiver_state": "absent"}')
    assert not keeper.service(UNIT).is_running
    assert not keeper.file("/etc/slipway/backup/fleet").exists
    until("commits wait for nobody", lambda: waits_for(server) == "")
    until(
        "its slot is gone",
        lambda: sql(server, f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{SLOT}'") == "0",
    )

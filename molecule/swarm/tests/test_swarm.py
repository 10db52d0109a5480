"""A Swarm through its life: made, closed to others, changed safely, backed up, brought back when its quorum is lost."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
KEY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "swarm.key"
ARCHIVE = "/root/kept.tar.gz"
UNLOCKED = ("-e", '{"swarm_autolock": false}')


@pytest.fixture(scope="module")
def hosts() -> dict[str, Host]:
    found = testinfra.get_hosts(["ansible://all"], ansible_inventory=INVENTORY, sudo=True)
    return {host.backend.host.removeprefix("swarm-"): host for host in found}


def play(book: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/{book}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"},
    )


def converge(*arguments: str) -> subprocess.CompletedProcess[str]:
    return play("converge.yml", "-e", '{"scenario_firewall": false}', *arguments)


def recover(*arguments: str) -> subprocess.CompletedProcess[str]:
    return play("recover.yml", "-e", f"@{SCENARIO}/vars/scenario.yml", *UNLOCKED, *arguments)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """All output in one line: Ansible folds it."""
    return " ".join((done.stdout + done.stderr).split())


def nodes(host: Host) -> dict[str, dict[str, Any]]:
    shown = host.run("docker node inspect $(docker node ls -q)")
    found = json.loads(shown.stdout) if shown.rc == 0 else []
    return {node["Description"]["Hostname"].removeprefix("swarm-"): node for node in found}


def managers(host: Host) -> set[str]:
    return {
        name for name, node in nodes(host).items() if node.get("ManagerStatus", {}).get("Reachability") == "reachable"
    }


def address(host: Host) -> str:
    return str(host.check_output("docker info -f '{{.Swarm.NodeAddr}}'"))


def is_open(where: str, port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex((where, port)) == 0


def wait_for(question: Callable[[], Any], seconds: float = 180) -> Any:
    give_up_at = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < give_up_at, "it did not come about in time"
        time.sleep(0.5)
    return answer


def web_ports(host: Host) -> dict[str, int]:
    """The port of the web's task on each node."""
    shown = host.run("docker service ps web --filter desired-state=running --format '{{.Node}} {{.Ports}}'").stdout
    return {
        name.removeprefix("swarm-"): int(port) for name, port in re.findall(r"^(\S+) \S*?:(\d+)->", shown, re.MULTILINE)
    }


def answers(host: Host, where: str, port: int) -> bool:
    return bool(host.run(f"curl --silent --fail --max-time 2 -o /dev/null http://{where}:{port}/bin/busybox").rc == 0)


def test_all_are_managers_with_their_labels(hosts: dict[str, Host]) -> None:
    wait_for(lambda: managers(hosts["one"]) == {"one", "two", "three"})
    assert {name: node["Spec"]["Labels"]["zone"] for name, node in nodes(hosts["one"]).items()} == {
        name: name for name in hosts
    }
    spec = json.loads(hosts["one"].check_output("docker info -f '{{json .Swarm.Cluster.Spec}}'"))
    assert spec["Orchestration"]["TaskHistoryRetentionLimit"] == 2
    assert spec["EncryptionConfig"]["AutoLockManagers"]


def test_keys_and_tokens_are_in_no_log(hosts: dict[str, Host]) -> None:
    assert KEY.stat().st_mode & 0o777 == 0o600
    assert KEY.read_text().strip() == hosts["one"].check_output("docker swarm unlock-key -q")
    for host in hosts.values():
        assert host.check_output("journalctl --quiet --no-pager | grep -cE 'SWMTK[N]-|SWMKE[Y]-' || true") == "0"


def test_ports_are_open_between_members_alone(hosts: dict[str, Host]) -> None:
    hosts["one"].check_output(
        "docker service create --quiet --detach --name web --mode global --endpoint-mode dnsrr"
        " --publish mode=host,target=80 scenario/web /bin/busybox httpd -f -p 80 -h /"
    )
    ports = wait_for(lambda: found if len(found := web_ports(hosts["one"])) == len(hosts) else None)
    for name, host in hosts.items():
        where = address(host)
        closed = [2377, 7946, ports[name]]
        assert [port for port in closed if is_open(where, port)] == [], f"{name} is open to a machine outside"
        for other in hosts.values():
            wait_for(lambda: answers(other, where, ports[name]))  # noqa: B023 - asked before the next turn
    assert hosts["one"].run(f"curl --silent --max-time 2 http://{address(hosts['two'])}:2377").rc != 28


def test_a_worker_that_is_drained_has_no_task_left(hosts: dict[str, Host]) -> None:
    hosts["one"].check_output(
        "docker service create --quiet --detach --name moving --replicas 3 scenario/web /bin/busybox sleep 1000"
    )
    wait_for(lambda: hosts["one"].check_output("docker service ls -f name=moving --format '{{.Replicas}}'") == "3/3")
    chosen = "inventory_hostname == 'swarm-three'"
    wish = {
        "swarm_role": f"{{{{ 'worker' if {chosen} else 'manager' }}}}",
        "swarm_availability": f"{{{{ 'drain' if {chosen} else 'active' }}}}",
    }
    done = converge("-e", json.dumps(wish))
    assert done.returncode == 0, said(done)
    assert "2 managers stand the loss of 0" in said(done)
    wait_for(lambda: managers(hosts["one"]) == {"one", "two"})
    assert hosts["three"].check_output("docker ps -q") == ""
    assert hosts["one"].check_output("docker service ls -f name=moving --format '{{.Replicas}}'") == "3/3"
    hosts["one"].check_output("docker service rm moving")
    done = converge()
    assert done.returncode == 0, said(done)
    wait_for(lambda: managers(hosts["one"]) == {"one", "two", "three"})


def test_a_manager_that_the_quorum_needs_is_not_demoted(hosts: dict[str, Host]) -> None:
    hosts["three"].check_output("systemctl stop docker.socket docker.service")
    wait_for(lambda: managers(hosts["one"]) == {"one", "two"})
    wish = {"swarm_role": "{{ 'worker' if inventory_hostname == 'swarm-two' else 'manager' }}"}
    done = converge("--limit", "swarm-one,swarm-two", "-e", json.dumps(wish))
    assert done.returncode == 2, said(done)
    assert "swarm-two: is not taken from the managers: 1 of 2 managers would be left reachable" in said(done)
    wait_for(lambda: managers(hosts["one"]) == {"one", "two"})


def test_a_locked_manager_is_opened_and_the_lock_taken_off(hosts: dict[str, Host]) -> None:
    hosts["three"].check_output("systemctl start docker.service")
    wait_for(lambda: "locked" in hosts["three"].check_output("docker info -f '{{.Swarm.LocalNodeState}}'"))
    done = converge(*UNLOCKED)
    assert done.returncode == 0, said(done)
    wait_for(lambda: managers(hosts["one"]) == {"one", "two", "three"})
    assert KEY.read_text().strip() not in done.stdout + done.stderr
    assert hosts["one"].run("docker swarm unlock-key -q").stdout.strip() == ""


def test_a_backup_says_what_is_in_it_and_stops_nobody(hosts: dict[str, Host]) -> None:
    host = hosts["three"]
    host.check_output("echo hello | docker config create greeting -")
    started = host.check_output("docker inspect -f '{{.State.StartedAt}}' $(docker ps -q)")
    report = json.loads(host.check_output("slipway swarm backup --json"))
    assert report["counts"] == {"services": 1, "configs": 1, "secrets": 0}
    assert report["raft"]["index"] > 10
    assert report["away_seconds"] < 5
    assert host.file(report["path"]).mode == 0o600
    assert host.check_output("docker inspect -f '{{.State.StartedAt}}' $(docker ps -q)") == started
    host.check_output(f"cp {report['path']} {ARCHIVE}")
    refused = host.run("slipway swarm backup --method stop")
    assert (refused.rc, "drain it first" in refused.stderr) == (1, True)


def test_a_healthy_swarm_is_not_recovered() -> None:
    assert "the managers have their quorum, and there is nothing to recover" in said(recover())


def test_a_lost_quorum_comes_back(hosts: dict[str, Host]) -> None:
    left = hosts["three"]
    left.check_output("docker node update --label-add foreign=kept swarm-three")
    port = web_ports(left)["three"]
    # Dead to all others, and yet there: the lab would give the address of one that is gone to the next host.
    die = "systemctl mask --runtime docker.socket docker.service; systemctl kill --signal=KILL docker.service"
    for name in ("one", "two"):
        hosts[name].check_output(f"{die}; systemctl stop ssh.service")
    wait_for(lambda: left.run("docker node ls").rc != 0)
    assert answers(left, address(left), port), "what runs goes on without managers"
    plan = recover()
    assert plan.returncode == 2
    assert "swarm-three: make it the only manager, from its raft" in said(plan)
    assert "swarm-one: does not answer" in said(plan)
    assert "nothing was touched" in said(plan)
    done = recover("-e", "swarm_recover_confirm=swarm-three")
    assert done.returncode == 0, said(done)
    wait_for(lambda: managers(left) == {"three"})
    assert set(nodes(left)) == {"three"}, "managers that are lost are removed, so that they cannot come back as such"
    labels = nodes(left)["three"]["Spec"]["Labels"]
    assert (labels["zone"], labels["foreign"]) == ("three", "kept")
    assert left.check_output("docker config ls --format '{{.Name}}'") == "greeting"
    wait_for(lambda: answers(left, address(left), web_ports(left).get("three", 1)))


def test_a_swarm_without_any_manager_comes_back_from_the_backup(hosts: dict[str, Host]) -> None:
    left = hosts["three"]
    left.check_output("docker swarm leave --force")
    wish = ["-e", "swarm_recover_seed=swarm-three", "-e", f"swarm_recover_archive={ARCHIVE}"]
    done = recover(*wish, "-e", "swarm_recover_confirm=swarm-three")
    assert done.returncode == 0, said(done)
    wait_for(lambda: managers(left) == {"three"})
    assert left.check_output("docker config ls --format '{{.Name}}'") == "greeting"
    wait_for(lambda: answers(left, address(left), web_ports(left).get("three", 1)))

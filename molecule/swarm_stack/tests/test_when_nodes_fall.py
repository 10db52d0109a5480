"""What managers agree on, and what proxies make of it, when proxies, jobs and nodes fall. With a stack of its own."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

UPSTREAM = "/etc/nginx/slipway/upstreams/slipway_follow_web_8000.conf"
SERVICE = (
    "docker service create --quiet --detach --name follow_web-r1 --replicas 3 --replicas-max-per-node 1 "
    "--endpoint-mode dnsrr --publish mode=host,target=8000 --stop-signal SIGKILL try/swarm:store"
)
# The host program is a module too: these tests do what a release does.
PROGRAM = """
import json, os, sys, time
sys.path.insert(0, "/usr/local/bin/slipway")
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import RaftGateway
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import Following, Serving
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import JOURNAL, ClusterState
gateway = RaftGateway.connect()
state = ClusterState(gateway, "follow")
"""
HOLD = """
with cluster_lease(state, "the first", 4, 60) as held:
    print(held.fencing, flush=True)
    time.sleep({seconds})
    try:
        state.write({{JOURNAL: "{{}}"}})
        print("written", flush=True)
    except LeaseLost as error:
        print("lost", error, flush=True)
"""
TAKE = """
begun = time.monotonic()
with cluster_lease(state, "the next", 4, 90) as held:
    print(json.dumps([held.fencing, time.monotonic() - begun]))
"""


@pytest.fixture(scope="module")
def hosts() -> list[Host]:
    inventory = os.environ["MOLECULE_INVENTORY_FILE"]
    found = testinfra.get_hosts(["ansible://all"], ansible_inventory=inventory, sudo=True)
    return sorted(found, key=lambda host: str(host.backend.host))


def script(host: Host, code: str) -> str:
    result = host.run("python3 -c %s", PROGRAM + code)
    assert result.rc == 0, result.stderr
    return str(result.stdout)


def servers(host: Host) -> list[str]:
    return re.findall(r"^    server (\S+);$", host.run(f"cat {UPSTREAM}").stdout, re.MULTILINE)


def status(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.check_output("slipway upstreams status --json"))["follow"]
    return found


def until(seconds: float, there: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def stop_engine(host: Host) -> None:
    host.check_output("systemctl stop docker.socket docker")


def start_engine(host: Host) -> None:
    host.check_output("systemctl start docker")


def whole(hosts: list[Host]) -> bool:
    """Every proxy sends requests to a task on each node."""
    return all(len(servers(host)) == len(hosts) for host in hosts)


@pytest.fixture(scope="module", autouse=True)
def stack(hosts: list[Host]) -> Iterator[None]:
    for host in hosts:
        host.check_output("systemctl restart slipway-upstreams")
    hosts[0].check_output(SERVICE)
    code = """
identity = gateway.service("follow_web-r1")["ID"]
with cluster_lease(state, "release", 60, 60):
    serving = Serving(state, gateway)
    serving.await_acknowledged(serving.set({"web": {identity: 1}}), 60)
"""
    script(hosts[0], code)
    until(90, lambda: whole(hosts), "no proxy serves the tasks")
    yield
    for host in hosts:
        start_engine(host)
    until(120, lambda: hosts[0].run("docker config rm slipway-follow").rc == 0, "the Swarm did not come back")
    hosts[0].run("docker service rm follow_web-r1")


def test_a_switch_is_acknowledged_by_every_proxy(hosts: list[Host]) -> None:
    """Each generation changes the files, so nginx reloads everywhere; some tenths of a second on a quiet machine."""
    code = """
identity = gateway.service("follow_web-r1")["ID"]
took = []
with cluster_lease(state, "release", 60, 60):
    serving = Serving(state, gateway)
    for weight in (2, 3, 2, 3, 1):
        begun = time.monotonic()
        reports = serving.await_acknowledged(serving.set({"web": {identity: weight}}), 60)
        took.append(time.monotonic() - begun)
print(json.dumps([len(reports), sorted(took)[len(took) // 2]]))
"""
    proxies, median = json.loads(script(hosts[0], code))
    assert proxies == len(hosts)
    assert median < 5, "the proxies did not hear of the switch, they found it when they looked the next time"
    found = status(hosts[-1])
    assert {each["generation"] for each in found["proxies"]} == {found["generation"]}


def test_a_proxy_that_starts_anew_reads_everything(hosts: list[Host]) -> None:
    proxy = hosts[-1]
    before = servers(proxy)
    proxy.check_output(f"systemctl stop slipway-upstreams; sed -i 's/server 1.*;/server 127.0.0.1:9 down;/' {UPSTREAM}")
    assert servers(proxy) == []
    proxy.check_output("systemctl start slipway-upstreams")
    until(30, lambda: servers(proxy) == before, "the file was not written again")


@pytest.mark.long
def test_the_lease_of_a_killed_job(hosts: list[Host]) -> None:
    """On its own node it is free at once, for another node when its heartbeat has stood still for the TTL of 4 s."""
    fencing = []
    for taker, least in ((hosts[1], 0.0), (hosts[0], 4.0)):
        hosts[1].run("rm -f /root/hold")
        hosts[1].run(
            "nohup python3 -c %s > /root/hold 2>&1 & echo $! > /root/hold.pid", PROGRAM + HOLD.format(seconds=600)
        )
        until(60, lambda: hosts[1].run("cat /root/hold").stdout != "", "the first never got the lease")
        hosts[1].check_output("kill -9 $(cat /root/hold.pid)")
        number, seconds = json.loads(script(taker, TAKE))
        assert seconds >= least
        fencing += [int(hosts[1].check_output("cat /root/hold")), number]
    assert fencing == list(range(fencing[0], fencing[0] + 4))


@pytest.mark.long
def test_an_overtaken_job_writes_nothing(hosts: list[Host]) -> None:
    hosts[1].run("rm -f /root/hold")
    hosts[1].run("nohup python3 -c %s > /root/hold 2>&1 & echo $! > /root/hold.pid", PROGRAM + HOLD.format(seconds=20))
    until(60, lambda: hosts[1].run("cat /root/hold").stdout != "", "the first never got the lease")
    hosts[1].check_output("kill -STOP $(cat /root/hold.pid)")
    script(hosts[0], TAKE)
    hosts[1].check_output("kill -CONT $(cat /root/hold.pid)")
    until(60, lambda: "lost" in hosts[1].run("cat /root/hold").stdout, "the first was not told")
    assert "lease follow: lost to another job; nothing more is changed" in hosts[1].check_output("cat /root/hold")
    assert json.loads(script(hosts[2], "print(json.dumps(JOURNAL in state.read()))")) is False


@pytest.mark.long
def test_a_node_that_falls_leaves_the_upstreams_and_comes_back(hosts: list[Host]) -> None:
    stop_engine(hosts[2])
    until(120, lambda: [len(servers(host)) for host in hosts[:2]] == [2, 2], "its task is still in the upstreams")
    down = hosts[2].backend.host
    assert [each["ready"] for each in status(hosts[0])["proxies"] if each["node"] == down] == [False]
    start_engine(hosts[2])
    until(180, lambda: whole(hosts), "its task did not come back")


@pytest.mark.long
def test_without_a_majority_of_the_managers_nothing_changes(hosts: list[Host]) -> None:
    try:
        for host in hosts[1:]:
            stop_engine(host)
        until(120, lambda: "have a leader" in asked(hosts[0]), "there is a leader")
        before = servers(hosts[0])
        time.sleep(10)
        assert servers(hosts[0]) == before != []
    finally:
        for host in hosts[1:]:
            start_engine(host)
    # Who was away reads it all again and follows what comes next.
    until(240, lambda: asked(hosts[0]) == "", "no leader was found again")
    code = """
identity = gateway.service("follow_web-r1")["ID"]
with cluster_lease(state, "release", 60, 60):
    serving = Serving(state, gateway)
    print(len(serving.await_acknowledged(serving.set({"web": {identity: 4}}), 180)))
"""
    assert int(script(hosts[0], code)) == len(hosts)
    assert all(" weight=4" in host.check_output(f"cat {UPSTREAM}") for host in hosts)


def test_a_service_that_somebody_removed_closes(hosts: list[Host]) -> None:
    hosts[0].check_output("docker service rm follow_web-r1")
    for host in hosts:
        until(60, lambda host=host: "down;" in host.run(f"cat {UPSTREAM}").stdout, "it is still in the upstreams")


def asked(host: Host) -> str:
    return str(host.run("slipway upstreams status").stderr)

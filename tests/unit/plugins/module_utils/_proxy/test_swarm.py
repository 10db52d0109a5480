from __future__ import annotations

import json
import queue
from collections.abc import Mapping
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import ProxyError
from ansible_collections.slipway.ops.plugins.module_utils._proxy.swarm import (
    IDLE_SECONDS,
    NO_PORT,
    TASKS_SECONDS,
    UNTOLD_SECONDS,
    Agent,
    host_ports,
    node_address,
    published_ports,
    serving_tasks,
)
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import NotManager, Unavailable
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.serving import (
    PROXY_LABEL,
    Following,
    Served,
    Serving,
    merged,
    report_label,
)
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import ClusterState

from .._raft.fake import Clock, Raft

FILE = "slipway_t_web_80.conf"


class Log:
    def __init__(self) -> None:
        self.answers: list[Answer] = []

    def read(self) -> list[Answer]:
        found, self.answers = self.answers, []
        return found


class Proxy:
    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.reloads = 0
        self.broken = ""
        self.busy = False
        self.log = Log()
        self.followed = 0

    def names(self) -> list[str]:
        return sorted(self.files)

    def read(self, names: list[str]) -> dict[str, str]:
        return {name: self.files[name] for name in names if name in self.files}

    def apply(self, upstreams: Mapping[str, str]) -> bool:
        if all(self.files.get(name, "") == content for name, content in upstreams.items()):
            return False
        if self.broken:
            raise ProxyError(self.broken)
        self.files = {name: content for name, content in {**self.files, **upstreams}.items() if content}
        self.reloads += 1
        return True

    def draining(self) -> bool:
        return self.busy

    def follow(self) -> Log:
        self.followed += 1
        self.log = Log()
        return self.log

    def servers(self, name: str = FILE) -> list[str]:
        return [line.strip()[7:-1] for line in self.files[name].splitlines() if line.strip().startswith("server ")]


def add_service(raft: Raft, service: str, *ports: int) -> None:
    listed = [{"Protocol": "tcp", "TargetPort": port, "PublishMode": "host"} for port in ports]
    raft.services[service] = {"ID": service, "Spec": {"EndpointSpec": {"Mode": "dnsrr", "Ports": listed}}}


def add_task(
    raft: Raft, service: str, node: str, published: int, state: str = "running", port: int = 80
) -> dict[str, Any]:
    entry = {"Protocol": "tcp", "TargetPort": port, "PublishedPort": published, "PublishMode": "host"}
    task: dict[str, Any] = {
        "ID": f"{service}-{published}",
        "ServiceID": service,
        "NodeID": node,
        "Slot": len(raft.tasks) + 1,
        "DesiredState": "running",
        "Status": {"State": state, "PortStatus": {"Ports": [entry, entry]}},
    }
    raft.tasks.append(task)
    return task


def serve(raft: Raft, serving: Served, stack: str = "t", **more: Any) -> int:
    state = ClusterState(raft.gateway(), stack)
    with cluster_lease(state, "release"):
        return Serving(state, raft.gateway()).set(serving, **more)


def told(raft: Raft, node: str = "n1", stack: str = "t") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(raft.nodes[node]["Spec"]["Labels"][report_label(stack)])
    return found


@pytest.fixture
def raft() -> Raft:
    return Raft()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def agent(raft: Raft, proxy: Proxy, said: list[str], clock: Clock) -> Agent:
    raft.add_node("n1", {PROXY_LABEL: "true", "other": "stays"})
    raft.add_node("n2")
    add_service(raft, "web1", 80)
    add_service(raft, "web2", 80)
    return Agent(raft.gateway("n1"), proxy, said.append, clock.monotonic)


def test_servers_are_running_tasks_of_what_serves(raft: Raft, agent: Agent, proxy: Proxy, said: list[str]) -> None:
    add_task(raft, "web1", "n2", 30002)
    add_task(raft, "web1", "n1", 30001)
    add_task(raft, "web1", "n1", 30003, "starting")
    add_task(raft, "web2", "n1", 30004)
    add_task(raft, "web1", "n1", 30005)["DesiredState"] = "shutdown"
    assert serve(raft, {"web": {"web1": 1}}) == 1
    assert agent.step() == (TASKS_SECONDS, {"t": "changed"})
    assert proxy.servers() == ["10.0.0.2:30002", "10.0.0.1:30001"]
    assert told(raft) == {"generation": 1, "draining": False}
    assert raft.nodes["n1"]["Spec"]["Labels"]["other"] == "stays"
    assert said == ["t: upstreams changed, nginx reloaded"]
    writes = raft.writes
    assert agent.step() == (TASKS_SECONDS, {"t": "unchanged"})
    assert raft.writes == writes
    assert proxy.reloads == 1


def test_the_other_nodes_that_requests_go_to(raft: Raft, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[Mapping[str, frozenset[int]]] = []
    monkeypatch.setattr(agent, "_meet", met.append)
    for node, port in (("n1", 30001), ("n2", 30002), ("n2", 30003)):
        add_task(raft, "web1", node, port)
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    assert met == [{"10.0.0.2": frozenset([30002, 30003])}]


def test_the_next_generation_is_acknowledged_also_where_no_file_changes(raft: Raft, agent: Agent) -> None:
    add_task(raft, "web1", "n1", 30001)
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    serve(raft, {"web": {"web1": 1, "web2": 1}})
    assert agent.step()[1] == {"t": "unchanged"}
    assert told(raft)["generation"] == 2


def test_old_requests_are_told_until_they_end(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    add_task(raft, "web1", "n1", 30001)
    serve(raft, {"web": {"web1": 1}})
    proxy.busy = True
    assert agent.step()[0] < TASKS_SECONDS
    assert told(raft)["draining"] is True
    proxy.busy = False
    agent.step()
    assert told(raft)["draining"] is False


def test_shares_and_weights(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    add_task(raft, "web1", "n1", 30001)
    add_task(raft, "web2", "n2", 30002)
    serve(raft, {"web": {"web1": 3}}, following={"web": Following(("web2",), 0.1, "7", cookie="try=yes")})
    agent.step()
    text = proxy.files[FILE]
    assert "server 10.0.0.1:30001 weight=3;" in text
    assert "upstream slipway_t_web_80_next" in text
    assert '"7$remote_addr"' in text
    assert "10.00% 1;" in text
    assert "$cookie_try" in text
    assert "slipway_t_web_80.share" in proxy.files
    serve(raft, {"web": {"web2": 1}})
    agent.step()
    assert proxy.servers() == ["10.0.0.2:30002"]
    assert "slipway_t_web_80.share" not in proxy.files


def test_a_closed_service_keeps_its_files_without_servers(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    add_task(raft, "web1", "n1", 30001)
    proxy.files["slipway_t_web_80_other_443.conf"] = "of another service"
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    serve(raft, {"web": {}})
    assert agent.step()[1] == {"t": "changed"}
    assert proxy.servers() == ["127.0.0.1:9 down"]
    assert proxy.files["slipway_t_web_80_other_443.conf"] == "of another service"


def test_tasks_on_a_lost_node_are_left_out(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    add_task(raft, "web1", "n1", 30001)
    add_task(raft, "web1", "n2", 30002)
    serve(raft, {"web": {"web1": 1}})
    raft.nodes["n2"]["Status"]["State"] = "unknown"
    agent.step()
    assert len(proxy.servers()) == 2
    raft.nodes["n2"]["Status"]["State"] = "down"
    agent.step()
    assert proxy.servers() == ["10.0.0.1:30001"]


def test_but_not_when_there_would_be_none(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    add_task(raft, "web1", "n2", 30002)
    serve(raft, {"web": {"web1": 1}})
    raft.nodes["n2"]["Status"]["State"] = "down"
    agent.step()
    assert proxy.servers() == ["10.0.0.2:30002"]


@pytest.fixture
def others(raft: Raft) -> Agent:
    return Agent(raft.gateway("n2"), Proxy(), lambda _line: None)


def test_a_port_that_the_managers_lack_is_told_by_the_proxy_beside_the_task(
    raft: Raft, agent: Agent, proxy: Proxy, others: Agent
) -> None:
    raft.nodes["n2"]["Spec"]["Labels"] = {PROXY_LABEL: "true"}
    add_task(raft, "web1", "n1", 30001)
    task = add_task(raft, "web1", "n2", 30002)
    raft.containers[task["ID"]] = task["Status"]["PortStatus"]["Ports"]
    task["Status"]["PortStatus"] = {}
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    assert proxy.servers() == ["10.0.0.1:30001"]
    others.step()
    assert told(raft, "n2")["ports"] == {task["ID"]: raft.containers[task["ID"]]}
    agent.step()
    assert proxy.servers() == ["10.0.0.1:30001", "10.0.0.2:30002"]
    task["Status"]["PortStatus"] = {"Ports": raft.containers[task["ID"]]}
    others.step()
    assert "ports" not in told(raft, "n2")
    agent.step()
    assert proxy.servers() == ["10.0.0.1:30001", "10.0.0.2:30002"]


def test_a_port_that_the_managers_forget_is_kept(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    task = add_task(raft, "web1", "n2", 30002)
    add_task(raft, "web1", "n1", 30003, "starting")["Status"]["PortStatus"] = {}
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    reloads = proxy.reloads
    task["Status"]["PortStatus"] = {}
    agent.step()
    agent.step()
    assert (proxy.servers(), proxy.reloads) == (["10.0.0.2:30002"], reloads)


def test_a_port_that_nobody_tells_is_said_once(raft: Raft, agent: Agent, said: list[str], clock: Clock) -> None:
    task = add_task(raft, "web1", "n2", 30002)
    task["Status"]["PortStatus"] = {}
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    clock.sleep(UNTOLD_SECONDS)
    said.clear()
    for _each in range(2):
        agent.step()
    assert said == [f"{task['ID']}: {NO_PORT.format(node='n2')}"]


def test_what_nginx_refuses_is_told_and_other_stacks_go_on(
    raft: Raft, agent: Agent, proxy: Proxy, said: list[str]
) -> None:
    add_task(raft, "web1", "n1", 30001)
    serve(raft, {"web": {"web1": 1}})
    proxy.broken = "nginx did not take the new upstreams"
    for _each in range(2):
        assert agent.step()[1] == {"t": "nginx did not take the new upstreams"}
    assert told(raft) == {"generation": 0, "draining": False, "problem": "nginx did not take the new upstreams"}
    assert said == ["t: nginx did not take the new upstreams"]
    proxy.broken = ""
    agent.step()
    assert told(raft) == {"generation": 1, "draining": False}


def test_answers_are_counted_while_a_release_asks(raft: Raft, agent: Agent, proxy: Proxy, clock: Clock) -> None:
    add_task(raft, "web1", "n1", 30001)
    add_task(raft, "web2", "n2", 30002)
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    assert proxy.followed == 0
    serve(raft, {"web": {"web1": 1, "web2": 1}}, judging="7")
    agent.step()
    assert proxy.followed == 1
    proxy.log.answers += [Answer("10.0.0.2:30002", 500, 0.1), Answer("10.0.0.1:30001", 200, 0.1), Answer("x:1", 500, 1)]
    agent.step()
    assert told(raft)["tallies"] == {}, "each telling is an event for all: not more than one a second"
    clock.now += 1
    agent.step()
    reports = Serving(ClusterState(raft.gateway(), "t"), raft.gateway()).reports()
    assert {each: (tally.answers, tally.errors) for each, tally in merged(reports, "7").items()} == {
        "web1": (1, 0),
        "web2": (1, 1),
    }
    assert merged(reports, "6") == {}
    # What is not to serve any more may still answer.
    serve(raft, {"web": {"web2": 1}}, judging="7")
    proxy.log.answers.append(Answer("10.0.0.1:30001", 200, 0.1))
    clock.now += 1
    agent.step()
    assert told(raft)["tallies"]["web1"]["answers"] == 2
    serve(raft, {"web": {"web2": 1}})
    agent.step()
    assert told(raft) == {"generation": 4, "draining": False}


def test_it_costs_nothing_elsewhere(raft: Raft, proxy: Proxy, said: list[str]) -> None:
    """Not a manager, or a manager without the label."""
    serve(raft, {"web": {"web1": 1}})
    assert Agent(raft.gateway(""), proxy, said.append).step() == (IDLE_SECONDS, {})
    raft.add_node("n1", {PROXY_LABEL: "false"})
    assert Agent(raft.gateway("n1"), proxy, said.append).step() == (IDLE_SECONDS, {})
    assert proxy.files == {}
    assert said == []


def test_a_proxy_with_nothing_to_serve_looks_again_soon(raft: Raft, agent: Agent) -> None:
    """A leader that has just come up may have told it nothing yet, and no event follows."""
    assert agent.step() == (TASKS_SECONDS, {})
    del raft.nodes["n1"]
    assert agent.step() == (TASKS_SECONDS, {})


def test_labels_of_stacks_that_are_gone_go(raft: Raft, agent: Agent) -> None:
    raft.nodes["n1"]["Spec"]["Labels"][report_label("gone")] = "{}"
    agent.step()
    assert raft.nodes["n1"]["Spec"]["Labels"] == {PROXY_LABEL: "true", "other": "stays"}


def test_somebody_else_writes_the_nodes_labels(raft: Raft, agent: Agent) -> None:
    add_task(raft, "web1", "n1", 30001)
    serve(raft, {"web": {"web1": 1}})

    def theirs() -> None:
        gateway = raft.gateway()
        found = gateway.node("n1")
        gateway.update_node(found, {**found["Spec"]["Labels"], "theirs": "1"})

    raft.write_meets = theirs
    agent.step()
    assert raft.nodes["n1"]["Spec"]["Labels"]["theirs"] == "1"
    assert told(raft)["generation"] == 1


def test_without_a_leader_everything_stays(
    raft: Raft, agent: Agent, proxy: Proxy, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add_task(raft, "web1", "n1", 30001)
    serve(raft, {"web": {"web1": 1}})
    agent.step()
    said.clear()
    before = dict(proxy.files)

    def lost() -> list[dict[str, Any]]:
        raise Unavailable("nodes: no leader")

    with monkeypatch.context() as patch:
        patch.setattr(agent._gateway, "nodes", lost)
        for _each in range(3):
            assert agent._guarded_step() == TASKS_SECONDS
    assert said == ["upstreams stay as they are: nodes: no leader"]
    assert proxy.files == before
    raft.tasks.clear()
    add_task(raft, "web1", "n2", 30009)
    agent._guarded_step()
    assert proxy.servers() == ["10.0.0.2:30009"]


def test_who_is_no_manager_any_more_says_nothing(
    agent: Agent, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def demoted() -> list[dict[str, Any]]:
        raise NotManager("nodes: not a swarm manager")

    monkeypatch.setattr(agent._gateway, "nodes", demoted)
    assert agent._guarded_step() == IDLE_SECONDS
    assert said == []


def test_it_runs_until_the_events_end(raft: Raft, agent: Agent, proxy: Proxy) -> None:
    add_task(raft, "web1", "n1", 30001)
    serve(raft, {"web": {"web1": 1}})
    events: queue.Queue[bool] = queue.Queue()
    for each in (True, True, False):
        events.put(each)
    agent.run(events)
    assert proxy.servers() == ["10.0.0.1:30001"]


@pytest.mark.parametrize(
    ("status", "manager", "expected"),
    [
        ("10.0.0.5", "", "10.0.0.5"),
        ("0.0.0.0", "10.0.0.6:2377", "10.0.0.6"),
        ("127.0.0.1", "[fd00::6]:2377", "[fd00::6]"),
        ("fd00::5", "", "[fd00::5]"),
    ],
)
def test_addresses_of_nodes(status: str, manager: str, expected: str) -> None:
    assert node_address({"Status": {"Addr": status}, "ManagerStatus": {"Addr": manager}}) == expected


@pytest.mark.parametrize(("ipv6", "expected"), [(False, {80: 32783, 81: 32785}), (True, {80: 32781, 81: 32785})])
def test_each_family_may_have_a_port_of_its_own(ipv6: bool, expected: dict[int, int]) -> None:
    told = [(80, 32783, "tcp"), (80, 32781, "tcp"), (81, 32785, "tcp"), (53, 32786, "udp")]
    ports = [
        {"TargetPort": target, "PublishedPort": published, "Protocol": protocol, "PublishMode": "host"}
        for target, published, protocol in told
    ]
    assert host_ports({"Status": {"PortStatus": {"Ports": ports}}}, ipv6) == expected
    assert host_ports({"Status": {}}, ipv6) == {}


def test_ports(raft: Raft) -> None:
    listed = [
        {"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"},
        {"Protocol": "tcp", "TargetPort": 443, "PublishMode": "ingress"},
        {"Protocol": "udp", "TargetPort": 53, "PublishMode": "host"},
    ]
    assert published_ports({"Spec": {"EndpointSpec": {"Ports": listed}}}) == [80]
    assert published_ports({"Spec": {}}) == []
    assert serving_tasks([add_task(raft, "web1", "gone", 30001)], []) == []

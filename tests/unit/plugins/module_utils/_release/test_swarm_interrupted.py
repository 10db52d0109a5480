"""What a Swarm's release that died leaves, and what the next one makes of it; nodes that are drained or down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Records
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

from .swarm_world import Cluster, Killed, document


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def dies(*_arguments: Any) -> None:
    raise Killed


def test_a_first_release_killed_at_its_end_goes_on_serving(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Records, "write_deployed", dies)
        with pytest.raises(Killed):
            cluster.release(document()).present(check=False)
    names = cluster.swarm.names()
    cluster.swarm.calls.clear()
    cluster.release(document()).present(check=False)
    assert cluster.swarm.names() == names
    assert [call for call in cluster.swarm.calls if call.startswith(("create", "remove"))] == []


def test_a_proxy_that_does_not_follow_is_asked_again_by_the_next_run(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Going back after a killed release: what a proxy still asks must not be removed."""
    cluster.release(document("1")).present(check=False)
    second = cluster.release(document("2"))
    monkeypatch.setattr(second.engine, "watch", dies)
    monkeypatch.setattr(second, "_give_up", dies)
    with pytest.raises(Killed):
        second.present(check=False)
    cluster.serving.deaf = "the proxy on host-n2 did not follow"
    with pytest.raises(ReleaseFailed, match="the proxy on host-n2 did not follow"):
        cluster.release(document("1")).present(check=False)
    assert "t_web-r2" in cluster.swarm.names()
    cluster.serving.deaf = ""
    cluster.release(document("1")).present(check=False)
    assert "t_web-r2" not in cluster.swarm.names()


def test_a_release_whose_end_could_not_be_seen_is_recorded_by_the_next_run(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.release(document("1")).present(check=False)
    cluster.release(document("2")).present(check=False)
    third = cluster.release(document("3"))

    def refuse(*_arguments: Any) -> None:
        raise EngineError("the Swarm does not have a leader")

    monkeypatch.setattr(third.engine, "settle", refuse)
    with pytest.raises(ReleaseFailed, match="does not run as asked"):
        third.present(check=False)
    outcome = cluster.release(document("3")).present(check=False)
    assert (outcome.changed, outcome.release) == (True, 3)
    _release, target = cluster.rollback()
    assert (target.kept.release, target.current) == (2, 3)


def test_no_number_is_given_twice(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster.release(document("1")).present(check=False)
    second = cluster.release(document("2"))
    monkeypatch.setattr(second.engine, "settle", dies)
    with pytest.raises(Killed):
        second.present(check=False)
    outcome = cluster.release(document("3")).present(check=False)
    assert outcome.release == 3
    assert "t_web-r3" in cluster.swarm.names()


def test_a_store_does_not_come_back_beside_a_successor_that_may_still_run(cluster: Cluster) -> None:
    cluster.release(document("1")).present(check=False)
    broken = document("2unhealthy")
    broken["services"]["db"]["environment"] = {"NEW": "1"}
    cluster.swarm.fail_on = {"remove t_db-r2": "the Swarm does not have a leader"}
    with pytest.raises(ReleaseFailed, match="could not be put back whole"):
        cluster.release(broken).present(check=False)
    assert "scale t_db-r1 1" not in cluster.swarm.calls
    assert cluster.records().journal() is not None
    cluster.swarm.fail_on = {}
    cluster.release(document("1")).present(check=False)
    assert sorted(cluster.swarm.running()) == ["t_db-r1", "t_web-r1", "t_worker-r1"]


def everywhere(cluster: Cluster, other: str = "1") -> Stack:
    services = {"agent": {"image": "agent:1"}, "other": {"image": f"other:{other}"}}
    plain = cluster.stack({"services": services}).plain
    agent = plain["services"]["agent"]
    agent = {**agent, "deploy": {**agent["deploy"], "mode": "global"}}
    return Stack({**plain, "services": {**plain["services"], "agent": agent}})


@pytest.mark.parametrize(("node", "state"), [("ready-drained", "shutdown"), ("down", "running")])
def test_a_service_for_each_node_has_no_place_on_a_node_that_is_away(cluster: Cluster, node: str, state: str) -> None:
    cluster.release(everywhere(cluster)).present(check=False)
    service = next(key for key, entry in cluster.swarm.there.items() if "agent" in entry["Spec"]["Name"])
    cluster.swarm.hosts["n3"] = node
    cluster.swarm.every_task.append(
        {
            "ID": "t900",
            "ServiceID": service,
            "Slot": 0,
            "NodeID": "n3",
            "DesiredState": "shutdown",
            "CreatedAt": "000000.001",
            "Spec": {"ContainerSpec": {}},
            "Status": {"State": state},
            "since": 0,
        }
    )
    assert not cluster.release(everywhere(cluster)).present(check=False).changed
    assert cluster.release(everywhere(cluster, "2")).present(check=False).changed
    assert cluster.swarm.names() == ["t_agent-r1", "t_other-r2"]


def test_a_renamed_store_never_writes_beside_its_successor(cluster: Cluster) -> None:
    def renamed(version: str) -> dict[str, Any]:
        other = document(version)
        services = other["services"]
        services["postgres"] = services.pop("db")
        for service in services.values():
            if "db" in service.get("depends_on", {}):
                service["depends_on"] = {"postgres": {"condition": "service_healthy"}}
        return other

    cluster.release(document()).present(check=False)
    cluster.swarm.calls.clear()
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        cluster.release(renamed("2unhealthy")).present(check=False)
    assert sorted(cluster.swarm.running()) == ["t_db-r1", "t_web-r1", "t_worker-r1"]
    calls = cluster.swarm.calls
    assert calls.index("scale t_db-r1 0") < calls.index("create t_postgres-r2") < calls.index("remove t_postgres-r2")
    assert calls.index("remove t_postgres-r2") < calls.index("scale t_db-r1 1")
    cluster.release(renamed("1")).present(check=False)
    assert "t_db-r1" not in cluster.swarm.names()


def test_one_of_two_stores_is_down_before_the_other_comes_back(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new version died in its end, the old one was asked for again and failed."""
    cluster.release(document()).present(check=False)
    second = document("2")
    second["services"]["db"]["environment"] = {"NEW": "1"}
    release = cluster.release(second)
    monkeypatch.setattr(release.engine, "_stop_counting", dies)
    monkeypatch.setattr(release, "_give_up", dies)
    with pytest.raises(Killed):
        release.present(check=False)
    back = document()
    back["services"]["worker"].update(image="web:3unhealthy", healthcheck={"test": ["CMD", "true"]})
    scale, both = cluster.swarm.scale, []

    def scaling(name: str, replicas: int) -> None:
        scale(name, replicas)
        modes = [entry["Spec"] for entry in cluster.swarm.there.values() if "_db-" in entry["Spec"]["Name"]]
        if sum(spec["Mode"]["Replicated"]["Replicas"] for spec in modes) > 1:
            both.append(name)

    monkeypatch.setattr(cluster.swarm, "scale", scaling)
    with pytest.raises(ReleaseFailed):
        cluster.release(back).present(check=False)
    assert both == []


def test_nothing_goes_on_while_a_successor_may_still_run(cluster: Cluster) -> None:
    cluster.release(document("1")).present(check=False)
    second = document("2")
    second["services"]["db"]["environment"] = {"NEW": "1"}
    cluster.swarm.killed_before = "create t_web-r2"
    with pytest.raises(Killed):
        cluster.release(second).present(check=False)
    cluster.swarm.dead, cluster.swarm.killed_before = False, ""
    cluster.swarm.grace = 10_000.0  # its node does not say that the task has ended
    with pytest.raises(ReleaseFailed, match="was interrupted in phase start and cannot be put in order yet"):
        cluster.release(document("1")).present(check=False)
    writing = [each for each in cluster.swarm.every_task if each["Status"]["State"] in ("running", "starting")]
    stores = [each for each in writing if each["Spec"]["ContainerSpec"]["Image"].startswith("db")]
    assert len(stores) == 1
    assert cluster.records().journal() is not None

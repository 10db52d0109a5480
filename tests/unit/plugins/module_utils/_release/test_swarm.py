"""Releases on a Swarm from their lease to their record, in memory; and each way to fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._release.status import status
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._release.swarm_world import (
    Cluster,
    Killed,
    document,
)


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(tmp_path)


def test_a_first_release_starts_all_and_a_second_changes_nothing(cluster: Cluster) -> None:
    outcome = cluster.release(document()).present(check=False)
    assert outcome.changed
    assert cluster.swarm.running() == {"t_web-r1": 2, "t_worker-r1": 1, "t_db-r1": 1}
    assert cluster.serving.names() == {"web": ["t_web-r1"]}
    calls = cluster.swarm.calls
    order = [call for call in calls if call.startswith("create")]
    assert order == ["create t_db-r1", "create t_web-migrate-r1", "create t_web-r1", "create t_worker-r1"]
    assert outcome.images == {"web": "web@sha256:web:1", "worker": "web@sha256:web:1", "db": "db@sha256:db:1"}
    calls.clear()
    again = cluster.release(document()).present(check=False)
    assert (again.changed, again.plan, calls) == (False, [], [])


def test_every_task_runs_the_digest_that_was_asked_for_once(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    images = {
        raw["Spec"]["Name"]: raw["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]
        for raw in cluster.swarm.services("t")
    }
    assert images["t_web-r1"] == images["t_worker-r1"] == "web:1@sha256:web:1"
    assert cluster.swarm.calls.count("digest web:1") == 1


def test_check_mode_tells_and_changes_nothing(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.calls.clear()
    outcome = cluster.release(document("2")).present(check=True)
    assert "web: roll (image web:1 -> web:2): migrate once from the new image, new 3 4, remove 1 2" in outcome.plan
    assert cluster.swarm.calls == []


def test_a_new_version_starts_beside_and_the_old_one_serves_until_the_switch(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.serving.served.clear()
    cluster.swarm.calls.clear()
    cluster.release(document("2")).present(check=False)
    assert cluster.serving.served == [{"web": ["t_web-r2"]}]
    assert cluster.swarm.names() == ["t_db-r1", "t_web-r2", "t_worker-r2"]
    calls = cluster.swarm.calls
    assert calls.index("create t_web-r2") < calls.index("serve") < calls.index("remove t_web-r1")
    # The worker stops first, and only after the switch.
    assert calls.index("serve") < calls.index("scale t_worker-r1 0") < calls.index("create t_worker-r2")
    assert cluster.records().journal() is None


@pytest.mark.parametrize(
    ("version", "phase", "reason"),
    [
        ("unhealthy", "start", "is unhealthy, 3 times"),
        ("ends", "start", "ended with exit code 3, 3 times, its last lines: first line | the password is"),
        ("rejected", "start", r"was rejected \(No such image: web:rejected@sha256:web:rejected\), 3 times"),
        ("nowhere", "start", r"finds no node: no suitable node \(insufficient resources on 2 nodes\)"),
        ("badmigration", "migrate", r"x-slipway\.migrate: exit code 9, its last lines: first line"),
        ("later", "watch", "ended with exit code 4 after it had been ready"),
    ],
)
def test_a_broken_version_leaves_the_old_one_serving(cluster: Cluster, version: str, phase: str, reason: str) -> None:
    cluster.release(document()).present(check=False)
    before = cluster.swarm.names()
    broken = document(version, deploy={"replicas": 2, "update_config": {"monitor": "20s"}})
    if version in ("nowhere", "rejected"):
        del broken["services"]["web"]["x-slipway"]["migrate"]
    with pytest.raises(ReleaseFailed, match=f"failed in phase {phase}: services.web.*{reason}") as caught:
        cluster.release(broken).present(check=False)
    assert "hunter2-secret" not in str(caught.value)
    assert str(caught.value).endswith("the old version serves on")
    assert cluster.swarm.names() == before
    assert cluster.swarm.running() == {"t_web-r1": 2, "t_worker-r1": 1, "t_db-r1": 1}
    assert cluster.serving.names() == {"web": ["t_web-r1"]}
    assert cluster.records().journal() is None
    assert cluster.records().history()[-1]["outcome"] == "failed"


def test_an_image_that_no_registry_knows_fails_before_anything_is_touched(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.calls.clear()
    broken = cluster.stack(document("2"))
    del cluster.swarm.registry["web:2"]
    with pytest.raises(ReleaseFailed, match="failed in phase pull: image web:2: manifest unknown; check the name"):
        cluster.release(broken).present(check=False)
    assert [call for call in cluster.swarm.calls if not call.startswith("digest")] == []


def test_an_image_without_a_registry_runs_by_its_id(cluster: Cluster) -> None:
    stack = cluster.stack({"services": {"web": {"image": "local:1"}}})
    cluster.swarm.registry.clear()
    cluster.swarm.here["local:1"] = {"Id": "sha256:abc", "RepoDigests": []}
    cluster.release(stack).present(check=False)
    spec = cluster.swarm.services("t")[0]["Spec"]
    assert spec["TaskTemplate"]["ContainerSpec"]["Image"] == "sha256:abc"
    assert not cluster.release(stack).present(check=False).changed


def test_a_tag_that_is_always_asked_for_rolls_when_it_means_another_image(cluster: Cluster) -> None:
    always = {"services": {"web": {"image": "web:1", "pull_policy": "always"}}}
    cluster.release(always).present(check=False)
    assert not cluster.release(always).present(check=False).changed
    cluster.swarm.registry["web:1"] = "sha256:other"
    outcome = cluster.release(always).present(check=False)
    assert "web: stop-first (image web:1 is another one now" in " ".join(outcome.plan)
    assert cluster.swarm.names() == ["t_web-r2"]


def test_more_replicas_start_beside_those_that_are_there(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.calls.clear()
    cluster.release(document(deploy={"replicas": 4})).present(check=False)
    assert cluster.swarm.running()["t_web-r1"] == 4
    assert [call for call in cluster.swarm.calls if call.startswith("create")] == []
    assert not cluster.release(document(deploy={"replicas": 4})).present(check=False).changed


def test_fewer_replicas_of_what_is_routed_are_made_anew_so_that_none_ends_unseen(cluster: Cluster) -> None:
    cluster.release(document(deploy={"replicas": 4})).present(check=False)
    cluster.swarm.calls.clear()
    outcome = cluster.release(document(deploy={"replicas": 1})).present(check=False)
    assert "web: roll (1 replicas instead of 4): new 5, remove 1 2 3 4" in outcome.plan
    assert cluster.swarm.running() == {"t_web-r2": 1, "t_worker-r1": 1, "t_db-r1": 1}
    assert cluster.swarm.calls.index("serve") < cluster.swarm.calls.index("remove t_web-r1")
    assert "create t_web-migrate-r2" not in cluster.swarm.calls
    assert not cluster.release(document(deploy={"replicas": 1})).present(check=False).changed


def test_fewer_replicas_of_others_are_scaled(cluster: Cluster) -> None:
    def workers(replicas: int) -> dict[str, Any]:
        found = document()
        found["services"]["worker"]["deploy"] = {"replicas": replicas}
        return found

    cluster.release(workers(3)).present(check=False)
    cluster.release(workers(1)).present(check=False)
    assert cluster.swarm.running()["t_worker-r1"] == 1
    cluster.release(workers(0)).present(check=False)
    assert "t_worker-r1" not in cluster.swarm.names()
    assert not cluster.release(workers(0)).present(check=False).changed


def test_scaling_is_undone_with_the_release_that_it_belongs_to(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    more = document(deploy={"replicas": 4})
    more["services"]["worker"]["image"] = "web:ends"
    with pytest.raises(ReleaseFailed, match=r"services\.worker"):
        cluster.release(more).present(check=False)
    assert cluster.swarm.running() == {"t_web-r1": 2, "t_worker-r1": 1, "t_db-r1": 1}


def test_what_stopped_first_comes_back_when_its_successor_fails(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    broken = document()
    broken["services"]["db"]["image"] = "db:ends"
    with pytest.raises(ReleaseFailed, match=r"services\.db: t_db-r2\.1 on host-n2 ended with exit code 3"):
        cluster.release(broken).present(check=False)
    assert cluster.swarm.running() == {"t_web-r1": 2, "t_worker-r1": 1, "t_db-r1": 1}
    calls = cluster.swarm.calls
    assert calls.index("scale t_db-r1 0") < calls.index("remove t_db-r2") < calls.index("scale t_db-r1 1")


def test_a_proxy_that_does_not_follow_stops_the_release_with_its_name(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.serving.deaf = "the proxies on host-n2 did not follow"
    with pytest.raises(ReleaseFailed, match="failed in phase switch: the proxies on host-n2 did not follow"):
        cluster.release(document("2")).present(check=False)
    # Nobody knows what that proxy serves, so both stay until it does.
    assert {"t_web-r1", "t_web-r2"} <= set(cluster.swarm.names())
    cluster.serving.deaf = ""
    cluster.release(document("3")).present(check=False)
    assert cluster.serving.names() == {"web": ["t_web-r3"]}
    assert cluster.swarm.names() == ["t_db-r1", "t_web-r3", "t_worker-r3"]


def test_routes_need_a_proxy(cluster: Cluster) -> None:
    cluster.swarm.proxies = set()
    with pytest.raises(ReleaseFailed, match=r"web\.x-slipway\.routes: no node of the Swarm is a proxy; label"):
        cluster.release(document()).present(check=False)


def test_an_engine_that_would_drop_a_key_in_silence_is_not_given_it(cluster: Cluster) -> None:
    cluster.swarm.engine = "20.10.24+dfsg1"
    with pytest.raises(ReleaseFailed, match=r"web\.security_opt: Docker before 25 drops it on a Swarm, and host-n1"):
        cluster.release(document(security_opt=["no-new-privileges:true"])).present(check=False)
    assert cluster.swarm.running() == {}


def test_a_stack_without_routes_needs_no_proxy_for_its_way_back(cluster: Cluster) -> None:
    cluster.serving.deaf = "no node is a proxy"
    quiet = {"services": {"worker": {"image": "web:1"}}}
    cluster.release(quiet).present(check=False)
    quiet["services"]["worker"]["image"] = "web:ends"
    with pytest.raises(ReleaseFailed, match="the old version serves on"):
        cluster.release(quiet).present(check=False)
    assert cluster.swarm.running() == {"t_worker-r1": 1}


@pytest.mark.parametrize("place", ["killed_before", "killed_after"])
@pytest.mark.parametrize(
    "call", ["create t_web-migrate-r2", "create t_web-r2", "serve", "create t_worker-r2", "remove t_web-r1"]
)
@pytest.mark.parametrize("following", ["1", "2", "3"])
def test_a_killed_release_is_finished_or_undone_by_the_next(
    cluster: Cluster, call: str, place: str, following: str
) -> None:
    cluster.release(document()).present(check=False)
    swarm = cluster.swarm
    swarm.calls.clear()
    setattr(swarm, place, call)
    with pytest.raises((Killed, ReleaseFailed)):
        cluster.release(document("2")).present(check=False)
    swarm.dead, swarm.killed_before, swarm.killed_after = False, "", ""
    assert swarm.running()[cluster.serving.names()["web"][0]] == 2
    cluster.release(document(following)).present(check=False)
    names = swarm.names()
    assert [name.partition("-r")[0] for name in names] == ["t_db", "t_web", "t_worker"], names
    assert cluster.serving.names() == {"web": [name for name in names if "web" in name]}
    assert {raw["Spec"]["Labels"]["ops.slipway.image"] for raw in swarm.services("t")} == {"db:1", f"web:{following}"}
    assert cluster.records().journal() is None
    assert not cluster.release(document(following)).present(check=False).changed


def test_the_last_good_release_comes_back_by_digest(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.release(document("2")).present(check=False)
    cluster.swarm.registry.clear()
    work, target = cluster.rollback()
    assert target.kept.release == 1
    work.present(check=False)
    assert cluster.swarm.names() == ["t_db-r1", "t_web-r3", "t_worker-r3"]
    images = [raw["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"] for raw in cluster.swarm.services("t")]
    assert sorted(images) == ["db:1@sha256:db:1", "web:1@sha256:web:1", "web:1@sha256:web:1"]


def with_objects(config: str, secret: str) -> dict[str, Any]:
    found = document(configs=["settings"])
    found["services"]["worker"]["secrets"] = ["token"]
    found["configs"] = {"settings": {"content": config}}
    found["secrets"] = {"token": {"environment": "TOKEN"}}
    return found


def test_new_content_of_a_config_or_secret_rolls_its_users_alone(cluster: Cluster) -> None:
    cluster.variables["TOKEN"] = "one-token"
    cluster.release(with_objects("a", "1")).present(check=False)
    assert [len(found) for found in cluster.swarm.stored.values()] == [1, 1]
    first = cluster.swarm.objects("secret", "t")[0]["Spec"]["Name"]
    cluster.variables["TOKEN"] = "two-token"
    cluster.swarm.calls.clear()
    cluster.release(with_objects("a", "2")).present(check=False)
    assert cluster.swarm.names() == ["t_db-r1", "t_web-r1", "t_worker-r2"]
    calls = cluster.swarm.calls
    created = next(call for call in calls if call.startswith("secret"))
    assert calls.index(created) < calls.index("create t_worker-r2") < calls.index(f"remove secret {first}")
    assert [len(found) for found in cluster.swarm.stored.values()] == [1, 1]
    cluster.release(with_objects("b", "2")).present(check=False)
    assert cluster.swarm.names() == ["t_db-r1", "t_web-r3", "t_worker-r2"]


def test_a_failed_release_leaves_no_objects_of_its_own(cluster: Cluster) -> None:
    cluster.variables["TOKEN"] = "one-token"
    cluster.release(with_objects("a", "1")).present(check=False)
    there = copy_of_names(cluster)
    broken = with_objects("b", "1")
    broken["services"]["web"]["image"] = "web:ends"
    with pytest.raises(ReleaseFailed):
        cluster.release(broken).present(check=False)
    assert copy_of_names(cluster) == there


def copy_of_names(cluster: Cluster) -> list[str]:
    return sorted(raw["Spec"]["Name"] for kind in ("config", "secret") for raw in cluster.swarm.objects(kind, "t"))


def test_removal_leaves_volumes_alone(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.calls.clear()
    outcome = cluster.release(document()).absent(check=False)
    assert outcome.changed
    assert (cluster.swarm.names(), cluster.swarm.nets, cluster.swarm.every_task) == ([], {}, [])
    assert cluster.serving.state == {"web": {}}
    calls = cluster.swarm.calls
    assert calls.index("serve") < calls.index("remove t_web-r1") < calls.index("remove network t_inside")
    assert not cluster.release(document()).absent(check=False).changed


def test_a_lost_node_is_waited_for_until_its_tasks_run_elsewhere(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.hosts["n2"] = "down"
    outcome = cluster.release(document()).present(check=False)
    assert not outcome.changed
    assert cluster.swarm.running() == {"t_web-r1": 2, "t_worker-r1": 1, "t_db-r1": 1}
    assert {raw["NodeID"] for raw in cluster.swarm.tasks("t") if raw["DesiredState"] == "running"} == {"n1"}


def test_a_release_goes_on_although_a_node_with_old_tasks_is_lost(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.hosts["n2"] = "down"
    cluster.release(document("2")).present(check=False)
    assert cluster.swarm.names() == ["t_db-r1", "t_web-r2", "t_worker-r2"]


def test_a_job_runs_until_it_has_ended_before_those_that_need_it(cluster: Cluster) -> None:
    def jobs(version: str) -> dict[str, Any]:
        return {
            "services": {
                "setup": {"image": f"setup:{version}"},
                "web": {"image": "web:1", "depends_on": {"setup": {"condition": "service_completed_successfully"}}},
            }
        }

    cluster.release(jobs("1")).present(check=False)
    assert cluster.swarm.calls.index("create t_setup-r1") < cluster.swarm.calls.index("create t_web-r1")
    assert not cluster.release(jobs("1")).present(check=False).changed
    with pytest.raises(ReleaseFailed, match=r"services\.setup: t_setup-r2\.1 on host-n2 ended with exit code 9"):
        cluster.release(jobs("badjob")).present(check=False)
    assert cluster.swarm.names() == ["t_setup-r1", "t_web-r1"]


def test_another_number_of_a_job_is_run_when_it_grows_and_left_when_it_shrinks(cluster: Cluster) -> None:
    def jobs(count: int) -> dict[str, Any]:
        return {
            "services": {
                "setup": {"image": "setup:1", "deploy": {"replicas": count}},
                "web": {"image": "web:1", "depends_on": {"setup": {"condition": "service_completed_successfully"}}},
            }
        }

    cluster.release(jobs(1)).present(check=False)
    cluster.release(jobs(3)).present(check=False)
    assert cluster.swarm.names() == ["t_setup-r2", "t_web-r1"]
    assert [task["Status"]["State"] for task in cluster.swarm.tasks("t")].count("complete") == 3
    assert not cluster.release(jobs(3)).present(check=False).changed
    assert cluster.release(jobs(2)).present(check=False).plan == ["record stack.json"]
    assert not cluster.release(jobs(2)).present(check=False).changed
    assert cluster.swarm.names() == ["t_setup-r2", "t_web-r1"]


def test_a_service_on_every_node_has_as_many_replicas_as_there_are(cluster: Cluster) -> None:
    def everywhere(image: str) -> Stack:
        plain = cluster.stack({"services": {"agent": {"image": image}}}).plain
        agent = {**plain["services"]["agent"], "deploy": {**plain["services"]["agent"]["deploy"], "mode": "global"}}
        return Stack({**plain, "services": {"agent": agent}})

    cluster.release(everywhere("agent:1")).present(check=False)
    assert cluster.swarm.running() == {"t_agent-r1": 2}
    assert not cluster.release(everywhere("agent:1")).present(check=False).changed
    with pytest.raises(ReleaseFailed, match=r"services\.agent"):
        cluster.release(everywhere("agent:ends")).present(check=False)
    assert cluster.swarm.running() == {"t_agent-r1": 2}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"LocalNodeState": "inactive"}, r"this host is no node of a Swarm \(state inactive\); make it one by role"),
        ({"LocalNodeState": "locked"}, "is locked since the engine's start; run: docker swarm unlock"),
        (
            {"ControlAvailable": False, "RemoteManagers": [{"Addr": "192.0.2.1:2377"}]},
            "is a worker of the Swarm; release on a manager, one of: 192.0.2.1:2377",
        ),
    ],
)
def test_a_host_that_cannot_release_says_why(cluster: Cluster, change: dict[str, Any], reason: str) -> None:
    cluster.swarm.local.update(change)
    with pytest.raises(EngineError, match=reason):
        cluster.engine(cluster.stack(document())).require()


def test_without_a_leader_nothing_is_begun(cluster: Cluster) -> None:
    cluster.swarm.leader = False
    with pytest.raises(EngineError, match=r"has no leader, so nothing can be changed .* what runs goes on running"):
        cluster.engine(cluster.stack(document())).require()


def test_a_version_that_answers_with_errors_is_taken_back(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.serving.answer = lambda name: 500 if name == "t_web-r2" else 200
    watched = document("2", deploy={"replicas": 2, "update_config": {"monitor": "5s"}})
    with pytest.raises(ReleaseFailed, match=r"failed in phase watch: services\.web: 20 of 20 requests got an error"):
        cluster.release(watched).present(check=False)
    assert cluster.serving.names() == {"web": ["t_web-r1"]}
    assert cluster.serving.judging == ""


def canary(version: str) -> dict[str, Any]:
    found = document(version, deploy={"replicas": 2})
    steps = [{"percent": 10, "for": "20s"}, {"percent": 50, "for": "20s"}]
    found["services"]["web"]["x-slipway"].update(strategy="canary", canary={"steps": steps, "cookie": "beta=yes"})
    return found


def test_a_canary_takes_its_steps_and_then_all(cluster: Cluster) -> None:
    cluster.release(canary("1")).present(check=False)
    cluster.serving.shares.clear()
    begun = cluster.clock.now
    cluster.release(canary("2")).present(check=False)
    assert cluster.serving.shares[:3] == [0.1, 0.5, 1.0]
    assert cluster.serving.names() == {"web": ["t_web-r2"]}
    assert cluster.serving.following == {}
    assert cluster.clock.now - begun >= 40


def test_a_bad_canary_returns_by_itself(cluster: Cluster) -> None:
    cluster.release(canary("1")).present(check=False)
    cluster.serving.shares.clear()
    cluster.serving.answer = lambda name: 500 if name == "t_web-r2" else 200
    with pytest.raises(ReleaseFailed, match=r"failed in phase watch: at 10% of the requests: services\.web: 20 of 20"):
        cluster.release(canary("2")).present(check=False)
    assert cluster.serving.shares == [0.1, 1.0]
    assert cluster.serving.names() == {"web": ["t_web-r1"]}
    assert cluster.serving.following == {}
    assert "t_web-r2" not in cluster.swarm.names()


def test_recreate_stops_all_of_the_old_before_the_migration(cluster: Cluster) -> None:
    def recreated(version: str) -> dict[str, Any]:
        found = document(version)
        found["services"]["web"]["x-slipway"]["strategy"] = "recreate"
        return found

    cluster.release(recreated("1")).present(check=False)
    cluster.swarm.calls.clear()
    cluster.release(recreated("2")).present(check=False)
    calls = cluster.swarm.calls
    migration = next(index for index, call in enumerate(calls) if "migrate" in call)
    assert any(call.startswith("scale t_web-r1 0") for call in calls[:migration]), calls
    assert cluster.serving.names() == {"web": ["t_web-r2"]}


def test_status_says_where_each_task_runs(cluster: Cluster) -> None:
    cluster.release(document()).present(check=False)
    cluster.swarm.hosts["n2"] = "down"
    found = status("t", Places(), lambda name, settings: cluster.parts(name))
    assert {name: service["ok"] for name, service in found["services"].items()} == {
        "web": False,
        "worker": False,
        "db": False,
    }
    cluster.clock.now += 10
    found = status("t", Places(), lambda name, settings: cluster.parts(name))
    assert all(service["ok"] for service in found["services"].values())
    assert {each["node"] for each in found["services"]["web"]["containers"]} == {"host-n1"}
    cluster.swarm.leader = False
    found = status("t", Places(), lambda name, settings: cluster.parts(name))
    assert "has no leader" in found["engine_problem"]

"""Swarm's own records, as values."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_observed import (
    Node,
    as_image,
    containers,
    known_images,
    parse_node,
    parse_service,
    parse_task,
    pinned,
)

NODES = {"n1": Node("n1", "one", "ready"), "n2": Node("n2", "two", "down"), "n3": Node("n3", "three", "unknown")}


def task(slot: int, state: str, wanted: str = "running", **more: Any) -> dict[str, Any]:
    status = {"State": state, **{key: more.pop(key) for key in ("Err", "ContainerStatus") if key in more}}
    return {
        "ID": f"{slot}-{state}-{more.get('CreatedAt', '')}",
        "ServiceID": "s1",
        "Slot": slot,
        "NodeID": "n1",
        "DesiredState": wanted,
        "Status": status,
        "Spec": {"ContainerSpec": {}},
        "CreatedAt": "1",
        **more,
    }


def service(tasks: list[dict[str, Any]], mode: dict[str, Any] | None = None, **container: Any) -> Any:
    raw = {
        "ID": "s1",
        "Spec": {
            "Name": "t_web-r3",
            "Labels": {
                "ops.slipway.service": "web",
                "ops.slipway.config-hash": "h",
                "ops.slipway.release": "3",
                "ops.slipway.image": "web:1",
            },
            "Mode": mode or {"Replicated": {"Replicas": 2}},
            "TaskTemplate": {"ContainerSpec": {"Image": "web:1@sha256:abc", **container}},
        },
    }
    return parse_service(raw, [parse_task(each) for each in tasks])


def states(found: Any) -> list[tuple[str, str]]:
    return [(each.state, each.health) for each in containers(found, NODES)]


CHECK = {"Healthcheck": {"Test": ["CMD", "true"]}}


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ([task(1, "running"), task(2, "running")], [("running", "healthy")] * 2),
        ([task(1, "running"), task(2, "starting")], [("running", "healthy"), ("running", "starting")]),
        ([task(1, "running")], [("running", "healthy"), ("running", "starting")]),
        # Lost, but no other task takes its place yet.
        ([task(1, "running"), task(2, "running", NodeID="n2")], [("running", "healthy"), ("running", "starting")]),
        # After a change of the leader.
        ([task(1, "running", NodeID="n3"), task(2, "running")], [("running", "healthy")] * 2),
        # Failed, and about to be started again.
        (
            [
                task(1, "running"),
                task(2, "failed", "shutdown", CreatedAt="1"),
                task(2, "ready", "ready", CreatedAt="2"),
            ],
            [("running", "healthy"), ("running", "starting")],
        ),
        # Failed for good.
        ([task(1, "running"), task(2, "failed", "shutdown")], [("running", "healthy"), ("dead", "none")]),
        # Scaled away.
        (
            [task(1, "running"), task(2, "running"), task(3, "running", "remove")],
            [("running", "healthy")] * 2,
        ),
    ],
    ids=["good", "starting", "awaited", "lost", "unheard", "failing", "dead", "scaled"],
)
def test_each_wanted_task_is_a_container(tasks: list[dict[str, Any]], expected: list[tuple[str, str]]) -> None:
    assert states(service(tasks, **CHECK)) == expected


def test_a_container_tells_what_its_service_is() -> None:
    found = containers(service([task(1, "running"), task(2, "running")], **CHECK), NODES)[0]
    assert (found.name, found.service, found.number, found.config_hash) == ("t_web-r3.1", "web", 1, "h")
    assert (found.image, found.image_id, found.release, found.node) == ("web:1", "sha256:abc", 3, "one")


def test_without_a_healthcheck_a_task_has_no_health() -> None:
    assert states(service([task(1, "running"), task(2, "running")])) == [("running", "none")] * 2


def test_a_service_that_is_stopped_is_not_forgotten() -> None:
    assert states(service([], {"Replicated": {"Replicas": 0}})) == [("exited", "none")]
    stopped = service([], {"Global": {}})
    assert stopped.replicas is None
    assert states(stopped) == [("running", "starting")]


def test_a_service_on_each_node_has_a_task_for_each() -> None:
    tasks = [task(0, "running", NodeID="n1"), task(0, "running", NodeID="n3", CreatedAt="2")]
    assert states(service(tasks, {"Global": {}}, **CHECK)) == [("running", "healthy")] * 2


def test_a_job_is_done_when_its_task_is_complete() -> None:
    job = {"ReplicatedJob": {"TotalCompletions": 1}}
    assert states(service([task(0, "running", "complete")], job)) == [("running", "none")]
    assert states(service([task(0, "complete", "complete")], job)) == [("exited", "none")]
    bad = service([task(0, "failed", "shutdown", ContainerStatus={"ExitCode": 9})], job)
    assert [(each.state, each.exit_code) for each in containers(bad, NODES)] == [("exited", 9)]


def test_failures_are_counted_in_their_place() -> None:
    tasks = [task(1, "failed", "shutdown", CreatedAt=str(number)) for number in range(3)]
    found = service([*tasks, task(1, "starting", CreatedAt="9"), task(2, "running")])
    assert [each.restarts for each in containers(found, NODES)] == [3, 0]


def test_a_node() -> None:
    raw = {
        "ID": "n1",
        "Description": {"Hostname": "one"},
        "Status": {"State": "down", "Addr": "192.0.2.1"},
        "Spec": {"Labels": {"a": "b"}},
    }
    node = parse_node(raw)
    assert (node.name, node.down, node.address, node.labels) == ("one", True, "192.0.2.1", {"a": "b"})


def test_images_are_known_by_the_newest_service_that_runs_them() -> None:
    assert known_images([service([])])["web:1"].digest == "web@sha256:abc"
    by_id = parse_service(
        {
            "ID": "s2",
            "Spec": {
                "Name": "t_web-r4",
                "Labels": {"ops.slipway.image": "web:1", "ops.slipway.release": "4"},
                "Mode": {"Replicated": {"Replicas": 1}},
                "TaskTemplate": {"ContainerSpec": {"Image": "sha256:local"}},
            },
        },
        [],
    )
    image = known_images([by_id, service([])])["web:1"]
    assert (image.id, image.digest) == ("sha256:local", "")
    assert pinned("web:1", image) == "sha256:local"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("web:1", "web:1@sha256:a"),
        ("registry.example:5000/shop/web", "registry.example:5000/shop/web@sha256:a"),
        ("web@sha256:a", "web@sha256:a"),
    ],
)
def test_every_node_runs_the_very_same_image(reference: str, expected: str) -> None:
    assert pinned(reference, as_image(reference, "sha256:a")) == expected

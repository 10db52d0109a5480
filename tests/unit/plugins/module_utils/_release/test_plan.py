from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container, Image, Observed
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import PlanError, ServicePlan, make_plan
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def stack(**web: Any) -> Stack:
    document = {"services": {"web": {"image": "web:2", "network_mode": "none", "deploy": {"replicas": 2}, **web}}}
    return Stack(load(document, "t", {}, lambda path: b""))


STACK = stack()
IMAGES = {"web:2": Image("sha256:2")}


def container(number: int, **changes: Any) -> Container:
    base = Container(
        id=f"id-{number}",
        name=f"t-web-{number}",
        service="web",
        number=number,
        config_hash=STACK.config_hash("web"),
        image="web:2",
        image_id="sha256:2",
        state="running",
    )
    return replace(base, **changes)


OLD = {"config_hash": "old", "image": "web:1", "image_id": "sha256:1"}


def planned(*containers: Container, wish: Stack = STACK) -> ServicePlan:
    return make_plan(wish, Observed(True, containers=containers, images=IMAGES), 5).service("web")


@pytest.mark.parametrize(
    ("containers", "line"),
    [
        pytest.param([], "web: create (none runs): new 1 2", id="nothing-there"),
        pytest.param([container(1), container(2)], "web: keep", id="as-wanted"),
        pytest.param([container(3), container(7)], "web: keep", id="numbers-do-not-matter"),
        pytest.param([container(1)], "web: create (1 of 2 run): new 2", id="one-missing"),
        pytest.param(
            [container(1), container(2), container(3)],
            "web: remove (more replicas than wanted): remove 3",
            id="one-too-many",
        ),
        pytest.param(
            [container(1, **OLD), container(2, **OLD)],
            "web: stop-first (image web:1 -> web:2; update_config.order is not set): new 3 4, remove 1 2, "
            "gap: up to 10 s to stop and the time of its start",
            id="other-image",
        ),
        pytest.param(
            [container(1), container(2), container(3, **OLD)],
            "web: remove (containers of an earlier release are left): remove 3",
            id="interrupted-before-the-end",
        ),
        pytest.param([container(1, state="exited"), container(2)], "web: start (1 of 2 run): start 1", id="stopped"),
        pytest.param(
            [container(1, state="created"), container(2)],
            "web: create (1 of 2 run): new 3, remove 1",
            id="never-started",
        ),
        pytest.param(
            [container(1, health="unhealthy"), container(2)],
            "web: stop-first (it is unhealthy; update_config.order is not set): new 3, remove 1, "
            "gap: up to 10 s to stop and the time of its start",
            id="unhealthy",
        ),
        pytest.param([container(1, health="starting"), container(2)], "web: keep", id="still-starting"),
        pytest.param(
            [container(1, state="restarting"), container(2)],
            "web: stop-first (it is restarting; update_config.order is not set): new 3, remove 1, "
            "gap: up to 10 s to stop and the time of its start",
            id="crash-loop",
        ),
        pytest.param(
            [container(1, image_id="sha256:1"), container(2)],
            "web: stop-first (image web:2 is another one now; update_config.order is not set): new 3, remove 1, "
            "gap: up to 10 s to stop and the time of its start",
            id="tag-moved",
        ),
        pytest.param(
            [container(1, **OLD, state="exited")], "web: create (none runs): new 2 3, remove 1", id="old-one-stopped"
        ),
        pytest.param(
            [container(1), container(2), container(9, oneoff=True, state="exited")], "web: keep", id="one-off"
        ),
    ],
)
def test_service(containers: list[Container], line: str) -> None:
    assert planned(*containers).line() == line


def test_start_first_gives_no_gap() -> None:
    wish = stack(deploy={"replicas": 1, "update_config": {"order": "start-first"}})
    assert planned(container(1, **OLD), wish=wish).line() == "web: roll (image web:1 -> web:2): new 2, remove 1"


def test_zero_replicas_removes_all() -> None:
    wish = stack(deploy={"replicas": 0})
    assert planned(container(1), wish=wish).line() == "web: remove (more replicas than wanted): remove 1"


def test_only_our_own_one_offs_are_strays() -> None:
    migration = container(0, oneoff=True, purpose="migrate", name="t-web-migrate-4")
    other = container(0, oneoff=True, name="t-backup")
    plan = make_plan(STACK, Observed(True, containers=(container(1), container(2), migration, other), images=IMAGES), 5)
    assert plan.lines() == ["remove the stray container t-web-migrate-4"]


def test_external_things_must_be_there() -> None:
    document = {
        "services": {"web": {"image": "web:2", "networks": ["front"], "volumes": ["data:/d"]}},
        "networks": {"front": {"external": True, "name": "shared"}},
        "volumes": {"data": {"external": True}},
    }
    wish = Stack(load(document, "t", {}, lambda path: b""))
    with pytest.raises(PlanError) as caught:
        make_plan(wish, Observed(True), 1)
    assert str(caught.value) == (
        "networks.front: is external and shared is not on this host; create it or drop external; "
        "volumes.data: is external and data is not on this host; create it or drop external"
    )
    assert make_plan(wish, Observed(False), 1).networks == ()


def test_pending_commands_and_records_are_changes() -> None:
    observed = Observed(True, containers=(container(1), container(2)), images=IMAGES)
    assert make_plan(STACK, observed, 1, ("stack.json",), ("web",)).lines() == [
        "record stack.json",
        "web: run the after_release commands",
    ]
    assert not make_plan(STACK, observed, 1).changed

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import START_FIRST, STOP_FIRST, Stack


def test_fleet(fleet: dict[str, Any]) -> None:
    stack = Stack(fleet)
    assert stack.name == "fleet"
    assert stack.services["application"].replicas == 2
    assert stack.services["application"].order == (START_FIRST, "update_config.order is start-first")
    assert stack.services["database"].order[0] == STOP_FIRST
    assert stack.services["application"].migrate == ["php", "artisan", "migrate", "--force"]
    assert stack.services["application"].monitor_seconds == 10
    assert stack.services["database"].stop_grace_seconds == 60
    assert stack.network_name("backend") == "fleet_backend"
    assert stack.volume_name("mysql") == "fleet_mysql"
    order = stack.start_order()
    assert order.index("database") < order.index("application")
    assert stack.dependencies("application") == {"database", "cache"}


CHANGES: list[tuple[str, Any, bool]] = [
    ("image", "i:2", True),
    ("environment", {"A": "2"}, True),
    ("command", ["x"], True),
    ("labels", {"a": "b"}, True),
    ("stop_grace_period", 3.0, True),
    ("depends_on", {"cache": {"condition": "service_started", "restart": False}}, False),
    ("pull_policy", "always", False),
]


@pytest.mark.parametrize(("key", "value", "changes"), CHANGES)
def test_config_hash_changes_with_the_container_alone(
    fleet: dict[str, Any], key: str, value: Any, changes: bool
) -> None:
    other = copy.deepcopy(fleet)
    other["services"]["application"][key] = value
    same = Stack(fleet).config_hash("application") == Stack(other).config_hash("application")
    assert same is not changes


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        (("services", "application", "deploy", "replicas"), 5, False),
        (("services", "application", "deploy", "update_config"), {}, False),
        (("services", "application", "slipway", "routes"), [], False),
        (("services", "application", "deploy", "resources"), {}, True),
        (("configs", "php_fpm", "content"), "other", True),
        (("configs", "mysql", "content"), "other", False),
    ],
)
def test_config_hash_of_nested(fleet: dict[str, Any], path: tuple[str, ...], value: Any, changes: bool) -> None:
    other = copy.deepcopy(fleet)
    place = other
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    same = Stack(fleet).config_hash("application") == Stack(other).config_hash("application")
    assert same is not changes


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ports": [{"published": 80}]}, (STOP_FIRST, "the host port 80 cannot be bound twice")),
        ({"container_name": "x"}, (STOP_FIRST, "the container name x is fixed")),
        ({"networks": {"a": {"aliases": [], "ipv4_address": "10.0.0.2"}}}, (STOP_FIRST, "its address is fixed")),
        ({"network_mode": "host", "networks": {}}, (STOP_FIRST, "it uses the host's network")),
        ({"deploy": {"update_config": {}}}, (START_FIRST, "it has routes")),
        (
            {"deploy": {"update_config": {}}, "slipway": {"routes": []}},
            (STOP_FIRST, "update_config.order is not set"),
        ),
    ],
)
def test_order(fleet: dict[str, Any], changes: dict[str, Any], expected: tuple[str, str]) -> None:
    other = copy.deepcopy(fleet)
    other["services"]["application"].update(changes)
    assert Stack(other).services["application"].order == expected


def test_a_job_is_what_others_wait_for(fleet: dict[str, Any]) -> None:
    other = copy.deepcopy(fleet)
    other["services"]["queue"]["depends_on"]["scheduler"] = {
        "condition": "service_completed_successfully",
        "restart": False,
    }
    assert Stack(other).is_job("scheduler")
    assert not Stack(fleet).is_job("scheduler")


def test_a_model_without_an_engine_is_for_compose(fleet: dict[str, Any]) -> None:
    without = {key: value for key, value in fleet.items() if key != "engine"}
    assert Stack(without).engine == "compose"
    swarm = Stack({**fleet, "engine": "swarm"})
    assert swarm.engine == "swarm"
    assert swarm.config_hash("database") == Stack(fleet).config_hash("database")


def test_on_a_swarm_a_further_routed_port_is_a_change_of_the_service(fleet: dict[str, Any]) -> None:
    other = copy.deepcopy(fleet)
    other["services"]["application"]["slipway"]["routes"][0]["port"] = 9999
    for engine, same in (("compose", True), ("swarm", False)):
        before, after = (Stack({**plain, "engine": engine}).config_hash("application") for plain in (fleet, other))
        assert (before == after) is same

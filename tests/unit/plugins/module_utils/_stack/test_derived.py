from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack import derived


def test_routes_are_sorted_longest_first_with_their_upstreams(fleet: dict[str, Any]) -> None:
    routes = derived.routes(fleet)
    assert [(route["path"], route["service"], route["upstream"]) for route in routes] == [
        ("/health", "application", "slipway_fleet_application_8000"),
        ("/socket", "socket", "slipway_fleet_socket_38000"),
        ("/api", "application", "slipway_fleet_application_8000"),
        ("/", "console", "slipway_fleet_console_4200"),
    ]
    api = routes[2]
    assert api["upstream_file"] == "/etc/nginx/slipway/upstreams/slipway_fleet_application_8000.conf"
    assert (api["timeout_seconds"], api["requests_per_minute"], api["max_body_mib"]) == (60.0, 60, 32)
    assert routes[0]["access_log"] is False
    assert routes[1]["websocket"] is True


def test_host_names_and_ports(fleet: dict[str, Any]) -> None:
    assert derived.host_names(fleet) == ["fleet.marinemaroc.com"]
    assert derived.published_ports(fleet) == []
    other = copy.deepcopy(fleet)
    other["services"]["cache"]["ports"] = [
        {"published": 6379, "target": 6379, "protocol": "tcp", "host_ip": "127.0.0.1"}
    ]
    assert derived.published_ports(other) == [
        {"port": 6379, "protocol": "tcp", "host_ip": "127.0.0.1", "service": "cache"}
    ]


def test_databases_name_their_password_but_do_not_hold_it(fleet: dict[str, Any]) -> None:
    (database,) = derived.databases(fleet)
    assert (database["service"], database["kind"], database["database"]) == ("database", "mysql", "fleetbase")
    assert database["password_variable"] == "MYSQL_ROOT_PASSWORD"
    assert database["tables"] == ["orders", "tracking_statuses", "drivers", "vehicles"]
    assert database["indexes"][3] == {
        "table": "orders",
        "name": "idx_orders_status_driver",
        "columns": ["status", "driver_id"],
    }
    assert database["volumes"] == ["fleet_mysql"]
    assert "root-pass" not in str(database)


def test_backup_sources(fleet: dict[str, Any]) -> None:
    assert [(source["kind"], source["name"]) for source in derived.backup_sources(fleet)] == [
        ("mysql", "database"),
        ("volume", "uploads"),
        ("file", "environment"),
        ("file", "stack.json"),
    ]
    assert derived.backup_sources(fleet)[1]["services"] == ["application", "queue", "scheduler"]
    assert derived.unsaved_volumes(fleet) == ["fleet_redis"]


def test_a_database_that_says_nothing_of_itself(fleet: dict[str, Any]) -> None:
    other = copy.deepcopy(fleet)
    service = other["services"]["database"]
    service["slipway"]["database"] = {"kind": "mariadb", "name": "", "user": "", "password_variable": "", "dump": True}
    (source, *_rest) = derived.backup_sources(other)
    assert (source["kind"], source["user"], source["password_variable"]) == ("mariadb", "root", "MYSQL_ROOT_PASSWORD")
    assert source["dump"] == "always"


def test_a_database_can_be_left_out(fleet: dict[str, Any]) -> None:
    other = copy.deepcopy(fleet)
    other["services"]["database"]["slipway"]["backup"] = False
    assert [source["kind"] for source in derived.backup_sources(other)] == ["volume", "file", "file"]


@pytest.mark.parametrize(
    ("stack", "service", "port", "name"),
    [("fleet", "web", 80, "slipway_fleet_web_80"), ("my-app", "Web.front", 8000, "slipway_my_app_web_front_8000")],
)
def test_upstream_names(stack: str, service: str, port: int, name: str) -> None:
    assert derived.upstream_name(stack, service, port) == name

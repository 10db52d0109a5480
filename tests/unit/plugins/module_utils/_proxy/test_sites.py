from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.sites import (
    RouteProblems,
    files,
    seed,
    sites,
    zone_name,
)

FLEET = [
    {"host": "fleet.example", "path": "/", "service": "console", "port": 4200, "upstream": "fleet_console"},
    {"host": "fleet.example", "path": "/api", "upstream": "fleet_application", "requests_per_minute": 60},
    {"host": "Fleet.example", "path": "/socket", "upstream": "fleet_socket", "websocket": True},
    {"host": "a.example", "path": "/", "upstream": "fleet_application", "timeout_seconds": 5},
]


def test_routes_become_one_site_a_host() -> None:
    found = sites(FLEET)
    assert [(site["name"], [route["path"] for route in site["routes"]]) for site in found] == [
        ("a.example", ["/"]),
        ("fleet.example", ["/socket", "/api", "/"]),
    ]
    assert found[1]["certificate"] == "/etc/slipway/certificates/fleet.example/current"


def test_defaults_are_filled_in() -> None:
    (site,) = sites([{"host": "a.example", "upstream": "web", "timeout_seconds": None, "max_body_mib": None}])
    assert site["routes"] == [
        {
            "host": "a.example",
            "path": "/",
            "service": "web",
            "upstream": "web",
            "upstream_file": "/etc/nginx/slipway/upstreams/web.conf",
            "share_file": "/etc/nginx/slipway/upstreams/web.share*",
            "websocket": False,
            "timeout_seconds": 60,
            "requests_per_minute": 0,
            "burst": 0,
            "zone": "slipway_a_2e_example_2f_",
            "access_log": True,
            "max_body_mib": 0,
        }
    ]


def test_a_minutes_worth_may_come_at_once() -> None:
    routes = {route["path"]: route for route in sites(FLEET)[1]["routes"]}
    assert routes["/api"]["burst"] == 59
    given = sites([{"host": "a.example", "upstream": "web", "requests_per_minute": 60, "burst": 5}])
    assert given[0]["routes"][0]["burst"] == 5


@pytest.mark.parametrize(("timeout", "wanted"), [(0, 3600), (60, 3600), (7200, 7200)])
def test_websockets_may_be_quiet(timeout: int, wanted: int) -> None:
    (site,) = sites([{"host": "a.example", "upstream": "web", "websocket": True, "timeout_seconds": timeout}])
    assert site["routes"][0]["timeout_seconds"] == wanted


def test_certificate_of_several_hosts() -> None:
    found = sites(
        [{"host": "www.a.example", "upstream": "web"}, {"host": "b.example", "upstream": "web"}],
        [{"name": "a.example", "domains": ["a.example", "www.a.example"]}, {"name": "c.example"}],
    )
    assert [site["certificate"].split("/")[4] for site in found] == ["b.example", "a.example"]


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ({"host": "nodots", "upstream": "web"}, "[0].host: 'nodots' must be a full host name"),
        ({"host": "a.example;", "upstream": "web"}, "[0].host: "),
        ({"host": "a.example", "path": "api", "upstream": "web"}, "[0].path: 'api' must start with /"),
        ({"host": "a.example", "path": "/a; return 200", "upstream": "web"}, "[0].path: "),
        ({"host": "a.example", "path": "/{", "upstream": "web"}, "[0].path: "),
        ({"host": "a.example", "upstream": "web;x"}, "[0].upstream: "),
        ({"host": "a.example"}, "[0].upstream: '' must be a name"),
        ({"host": "a.example", "upstream": "web", "upstream_file": "/etc/passwd"}, "[0].upstream_file: "),
        ({"host": "a.example", "upstream": "web", "timeout_seconds": -1}, "[0].timeout_seconds: -1 must be a whole"),
        ({"host": "a.example", "upstream": "web", "requests_per_minute": "60"}, "[0].requests_per_minute: '60' must"),
        ({"host": "a.example", "upstream": "web", "websocket": "yes"}, "[0].websocket: 'yes' must be true or false"),
        (
            {"host": "a.example", "upstream": "web", "websockets": True},
            "[0].websockets: unknown key, did you mean websocket?",
        ),
        ("a.example", "[0]: must be a mapping"),
    ],
)
def test_problems(route: Any, problem: str) -> None:
    with pytest.raises(RouteProblems) as caught:
        sites([route])
    assert any(line.startswith(problem) for line in caught.value.problems), caught.value.problems


def test_all_problems_at_once() -> None:
    with pytest.raises(RouteProblems) as caught:
        sites(
            [{"host": "a.example", "upstream": "web"}, {"host": "a.example", "path": "/", "upstream": "other"}, {}],
            [{"domains": []}],
        )
    assert caught.value.problems == [
        "certificates[0]: must be a mapping of name and domains",
        "[1]: a.example/ is already routed by [0]",
        "[2].host: '' must be a full host name",
        "[2].upstream: '' must be a name of lower case letters, digits and _",
    ]


def test_zones_differ_where_paths_do() -> None:
    assert len({zone_name("a.example", path) for path in ("/", "/a", "/a-b", "/a_b", "/a/b", "/A")}) == 5
    assert zone_name("a.example", "/a-b") != zone_name("a-example", "/a.b")


def test_files_are_a_site_each_and_a_seed_an_upstream() -> None:
    found = files(sites(FLEET))
    assert [entry["path"] for entry in found] == [
        "/etc/nginx/slipway/sites/a.example.conf",
        "/etc/nginx/slipway/sites/fleet.example.conf",
        "/etc/nginx/slipway/upstreams/fleet_application.conf",
        "/etc/nginx/slipway/upstreams/fleet_console.conf",
        "/etc/nginx/slipway/upstreams/fleet_socket.conf",
    ]
    assert found[1]["variables"]["__proxy_site"]["host"] == "fleet.example"
    assert [entry.get("seed", False) for entry in found] == [False, False, True, True, True]


def test_seed_names_the_upstream_and_is_down() -> None:
    assert "upstream web {" in seed("web")
    assert "server 127.0.0.1:9 down;" in seed("web")

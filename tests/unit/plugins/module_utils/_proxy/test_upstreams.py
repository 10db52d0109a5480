from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

STACK = Stack(
    load(
        {
            "services": {
                "web": {
                    "image": "web:1",
                    "networks": ["inside", "outside"],
                    "x-slipway": {"routes": [{"host": "a.example", "port": 80}]},
                }
            },
            "networks": {"inside": {"internal": True}, "outside": {}},
        },
        "t",
        {},
        lambda path: b"",
    )
)


def container(number: int, **changes: Any) -> Container:
    base = Container(
        id=str(number),
        name=f"t-web-{number}",
        service="web",
        number=number,
        config_hash=STACK.config_hash("web"),
        image="web:1",
        image_id="x",
        state="running",
        addresses={"t_inside": f"10.0.0.{number}", "t_outside": f"10.0.1.{number}"},
    )
    return replace(base, **changes)


def servers(*containers: Container) -> list[str]:
    text = "".join(upstreams.wanted(STACK, containers).values())
    return [line.strip() for line in text.splitlines() if line.strip().startswith("server")]


def test_the_whole_file() -> None:
    assert upstreams.wanted(STACK, [container(2), container(1)]) == {
        "slipway_t_web_80.conf": upstreams.HEADER
        + "upstream slipway_t_web_80 {\n"
        + "    zone slipway_t_web_80 64k;\n"
        + "    server 10.0.1.1:80 fail_timeout=1s;\n"
        + "    server 10.0.1.2:80 fail_timeout=1s;\n"
        + "    keepalive 32;\n"
        + "}\n",
        "slipway_t_web_80.share": "",
    }


def test_two_versions_share_the_requests() -> None:
    share = upstreams.Share(0.125, "7", cookie="beta=yes", header="X-Try-New=1")
    found = upstreams.render("up", [upstreams.Server("10.0.0.1:80")], [upstreams.Server("10.0.0.2:80")], share)
    assert found["up.conf"] == upstreams.HEADER + (
        "upstream up {\n    zone up 64k;\n    server 10.0.0.1:80;\n    keepalive 32;\n}\n"
        "upstream up_next {\n    zone up_next 64k;\n    server 10.0.0.2:80;\n    server 10.0.0.1:80 backup;\n"
        "    keepalive 32;\n}\n"
        'split_clients "7$remote_addr" $up_drawn {\n    12.50% 1;\n    * "";\n}\n'
        'map $cookie_beta $up_drawn_cookie {\n    default $up_drawn;\n    "yes" 1;\n}\n'
        'map $http_x_try_new $up_drawn_cookie_http {\n    default $up_drawn_cookie;\n    "1" 1;\n}\n'
    )
    assert found["up.share"] == upstreams.HEADER + "if ($up_drawn_cookie_http) {\n    proxy_pass http://up_next;\n}\n"


def test_a_share_of_nothing_is_for_testers_alone() -> None:
    share = upstreams.Share(0, cookie="beta=yes")
    found = upstreams.render("up", [upstreams.Server("10.0.0.1:80")], [upstreams.Server("10.0.0.2:80")], share)
    assert "split_clients" not in found["up.conf"]  # nginx refuses 0%
    assert 'map "" $up_drawn {\n    default "";\n}\n' in found["up.conf"]


@pytest.mark.parametrize(
    ("following", "share"),
    [
        pytest.param([], upstreams.Share(0.5), id="no-next-servers"),
        pytest.param([upstreams.Server("10.0.0.2:80")], None, id="no-share"),
    ],
)
def test_without_a_share_the_files_are_the_plain_ones(
    following: list[upstreams.Server], share: upstreams.Share | None
) -> None:
    servers = [upstreams.Server("10.0.0.1:80")]
    assert upstreams.render("up", servers, following, share) == upstreams.render("up", servers)


@pytest.mark.parametrize(
    ("server", "line"),
    [
        (upstreams.Server("10.0.0.1:80"), "10.0.0.1:80"),
        (upstreams.Server("10.0.0.1:80", 3, 2, 5), "10.0.0.1:80 weight=3 max_fails=2 fail_timeout=5s"),
    ],
)
def test_a_servers_line(server: upstreams.Server, line: str) -> None:
    assert server.line() == line
    assert server.line(backup=True) == f"{line} backup"


def test_only_services_with_a_share_get_servers_of_the_next_version() -> None:
    old, new = container(1), container(2)
    assert upstreams.wanted(STACK, [old], [new], {}) == upstreams.wanted(STACK, [old])
    found = upstreams.wanted(STACK, [old], [new], {"web": upstreams.Share(0.5)})
    assert (
        "server 10.0.1.2:80 fail_timeout=1s;\n    server 10.0.1.1:80 fail_timeout=1s backup;"
        in found["slipway_t_web_80.conf"]
    )


def test_closing_takes_a_share_away() -> None:
    share = upstreams.render("up", [upstreams.Server("1:1")], [upstreams.Server("1:2")], upstreams.Share(0.5))
    assert upstreams.closed(share) == upstreams.render("up", [])


FIRST = "server 10.0.1.1:80 fail_timeout=1s;"


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param([], ["server 127.0.0.1:9 down;"], id="none"),
        pytest.param([container(1, state="exited")], ["server 127.0.0.1:9 down;"], id="not-running"),
        pytest.param([container(1), container(2, health="unhealthy")], [FIRST], id="unhealthy-left-out"),
        pytest.param([container(1, health="unhealthy")], [FIRST], id="unhealthy-better-than-none"),
        pytest.param([container(1), container(2, config_hash="new")], [FIRST], id="another-release"),
        pytest.param([container(1, config_hash="new")], [FIRST], id="nothing-but-another-release"),
        pytest.param([container(1), container(2, standing=True)], [FIRST], id="colour-that-stands"),
        pytest.param([container(1), container(9, oneoff=True)], [FIRST], id="one-off"),
        pytest.param(
            [container(1, addresses={"t_inside": "10.0.0.1"})],
            ["server 10.0.0.1:80 fail_timeout=1s;"],
            id="internal-only",
        ),
        pytest.param([container(1, host_network=True)], ["server 127.0.0.1:80 fail_timeout=1s;"], id="host-network"),
    ],
)
def test_servers(containers: list[Container], expected: list[str]) -> None:
    assert servers(*containers) == expected


def test_differing() -> None:
    assert upstreams.differing({"a": "1", "b": "2", "c": "", "d": ""}, {"a": "1", "d": "4"}) == ["b", "d"]

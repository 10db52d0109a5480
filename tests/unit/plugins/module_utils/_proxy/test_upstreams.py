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
        + "    server 10.0.1.1:80;\n"
        + "    server 10.0.1.2:80;\n"
        + "    keepalive 32;\n"
        + "}\n"
    }


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        pytest.param([], ["server 127.0.0.1:9 down;"], id="none"),
        pytest.param([container(1, state="exited")], ["server 127.0.0.1:9 down;"], id="not-running"),
        pytest.param(
            [container(1), container(2, health="unhealthy")], ["server 10.0.1.1:80;"], id="unhealthy-left-out"
        ),
        pytest.param([container(1, health="unhealthy")], ["server 10.0.1.1:80;"], id="unhealthy-better-than-none"),
        pytest.param([container(1), container(2, config_hash="new")], ["server 10.0.1.1:80;"], id="another-release"),
        pytest.param([container(1, config_hash="new")], ["server 10.0.1.1:80;"], id="nothing-but-another-release"),
        pytest.param([container(1), container(9, oneoff=True)], ["server 10.0.1.1:80;"], id="one-off"),
        pytest.param([container(1, addresses={"t_inside": "10.0.0.1"})], ["server 10.0.0.1:80;"], id="internal-only"),
        pytest.param([container(1, host_network=True)], ["server 127.0.0.1:80;"], id="host-network"),
    ],
)
def test_servers(containers: list[Container], expected: list[str]) -> None:
    assert servers(*containers) == expected


def test_differing() -> None:
    assert upstreams.differing({"a": "1", "b": "2"}, {"a": "1"}) == ["b"]

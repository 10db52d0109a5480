"""The proof of the corpus finds each key of a running container that is not what was asked."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.container import labels, service_spec
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

from tests.proofs.corpus import prove
from tests.proofs.corpus.truth import differences

WEB = {
    "image": "web:1",
    "command": "serve",
    "environment": {"A": "1"},
    "labels": {"l": "v"},
    "cap_add": ["NET_ADMIN"],
    "security_opt": ["no-new-privileges:true"],
    "mem_limit": "64m",
    "ulimits": {"nofile": 5},
    "healthcheck": {"test": "true", "interval": "1s"},
    "ports": ["8080:80"],
    "volumes": ["data:/data:ro"],
    "configs": [{"source": "c", "target": "/etc/c", "mode": 0o400}],
}
STACK = Stack(
    load(
        {"services": {"web": WEB}, "volumes": {"data": {}}, "configs": {"c": {"content": "x"}}}, "t", {}, lambda _: b""
    )
)
FILES = {"id": "/etc/c 400 0 0 eA==\n"}


def running() -> dict[str, Any]:
    """The container as the engine would show it: what it was created with, some of it in other words."""
    body = copy.deepcopy(dict(service_spec(STACK, "web", 1, 1, "/files").body))
    host = body.pop("HostConfig")
    host["CapAdd"] = ["CAP_NET_ADMIN"]
    host["SecurityOpt"] = ["no-new-privileges=true"]
    host["NanoCpus"] = 0
    body["Labels"] = labels(STACK, STACK.services["web"], 1, 1)
    return {
        "Id": "id",
        "Config": body,
        "HostConfig": host,
        "Mounts": [{"Type": "volume", "Name": "t_data", "Source": "/var/x", "Destination": "/data", "RW": False}],
        "NetworkSettings": {"Networks": {"t_default": {}}},
    }


def test_what_is_as_asked_differs_in_nothing() -> None:
    assert differences(STACK, [running()], FILES) == []


def test_a_service_of_which_nothing_runs_is_found() -> None:
    assert differences(STACK, [], {}) == ["web: nothing runs"]


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("Config", "Cmd"), ["other"], "web.command"),
        (("Config", "Env"), ["A=2"], "web.environment.A"),
        (("Config", "Labels", "l"), "w", "web.labels.l"),
        (("Config", "Healthcheck", "Interval"), 5, "web.healthcheck"),
        (("HostConfig", "CapAdd"), None, "web.cap_add"),
        (("HostConfig", "SecurityOpt"), [], "web.security_opt"),
        (("HostConfig", "Memory"), 0, "web.memory"),
        (("HostConfig", "Ulimits"), [], "web.ulimits"),
        (("HostConfig", "PortBindings"), {}, "web.ports.8080"),
        (("Mounts", 0, "RW"), True, "web.volumes./data"),
        (("NetworkSettings", "Networks"), {}, "web.networks.default"),
    ],
)
def test_what_differs_is_named(path: tuple[Any, ...], value: Any, expected: str) -> None:
    seen = running()
    place: Any = seen
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    assert [line.split(":")[0] for line in differences(STACK, [seen], FILES)] == [expected]


@pytest.mark.parametrize("listed", ["", "/etc/c 444 0 0 eA==\n", "/etc/c 400 0 0 eQ==\n", "/etc/c 400 7 0 eA==\n"])
def test_a_mounted_file_is_compared_with_its_content_and_owner(listed: str) -> None:
    (line,) = differences(STACK, [running()], {"id": listed})
    assert line.startswith("web.configs.c: asked for ['400', '0', '0', 'eA==']")


def test_a_stand_in_never_takes_the_name_of_a_real_server() -> None:
    real = {server.name for server in prove.standins.servers(further=True)}
    asked = [
        "redis:7.4-alpine",
        "mysql:8.4",
        "postgres:17-alpine",
        "ghost:5",
        "prom/node:1",
        "registry.example:5000/a/b:1",
    ]
    assert prove.lacking(asked, real) == ["a/b:1", "library/ghost:5", "prom/node:1"]

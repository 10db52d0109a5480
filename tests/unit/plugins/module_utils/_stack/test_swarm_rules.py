from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import COMPOSE, SWARM
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import StackError

PIN = {"deploy": {"placement": {"constraints": ["node.labels.data == yes"]}}}
CONSTRAINT = "services.web.deploy.placement.constraints[0]"


def document(web: dict[str, Any], **top: Any) -> dict[str, Any]:
    return {"services": {"web": {"image": "web:1", **web}}, "volumes": {"data": None}, **top}


def model(web: dict[str, Any], name: str = "t", **top: Any) -> dict[str, Any]:
    return load(document(web, **top), name, {}, lambda path: b"", SWARM)


def paths(web: dict[str, Any], name: str = "t", **top: Any) -> list[str]:
    try:
        model(web, name, **top)
    except StackError as error:
        return [problem.path for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        ({}, []),
        ({"ports": ["80:80"]}, ["services.web.ports[0]"]),
        ({"ports": [{"target": 80, "published": 80}]}, ["services.web.ports[0].mode"]),
        ({"ports": [{"target": 80, "published": 80, "mode": "ingress"}]}, ["services.web.ports[0].mode"]),
        ({"ports": [{"target": 80, "published": 80, "mode": "host"}], "deploy": {"replicas": 3}}, []),
        ({"entrypoint": []}, ["services.web.entrypoint"]),
        ({"network_mode": "none"}, ["services.web.network_mode"]),
        ({"network_mode": "host"}, []),
        (
            {"network_mode": "host", "x-slipway": {"routes": [{"host": "a.example", "port": 80}]}},
            ["services.web.network_mode"],
        ),
        ({"pull_policy": "never"}, ["services.web.pull_policy"]),
        ({"security_opt": ["no-new-privileges:true", "seccomp=unconfined", "apparmor:unconfined"]}, []),
        ({"security_opt": ["label=disable"]}, ["services.web.security_opt[0]"]),
        ({"tmpfs": ["/run:size=1m,mode=1770,noexec"]}, []),
        ({"tmpfs": "/run:uid=5"}, ["services.web.tmpfs[0]"]),
        ({"volumes": ["data:/d"]}, ["services.web.deploy.placement"]),
        ({"volumes": ["/srv:/d"]}, ["services.web.deploy.placement"]),
        ({"volumes": ["data:/d", "/srv:/e"], **PIN}, []),
        (
            {
                "volumes": [{"type": "bind", "source": "/srv", "target": "/d", "bind": {"create_host_path": True}}],
                **PIN,
            },
            ["services.web.volumes[0].bind.create_host_path"],
        ),
        ({"deploy": {"mode": "global"}, "volumes": ["data:/d", "/srv:/e"]}, []),
        ({"deploy": {"mode": "global", "replicas": 2}}, ["services.web.deploy.mode"]),
        ({"deploy": {"placement": {"constraints": ["node.role==manager", "engine.labels.a!=b"]}}}, []),
        ({"deploy": {"placement": {"constraints": ["node.foo == x"]}}}, [CONSTRAINT]),
        ({"deploy": {"placement": {"constraints": ["nonsense"]}}}, [CONSTRAINT]),
        (
            {"deploy": {"placement": {"preferences": [{"spread": "zone"}]}}},
            ["services.web.deploy.placement.preferences[0].spread"],
        ),
        ({"restart": "always", "deploy": {"restart_policy": {"condition": "any"}}}, ["services.web.restart"]),
        (
            {
                "deploy": {
                    "resources": {"reservations": {"generic_resources": [{"discrete_resource_spec": {"value": 1}}]}}
                }
            },
            ["services.web.deploy.resources.reservations.generic_resources[0].discrete_resource_spec.kind"],
        ),
        ({"platform": "Linux 64"}, ["services.web.platform"]),
    ],
)
def test_problems_of_a_service(web: dict[str, Any], expected: list[str]) -> None:
    assert paths(web) == expected


@pytest.mark.parametrize("constraint", ["node.role == manager", "node.hostname != a", "node.labels.x != y"])
def test_what_does_not_pin(constraint: str) -> None:
    web = {"volumes": ["data:/d"], "deploy": {"placement": {"constraints": [constraint]}}}
    assert paths(web) == ["services.web.deploy.placement"]


@pytest.mark.parametrize(
    ("volume", "pinned"),
    [
        (None, True),
        ({"driver": "local"}, True),
        ({"driver_opts": {"type": "none", "o": "bind", "device": "/srv"}}, True),
        ({"driver_opts": {"type": "nfs", "o": "addr=10.0.0.5", "device": ":/x"}}, False),
        ({"driver": "some-plugin"}, False),
    ],
)
def test_only_data_of_one_node_pins(volume: Any, pinned: bool) -> None:
    assert bool(paths({"volumes": ["data:/d"]}, volumes={"data": volume})) is pinned


@pytest.mark.parametrize(
    ("top", "expected"),
    [
        ({"networks": {"n": {"driver": "bridge"}}}, ["networks.n.driver"]),
        ({"networks": {"n": {"driver": "overlay", "attachable": True}}}, []),
        ({"networks": {"n": {"external": True}}}, []),
        ({"networks": {"n": {"enable_ipv6": True}}}, ["networks.n.enable_ipv6"]),
        ({"configs": {"c": {"content": ""}}}, ["configs.c"]),
        ({"configs": {"c": {"content": "x" * 1_024_000}}}, ["configs.c"]),
        ({"secrets": {"s": {"file": "big"}}}, ["secrets.s"]),
        ({"configs": {"c": {"content": "x", "template_driver": "jinja"}}}, ["configs.c.template_driver"]),
    ],
)
def test_problems_of_networks_and_objects(top: dict[str, Any], expected: list[str]) -> None:
    try:
        load(document({}, **top), "t", {}, lambda path: b"x" * 512_000, SWARM)
        found = []
    except StackError as error:
        found = [problem.path for problem in error.problems]
    assert found == expected


def test_names_that_do_not_fit() -> None:
    assert paths({}, "a" * 42) == []
    assert paths({}, "a" * 43) == ["services.web"]
    with pytest.raises(StackError, match="no dots in the names"):
        load({"services": {"a.b": {"image": "i:1"}}}, "t", {}, lambda path: b"", SWARM)


def test_what_swarm_reads_beyond_one_host() -> None:
    web = {
        "platform": "linux/amd64",
        "tmpfs": "/run:size=1m,mode=700",
        "shm_size": "2m",
        "deploy": {
            "labels": ["a=b"],
            "placement": {
                "constraints": ["node.role==worker"],
                "preferences": [{"spread": "node.labels.zone"}],
                "max_replicas_per_node": "2",
            },
            "restart_policy": {"condition": "any", "max_attempts": 3, "delay": "2s", "window": "1m"},
            "resources": {
                "reservations": {
                    "cpus": "0.25",
                    "memory": "1m",
                    "generic_resources": [{"discrete_resource_spec": {"kind": "gpu", "value": 2}}],
                }
            },
        },
    }
    service = model(web)["services"]["web"]
    assert service["deploy"] == {
        "replicas": 1,
        "update_config": {},
        "labels": {"a": "b"},
        "placement": {
            "constraints": ["node.role==worker"],
            "preferences": ["node.labels.zone"],
            "max_replicas_per_node": 2,
            "platform": "linux/amd64",
        },
        "restart_policy": {"condition": "any", "max_attempts": 3, "delay": 2.0, "window": 60.0},
        "resources": {
            "memory_reservation": 2**20,
            "cpu_reservation": 0.25,
            "generic_resources": [{"kind": "gpu", "value": 2}],
        },
    }
    memory = {"type": "tmpfs", "source": "", "read_only": False}
    assert service["volumes"] == [
        {**memory, "target": "/run", "size": 2**20, "mode": 0o700},
        {**memory, "target": "/dev/shm", "size": 2 * 2**20},
    ]
    assert not {"tmpfs", "shm_size"} & set(service)


def test_one_host_is_read_as_before() -> None:
    web = {"tmpfs": "/run", "shm_size": "2m", "deploy": {"restart_policy": {"condition": "any"}}}
    service = load(document(web), "t", {}, lambda path: b"", COMPOSE)["services"]["web"]
    assert service["tmpfs"] == ["/run"]
    assert set(service["deploy"]) == {"replicas", "update_config", "resources"}
    assert service["restart"] == "unless-stopped"

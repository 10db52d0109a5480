from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import StackError

OK: dict[str, Any] = {"image": "i:1"}


def problems(document: Any, name: str | None = "t") -> list[str]:
    with pytest.raises(StackError) as caught:
        load(document, name, {}, lambda path: b"")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, ["the file holds no mapping; begin it with services:"]),
        ({}, ["services: there are none; a stack needs at least one service"]),
        ({"services": ["web"]}, ["services: is not a mapping; write key: value below it"]),
        ({"services": {"web": "i"}}, ["services.web: is not a mapping; write image: and the rest below it"]),
        ({"secretz": {}, "services": {"web": OK}}, ["secretz: unknown key; did you mean secrets?"]),
        ({"services": {"web": {**OK, "zzz": 1}}}, ["services.web.zzz: unknown key"]),
        (
            {"services": {"web": {**OK, "healthcheck": {"intervall": "5s"}}}},
            ["services.web.healthcheck.intervall: unknown key; did you mean interval or start_interval?"],
        ),
        (
            {"services": {"web": {**OK, "x-slipwy": {}}}},
            [],
        ),
        (
            {"services": {"web": {**OK, "x-slipways": {}}}},
            ["services.web.x-slipways: unknown key; did you mean x-slipway?"],
        ),
        (
            {"services": {"web": {**OK, "x-slipway": {"route": []}}}},
            ["services.web.x-slipway.route: unknown key; did you mean routes?"],
        ),
        (
            {"services": {"web": {**OK, "build": {"context": ".", "ssh": ["default"]}}}},
            ["services.web.build.ssh: not supported on compose; a build has neither; fetch what needs them before it"],
        ),
        (
            {"services": {"a": {**OK, "depends_on": ["b"]}, "b": {**OK, "depends_on": ["a"]}}},
            ["services.a.depends_on: runs in a circle: a -> b -> a; remove one of these"],
        ),
        (
            {"services": {"a": {**OK, "ports": ["80:80"]}, "b": {**OK, "ports": ["80:81"]}}},
            ["services.b.ports[0]: 80 is published already by services.a.ports[0]; choose another"],
        ),
        (
            {
                "services": {
                    key: {**OK, "x-slipway": {"routes": [{"host": "h.example", "port": 80}]}} for key in ("a", "b")
                }
            },
            [
                "services.b.x-slipway.routes[0]: h.example/ is routed already by "
                "services.a.x-slipway.routes[0]; remove one"
            ],
        ),
        (
            {"services": {"web": OK}, "volumes": {"uploads": {}}, "x-slipway": {"backup": {"volumes": ["upload"]}}},
            ["x-slipway.backup.volumes[0]: 'upload' is not listed under volumes; did you mean uploads?"],
        ),
        (
            {"services": {"web": OK}, "configs": {"c": {"file": "a", "content": "b"}}},
            ["configs.c: has 2 sources; give one of file, environment and content"],
        ),
    ],
)
def test_problems(document: Any, expected: list[str]) -> None:
    if expected:
        assert problems(document) == expected
    else:
        load(document, "t", {}, lambda path: b"")


def test_all_problems_at_once() -> None:
    document = {"services": {"web": {"image": "i:${V}", "buidl": ".", "ports": ["80"], "restart": "x"}}, "nams": 1}
    found = problems(document, None)
    assert [line.split(":")[0] for line in found] == [
        "services.web.image",
        "services.web.buidl",
        "nams",
        "services.web.restart",
        "services.web.ports[0]",
        "name",
    ]


@pytest.mark.parametrize("name", ["Fleet", "-x", "a b"])
def test_stack_names(name: str) -> None:
    assert problems({"services": {"web": OK}}, name)[0].startswith(f"name: '{name}' is no stack name")


def test_name_of_the_caller_wins() -> None:
    assert load({"name": "file", "services": {"web": OK}}, "caller", {}, lambda path: b"")["name"] == "caller"
    assert load({"name": "file", "services": {"web": OK}}, None, {}, lambda path: b"")["name"] == "file"


def test_the_model_says_its_engine() -> None:
    document = {"services": {"web": OK}}
    assert load(document, "t", {}, lambda path: b"")["engine"] == "compose"
    assert load(document, "t", {}, lambda path: b"", "swarm")["engine"] == "swarm"

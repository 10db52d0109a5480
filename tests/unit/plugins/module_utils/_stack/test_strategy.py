"""How each service gets its new version: its own words over the stack's, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Service, Stack
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import StackError

ROUTES = [{"host": "a.example", "port": 80}]


def read(top: dict[str, Any] | None = None, own: dict[str, Any] | None = None, **service: Any) -> Service:
    document = {
        "services": {"web": {"image": "web:1", "x-slipway": {"routes": ROUTES, **(own or {})}, **service}},
        "x-slipway": top or {},
    }
    return Stack(load(document, "t", {}, lambda path: b"")).services["web"]


@pytest.mark.parametrize(
    ("top", "own", "service", "strategy", "order"),
    [
        pytest.param({}, {}, {}, "rolling", "start-first", id="nothing"),
        pytest.param({"strategy": "canary"}, {}, {}, "canary", "start-first", id="default"),
        pytest.param({"strategy": "canary"}, {"strategy": "rolling"}, {}, "rolling", "start-first", id="own-wins"),
        pytest.param({"strategy": "canary"}, {"routes": []}, {}, "rolling", "stop-first", id="no-routes"),
        pytest.param({"strategy": "blue-green"}, {}, {"container_name": "a"}, "rolling", "stop-first", id="single"),
        pytest.param({}, {"strategy": "recreate"}, {}, "recreate", "stop-first", id="recreate"),
        pytest.param(
            {"strategy": "recreate"},
            {},
            {"deploy": {"update_config": {"order": "start-first"}}},
            "rolling",
            "start-first",
            id="order-wins-over-the-default",
        ),
    ],
)
def test_strategy_and_order(
    top: dict[str, Any], own: dict[str, Any], service: dict[str, Any], strategy: str, order: str
) -> None:
    found = read(top, own, **service)
    assert (found.strategy, found.order[0]) == (strategy, order)


def test_a_canary_has_steps_and_testers() -> None:
    top = {"strategy": "canary", "canary": {"steps": [{"percent": 0, "for": "5m"}], "cookie": "beta=yes"}}
    assert read(top).canary == {"steps": [{"share": 0.0, "seconds": 300.0}], "cookie": "beta=yes", "header": ""}
    own = {"canary": {"steps": [{"percent": "12.5", "for": "30s"}], "header": "X-Try-New=1"}}
    assert read(top, own).canary == {
        "steps": [{"share": 0.125, "seconds": 30.0}],
        "cookie": "",
        "header": "X-Try-New=1",
    }
    assert [step["share"] for step in read({"strategy": "canary"}).canary["steps"]] == [0.1, 0.5]


def test_a_blue_green_service_keeps_its_old_colour_for_a_time() -> None:
    assert read({}, {"strategy": "blue-green"}).keep_old_seconds == 600
    assert read({"strategy": "blue-green", "keep_old": "1h"}).keep_old_seconds == 3600
    assert read({"keep_old": "1h"}).keep_old_seconds == 0


def test_a_model_kept_by_an_earlier_version_rolls() -> None:
    plain = {**read().plain, "slipway": {"routes": []}}
    assert Service("web", plain).strategy == "rolling"
    assert Service("web", plain).canary["steps"] == []


@pytest.mark.parametrize(
    ("top", "own", "service", "expected"),
    [
        pytest.param({}, {"strategy": "blue"}, {}, "strategy: 'blue' is not possible here", id="word"),
        pytest.param({"strategy": "blue"}, {}, {}, "x-slipway.strategy: 'blue' is not possible", id="default-word"),
        pytest.param(
            {}, {"strategy": "canary", "routes": []}, {}, "canary is not possible: it has no routes", id="no-routes"
        ),
        pytest.param(
            {},
            {"strategy": "blue-green"},
            {"ports": ["127.0.0.1:80:80"]},
            "blue-green is not possible: the host port 80 cannot be bound twice",
            id="single",
        ),
        pytest.param(
            {},
            {"strategy": "canary"},
            {"deploy": {"update_config": {"order": "stop-first"}}},
            "canary is not possible: update_config.order is stop-first",
            id="stop-first",
        ),
        pytest.param(
            {},
            {"strategy": "recreate"},
            {"deploy": {"update_config": {"order": "start-first"}}},
            "recreate is not possible: update_config.order is start-first",
            id="start-first",
        ),
        pytest.param({}, {"keep_old": "1h"}, {}, "keep_old: has no effect with strategy rolling", id="keep-old"),
        pytest.param({}, {"canary": {}}, {}, "canary: has no effect with strategy rolling", id="canary-settings"),
        pytest.param({"keep_old": "soon"}, {}, {}, "x-slipway.keep_old: 'soon' is not a duration", id="duration"),
        pytest.param({"canary": {"steps": []}}, {}, {}, "x-slipway.canary.steps: is no list of steps", id="no-steps"),
        pytest.param(
            {"canary": {"steps": [{"percent": 0, "for": "1m"}]}},
            {},
            {},
            "steps[0].percent: 0 is out of range; give more than 0 (0 needs a cookie or a header)",
            id="nobody",
        ),
        pytest.param(
            {"canary": {"steps": [{"percent": 100, "for": "1m"}]}}, {}, {}, "100 is out of range", id="everybody"
        ),
        pytest.param(
            {"canary": {"steps": [{"percent": 50, "for": "1m"}, {"percent": 10, "for": "1m"}]}},
            {},
            {},
            "x-slipway.canary.steps: a share does not grow",
            id="shrinking",
        ),
        pytest.param({"canary": {"steps": [{"percent": 5}]}}, {}, {}, "steps[0].for: None is not", id="no-time"),
        pytest.param({"canary": {"cookie": 'a="; }'}}, {}, {}, "x-slipway.canary.cookie:", id="cookie-is-no-syntax"),
        pytest.param({"canary": {"header": "X-A"}}, {}, {}, "x-slipway.canary.header:", id="header-without-value"),
        pytest.param({"watch": {"more_errors": 2}}, {}, {}, "x-slipway.watch.more_errors: 2 is no ratio", id="ratio"),
        pytest.param({}, {"watch": {"times_slower": 0.5}}, {}, "times_slower: 0.5 is below 1", id="slower"),
    ],
)
def test_contradictions_are_named(
    top: dict[str, Any], own: dict[str, Any], service: dict[str, Any], expected: str
) -> None:
    with pytest.raises(StackError) as caught:
        read(top, own, **service)
    assert expected in str(caught.value)
    assert len(caught.value.problems) == 1, str(caught.value)


def test_all_canaries_of_a_stack_have_the_same_steps() -> None:
    def service(seconds: str) -> dict[str, Any]:
        return {
            "image": "web:1",
            "x-slipway": {
                "routes": [{"host": f"{seconds}.example", "port": 80}],
                "strategy": "canary",
                "canary": {"steps": [{"percent": 10, "for": seconds}]},
            },
        }

    with pytest.raises(StackError, match=r"services.b.x-slipway.canary.steps: differ from those of a"):
        load({"services": {"a": service("60s"), "b": service("90s")}}, "t", {}, lambda path: b"")


def test_limits_of_the_service_stand_over_those_of_the_stack() -> None:
    found = read({"watch": {"p95": "2s", "minimum_errors": 9}}, {"watch": {"p95": "1s"}}).watch
    assert (found["p95_seconds"], found["minimum_errors"], found["more_errors"]) == (1.0, 9, 0.02)

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import (
    Request,
    parse_requests,
    requests_for_hosts,
)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        pytest.param("shop.example", Request("shop.example", ("shop.example",)), id="host name"),
        pytest.param(["a.example", "b.example"], Request("a.example", ("a.example", "b.example")), id="list"),
        pytest.param({"name": "Shop.example."}, Request("shop.example", ("shop.example",)), id="name alone"),
        pytest.param(
            {"name": "shop.example", "domains": ["www.shop.example", "shop.example", "SHOP.example"]},
            Request("shop.example", ("www.shop.example", "shop.example")),
            id="mapping, doubles dropped",
        ),
    ],
)
def test_forms(value: Any, wanted: Request) -> None:
    assert parse_requests([value]) == ([wanted], [])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["*.example.com"], "[0]: '*.example.com' a wildcard needs a DNS challenge"),
        (["localhost"], "[0]: 'localhost' is not a full host name"),
        (["192.0.2.1"], "[0]: '192.0.2.1' is an address"),
        (["a_b.example"], "[0]: 'a_b.example' is not a host name"),
        (["-a.example"], "[0]: '-a.example' is not a host name"),
        ([[]], "[0]: names no domain"),
        ([5], "[0]: must be a host name, a list of host names or a mapping"),
        ([{"name": "a.example", "domain": "a.example"}], "[0].domain: unknown key"),
        ([{"name": "../etc", "domains": ["a.example"]}], "[0].name: '../etc' must have the form of a host name"),
        ([{"name": "a.example", "domains": "a.example"}], "[0].domains: must be a list"),
        (["a.example", "a.example"], "[1].name: a.example is already used by [0]"),
        ([[f"h{number}.example" for number in range(101)]], "[0]: has 101 domains"),
    ],
)
def test_problems(values: list[Any], problem: str) -> None:
    _requests, problems = parse_requests(values)
    assert any(line.startswith(problem) for line in problems), problems


def test_all_problems_at_once() -> None:
    assert len(parse_requests(["*.a.example", "b", "good.example", ["c", "d"]])[1]) == 4


def test_one_certificate_a_host() -> None:
    assert requests_for_hosts(["b.example", "A.example", "b.example."]) == [
        {"name": "a.example", "domains": ["a.example"]},
        {"name": "b.example", "domains": ["b.example"]},
    ]

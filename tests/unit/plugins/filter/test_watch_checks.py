from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.watch_checks import FilterModule

watch_checks = FilterModule().filters()["watch_checks"]


def test_returns_checks() -> None:
    routes = [{"host": "a.org", "path": "/", "service": "web"}]
    assert [check["kind"] for check in watch_checks(routes, "shop")] == [
        "http",
        "logs",
        "backup",
        "backup_log",
        "drill",
        "promise",
        "promise",
        "certificate",
        "disk",
    ]
    assert [check["kind"] for check in watch_checks(routes, "shop", backup=False)][-2:] == ["certificate", "disk"]


@pytest.mark.parametrize(
    ("routes", "stack", "message"),
    [
        ({"a": 1}, "shop", "give it the result of stack_routes"),
        (["x"], "shop", "give it the result of stack_routes"),
        ([], "", "needs the name of the stack"),
        ([{"host": "a.org"}], "shop", "a route has no 'service'"),
    ],
)
def test_refuses(routes: Any, stack: str, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=message):
        watch_checks(routes, stack)

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.stack_backup_sources import FilterModule
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load

DOCUMENT = {
    "services": {
        "web": {
            "image": "web:1",
            "ports": ["127.0.0.1:8080:80"],
            "volumes": ["files:/files"],
            "x-slipway": {"routes": [{"host": "a.example", "port": 80}]},
        },
        "db": {"image": "postgres:17", "x-slipway": {"database": {"kind": "postgresql", "name": "shop"}}},
        "wiki": {"image": "mariadb:11.8", "environment": {"MYSQL_ROOT_PASSWORD": "x"}, "x-slipway": {"database": {}}},
        "cache": {"image": "valkey/valkey:8", "x-slipway": {"database": {}}},
        "other": {"image": "redis:7"},
    },
    "volumes": {"files": {}},
    "x-slipway": {"backup": {"volumes": ["files"]}},
}
EXPECTED: list[Any] = [
    {"kind": "postgresql", "name": "db", "service": "db", "user": ""},
    {"kind": "mariadb", "service": "wiki", "user": "root", "password_variable": "MYSQL_ROOT_PASSWORD"},
    {"kind": "redis", "service": "cache", "user": "", "password_variable": ""},
    {"kind": "volume", "volume": "t_files"},
    {"kind": "file", "path": "/etc/slipway/stacks/t/environment"},
    {"kind": "file", "path": "/etc/slipway/stacks/t/stack.json"},
]


def test_value() -> None:
    found = FilterModule().filters()["stack_backup_sources"](load(DOCUMENT, "t", {}, lambda path: b""))
    assert len(found) == len(EXPECTED)
    for item, expected in zip(found, EXPECTED, strict=True):
        assert (expected.items() <= item.items()) if isinstance(expected, dict) else item == expected


@pytest.mark.parametrize("wrong", ["text", {}, None])
def test_what_is_no_model_is_said(wrong: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="stack_backup_sources: the input is no model of a stack"):
        FilterModule().filters()["stack_backup_sources"](wrong)

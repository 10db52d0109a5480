# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._preflight.specs import (
    check_value,
    did_you_mean,
    has_type,
    looks_secret,
    unknown_variables,
)

USERS: dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "options": {
        "name": {"type": "str", "required": True},
        "sudo": {"type": "str", "choices": ["none", "password", "passwordless"]},
        "authorized_keys": {"type": "list", "elements": "str"},
    },
}

CASES: list[tuple[str, str, Any, dict[str, Any], list[str]]] = [
    ("integer", "ssh_port", 2222, {"type": "int"}, []),
    ("integer from the command line", "ssh_port", "2222", {"type": "int"}, []),
    ("no integer", "ssh_port", "ssh", {"type": "int"}, ["ssh_port: must be a whole number, not 'ssh'"]),
    ("a boolean is no integer", "ssh_port", True, {"type": "int"}, ["ssh_port: must be a whole number, not True"]),
    ("no port", "ssh_port", 70000, {"type": "int"}, ["ssh_port: must be a port, 1 to 65535, not 70000"]),
    (
        "no port from the command line",
        "rules[0].port",
        "0",
        {"type": "int"},
        ["rules[0].port: must be a port, 1 to 65535, not '0'"],
    ),
    ("a port of its own name", "x_ports_count", 70000, {"type": "int"}, []),
    ("boolean word", "x", "yes", {"type": "bool"}, []),
    ("no boolean", "x", "maybe", {"type": "bool"}, ["x: must be true or false, not 'maybe'"]),
    ("number", "x", "2.5", {"type": "float"}, []),
    ("no number", "x", [1], {"type": "float"}, ["x: must be a number, not a list"]),
    ("text for a list", "x", "a,b", {"type": "list"}, ["x: must be a list, not 'a,b'"]),
    ("list for text", "x", ["a"], {"type": "str"}, ["x: must be text, not a list"]),
    ("not set", "x", None, {"type": "list"}, []),
    ("choice", "x", "b", {"choices": ["a", "b"]}, []),
    ("no choice", "x", "c", {"choices": ["a", "b"]}, ["x: must be one of a, b; not 'c'"]),
    ("choices of a list", "x", ["a", "c"], {"type": "list", "choices": ["a"]}, ["x: must be one of a; not 'c'"]),
    ("element", "x", [1, "b"], {"type": "list", "elements": "int"}, ["x[1]: must be a whole number, not 'b'"]),
    (
        "nested",
        "base_users",
        [{"name": "deploy", "sudo": "all"}, {"nmae": "x"}],
        USERS,
        [
            "base_users[0].sudo: must be one of none, password, passwordless; not 'all'",
            "base_users[1].nmae: is not a key that is known here (did you mean name?)",
            "base_users[1].name: is required",
        ],
    ),
    ("any mapping", "x", {"a": 1}, {"type": "dict"}, []),
    (
        "secret by its name",
        "backup_repository_password",
        ["s3cret"],
        {"type": "str"},
        ["backup_repository_password: must be text, not a value that is not shown"],
    ),
    (
        "secret by its spec",
        "x",
        "s3cret",
        {"type": "int", "no_log": True},
        ["x: must be a whole number, not a value that is not shown"],
    ),
    (
        "inside of a secret",
        "x_secrets",
        {"a": ["s3cret"]},
        {"type": "dict", "options": {"a": {"type": "int"}}},
        ["x_secrets.a: must be a whole number, not a value that is not shown"],
    ),
]


@pytest.mark.parametrize(("path", "value", "spec", "problems"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_check_value(path: str, value: Any, spec: dict[str, Any], problems: list[str]) -> None:
    assert check_value(path, value, spec) == problems


def test_long_values_are_cut() -> None:
    assert len(check_value("x", "y" * 1000, {"type": "int"})[0]) < 120


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("vault_db_password", True),
        ("DB_PASSWORD", True),
        ("backup_s3_secret_access_key", True),
        ("api_tokens", True),
        ("authorized_keys", False),
        ("passport", False),
        ("FLEET_DOMAIN", False),
    ],
)
def test_looks_secret(name: str, secret: bool) -> None:
    assert looks_secret(name) is secret


def test_unknown_types_accept_anything() -> None:
    assert has_type(object(), "raw")


def test_did_you_mean() -> None:
    assert did_you_mean("backup_retention_dayly", ["backup_retention_daily", "x"]) == (
        " (did you mean backup_retention_daily?)"
    )
    assert did_you_mean("quite_another", ["x"]) == ""


def test_unknown_variables() -> None:
    names = ["ssh_port", "ssh_prot", "sshd_x", "__ssh_state"]
    assert unknown_variables("ssh", names, {"ssh_port"}) == [
        "variable ssh_prot: role ssh has no such variable (did you mean ssh_port?)"
    ]

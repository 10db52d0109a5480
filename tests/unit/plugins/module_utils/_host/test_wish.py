# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import wish
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import parse

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHA5c2dczsWP1BiO664mVlI0UArUM2QHorIeK+ZkX0Br somebody"


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        pytest.param({"packges": ["nginx"]}, ["packges: unknown key, did you mean packages?"], id="unknown-section"),
        pytest.param({"packages": ["Nginx"]}, ["packages[0]: 'Nginx' is not a package name"], id="package-name"),
        pytest.param({"packages": "nginx"}, ["packages: must be a list of text"], id="packages-not-a-list"),
        pytest.param({"groups": [{"name": "Bad Name"}]}, ["groups[0].name: 'Bad Name' is not a valid name"], id="name"),
        pytest.param({"users": [{"uid": 3}]}, ["users[0].name: is required"], id="name-missing"),
        pytest.param({"users": [{"name": "x", "sudo": "password"}]}, ["users[0].authorized_keys: x gets"], id="sudo"),
        pytest.param(
            {"users": [{"name": "x", "authorized_keys_exclusive": True}]},
            ["users[0].authorized_keys_exclusive: needs authorized_keys"],
            id="exclusive-without-keys",
        ),
        pytest.param(
            {"users": [{"name": "x", "authorized_keys": ["rubbish"]}]},
            ["users[0].authorized_keys[0]: is not a public key"],
            id="key",
        ),
        pytest.param(
            {"files": [{"path": "etc/x", "content": ""}]},
            ["files[0].path: 'etc/x' must be an absolute path"],
            id="relative-path",
        ),
        pytest.param(
            {"files": [{"path": "/etc/../x", "content": ""}]}, ["files[0].path: '/etc/../x' must be"], id="path-up"
        ),
        pytest.param(
            {"files": [{"path": "/x", "content": "", "mode": 420}]},
            ["files[0].mode: must be octal digits in quotes"],
            id="mode-without-quotes",
        ),
        pytest.param(
            {"files": [{"path": "/x", "content": "", "mode": "644"}]}, ["files[0].mode: '644' must be"], id="mode-short"
        ),
        pytest.param(
            {"files": [{"path": "/x", "content": {"a": 1}}]},
            ["files[0] (/x).content: must be text, not dict"],
            id="data",
        ),
        pytest.param({"files": [{"path": "/x"}]}, ["files[0] (/x): has no content"], id="not-rendered"),
        pytest.param(
            {"files": [{"path": "/x", "content": "", "validate": "nginx -t"}]},
            ["files[0].validate: must contain %s"],
            id="validate-without-file",
        ),
        pytest.param(
            {"files": [{"path": "/x", "content": ""}, {"path": "/x", "content": ""}]},
            ["files[1].path: /x is declared twice"],
            id="twice",
        ),
        pytest.param(
            {"files": [{"path": "/x", "content": ""}], "absent": ["/x"]},
            ["absent[0]: /x is also declared present"],
            id="present-and-absent",
        ),
        pytest.param({"links": [{"path": "/x"}]}, ["links[0].target: is required"], id="link"),
        pytest.param({"sysctls": {"bogus": 1}}, ["sysctls.bogus: is not a sysctl key"], id="sysctl-key"),
        pytest.param({"sysctls": {"a.b": True}}, ["sysctls.a.b: must be a number or text"], id="sysctl-value"),
        pytest.param({"checks": [{"command": "x", "on": ["etc"]}]}, ["checks[0].on[0]: 'etc' must be"], id="check"),
        pytest.param(
            {"units": [{"name": "nginx"}]}, ["units[0].name: 'nginx' must be a unit name with its type"], id="unit"
        ),
        pytest.param(
            {"units": [{"name": "x.service", "state": "running"}]}, ["units[0].state: 'running' must"], id="state"
        ),
        pytest.param(
            {"units": [{"name": "x.service", "masked": True, "enabled": True}]},
            ["units[0]: a masked unit can be neither"],
            id="masked-and-enabled",
        ),
        pytest.param(
            {"armed": {"name": "x", "limit_seconds": 1}},
            ["armed.limit_seconds: must be a whole number from 10"],
            id="armed",
        ),
    ],
)
def test_problems(arguments: dict[str, Any], problems: list[str]) -> None:
    found = parse(arguments)[1]
    assert len(found) == len(problems)
    assert all(line.startswith(start) for line, start in zip(found, problems))


def test_every_problem_is_told_at_once() -> None:
    arguments = {
        "files": [{"path": "x", "mode": 1, "content": ""}],
        "units": [{"name": "x"}],
        "users": [{"name": "u", "shel": "/bin/sh"}],
    }
    found = parse(arguments)[1]
    assert sorted(line.split(":")[0] for line in found) == [
        "files[0].mode",
        "files[0].path",
        "units[0].name",
        "users[0].shel",
    ]


def test_values() -> None:
    found, problems = parse(
        {
            "packages": ["nginx"],
            "users": [{"name": "deploy", "authorized_keys": [f" {KEY}\n"], "sudo": "passwordless", "system": "no"}],
            "files": [
                {"path": "/a", "content": "text"},
                {"path": "/b", "content_base64": base64.b64encode(b"\x00\xff").decode(), "mode": "0600"},
            ],
            "sysctls": {"net.ipv4.tcp_rmem": "4096  131072\t6291456"},
            "armed": {"name": "ssh"},
        }
    )
    assert problems == []
    assert found.users[0].authorized_keys == (KEY,)
    assert found.users[0].system is False
    assert [item.content for item in found.files] == [b"text", b"\x00\xff"]
    assert found.files[1].mode == "0600"
    assert found.sysctls == (("net.ipv4.tcp_rmem", "4096 131072 6291456"),)
    assert found.armed == wish.Armed("ssh", 120)


def test_templates_are_fine_before_they_are_rendered() -> None:
    arguments = {"files": [{"path": "/a"}, {"path": "/b", "template": "b.j2", "variables": {"x": 1}}]}
    assert parse(arguments, rendered=False)[1] == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (KEY, None),
        (f'from="192.0.2.*",command="echo hello there" {KEY}', None),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "is a private key"),
        (KEY[:40], "was cut off"),
        ("ssh-ed25519 " + KEY.split()[1][:-8], "was cut off"),
        ('command="ssh-rsa x" ' + KEY, None),
        ("ssh-ed25519", "has no key after"),
        ("ssh-ed25519 !!!", "is not valid base64"),
        (KEY.replace("ssh-ed25519", "ssh-rsa"), "says ssh-rsa but holds another type"),
        (f"{KEY}\n{KEY}", "holds more than one line"),
        ('command="echo ' + KEY, "quotes"),
        ("hello", "is not a public key"),
    ],
)
def test_keys(line: str, says: str | None) -> None:
    found = wish.key_problem(line)
    assert found is None if says is None else says in str(found)

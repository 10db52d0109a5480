# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker.engine import (
    engine_packages,
    engine_state,
    source_state,
)

KEY = (Path(__file__).parent / "example.asc").read_text(encoding="ascii")
FINGERPRINT = "F177 AFE7 BA8E 2F01 E351  BF1A 9172 CD6F 9C95 CDF2"
REPOSITORY = {"repository_url": "https://packages.example.test/debian", "repository_key": KEY}


def paths(state: dict[str, Any]) -> list[str]:
    return [file["path"] for file in state["files"]]


@pytest.mark.parametrize(
    ("options", "release", "expected"),
    [
        ({}, "bookworm", ["docker.io"]),
        ({}, "trixie", ["docker.io", "docker-cli", "docker-compose", "docker-buildx"]),
        ({}, "noble", ["docker.io", "docker-compose-v2", "docker-buildx"]),
        ({}, "another", ["docker.io"]),
        ({"packages": ["moby"]}, "trixie", ["moby"]),
        (REPOSITORY, "bookworm",
         ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin", "docker-buildx-plugin"]),
    ],
)  # fmt: skip
def test_packages(options: dict[str, Any], release: str, expected: list[str]) -> None:
    assert engine_packages(options, release) == expected


def test_daemon_file_is_validated_and_its_restart_part_has_a_file_of_its_own() -> None:
    state, problems = engine_state({"registry_mirrors": ["https://a.test"]}, "trixie")
    assert problems == []
    daemon, restart = state["files"][:2]
    assert "registry-mirrors" in json.loads(daemon["content"])
    assert "registry-mirrors" not in json.loads(restart["content"])
    assert "%s" in daemon["validate"]
    unit = state["units"][0]
    assert (unit["reload_on"], unit["restart_on"]) == ([daemon["path"]], [restart["path"]])


def test_switches() -> None:
    on, _problems = engine_state({"users": ["deploy"]}, "trixie")
    off, _problems = engine_state({"prune_enabled": False, "hold": False}, "trixie")
    assert on["users"] == [{"name": "deploy", "groups": ["docker"]}]
    assert "/etc/apt/apt.conf.d/52slipway-docker" in paths(on)
    assert off["absent"] == ["/etc/apt/apt.conf.d/52slipway-docker"]
    assert (on["units"][1]["state"], off["units"][1]["state"]) == ("started", "stopped")


def test_the_budget_reaches_the_program() -> None:
    state, problems = engine_state({"disk_budget_gib": 20, "disk_budget_percent": 0, "prune_days": 3}, "trixie")
    assert problems == []
    content = next(json.loads(file["content"]) for file in state["files"] if file["path"].endswith("prune.json"))
    assert content == {
        "budget_gib": 20, "budget_percent": 0, "unused_days": 3, "keep_releases": 2, "textfile": "",
    }  # fmt: skip


def test_limits_of_numbers_are_told_at_once() -> None:
    wrong = {"prune_days": 0, "prune_keep_releases": 0, "disk_budget_percent": 101, "disk_budget_gib": -1}
    assert len(engine_state(wrong, "trixie")[1]) == 4


def test_the_distribution_needs_no_source() -> None:
    assert source_state({}) == ({"packages": [], "files": []}, [])


def test_a_repository_needs_the_key_with_the_given_fingerprint() -> None:
    state, problems = source_state({**REPOSITORY, "repository_key_fingerprint": FINGERPRINT, "version": "5:28.*"})
    assert problems == []
    assert paths(state) == [
        "/etc/apt/keyrings/slipway-docker.asc",
        "/etc/apt/sources.list.d/slipway-docker.sources",
        "/etc/apt/preferences.d/slipway-docker",
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (REPOSITORY, "not repository_key_fingerprint (missing)"),
        ({**REPOSITORY, "repository_key_fingerprint": "0" * 40}, "not repository_key_fingerprint 0000"),
        ({**REPOSITORY, "repository_key": KEY + KEY, "repository_key_fingerprint": FINGERPRINT}, f"{'F177'}"),
        ({"repository_url": "https://a.test"}, "no public key found"),
    ],
)
def test_refuses_a_key_that_is_not_the_one_we_know(options: dict[str, Any], problem: str) -> None:
    problems = source_state(options)[1]
    assert len(problems) == 1
    assert problem in problems[0]

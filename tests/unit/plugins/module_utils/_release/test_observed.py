"""Answers of real engines to `inspect`, shortened to what is read."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import parse_container, parse_image

LABELS = {
    "ops.slipway.service": "web",
    "ops.slipway.config-hash": "abc",
    "ops.slipway.release": "4",
    "com.docker.compose.container-number": "3",
    "com.docker.compose.oneoff": "False",
}


def raw(**changes: Any) -> dict[str, Any]:
    return {
        "Id": "0123",
        "Name": "/t-web-3",
        "Image": "sha256:1",
        "RestartCount": 1,
        "Config": {"Image": "web:1", "Labels": LABELS},
        "HostConfig": {"NetworkMode": "t_a"},
        "State": {"Status": "running", "ExitCode": 0, "StartedAt": "2026-01-01T00:00:00Z"},
        "NetworkSettings": {"Networks": {"t_a": {"IPAddress": "172.18.0.2"}, "t_b": {"IPAddress": ""}}},
        **changes,
    }


def test_container() -> None:
    found = parse_container(raw())
    assert (found.name, found.service, found.number, found.release) == ("t-web-3", "web", 3, 4)
    assert found.addresses == {"t_a": "172.18.0.2"}
    assert found.health == "none"
    assert found.ready


@pytest.mark.parametrize(
    ("status", "health", "ready", "serving"),
    [
        ("running", "healthy", True, True),
        ("running", "starting", False, True),
        ("running", "unhealthy", False, False),
        ("exited", "healthy", False, False),
    ],
)
def test_health(status: str, health: str, ready: bool, serving: bool) -> None:
    state = {"Status": status, "Health": {"Status": health, "Log": [{"Output": "said\n"}]}}
    found = parse_container(raw(State=state))
    assert (found.ready, found.serving, found.health_log) == (ready, serving, "said")


def test_image() -> None:
    assert parse_image({"Id": "sha256:1", "RepoDigests": ["web@sha256:2"]}).digest == "web@sha256:2"
    assert parse_image({"Id": "sha256:1", "RepoDigests": None}).digest == ""

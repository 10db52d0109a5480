# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.gateway import Container, Isolated
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError, Smoke
from ansible_collections.slipway.ops.plugins.module_utils._backup.process import Outcome
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Tools
from ansible_collections.slipway.ops.plugins.module_utils._backup.stage import NotContent, Stage, split_environment
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World

CHECK = Smoke("application", ("php", "artisan", "health"), 30)


def test_an_environment_is_a_file_and_what_no_file_can_hold() -> None:
    found = split_environment({"B": "1", "A": "x=#y", "KEY": "two\nlines", "PATH": "/a\nb", "DOCKER_HOST": "a\nb"})
    assert found == ("A=x=#y\nB=1\n", {"KEY": "two\nlines"})


@dataclass
class Docker:
    """An application as it runs."""

    live: Container
    outcome: Outcome = field(default_factory=lambda: Outcome(0, "fine\n", ""))
    wishes: list[Isolated] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)

    def containers(self, stack: str) -> list[Container]:
        return [self.live, replace(self.live, id="c", name="fleet-cache-1", service="cache")]

    def run_isolated(self, wish: Isolated, limit_seconds: float) -> Outcome:
        assert limit_seconds == 30
        self.wishes.append(wish)
        return self.outcome

    def isolated(self, labels: Any) -> list[Container]:
        assert labels == {"slipway.stack": "fleet", "slipway.purpose": "drill", "slipway.restore": "id"}
        return [replace(self.live, name=wish.name) for wish in self.wishes]

    def remove(self, containers: Sequence[Container]) -> None:
        self.removed += [container.name for container in containers]


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    for name in ("settings", "run", "live"):
        (tmp_path / name).mkdir()
    (tmp_path / "settings/app.conf").write_text("x", encoding="utf-8")
    (tmp_path / "secret").write_text("x", encoding="utf-8")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "run/mysqld.sock"))
    live = Container(
        "a",
        "fleet-application-1",
        "application",
        "shop/application:1",
        "sha256:app",
        True,
        volumes={"/uploads": ("fleet_uploads", "/live"), "/cache": ("fleet_cache", "/live-cache")},
        binds={
            "/etc/app": str(tmp_path / "settings"),
            "/run/secrets/key": str(tmp_path / "secret"),
            "/run/mysqld": str(tmp_path / "run"),
            "/var/run/docker.sock": str(tmp_path / "run/mysqld.sock"),
            "/gone": str(tmp_path / "gone"),
        },
        environment={"APP_KEY": "s3cret", "PEM": "a\nb"},
        user="",
        directory="/srv",
    )
    return Docker(live)


@pytest.fixture
def stage(tmp_path: Path, docker: Docker) -> Stage:
    world = World(tmp_path / "world")
    tools: Tools = replace(world.bare, docker=docker)  # type: ignore[arg-type]
    (tmp_path / "work").mkdir()
    return Stage(tools, "id", str(tmp_path / "work"), shared=True)


def test_the_check_reaches_nothing_that_is_alive(stage: Stage, docker: Docker, tmp_path: Path) -> None:
    assert stage.smoke(CHECK, {"fleet_uploads": "/restored"})["said"] == "fine"
    (wish,) = docker.wishes
    assert wish.mounts == (
        ("/restored", "/uploads", True),
        (str(tmp_path / "settings"), "/etc/app", False),
        (str(tmp_path / "secret"), "/run/secrets/key", False),
    )
    assert (wish.network, wish.names) == (
        "none",
        ("application", "cache", "fleet-application-1", "fleet-cache-1"),
    )
    words = " ".join(wish.command(detach=False))
    assert "--detach" not in words
    assert "s3cret" not in words
    assert "--env PEM" in words
    assert "--workdir /srv" in words
    assert "--cap-drop ALL" in words
    assert "--cap-add SETUID" in words
    assert "--user" not in words
    assert words.endswith("--entrypoint php sha256:app artisan health")
    path = Path(wish.environment_file)
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ("APP_KEY=s3cret\n", 0o600)
    stage.end()
    assert docker.removed == [wish.name]
    assert not (tmp_path / "work").exists()


def test_who_is_no_root_gets_no_capability(stage: Stage, docker: Docker) -> None:
    docker.live = replace(docker.live, user="1000:1000")
    stage.smoke(CHECK, {})
    words = " ".join(docker.wishes[0].command())
    assert "--user 1000:1000" in words
    assert "--cap-add" not in words


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(1, "one\ntwo\n", ""), "exit status 1: two"),
        (Outcome(-9, "", "ended by the limit of 30 s"), "did not end within 30 s"),
        (Outcome(125, "", "docker: no such image\n"), "exit status 125: docker: no such image"),
        (Outcome(2, "", ""), "exit status 2: no reason was given"),
    ],
)
def test_a_check_that_is_not_content(stage: Stage, docker: Docker, outcome: Outcome, words: str) -> None:
    docker.outcome = outcome
    with pytest.raises(NotContent, match=words):
        stage.smoke(CHECK, {})


def test_a_check_that_says_nothing_is_content(stage: Stage, docker: Docker) -> None:
    docker.outcome = Outcome(0, "", "")
    assert stage.smoke(CHECK, {})["said"] == ""


def test_a_service_that_is_not_there(stage: Stage) -> None:
    with pytest.raises(RefusedError, match="service shop, of which the stack has no container"):
        stage.smoke(replace(CHECK, service="shop"), {})

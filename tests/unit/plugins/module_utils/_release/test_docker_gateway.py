"""The requests that reach the SDK, and its errors in our words."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import docker.errors
import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway, EngineMissing
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError


@pytest.fixture
def client() -> MagicMock:
    mock = MagicMock()
    mock.api_version = "1.41"
    return mock


def api_error(text: str) -> docker.errors.APIError:
    return docker.errors.APIError("409", response=None, explanation=text)


def test_older_engines_get_no_start_interval(client: MagicMock) -> None:
    body = {"Image": "i", "Healthcheck": {"Test": ["CMD", "x"], "StartInterval": 1}}
    DockerGateway(client).create("n", body)
    assert client.create_container_from_config.call_args.args[0]["Healthcheck"] == {"Test": ["CMD", "x"]}
    client.api_version = "1.44"
    DockerGateway(client).create("n", body)
    assert client.create_container_from_config.call_args.args[0] == body


def test_what_is_not_there_is_none(client: MagicMock) -> None:
    client.inspect_container.side_effect = docker.errors.NotFound("gone")
    client.inspect_image.side_effect = docker.errors.ImageNotFound("gone")
    assert DockerGateway(client).inspect("id") is None
    assert DockerGateway(client).image("web:1") is None


def test_what_a_swarm_runs_here_is_not_of_the_host(client: MagicMock) -> None:
    client.containers.return_value = [
        {"Id": "own", "Labels": {"ops.slipway.stack": "t"}},
        {"Id": "task", "Labels": {"ops.slipway.stack": "t", "com.docker.swarm.task.id": "t1"}},
    ]
    client.inspect_container.side_effect = lambda container: {"Id": container}
    assert DockerGateway(client).containers("t") == [{"Id": "own"}]


def test_errors_are_one_line_with_the_resource(client: MagicMock) -> None:
    client.start.side_effect = api_error("port is already\nallocated")
    with pytest.raises(EngineError, match=r"^container t-web-1: port is already allocated$"):
        DockerGateway(client).start("id", "t-web-1")


def test_a_failing_pull_is_an_error(client: MagicMock) -> None:
    client.pull.return_value = iter([{"status": "Pulling"}, {"error": "manifest unknown"}])
    with pytest.raises(EngineError, match="pull web:1: manifest unknown; check the name"):
        DockerGateway(client).pull("web:1")


def test_stop_all_passes_over_what_is_gone(client: MagicMock) -> None:
    client.stop.side_effect = docker.errors.NotFound("gone")
    DockerGateway(client).stop_all([("a", "a", 3), ("b", "b", 4)])
    assert client.stop.call_count == 2


def test_no_engine_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_options: Any) -> None:
        raise docker.errors.DockerException("connection refused")

    monkeypatch.setattr("docker.APIClient", refuse)
    with pytest.raises(EngineMissing, match=r"start docker\.service"):
        DockerGateway.connect()


def test_no_sdk_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "docker", None)
    with pytest.raises(EngineMissing, match="install python3-docker"):
        DockerGateway.connect()

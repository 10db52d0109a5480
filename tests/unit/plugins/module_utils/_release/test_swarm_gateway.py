"""The requests about a Swarm that reach the SDK."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import docker.errors
import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_gateway import SwarmGateway, scaled


@pytest.fixture
def client() -> MagicMock:
    mock = MagicMock()
    mock.api_version = "1.41"
    mock._url.side_effect = lambda path, *parts: path.format(*parts)
    return mock


def api_error(text: str) -> docker.errors.APIError:
    return docker.errors.APIError("500", response=None, explanation=text)


def body(image: str) -> dict[str, Any]:
    return {"Name": "t_web-r1", "TaskTemplate": {"ContainerSpec": {"Image": image}}}


def test_a_service_is_created_with_the_login_at_its_registry(
    client: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("docker.auth.get_config_header", lambda _client, registry: asked.append(registry) or "secret")
    client._result.return_value = {"ID": "s1"}
    assert SwarmGateway(client).create_service(body("registry.example:5000/web:1@sha256:a")) == "s1"
    assert asked == ["registry.example:5000"]
    call = client._post_json.call_args
    assert (call.args, call.kwargs["headers"]) == (("/services/create",), {"X-Registry-Auth": "secret"})


def test_an_image_by_its_id_needs_no_registry(client: MagicMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docker.auth.get_config_header", lambda *_arguments: pytest.fail("no registry is to be asked"))
    client._result.return_value = {"ID": "s1"}
    SwarmGateway(client).create_service(body("sha256:abc"))
    assert client._post_json.call_args.kwargs["headers"] == {}


def test_scaling_reads_again_when_another_change_came_first(client: MagicMock) -> None:
    client.inspect_service.side_effect = [
        {"ID": "s1", "Version": {"Index": index}, "Spec": {"Name": "n", "Mode": {"Replicated": {"Replicas": 1}}}}
        for index in (7, 8)
    ]
    client._result.side_effect = [api_error("rpc error: update out of sequence"), {}]
    SwarmGateway(client).scale("n", 3)
    assert [call.kwargs["params"] for call in client._post_json.call_args_list] == [{"version": 7}, {"version": 8}]
    assert client._post_json.call_args.kwargs["data"]["Mode"] == {"Replicated": {"Replicas": 3}}


def test_scaling_does_not_repeat_what_is_refused(client: MagicMock) -> None:
    client._result.side_effect = api_error("node is not a swarm manager")
    with pytest.raises(EngineError, match="service n: node is not a swarm manager"):
        SwarmGateway(client).scale("n", 3)
    assert client._post_json.call_count == 1


def test_a_service_on_each_node_stops_and_comes_back_as_it_was() -> None:
    spec = {"Mode": {"Global": {}}, "TaskTemplate": {"Placement": {"Constraints": ["node.role == worker"]}}}
    stopped = scaled(spec, 0)
    assert stopped["TaskTemplate"]["Placement"]["Constraints"] == ["node.role == worker", "node.id == nowhere"]
    assert scaled(stopped, 0) == stopped
    assert scaled(stopped, 2) == spec


def test_what_is_gone_already_is_removed(client: MagicMock) -> None:
    client.remove_service.side_effect = docker.errors.NotFound("gone")
    client.remove_secret.side_effect = docker.errors.NotFound("gone")
    SwarmGateway(client).remove_service("t_web-r1")
    SwarmGateway(client).remove_object("secret", "o1", "t_token-a")


def test_a_log_that_its_node_does_not_give_is_empty(client: MagicMock) -> None:
    client._get.side_effect = api_error("node is not available")
    assert SwarmGateway(client).task_logs("t1", False, 30) == ""
    client._get.side_effect = None
    client._get_result_tty.return_value = b"last line\n"
    assert SwarmGateway(client).task_logs("t1", False, 30) == "last line\n"
    assert client._get.call_args.args == ("/tasks/t1/logs",)


def test_tasks_are_found_by_the_label_that_outlives_their_service(client: MagicMock) -> None:
    client.tasks.return_value = [{"ID": "t1"}]
    assert SwarmGateway(client).tasks("t") == [{"ID": "t1"}]
    client.tasks.assert_called_once_with(filters={"label": ["ops.slipway.stack=t"]})


def test_a_host_without_a_swarm_says_so_by_silence(client: MagicMock) -> None:
    client.info.return_value = {"Swarm": None}
    assert SwarmGateway(client).swarm() == {}

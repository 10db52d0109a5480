"""The requests that reach the SDK, and the Swarm's errors in our words (as engines 20.10 and 26.1 give them)."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import docker.errors
import pytest
import requests.exceptions
from ansible_collections.slipway.ops.plugins.module_utils._raft.gateway import (
    Conflict,
    NotManager,
    RaftGateway,
    Unavailable,
)
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError

FOUND = {"ID": "i", "Version": {"Index": 7}, "Spec": {"Name": "c", "Labels": {"a": "1"}, "Data": "eA=="}}


@pytest.fixture
def client() -> MagicMock:
    mock = MagicMock()
    mock._url.side_effect = lambda path, *parts: path.format(*parts)
    return mock


def api_error(text: str) -> docker.errors.APIError:
    return docker.errors.APIError("500", response=None, explanation=text)


def test_labels_are_changed_from_the_version_that_was_read(client: MagicMock) -> None:
    RaftGateway(client).update_config(FOUND, {"b": "2"})
    client._post_json.assert_called_once_with(
        "/configs/i/update", data={"Name": "c", "Labels": {"b": "2"}, "Data": "eA=="}, params={"version": 7}
    )
    node = {"ID": "n", "Version": {"Index": 3}, "Spec": {"Role": "manager", "Labels": {"a": "1"}}}
    RaftGateway(client).update_node(node, {"b": "2"})
    client.update_node.assert_called_once_with("n", 3, {"Role": "manager", "Labels": {"b": "2"}})


def test_created_with_its_data(client: MagicMock) -> None:
    RaftGateway(client).create_config("c", {"a": "1"}, b"x")
    client._post_json.assert_called_once_with(
        "/configs/create", data={"Name": "c", "Labels": {"a": "1"}, "Data": "eA=="}
    )


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("rpc error: code = Unknown desc = update out of sequence", Conflict, "config c: .*update out of sequence$"),
        ("rpc error: code = AlreadyExists desc = config c already exists", Conflict, "already exists"),
        (
            "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few managers",
            Unavailable,
            "start the other managers or recover the quorum$",
        ),
        ("raft: failed to process the request: node lost leader status", Unavailable, "lost leader status"),
        ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", Unavailable, "DeadlineExceeded"),
        (
            "This node is not a swarm manager. Manager is being prepared or has trouble connecting to the cluster.",
            Unavailable,
            "recover the quorum$",
        ),
        ('This node is not a swarm manager. Use "docker swarm init"', NotManager, "run it on a manager$"),
        (
            "rpc error: code = InvalidArgument desc = only updates to Labels are allowed",
            EngineError,
            "config c: .*only",
        ),
    ],
)
def test_errors(client: MagicMock, text: str, kind: type[EngineError], message: str) -> None:
    client._raise_for_status.side_effect = api_error(text)
    with pytest.raises(EngineError, match=message) as caught:
        RaftGateway(client).update_config(FOUND, {})
    assert caught.type is kind


def test_no_answer_in_time(client: MagicMock) -> None:
    client.nodes.side_effect = requests.exceptions.ReadTimeout("10 s")
    with pytest.raises(Unavailable, match="nodes: the engine did not answer"):
        RaftGateway(client).nodes()


def test_what_is_not_there_is_none(client: MagicMock) -> None:
    client.inspect_config.side_effect = docker.errors.NotFound("gone")
    client.inspect_service.side_effect = docker.errors.NotFound("gone")
    client.remove_config.side_effect = docker.errors.NotFound("gone")
    assert RaftGateway(client).config("c") is None
    assert RaftGateway(client).service("s") is None
    RaftGateway(client).remove_config("c")


@pytest.mark.parametrize(
    ("swarm", "node"),
    [
        ({"LocalNodeState": "inactive", "NodeID": ""}, ""),
        ({"LocalNodeState": "active", "ControlAvailable": False, "NodeID": "w"}, ""),
        (
            {
                "LocalNodeState": "active",
                "ControlAvailable": False,
                "NodeID": "w",
                "RemoteManagers": [{"NodeID": "m"}, {"NodeID": ""}],
            },
            "",
        ),
        ({"LocalNodeState": "inactive", "NodeID": "", "RemoteManagers": [{"NodeID": ""}]}, ""),
        ({"LocalNodeState": "active", "ControlAvailable": True, "NodeID": "m"}, "m"),
        ({"LocalNodeState": "locked", "ControlAvailable": False, "NodeID": "m"}, ""),
        (None, ""),
    ],
)
def test_only_managers_have_an_id(client: MagicMock, swarm: object, node: str) -> None:
    client.info.return_value = {"Swarm": swarm}
    assert RaftGateway(client).node_id() == node


@pytest.mark.parametrize(
    ("swarm", "why"),
    [
        ({"LocalNodeState": "pending", "NodeID": ""}, "its state is pending"),
        ({"LocalNodeState": "error", "NodeID": "m", "Error": "certificate (m) expired"}, r"certificate \(m\) expired"),
        (
            {"LocalNodeState": "active", "NodeID": "m", "RemoteManagers": [{"NodeID": "m", "Addr": "10.0.0.1:2377"}]},
            "its state is active",
        ),
    ],
)
def test_a_manager_that_comes_up_is_not_taken_for_a_worker(
    client: MagicMock, swarm: dict[str, object], why: str
) -> None:
    client.info.return_value = {"Swarm": {"ControlAvailable": False, **swarm}}
    with pytest.raises(Unavailable, match=f"this node of the Swarm is not ready: {why}; start the other managers"):
        RaftGateway(client).node_id()


def test_tasks_of_nothing_are_not_those_of_everything(client: MagicMock) -> None:
    assert RaftGateway(client).tasks([]) == []
    client.tasks.assert_not_called()


def test_a_service_that_is_gone_does_not_hide_the_others(client: MagicMock) -> None:
    def tasks(filters: dict[str, object]) -> list[dict[str, str]]:
        if "gone" in filters["service"]:  # type: ignore[operator]
            raise docker.errors.NotFound("service gone not found")
        return [{"ID": "1"}]

    def inspect(service: str) -> dict[str, str]:
        if service == "gone":
            raise docker.errors.NotFound("service gone not found")
        return {"ID": service}

    client.tasks.side_effect = tasks
    client.inspect_service.side_effect = inspect
    assert RaftGateway(client).tasks(["here", "gone"]) == [{"ID": "1"}]
    assert RaftGateway(client).tasks(["gone"]) == []


def test_what_the_containers_of_tasks_publish(client: MagicMock) -> None:
    def port(address: str, inside: int, outside: int | None, kind: str = "tcp") -> dict[str, Any]:
        return {"IP": address, "PrivatePort": inside, "PublicPort": outside, "Type": kind}

    client.containers.return_value = [
        {
            "Labels": {"com.docker.swarm.task.id": "a"},
            "Ports": [port("::", 80, 32001), port("0.0.0.0", 80, 32000), port("", 81, None), port("", 53, 5, "udp")],
        },
        {"Labels": {"com.docker.swarm.task.id": "b"}, "Ports": None},
        {"Labels": {"com.docker.swarm.task.id": "c"}, "Ports": [port("0.0.0.0", 80, 32002)]},
    ]
    ipv4, ipv6 = (
        {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": published, "PublishMode": "host"}
        for published in (32000, 32001)
    )
    assert RaftGateway(client).published(["a", "b"]) == {"a": [ipv4, ipv6], "b": []}

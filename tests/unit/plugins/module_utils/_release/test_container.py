from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.container import (
    host_files,
    network_body,
    once_spec,
    service_spec,
    volume_body,
)
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def stack(**web: Any) -> Stack:
    document = {
        "services": {"web": {"image": "web:1", **web}},
        "networks": {"a": {"internal": True}, "b": None, "mine": {"external": True, "name": "shared"}},
        "volumes": {"data": None},
        "configs": {"c": {"content": "x"}},
    }
    return Stack(load(document, "t", {}, lambda path: b""))


def body(**web: Any) -> dict[str, Any]:
    return dict(service_spec(stack(**web), "web", 3, 7, "/files").body)


@pytest.mark.parametrize(
    ("web", "key", "expected"),
    [
        ({"command": "a b"}, "Cmd", ["a", "b"]),
        ({"entrypoint": []}, "Entrypoint", []),
        ({"environment": {"A": "1"}}, "Env", ["A=1"]),
        ({"user": "33:33"}, "User", "33:33"),
        ({"working_dir": "/w"}, "WorkingDir", "/w"),
        ({"hostname": "h"}, "Hostname", "h"),
        ({"stop_signal": "SIGQUIT"}, "StopSignal", "SIGQUIT"),
        ({"stop_grace_period": "1500ms"}, "StopTimeout", 2),
        ({"tty": True}, "Tty", True),
        ({"expose": ["80"], "ports": ["1:2/udp"]}, "ExposedPorts", {"80/tcp": {}, "2/udp": {}}),
        (
            {"healthcheck": {"test": "x", "interval": "5s", "timeout": "1500ms", "retries": 2, "start_period": "1m"}},
            "Healthcheck",
            {
                "Test": ["CMD-SHELL", "x"],
                "Interval": 5_000_000_000,
                "Timeout": 1_500_000_000,
                "Retries": 2,
                "StartPeriod": 60_000_000_000,
            },
        ),
    ],
)
def test_body(web: dict[str, Any], key: str, expected: Any) -> None:
    assert body(**web)[key] == expected


@pytest.mark.parametrize(
    ("web", "key", "expected"),
    [
        ({}, "RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
        ({"restart": "on-failure:4"}, "RestartPolicy", {"Name": "on-failure", "MaximumRetryCount": 4}),
        ({"restart": "always"}, "RestartPolicy", {"Name": "unless-stopped", "MaximumRetryCount": 0}),
        ({"cpus": "0.5"}, "NanoCpus", 500_000_000),
        ({"mem_limit": "1m"}, "Memory", 2**20),
        ({"mem_reservation": "1m"}, "MemoryReservation", 2**20),
        ({"pids_limit": 9}, "PidsLimit", 9),
        ({"read_only": True}, "ReadonlyRootfs", True),
        ({"cap_add": ["NET_ADMIN"], "cap_drop": ["ALL"]}, "CapAdd", ["NET_ADMIN"]),
        ({"cap_drop": ["ALL"]}, "CapDrop", ["ALL"]),
        ({"security_opt": ["no-new-privileges"]}, "SecurityOpt", ["no-new-privileges"]),
        ({"sysctls": {"net.a": 1}}, "Sysctls", {"net.a": "1"}),
        ({"init": True}, "Init", True),
        ({"tmpfs": ["/run:size=1m", "/tmp"]}, "Tmpfs", {"/run": "size=1m", "/tmp": ""}),
        ({"ulimits": {"nofile": 5}}, "Ulimits", [{"Name": "nofile", "Soft": 5, "Hard": 5}]),
        ({"logging": {"driver": "local"}}, "LogConfig", {"Type": "local", "Config": {}}),
        ({"dns": "1.1.1.1", "dns_opt": ["a"]}, "DnsOptions", ["a"]),
        ({"extra_hosts": ["a:1.2.3.4"]}, "ExtraHosts", ["a:1.2.3.4"]),
        ({"shm_size": "1m"}, "ShmSize", 2**20),
        ({"network_mode": "host"}, "NetworkMode", "host"),
        (
            {"devices": ["/dev/a:/dev/b:r"]},
            "Devices",
            [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b", "CgroupPermissions": "r"}],
        ),
        (
            {"ports": ["127.0.0.1:8080:80", "8081:80"]},
            "PortBindings",
            {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}, {"HostIp": "", "HostPort": "8081"}]},
        ),
        ({"volumes": ["/srv:/d:ro"]}, "Binds", ["/srv:/d:ro"]),
        (
            {"volumes": ["data:/d:nocopy"]},
            "Mounts",
            [
                {
                    "Type": "volume",
                    "Target": "/d",
                    "ReadOnly": False,
                    "Source": "t_data",
                    "VolumeOptions": {"NoCopy": True},
                }
            ],
        ),
        (
            {"volumes": [{"type": "bind", "source": "/s", "target": "/d", "read_only": True}]},
            "Mounts",
            [{"Type": "bind", "Target": "/d", "ReadOnly": True, "Source": "/s"}],
        ),
        (
            {"volumes": [{"type": "tmpfs", "target": "/d", "tmpfs": {"size": "1k"}}]},
            "Mounts",
            [{"Type": "tmpfs", "Target": "/d", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 1024}}],
        ),
    ],
)
def test_host_config(web: dict[str, Any], key: str, expected: Any) -> None:
    assert body(**web)["HostConfig"][key] == expected


def test_labels_are_those_of_compose_and_ours() -> None:
    found = body(labels={"a": "b"})["Labels"]
    assert found["a"] == "b"
    assert found["com.docker.compose.project"] == "t"
    assert found["com.docker.compose.container-number"] == "3"
    assert found["com.docker.compose.oneoff"] == "False"
    assert found["ops.slipway.release"] == "7"
    assert found["ops.slipway.config-hash"] == found["com.docker.compose.config-hash"]


def test_first_network_by_priority_and_the_rest_to_be_joined() -> None:
    spec = service_spec(
        stack(networks={"a": None, "b": {"aliases": ["w"], "priority": 9}, "mine": None}), "web", 1, 1, "/files"
    )
    assert spec.body["NetworkingConfig"] == {"EndpointsConfig": {"t_b": {"Aliases": ["web", "w"]}}}
    assert spec.body["HostConfig"]["NetworkMode"] == "t_b"
    assert spec.further_networks == {"t_a": {"Aliases": ["web"]}, "shared": {"Aliases": ["web"]}}


def test_configs_are_mounted_from_files_named_by_content_and_rights() -> None:
    wish = stack(configs=[{"source": "c", "target": "/c", "mode": "0400", "uid": "5"}])
    (name,) = host_files(wish)
    (mount,) = service_spec(wish, "web", 1, 1, "/files").body["HostConfig"]["Mounts"]
    assert mount == {"Type": "bind", "Source": f"/files/{name}", "Target": "/c", "ReadOnly": True}
    assert name not in host_files(stack(configs=["c"]))


def test_one_off_has_no_name_to_find_no_port_and_no_check() -> None:
    wish = stack(
        ports=["1:1"], restart="always", healthcheck={"test": "x"}, networks={"a": {"ipv4_address": "10.0.0.9"}}
    )
    spec = once_spec(wish, "web", ["migrate"], "migrate", 7, "/files")
    assert spec.name == "t-web-migrate-7"
    assert spec.body["Cmd"] == ["migrate"]
    assert spec.body["NetworkingConfig"] == {"EndpointsConfig": {"t_a": {}}}
    assert spec.body["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert "PortBindings" not in spec.body["HostConfig"]
    assert spec.body["Healthcheck"] == {"Test": ["NONE"]}
    assert spec.body["Labels"]["com.docker.compose.oneoff"] == "True"


def test_network_and_volume() -> None:
    found = network_body(stack(networks=["a"]), "a")
    assert (found["Name"], found["Internal"], found["Driver"]) == ("t_a", True, "bridge")
    assert (
        found["Labels"]["ops.slipway.config-hash"]
        != network_body(stack(networks=["a"]), "b")["Labels"]["ops.slipway.config-hash"]
    )
    assert volume_body(stack(), "data")["Name"] == "t_data"

from __future__ import annotations

import base64
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import observed
from ansible_collections.slipway.ops.plugins.module_utils._release.swarm_service import (
    job_body,
    literal,
    needs_newer_engine,
    network_body,
    objects,
    service_body,
)
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import SWARM, Stack

LABELS = {"com.docker.stack.namespace": "t", observed.STACK_LABEL: "t"}


def stack(web: dict[str, Any], **top: Any) -> Stack:
    document = {
        "services": {"web": {"image": "web:1", **web}},
        "networks": {"a": {"internal": True}, "b": None, "mine": {"external": True, "name": "shared"}},
        "volumes": {
            "data": {"labels": {"x": "y"}},
            "share": {"driver_opts": {"type": "nfs", "o": "addr=1", "device": ":/"}},
        },
        "configs": {"c": {"content": "x"}},
        "secrets": {"s": {"environment": "S"}},
        **top,
    }
    return Stack(load(document, "t", {"S": "hush"}, lambda path: b"", SWARM))


def body(**web: Any) -> dict[str, Any]:
    whole = stack(web)
    return service_body(whole, "web", 7, 2, {each.name: f"id-{each.kind}" for each in objects(whole)})


def container(**web: Any) -> dict[str, Any]:
    return dict(body(**web)["TaskTemplate"]["ContainerSpec"])


def test_the_service_is_named_by_its_release_and_labelled_like_a_stack() -> None:
    found = body(labels={"mine": "1"})
    labels = {
        "com.docker.stack.namespace": "t",
        observed.STACK_LABEL: "t",
        observed.SERVICE_LABEL: "web",
        observed.RELEASE_LABEL: "7",
        observed.HASH_LABEL: stack({"labels": {"mine": "1"}}).config_hash("web"),
    }
    assert found["Name"] == "t_web-r7"
    assert found["Labels"] == labels
    assert found["TaskTemplate"]["ContainerSpec"]["Labels"] == {**labels, "mine": "1"}
    assert found["Mode"] == {"Replicated": {"Replicas": 2}}


@pytest.mark.parametrize(
    ("web", "key", "expected"),
    [
        ({"command": "a b"}, "Args", ["a", "b"]),
        ({"entrypoint": "c d"}, "Command", ["c", "d"]),
        ({"environment": {"A": "1", "B": "{{ .x }}"}}, "Env", ["A=1", 'B={{"{{"}} .x }}']),
        ({"hostname": "h-{{.Task.Slot}}"}, "Hostname", "h-{{.Task.Slot}}"),
        ({"user": "33:33"}, "User", "33:33"),
        ({"group_add": ["audio"]}, "Groups", ["audio"]),
        ({"working_dir": "/w"}, "Dir", "/w"),
        ({"stop_signal": "SIGQUIT"}, "StopSignal", "SIGQUIT"),
        ({"stop_grace_period": "1500ms"}, "StopGracePeriod", 1_500_000_000),
        ({"tty": True}, "TTY", True),
        ({"stdin_open": True}, "OpenStdin", True),
        ({"read_only": True}, "ReadOnly", True),
        ({"init": True}, "Init", True),
        ({"sysctls": {"net.a": 1}}, "Sysctls", {"net.a": "1"}),
        ({"cap_add": ["NET_ADMIN"]}, "CapabilityAdd", ["NET_ADMIN"]),
        ({"cap_drop": ["ALL"]}, "CapabilityDrop", ["ALL"]),
        ({"ulimits": {"nofile": 5}}, "Ulimits", [{"Name": "nofile", "Soft": 5, "Hard": 5}]),
        ({"extra_hosts": ["a:1.2.3.4", "b=::1"]}, "Hosts", ["1.2.3.4 a", "::1 b"]),
        (
            {"dns": "1.1.1.1", "dns_opt": ["a"], "dns_search": "x"},
            "DNSConfig",
            {"Nameservers": ["1.1.1.1"], "Options": ["a"], "Search": ["x"]},
        ),
        (
            {"healthcheck": {"test": "x", "interval": "5s", "retries": 2, "start_interval": "1s"}},
            "Healthcheck",
            {"Test": ["CMD-SHELL", "x"], "Retries": 2, "Interval": 5_000_000_000, "StartInterval": 1_000_000_000},
        ),
    ],
)
def test_container(web: dict[str, Any], key: str, expected: Any) -> None:
    assert container(**web)[key] == expected


def test_what_is_not_asked_for_stays_swarms_own() -> None:
    assert set(container()) == {"Image", "Labels", "Env", "Mounts", "Configs", "Secrets"}


@pytest.mark.parametrize(
    ("deploy", "key", "expected"),
    [
        (
            {"resources": {"limits": {"cpus": "0.5", "memory": "1m", "pids": 9}}},
            "Resources",
            {"Limits": {"MemoryBytes": 2**20, "Pids": 9, "NanoCPUs": 500_000_000}, "Reservations": {}},
        ),
        ({}, "RestartPolicy", {"Condition": "any"}),
        (
            {
                "resources": {
                    "reservations": {
                        "cpus": "0.1",
                        "memory": "1k",
                        "generic_resources": [{"discrete_resource_spec": {"kind": "gpu", "value": 1}}],
                    }
                }
            },
            "Resources",
            {
                "Limits": {},
                "Reservations": {
                    "MemoryBytes": 1024,
                    "NanoCPUs": 100_000_000,
                    "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 1}}],
                },
            },
        ),
        (
            {"restart_policy": {"condition": "on-failure", "delay": "1s", "max_attempts": 3, "window": "2s"}},
            "RestartPolicy",
            {"Condition": "on-failure", "MaxAttempts": 3, "Delay": 1_000_000_000, "Window": 2_000_000_000},
        ),
        (
            {
                "placement": {
                    "constraints": ["node.role==worker"],
                    "preferences": [{"spread": "node.labels.zone"}],
                    "max_replicas_per_node": 1,
                }
            },
            "Placement",
            {
                "Constraints": ["node.role==worker"],
                "MaxReplicas": 1,
                "Preferences": [{"Spread": {"SpreadDescriptor": "node.labels.zone"}}],
            },
        ),
    ],
)
def test_template(deploy: dict[str, Any], key: str, expected: Any) -> None:
    assert body(deploy=deploy)["TaskTemplate"][key] == expected


@pytest.mark.parametrize(
    ("web", "expected"),
    [
        ({"restart": "no"}, {"Condition": "none"}),
        ({"restart": "on-failure:4"}, {"Condition": "on-failure", "MaxAttempts": 4}),
        ({"restart": "unless-stopped"}, {"Condition": "any"}),
    ],
)
def test_restart(web: dict[str, Any], expected: dict[str, Any]) -> None:
    assert body(**web)["TaskTemplate"]["RestartPolicy"] == expected


def test_further_keys_of_the_template() -> None:
    found = body(
        logging={"driver": "local"},
        platform="linux/arm64/v8",
        security_opt=["no-new-privileges:true", "seccomp=unconfined", "apparmor=unconfined"],
    )["TaskTemplate"]
    assert found["LogDriver"] == {"Name": "local", "Options": {}}
    assert found["Placement"] == {"Platforms": [{"OS": "linux", "Architecture": "arm64"}]}
    assert found["ContainerSpec"]["Privileges"] == {
        "NoNewPrivileges": True,
        "Seccomp": {"Mode": "unconfined"},
        "AppArmor": {"Mode": "disabled"},
    }


def test_privileges_need_a_newer_engine() -> None:
    assert needs_newer_engine(stack({"security_opt": ["no-new-privileges"]})) == ["services.web.security_opt"]
    assert needs_newer_engine(stack({})) == []


def test_labels_of_the_service_are_those_of_deploy() -> None:
    found = body(labels={"mine": "1"}, deploy={"labels": {"theirs": "2"}})
    assert found["Labels"]["theirs"] == "2"
    assert "mine" not in found["Labels"]
    assert found["TaskTemplate"]["ContainerSpec"]["Labels"]["mine"] == "1"


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (
            {"type": "volume", "source": "data", "target": "/d", "volume": {"nocopy": True}},
            {"Source": "t_data", "VolumeOptions": {"NoCopy": True, "Labels": {"x": "y", **LABELS}}},
        ),
        (
            {"type": "volume", "source": "share", "target": "/d"},
            {
                "Source": "t_share",
                "VolumeOptions": {
                    "Labels": LABELS,
                    "DriverConfig": {"Name": "local", "Options": {"type": "nfs", "o": "addr=1", "device": ":/"}},
                },
            },
        ),
        ({"type": "bind", "source": "/s", "target": "/d"}, {"Source": "/s"}),
        ({"type": "tmpfs", "target": "/d", "tmpfs": {"size": "1k"}}, {"TmpfsOptions": {"SizeBytes": 1024}}),
    ],
)
def test_mounts(mount: dict[str, Any], expected: dict[str, Any]) -> None:
    pinned = {"placement": {"constraints": ["node.hostname == db1"]}}
    found = container(volumes=[mount], deploy=pinned)["Mounts"]
    assert found == [{"Type": mount["type"], "Target": "/d", "ReadOnly": False, **expected}]


def test_what_others_wait_for_is_a_job() -> None:
    document = {
        "services": {
            "web": {"image": "i:1", "depends_on": {"seed": {"condition": "service_completed_successfully"}}},
            "seed": {"image": "i:1"},
        }
    }
    whole = Stack(load(document, "t", {}, lambda path: b"", SWARM))
    found = service_body(whole, "seed", 7, 1, {})
    assert found["Mode"] == {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    assert found["TaskTemplate"]["RestartPolicy"] == {"Condition": "none"}
    assert "EndpointSpec" not in found


def test_a_templated_config_says_so() -> None:
    configs = {"c": {"content": "{{.Node.Hostname}}", "template_driver": "golang", "labels": {"k": "v"}}}
    (found,) = objects(stack({"configs": ["c"]}, configs=configs))
    assert found.body()["Templating"] == {"Name": "golang"}
    assert found.body()["Labels"]["k"] == "v"


def test_networks_carry_the_service_s_name() -> None:
    found = body(networks={"a": {"aliases": ["x"]}, "mine": None})
    assert found["TaskTemplate"]["Networks"] == [
        {"Target": "t_a", "Aliases": ["web", "x"]},
        {"Target": "shared", "Aliases": ["web"]},
    ]
    assert found["EndpointSpec"] == {"Mode": "dnsrr", "Ports": []}


def test_routed_ports_are_published_at_random_and_fixed_ones_as_they_are() -> None:
    routes = [{"host": "a.example", "port": 80}, {"host": "b.example", "port": 80}, {"host": "c.example", "port": 90}]
    found = body(
        ports=[
            {"target": 90, "published": 9000, "mode": "host"},
            {"target": 53, "published": 53, "protocol": "udp", "mode": "host"},
        ],
        **{"x-slipway": {"routes": routes}},
    )
    assert found["EndpointSpec"]["Ports"] == [
        {"Protocol": "tcp", "TargetPort": 90, "PublishedPort": 9000, "PublishMode": "host"},
        {"Protocol": "udp", "TargetPort": 53, "PublishedPort": 53, "PublishMode": "host"},
        {"Protocol": "tcp", "TargetPort": 80, "PublishMode": "host"},
    ]


def test_objects_are_named_by_their_content() -> None:
    one, two = objects(
        stack({"configs": ["c"], "secrets": [{"source": "s", "target": "key", "uid": "7", "mode": 0o400}]})
    )
    assert (one.kind, two.kind) == ("config", "secret")
    assert base64.b64decode(two.body()["Data"]) == b"hush"
    assert "hush" not in repr(two)
    other = objects(stack({"configs": ["c"]}, configs={"c": {"content": "y"}}))[0]
    assert other.name.rpartition("-")[0] == one.name.rpartition("-")[0] == "t_c"
    assert other.name != one.name


def test_references_name_the_objects() -> None:
    found = container(configs=["c"], secrets=[{"source": "s", "target": "key", "uid": "7", "mode": 0o400}])
    config, secret = found["Configs"][0], found["Secrets"][0]
    assert config["File"] == {"Name": "/c", "UID": "0", "GID": "0", "Mode": 0o444}
    assert config["ConfigID"] == "id-config"
    assert secret["File"] == {"Name": "key", "UID": "7", "GID": "0", "Mode": 0o400}
    assert secret["SecretID"] == "id-secret"


@pytest.mark.parametrize(
    ("driver_opts", "options"),
    [
        ({}, {"encrypted": ""}),
        ({"encrypted": "false"}, {}),
        (
            {"encrypted": "true", "com.docker.network.driver.mtu": "1400"},
            {"encrypted": "true", "com.docker.network.driver.mtu": "1400"},
        ),
    ],
)
def test_networks_are_encrypted_overlays(driver_opts: dict[str, str], options: dict[str, str]) -> None:
    found = network_body(stack({}, networks={"a": {"driver_opts": driver_opts, "internal": True}}), "a")
    assert (found["Driver"], found["Options"], found["Internal"]) == ("overlay", options, True)
    assert found["Labels"]["com.docker.stack.namespace"] == "t"


def test_a_one_off_command_is_a_job_that_nobody_finds() -> None:
    whole = stack(
        {"networks": ["a"], "healthcheck": {"test": "x"}, "x-slipway": {"routes": [{"host": "a.example", "port": 80}]}}
    )
    found = job_body(whole, "web", ["migrate"], "migrate", 7, {}, "web@sha256:1")
    template = found["TaskTemplate"]
    assert found["Name"] == "t_web-migrate-r7"
    assert found["Mode"] == {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
    assert "EndpointSpec" not in found
    assert template["ContainerSpec"]["Args"] == ["migrate"]
    assert template["ContainerSpec"]["Image"] == "web@sha256:1"
    assert template["ContainerSpec"]["Healthcheck"] == {"Test": ["NONE"]}
    assert template["Networks"] == [{"Target": "t_a"}]
    assert template["RestartPolicy"] == {"Condition": "none"}
    assert found["Labels"][observed.PURPOSE_LABEL] == "migrate"


@pytest.mark.parametrize(
    "text", ["plain", "{{.Node.Hostname}}", "a{{ .Task.Slot }}b", '{{index .Service.Labels "x"}}', "{ {", "a{b}"]
)
def test_swarms_placeholders_stay(text: str) -> None:
    assert literal(text) == text

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import StackError

FILES = {
    "web.env": b"# comment\nA=1\nexport B='two words'\nC=x # note\nD=\"q\"\nE\n",
    "cert.p12": b"\xff\xfe",
    "t": b"text",
}


def read(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(path)
    return FILES[path]


def service(**keys: Any) -> dict[str, Any]:
    """The normalized form of one service."""
    document = {
        "name": "t",
        "services": {"web": {"image": "i:1", **keys}, "other": {"image": "o"}},
        "networks": {"a": None, "b": None},
        "volumes": {"data": None},
        "configs": {"c": {"content": "x"}},
        "secrets": {"s": {"environment": "TOKEN"}},
    }
    return dict(load(document, None, {"TOKEN": "tok", "E": "from outside"}, read)["services"]["web"])


@pytest.mark.parametrize(
    ("keys", "key", "expected"),
    [
        ({"command": "a 'b c'"}, "command", ["a", "b c"]),
        ({"entrypoint": ["x"]}, "entrypoint", ["x"]),
        ({"environment": ["A=1", "TOKEN"]}, "environment", {"A": "1", "TOKEN": "tok"}),
        ({"environment": {"A": 1, "B": True, "TOKEN": None}}, "environment", {"A": "1", "B": "true", "TOKEN": "tok"}),
        (
            {"env_file": "web.env", "environment": {"A": "over"}},
            "environment",
            {"A": "over", "B": "two words", "C": "x", "D": "q", "E": "from outside"},
        ),
        ({"env_file": [{"path": "none.env", "required": False}]}, "environment", {}),
        ({"labels": ["a=b", "c"]}, "labels", {"a": "b", "c": ""}),
        ({"ports": ["8080:80"]}, "ports", [{"target": 80, "published": 8080, "protocol": "tcp", "host_ip": ""}]),
        (
            {"ports": ["127.0.0.1:53:53/udp", "[::1]:81:80"]},
            "ports",
            [
                {"target": 53, "published": 53, "protocol": "udp", "host_ip": "127.0.0.1"},
                {"target": 80, "published": 81, "protocol": "tcp", "host_ip": "::1"},
            ],
        ),
        (
            {"ports": ["9000-9001:90-91"]},
            "ports",
            [
                {"target": 90, "published": 9000, "protocol": "tcp", "host_ip": ""},
                {"target": 91, "published": 9001, "protocol": "tcp", "host_ip": ""},
            ],
        ),
        (
            {"ports": [{"target": 80, "published": "8080", "host_ip": "127.0.0.1", "mode": "host"}]},
            "ports",
            [{"target": 80, "published": 8080, "protocol": "tcp", "host_ip": "127.0.0.1"}],
        ),
        (
            {"volumes": ["data:/d:ro"]},
            "volumes",
            [{"type": "volume", "source": "data", "target": "/d", "read_only": True}],
        ),
        (
            {"volumes": ["/srv/x:/d:rw,rslave"]},
            "volumes",
            [
                {
                    "type": "bind",
                    "source": "/srv/x",
                    "target": "/d",
                    "read_only": False,
                    "propagation": "rslave",
                    "create_host_path": True,
                }
            ],
        ),
        (
            {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1m", "mode": 0o1777}}]},
            "volumes",
            [{"type": "tmpfs", "source": "", "target": "/t", "read_only": False, "size": 2**20, "mode": 0o1777}],
        ),
        ({"configs": ["c"]}, "configs", [{"source": "c", "target": "/c", "mode": 0o444}]),
        ({"secrets": ["s"]}, "secrets", [{"source": "s", "target": "/run/secrets/s", "mode": 0o444}]),
        (
            {"secrets": [{"source": "s", "target": "/etc/tok", "uid": "33", "mode": "0400"}]},
            "secrets",
            [{"source": "s", "target": "/etc/tok", "mode": 0o400, "uid": 33}],
        ),
        ({}, "networks", {"default": {"aliases": []}}),
        ({"networks": ["a", "b"]}, "networks", {"a": {"aliases": []}, "b": {"aliases": []}}),
        (
            {"networks": {"a": None, "b": {"aliases": ["w"], "priority": 5}}},
            "networks",
            {"a": {"aliases": []}, "b": {"aliases": ["w"], "priority": 5}},
        ),
        ({"network_mode": "host"}, "networks", {}),
        ({"depends_on": ["other"]}, "depends_on", {"other": {"condition": "service_started", "restart": False}}),
        (
            {"depends_on": {"other": {"condition": "service_healthy", "restart": True}}},
            "depends_on",
            {"other": {"condition": "service_healthy", "restart": True}},
        ),
        ({"depends_on": {"gone": {"condition": "service_started", "required": False}}}, "depends_on", {}),
        (
            {"healthcheck": {"test": "true", "interval": "5s"}},
            "healthcheck",
            {"test": ["CMD-SHELL", "true"], "interval": 5},
        ),
        ({"healthcheck": {"disable": True}}, "healthcheck", {"test": ["NONE"]}),
        (
            {"ulimits": {"nofile": 10, "core": {"soft": 0, "hard": -1}}},
            "ulimits",
            {"nofile": {"soft": 10, "hard": 10}, "core": {"soft": 0, "hard": -1}},
        ),
        ({"extra_hosts": ["a:1.2.3.4", "b=::1"]}, "extra_hosts", ["a:1.2.3.4", "b:::1"]),
        ({"extra_hosts": {"a": "1.2.3.4"}}, "extra_hosts", ["a:1.2.3.4"]),
        ({"sysctls": ["net.a=1"]}, "sysctls", {"net.a": "1"}),
        ({"tmpfs": "/run"}, "tmpfs", ["/run"]),
        ({"dns": "1.1.1.1"}, "dns", ["1.1.1.1"]),
        ({"expose": [80, "53/udp"]}, "expose", ["80/tcp", "53/udp"]),
        (
            {"devices": ["/dev/a", "/dev/b:/dev/c:r"]},
            "devices",
            [
                {"source": "/dev/a", "target": "/dev/a", "permissions": "rwm"},
                {"source": "/dev/b", "target": "/dev/c", "permissions": "r"},
            ],
        ),
        (
            {"logging": {"driver": "local", "options": {"max-size": "1m"}}},
            "logging",
            {"driver": "local", "options": {"max-size": "1m"}},
        ),
        ({"restart": False}, "restart", "no"),
        ({"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 3}}}, "restart", "on-failure:3"),
        ({"deploy": {"restart_policy": {"condition": "any"}}}, "restart", "unless-stopped"),
        ({"stop_grace_period": "1m"}, "stop_grace_period", 60.0),
        ({"shm_size": "64m"}, "shm_size", 64 * 2**20),
        ({"scale": 3}, "deploy", {"replicas": 3, "update_config": {}, "resources": {}}),
        (
            {
                "cpus": 0.5,
                "mem_limit": "1g",
                "deploy": {"resources": {"limits": {"pids": 9}, "reservations": {"memory": "1m"}}},
            },
            "deploy",
            {
                "replicas": 1,
                "update_config": {},
                "resources": {"cpus": 0.5, "memory": 2**30, "pids": 9, "memory_reservation": 2**20},
            },
        ),
        (
            {"deploy": {"mode": "global", "update_config": {"order": "start-first", "monitor": "10s"}}},
            "deploy",
            {"replicas": 1, "update_config": {"order": "start-first", "monitor": 10.0}, "resources": {}},
        ),
    ],
)
def test_long_form(keys: dict[str, Any], key: str, expected: Any) -> None:
    assert service(**keys)[key] == expected


def test_route_defaults() -> None:
    routes = service(**{"x-slipway": {"routes": [{"host": "a.example", "port": 80}]}})["slipway"]["routes"]
    assert routes == [
        {
            "host": "a.example",
            "path": "/",
            "port": 80,
            "websocket": False,
            "timeout_seconds": 60.0,
            "requests_per_minute": 0,
            "access_log": True,
            "max_body_mib": 1,
        }
    ]


def test_contents_of_files_variables_and_bytes() -> None:
    document = {
        "name": "t",
        "services": {"web": {"image": "i"}},
        "configs": {"text": {"file": "t"}, "binary": {"file": "cert.p12"}, "variable": {"environment": "V"}},
    }
    model = load(document, None, {"V": "v"}, read)
    assert model["configs"] == {
        "text": {"content": "text"},
        "binary": {"content_base64": "//4="},
        "variable": {"content": "v"},
    }


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"image": None}, "services.web.image: the service has no image; write image: name:tag"),
        ({"image": "Bad Image"}, "services.web.image: 'Bad Image' is no image reference; write image: name:tag"),
        ({"ports": ["80"]}, "services.web.ports[0]: publishes a port that nobody chose; write HOST:80 or use expose"),
        (
            {"ports": ["x:80"]},
            "services.web.ports[0]: 'x:80' is no port; write HOST:CONTAINER, for example 127.0.0.1:8080:80",
        ),
        (
            {"ports": ["70000:80"]},
            "services.web.ports[0]: '70000' is no port; give a number from 1 to 65535 or a range",
        ),
        ({"ports": ["1-2:1"]}, "services.web.ports[0]: 1-2 and 1 differ in length; give ranges of one length"),
        (
            {"volumes": ["./x:/x"]},
            "services.web.volumes[0]: './x' lies beside the Compose file, not on the host; "
            "use configs for files, a named volume for data or an absolute path of the host",
        ),
        (
            {"volumes": ["/data"]},
            "services.web.volumes[0]: a volume without a name loses its data at each release; "
            "name it and list it under volumes",
        ),
        ({"volumes": ["dta:/d"]}, "services.web.volumes[0]: 'dta' is not listed under volumes; did you mean data?"),
        ({"volumes": ["data:d"]}, "services.web.volumes[0]: the target 'd' is no absolute path; begin it with /"),
        ({"configs": ["cc"]}, "services.web.configs[0]: 'cc' is not listed under configs; did you mean c?"),
        ({"networks": ["aa"]}, "services.web.networks.aa: is not listed under networks; did you mean a?"),
        ({"depends_on": ["othr"]}, "services.web.depends_on.othr: there is no such service; did you mean other?"),
        (
            {"depends_on": {"other": {"condition": "ready"}}},
            "services.web.depends_on.other.condition: 'ready' is not possible here; "
            "give one of service_started, service_healthy, service_completed_successfully",
        ),
        (
            {"environment": ["GONE"]},
            "services.web.environment.GONE: has no value and the variable GONE is not set; "
            "set GONE in stack_environment or write a value",
        ),
        (
            {"env_file": "gone.env"},
            "services.web.env_file[0]: the file gone.env is missing; its path counts from the Compose file",
        ),
        (
            {"restart": "maybe"},
            "services.web.restart: 'maybe' is no restart policy; give \"no\", always, unless-stopped or on-failure[:N]",
        ),
        (
            {"healthcheck": {"test": ["curl"]}},
            "services.web.healthcheck.test: does not begin with CMD, CMD-SHELL or NONE; write [CMD, program, ...]",
        ),
        (
            {"container_name": "x", "scale": 2},
            "services.web.deploy.replicas: 2 replicas cannot share container_name; use one replica",
        ),
        (
            {"cpus": 1, "deploy": {"resources": {"limits": {"cpus": 2}}}},
            "services.web.cpus: says another value than services.web.deploy.resources.limits.cpus; keep one of them",
        ),
        (
            {"scale": 2, "deploy": {"replicas": 3}},
            "services.web.scale: says another number than deploy.replicas; keep one of them",
        ),
        (
            {"deploy": {"update_config": {"failure_action": "continue"}}},
            "services.web.deploy.update_config.failure_action: 'continue' is not supported: "
            "a failed release returns to the old version; write rollback",
        ),
        (
            {"labels": {"ops.slipway.stack": "x"}},
            "services.web.labels.ops.slipway.stack: this label is set by the release; remove it",
        ),
        ({"network_mode": "host", "networks": ["a"]}, "services.web.network_mode: excludes networks; keep one of them"),
        (
            {"x-slipway": {"routes": [{"host": "no host", "port": 1}]}},
            "services.web.x-slipway.routes[0].host: 'no host' is no host name; write a name such as www.example.org",
        ),
        (
            {"x-slipway": {"routes": [{"host": "a.example", "path": "api", "port": 1}]}},
            "services.web.x-slipway.routes[0].path: 'api' is no path; begin it with / and use plain characters",
        ),
        (
            {"x-slipway": {"indexes": {"t": {"i": ["c"]}}}},
            "services.web.x-slipway.indexes: belongs to a database; write database: beside it",
        ),
        (
            {"x-slipway": {"database": {"kind": "mysql"}, "indexes": {"t": {"i": ["c"]}}}},
            "services.web.x-slipway.database.name: is missing; write the name of the indexes' database",
        ),
        (
            {"x-slipway": {"database": {}}},
            "services.web.x-slipway.database.kind: None is not possible here; "
            "give one of mysql, mariadb, postgresql, redis",
        ),
        (
            {"x-slipway": {"database": {"kind": "mysql", "name": "d", "password_variable": "PW"}}},
            "services.web.x-slipway.database.password_variable: PW is no variable of this service; "
            "name one of its environment",
        ),
    ],
)
def test_problem(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(StackError) as caught:
        service(**keys)
    assert str(caught.value) == message


def test_the_model_survives_json(fleet: dict[str, Any]) -> None:
    assert json.loads(json.dumps(fleet)) == fleet

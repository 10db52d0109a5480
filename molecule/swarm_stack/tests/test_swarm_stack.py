"""A stack on a Swarm whose managers are its proxies: one story after the other, each from where the last one ended."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
COMMAND = ["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/converge.yml", "--diff"]
# Colours would stand between the words of a wrapped message.
PLAIN = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}

LONG = pytest.mark.long


@pytest.fixture(scope="module")
def hosts() -> list[Host]:
    found = testinfra.get_hosts(["ansible://all"], ansible_inventory=INVENTORY, sudo=True)
    return sorted(found, key=lambda host: str(host.backend.host))


@pytest.fixture
def manager(hosts: list[Host]) -> Host:
    return hosts[0]


def release(*extra: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *(["--check"] if check else [])]
    for item in extra:
        command += ["-e", item]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=PLAIN)


def words(result: subprocess.CompletedProcess[str]) -> str:
    return " ".join(result.stdout.split())


def state(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.run("slipway status try --json").stdout)[0]
    return found


def services(host: Host) -> dict[str, dict[str, Any]]:
    """The Swarm's own view: name -> spec."""
    names = host.check_output("docker service ls -q --filter label=ops.slipway.stack=try").split()
    found = json.loads(host.check_output(f"docker service inspect {' '.join(names)}")) if names else []
    return {entry["Spec"]["Name"]: entry["Spec"] for entry in found}


def image(spec: dict[str, Any]) -> str:
    return str(spec["TaskTemplate"]["ContainerSpec"]["Image"])


def fetch(host: Host, path: str = "version") -> str:
    """What the proxy on that host answers; empty when it does not."""
    program = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/{path}').read().decode())"
    return host.run(f'python3 -c "{program}"').stdout.strip()


def started(spec: dict[str, Any]) -> int:
    return int(spec["Labels"]["ops.slipway.release"])


@contextmanager
def load(hosts: list[Host], seen: dict[str, int]) -> Iterator[None]:
    """New connections, kept ones and slow requests at every proxy, without a pause."""
    for host in hosts:
        host.run("rm -f /tmp/load-stop; nohup python3 /root/load.py >/tmp/load.json 2>&1 &")
    time.sleep(1)
    try:
        yield
    finally:
        for host in hosts:
            host.run("touch /tmp/load-stop")
        for host in hosts:
            for _attempt in range(60):
                if host.run("pgrep -f [/]root/load.py").rc != 0:
                    break
                time.sleep(0.5)
            for answer, count in json.loads(host.check_output("cat /tmp/load.json")).items():
                seen[answer] = seen.get(answer, 0) + count


def objects(host: Host, kind: str) -> list[str]:
    return host.check_output(f"docker {kind} ls --format '{{{{.Name}}}}' --filter label=ops.slipway.stack=try").split()


def test_everything_runs_as_the_file_says(hosts: list[Host]) -> None:
    found = services(hosts[0])
    assert sorted(found) == ["try_store-r1", "try_web-r1", "try_worker-r1"]
    web = found["try_web-r1"]
    assert "@sha256:" in image(web)
    assert web["Mode"]["Replicated"]["Replicas"] == 3
    assert web["EndpointSpec"]["Mode"] == "dnsrr"
    for host in hosts:
        # Every manager knows the stack, and every proxy serves it.
        assert {name: each["ok"] for name, each in state(host)["services"].items()} == dict.fromkeys(
            ("web", "store", "worker"), True
        )
        assert fetch(host) == "1"


def test_secrets_and_configs_reach_their_services(hosts: list[Host]) -> None:
    said = {}
    for service, path in (("web", "/etc/web/settings.ini"), ("worker", "/run/secrets/token")):
        for host in hosts:
            listed = host.check_output(f"docker ps -q --filter label=ops.slipway.service={service}").split()
            if listed:
                said[service] = host.check_output(f"docker exec {listed[0]} cat {path}").strip()
    assert said == {"web": "password = canary-7f31c0", "worker": "token-51aa02"}


def test_check_mode_tells_and_changes_nothing(manager: Host) -> None:
    before = services(manager)
    result = release("web_version=2", check=True)
    assert result.returncode == 0, result.stdout
    assert "web: roll (image try/swarm:1 -> try/swarm:2): migrate once" in words(result)
    assert services(manager) == before


def test_a_new_version_loses_no_request(hosts: list[Host]) -> None:
    seen: dict[str, int] = {}
    with load(hosts, seen):
        result = release("web_version=2")
        assert result.returncode == 0, result.stdout
        time.sleep(1)
    assert set(seen) == {"1", "2"}, seen
    assert sorted(services(hosts[0])) == ["try_store-r1", "try_web-r2", "try_worker-r1"]
    assert [fetch(host) for host in hosts] == ["2"] * len(hosts)


@pytest.mark.parametrize(
    ("version", "extra", "reason"),
    [
        ("unhealthy", "migrate_exit=0", "failed in phase start: services.web: try_web-r"),
        pytest.param("ends", "migrate_exit=0", "its last lines: the password is ********", marks=pytest.mark.long),
        ("3", "migrate_exit=9", "services.web.x-slipway.migrate: exit code 9, its last lines: migrating"),
        pytest.param(
            "nowhere", "migrate_exit=0", "failed in phase pull: image try/swarm:nowhere", marks=pytest.mark.long
        ),
    ],
)
def test_a_broken_version_leaves_the_old_digests(hosts: list[Host], version: str, extra: str, reason: str) -> None:
    before = services(hosts[0])
    seen: dict[str, int] = {}
    with load(hosts, seen):
        result = release(f"web_version={version}", extra)
    assert result.returncode != 0, result.stdout
    if version != "nowhere":  # the images come to every node before the release, and say so themselves
        assert reason in words(result)
    assert "canary-7f31c0" not in result.stdout
    assert set(seen) == {"2"}, seen
    assert services(hosts[0]) == before
    assert {host_state["unfinished"] for host_state in map(state, hosts)} == {""}


def test_a_killed_release_is_put_right_by_the_next_one(hosts: list[Host]) -> None:
    manager, before = hosts[0], services(hosts[0])
    # What never becomes healthy waits long enough in its start to be struck there.
    with subprocess.Popen(
        [*COMMAND, "-e", "web_version=unhealthy"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        for _attempt in range(600):
            if state(manager)["unfinished"] == "start":
                break
            time.sleep(0.1)
        else:
            pytest.fail("the release never came to its start")
        process = re.search(r"process (\d+)", state(manager)["lease"])
        assert process is not None
        assert manager.run(f"kill -9 {process[1]}").rc == 0
        os.killpg(running.pid, signal.SIGKILL)
    assert (state(manager)["unfinished"], state(manager)["lease"]) == ("start", "")
    seen: dict[str, int] = {}
    with load(hosts, seen):
        result = release("web_version=2")
    assert result.returncode == 0, result.stdout
    assert set(seen) == {"2"}, seen
    assert services(manager) == before
    assert "interrupted" in [record["outcome"] for record in state(manager)["history"]]
    assert (state(manager)["unfinished"], state(manager)["lease"]) == ("", "")


def test_another_number_of_replicas_starts_or_stops_just_those(hosts: list[Host]) -> None:
    before = set(services(hosts[0]))
    assert release("web_version=2", "web_replicas=4").returncode == 0
    assert set(services(hosts[0])) == before
    assert state(hosts[0])["services"]["web"]["ready"] == 4
    seen: dict[str, int] = {}
    with load(hosts, seen):
        assert release("web_version=2", "web_replicas=2").returncode == 0
    assert set(seen) == {"2"}, seen
    assert state(hosts[0])["services"]["web"]["ready"] == 2


def test_a_new_secret_rolls_the_service_that_reads_it_and_no_other(manager: Host) -> None:
    before, secrets, configs = services(manager), objects(manager, "secret"), objects(manager, "config")
    result = release("web_version=2", "web_replicas=2", "worker_token=token-other")
    assert result.returncode == 0, result.stdout
    assert "token-other" not in result.stdout
    after = services(manager)
    changed = {spec["Labels"]["ops.slipway.service"] for name, spec in after.items() if name not in before}
    assert changed == {"worker"}
    assert len(objects(manager, "secret")) == len(secrets) == 1
    assert objects(manager, "secret") != secrets
    assert objects(manager, "config") == configs


def test_the_way_back_needs_no_inventory_and_any_manager(hosts: list[Host]) -> None:
    result = release("web_version=3", "web_replicas=2", "worker_token=token-other")
    assert result.returncode == 0, result.stdout
    seen: dict[str, int] = {}
    with load(hosts, seen):
        done = hosts[-1].run("slipway rollback try")
    assert done.rc == 0, done.stderr
    assert set(seen) == {"2", "3"}, seen
    web = [spec for spec in services(hosts[0]).values() if spec["Labels"]["ops.slipway.service"] == "web"]
    assert [image(spec).partition("@")[0] for spec in web] == ["try/swarm:2"]


def test_removal_keeps_volumes_alone(hosts: list[Host]) -> None:
    result = release("state=absent")
    assert result.returncode == 0, result.stdout
    manager = hosts[0]
    assert services(manager) == {}
    assert objects(manager, "secret") == objects(manager, "config") == []
    assert "try_inside" not in manager.check_output("docker network ls --format '{{.Name}}'").split()
    assert "try_data" in manager.check_output("docker volume ls -q").split()
    assert release("state=absent").stdout.count("changed=0") == len(hosts)

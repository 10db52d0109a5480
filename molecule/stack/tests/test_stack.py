"""The stack as it runs, and the stories of a release: a good one, failing ones, a restart, a removal."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
SECRET = "canary-7f31c0"


def release(host: Host, *extra: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], f"{SCENARIO}/converge.yml"]
    command += ["--limit", host.backend.get_hostname(), "--diff", *(["--check"] if check else [])]
    for item in extra:
        command += ["-e", item]
    # Colours would stand between the words of a wrapped message.
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )


def containers(host: Host, service: str) -> list[dict[str, Any]]:
    listed = host.check_output(
        f"docker ps -q --filter label=ops.slipway.service={service} --filter label=ops.slipway.stack=try"
    ).split()
    return json.loads(host.check_output(f"docker inspect {' '.join(listed)}")) if listed else []


def fetch(host: Host) -> str:
    """What the proxy answers; empty when it does not."""
    program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/version').read().decode())"
    return host.run(f'python3 -c "{program}"').stdout.strip()


def versions(host: Host) -> set[str]:
    return {entry["Config"]["Image"] for entry in containers(host, "web")}


def state(host: Host) -> dict[str, Any]:
    return json.loads(host.run("slipway status try --json").stdout)[0]


@contextmanager
def load(host: Host, seen: dict[str, int]) -> Iterator[None]:
    host.run("rm -f /tmp/load-stop; nohup python3 /root/load.py >/tmp/load.json 2>&1 &")
    time.sleep(1)
    try:
        yield
    finally:
        host.run("touch /tmp/load-stop")
        for _attempt in range(60):
            if host.run("pgrep -f [/]root/load.py").rc != 0:
                break
            time.sleep(0.5)
        seen.update(json.loads(host.check_output("cat /tmp/load.json")))


def test_everything_runs_as_the_file_says(host: Host) -> None:
    assert state(host)["services"]["web"]["ready"] == 2
    web = containers(host, "web")[0]
    assert web["State"]["Health"]["Status"] == "healthy"
    assert web["HostConfig"]["Memory"] == 32 * 1024 * 1024
    assert web["HostConfig"]["NanoCpus"] == 500_000_000
    assert web["HostConfig"]["PidsLimit"] == 50
    assert web["HostConfig"]["CapDrop"] == ["NET_RAW"]
    assert web["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert set(web["NetworkSettings"]["Networks"]) == {"try_inside", "try_outside"}
    assert containers(host, "store")[0]["HostConfig"]["ReadonlyRootfs"] is True
    assert containers(host, "worker")[0]["Config"]["Cmd"] == ["sleep", "100000"]
    assert fetch(host) == "1"


def test_services_find_each_other(host: Host) -> None:
    name = containers(host, "web")[0]["Name"].lstrip("/")
    assert host.check_output(f"docker exec {name} wget -q -O - http://store:8000/version") == "store"


def test_configs_are_private_files(host: Host) -> None:
    name = containers(host, "web")[0]["Name"].lstrip("/")
    assert SECRET in host.check_output(f"docker exec {name} cat /etc/web/settings.ini")
    assert host.file("/var/lib/slipway/stacks/try/files").mode == 0o700
    path = host.check_output("ls -d /var/lib/slipway/stacks/try/files/*").split()[0]
    assert (host.file(path).mode, host.file(path).uid) == (0o440, 65534)


def test_records_are_private(host: Host) -> None:
    for name in ("stack.json", "environment"):
        file = host.file(f"/etc/slipway/stacks/try/{name}")
        assert (file.mode, file.user) == (0o600, "root")
    assert state(host)["history"][0]["outcome"] == "succeeded"


def migrations(host: Host) -> list[str]:
    name = containers(host, "web")[0]["Name"].lstrip("/")
    return host.run(f"docker exec {name} cat /data/migrations").stdout.split()


def test_migration_ran_once_on_the_first_host_of_the_play(host: Host) -> None:
    name = containers(host, "web")[0]["Name"].lstrip("/")
    with open(os.environ["MOLECULE_INSTANCE_CONFIG"], encoding="utf-8") as stream:
        first = min(entry["instance"] for entry in json.load(stream))
    assert migrations(host)[:1] == (["1"] if host.backend.get_hostname() == first else [])
    assert host.run(f"docker exec {name} cat /tmp/after-release").rc == 0


def test_check_mode_tells_and_changes_nothing(host: Host) -> None:
    result = release(host, "web_version=2", check=True)
    assert result.returncode == 0, result.stdout
    assert "web: roll (image try/web:1 -> try/web:2): migrate once" in result.stdout
    assert versions(host) == {"try/web:1"}


def test_a_new_version_loses_no_request(host: Host) -> None:
    seen: dict[str, int] = {}
    before = migrations(host)
    with load(host, seen):
        result = release(host, "web_version=2")
        assert result.returncode == 0, result.stdout
        time.sleep(1)
    assert set(seen) == {"1", "2"}, seen
    assert versions(host) == {"try/web:2"}
    assert len(containers(host, "web")) == 2
    assert host.check_output("docker ps -aq --filter label=ops.slipway.stack=try | wc -l") == "4"
    assert migrations(host) == [*before, "2"]


@pytest.mark.usefixtures("newest_only")
@pytest.mark.parametrize(
    ("version", "extra", "reason"),
    [
        ("unhealthy", "migrate_exit=0", "is unhealthy"),
        pytest.param("ends", "migrate_exit=0", "with exit code 3", marks=pytest.mark.long),
        pytest.param("3", "migrate_exit=9", "x-slipway.migrate: exit code 9", marks=pytest.mark.long),
    ],
)
def test_a_failing_version_leaves_the_old_one_serving(host: Host, version: str, extra: str, reason: str) -> None:
    before = {entry["Id"] for entry in containers(host, "web")}
    seen: dict[str, int] = {}
    with load(host, seen):
        result = release(host, f"web_version={version}", extra)
    assert result.returncode == 2, result.stdout
    said = " ".join(result.stdout.split())
    assert reason in said
    assert "the old version serves on" in said
    assert set(seen) == {"2"}, seen
    assert {entry["Id"] for entry in containers(host, "web")} == before
    assert host.check_output("docker ps -aq --filter label=ops.slipway.stack=try | wc -l") == "4"
    assert state(host)["last_outcome"] == "failed"
    assert state(host)["unfinished"] == ""


def test_the_same_release_again_changes_nothing(host: Host) -> None:
    result = release(host, "web_version=2")
    assert result.returncode == 0, result.stdout
    assert "changed=0" in result.stdout


def test_a_changed_secret_rolls_its_users_and_is_never_shown(host: Host) -> None:
    store = containers(host, "store")[0]["Id"]
    result = release(host, "web_version=2", "web_password=canary-9d42e1")
    assert result.returncode == 0, result.stdout
    assert "web: roll (its configuration changes)" in result.stdout
    assert "environment.WEB_PASSWORD (changed)" in result.stdout
    assert containers(host, "store")[0]["Id"] == store
    assert "canary-9d42e1" not in result.stdout
    assert host.run("journalctl --no-pager | grep -c canar[y]-").stdout.strip() == "0"
    assert host.run("grep -r canary- /var/lib/slipway/stacks/try/history.jsonl").rc != 0


def test_a_restarted_container_is_found_again(host: Host) -> None:
    first, second = (entry["Name"].lstrip("/") for entry in containers(host, "web"))
    host.check_output(f"docker stop -t 0 {first} {second}")
    host.check_output(f"docker start {second}")
    host.check_output(f"docker start {first}")
    for _attempt in range(40):
        if fetch(host) == "2":
            break
        time.sleep(0.5)
    time.sleep(3)
    text = host.file("/etc/nginx/slipway/upstreams/slipway_try_web_8000.conf").content_string
    for entry in containers(host, "web"):
        assert f"server {entry['NetworkSettings']['Networks']['try_outside']['IPAddress']}:8000 " in text


@pytest.mark.usefixtures("newest_only")
def test_a_wrong_upstream_file_is_repaired(host: Host) -> None:
    """By the unit when it starts, and else by the release."""
    host.check_output("systemctl stop slipway-upstreams.service")
    path = "/etc/nginx/slipway/upstreams/slipway_try_web_8000.conf"
    host.check_output(f"echo 'upstream slipway_try_web_8000 {{ server 127.0.0.1:9; }}' > {path}")
    result = release(host, "web_version=2", "web_password=canary-9d42e1")
    assert result.returncode == 0, result.stdout
    assert fetch(host) == "2"
    assert host.service("slipway-upstreams.service").is_running
    assert host.service("slipway-upstreams-close.service").is_enabled


@pytest.mark.usefixtures("newest_only")
def test_an_interrupted_release_is_cleaned_up(host: Host) -> None:
    """The module is killed while the new replicas start; the next run removes them and does its own release."""
    command = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], f"{SCENARIO}/converge.yml"]
    command += ["--limit", host.backend.get_hostname(), "-e", "web_version=unhealthy"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _attempt in range(240):
        if host.run("docker ps -q --filter ancestor=try/web:unhealthy | grep .").rc == 0:
            break
        time.sleep(0.1)
    holder = json.loads(host.check_output("cat /var/lib/slipway/lease/try.json"))
    host.check_output(f"kill -KILL {holder['pid']}")
    running.wait()
    assert state(host)["unfinished"] in ("start", "migrate")
    assert fetch(host) == "2"
    result = release(host, "web_version=3", "web_password=canary-9d42e1")
    assert result.returncode == 0, result.stdout
    assert versions(host) == {"try/web:3"}
    assert host.check_output("docker ps -aq --filter label=ops.slipway.stack=try | wc -l") == "4"
    assert "interrupted" in {record["outcome"] for record in state(host)["history"]}


@pytest.mark.usefixtures("newest_only")
def test_rollback_loses_no_request_and_migrates_nothing(host: Host) -> None:
    before = migrations(host)
    plan = json.loads(host.check_output("slipway rollback try --plan --json"))
    assert versions(host) == {"try/web:3"}
    seen: dict[str, int] = {}
    with load(host, seen):
        done = json.loads(host.check_output("slipway rollback try --json"))
        time.sleep(1)
    assert (done["from"], done["to"], done["plan"]) == (plan["from"], plan["to"], plan["plan"])
    assert set(seen) == {"2", "3"}, seen
    assert versions(host) == {"try/web:2"}
    name = containers(host, "web")[0]["Name"].lstrip("/")
    assert migrations(host) == before
    assert "canary-9d42e1" in host.check_output(f"docker exec {name} cat /etc/web/settings.ini")
    assert [record.get("back_to") for record in state(host)["history"]][-1] == done["to"]
    assert "release 9999" in host.run("slipway rollback try --to 9999").stderr


def test_absent_keeps_the_volume(host: Host) -> None:
    for changed in ("1", "0"):
        result = release(host, "stack_state=absent", "web_version=3")
        assert result.returncode == 0, result.stdout
        assert f"changed={changed}" in result.stdout
    assert host.check_output("docker ps -aq --filter label=ops.slipway.stack=try") == ""
    assert host.check_output("docker volume ls -q --filter name=try_data") == "try_data"
    assert "127.0.0.1:9 down" in host.file("/etc/nginx/slipway/upstreams/slipway_try_web_8000.conf").content_string

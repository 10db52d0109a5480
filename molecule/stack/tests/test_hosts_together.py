"""Two hosts release together: what fails or falls silent on one leaves both on the old version."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
INVENTORY = os.environ["MOLECULE_INVENTORY_FILE"]
COMMAND = ["ansible-playbook", "-i", INVENTORY, f"{SCENARIO}/converge.yml"]
FIRST_BARRIER = 'until grep -qs "waiting_for.: .s" /run/slipway/releases/try/state.json; do sleep 0.02; done'


@pytest.fixture(scope="module")
def hosts() -> dict[str, Host]:
    found = testinfra.get_hosts(["ansible://all"], ansible_inventory=INVENTORY, sudo=True)
    return {host.backend.host: host for host in found}


def state(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.run("slipway status try --json").stdout)[0]
    return found


def versions(host: Host) -> str:
    web = "--filter label=ops.slipway.stack=try --filter label=ops.slipway.service=web"
    return host.check_output(f"docker ps {web} --format '{{{{.Image}}}}' | sort -u")


def test_a_version_that_is_broken_on_one_host_changes_none(hosts: dict[str, Host]) -> None:
    first, last = sorted(hosts)
    broken = json.dumps({"web_versions": {first: "unhealthy", last: "2"}})
    result = subprocess.run(
        [*COMMAND, "-e", broken],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"},
    )
    said = " ".join(result.stdout.split())
    assert result.returncode == 2, result.stdout
    assert f"{first}: release 2 of try failed in phase start: services.web:" in said
    assert "is unhealthy" in said
    assert said.count("the old version serves on") >= 2
    for host in hosts.values():
        assert versions(host) == "try/web:1"
        assert (state(host)["last_outcome"], state(host)["unfinished"], state(host)["lease"]) == ("failed", "", "")


def test_hosts_that_hear_no_more_of_the_play_give_up_by_themselves(hosts: dict[str, Host]) -> None:
    running = subprocess.Popen(
        [*COMMAND, "-e", "web_version=2", "-e", "stack_barrier_wait_seconds=25"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    host = next(iter(hosts.values()))
    # Looked for on the host itself: where the other one is there already it waits for no longer than a call takes.
    came = host.run(f"timeout 120 sh -c '{FIRST_BARRIER}'")
    assert came.rc == 0, "the release never came to its first barrier"
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    for name, each in hosts.items():
        for _attempt in range(60):
            if state(each)["lease"] == "":
                break
            time.sleep(1)
        assert versions(each) == "try/web:1", name
        assert "no word came from the play within 25 s" in state(each)["history"][-1]["reason"]
        assert each.run("ls /run/slipway/releases/try/request.json").rc != 0

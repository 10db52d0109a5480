"""What goes with a release: signatures, plans applied or refused, room on the disk, hooks, commands, builds."""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
SECRET = "canary-7f31c0"


def play(name: str, *extra: str) -> subprocess.CompletedProcess[str]:
    command = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], f"{SCENARIO}/{name}.yml"]
    for item in extra:
        command += ["-e", item]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )


def said(result: subprocess.CompletedProcess[str]) -> str:
    return " ".join(result.stdout.split())


def state(host: Host) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(host.run("slipway status try --json").stdout)[0]
    return found


def images(host: Host) -> set[str]:
    return set(host.check_output("docker ps --filter label=ops.slipway.stack=try --format '{{.Image}}'").split())


def test_the_image_was_pulled_by_its_digest_with_the_kept_login(host: Host) -> None:
    record = state(host)["history"][-1]
    assert record["outcome"] == "succeeded"
    assert record["images"]["web"].startswith("127.0.0.1:5000/try/web@sha256:")
    assert host.run("docker --config /nonexistent pull -q 127.0.0.1:5000/try/web:2").rc != 0


def test_an_unsigned_image_is_not_used(host: Host) -> None:
    result = play("converge", "web_version=3")
    assert result.returncode == 2, result.stdout
    assert "127.0.0.1:5000/try/web:3: its signature is not what stack_image_signatures asks for" in said(result)
    assert "no signatures found" in said(result)
    assert "the old version serves on" in said(result)
    assert host.run("docker image inspect 127.0.0.1:5000/try/web:3").rc != 0
    assert images(host) == {"127.0.0.1:5000/try/web:1"}


def test_without_room_nothing_is_pulled(host: Host) -> None:
    result = play("converge", "web_version=2", "stack_disk_floor_mib=100000000")
    assert result.returncode == 2, result.stdout
    assert "no room for 127.0.0.1:5000/try/web:2:" in said(result)
    assert "MiB to fetch, times 4 for it unpacked" in said(result)
    assert host.run("docker image inspect 127.0.0.1:5000/try/web:2").rc != 0


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    return tmp_path / "plan.json"


def test_a_plan_says_everything_and_no_secret(host: Host, plan_file: Path) -> None:
    before = host.check_output("docker ps -aq")
    result = play("plan", "web_version=2", f"stack_plan_file={plan_file}")
    assert result.returncode == 0, result.stdout
    assert "try: release " in result.stdout
    assert "web        roll  (image 127.0.0.1:5000/try/web:1 -> 127.0.0.1:5000/try/web:2)" in result.stdout
    assert host.check_output("docker ps -aq") == before
    assert plan_file.stat().st_mode & 0o777 == 0o600
    assert SECRET not in plan_file.read_text() + result.stdout
    (document,) = json.loads(plan_file.read_text())["hosts"].values()
    assert document["pulls"][0]["digest"].startswith("sha256:")
    assert 0 < document["pulls"][0]["bytes"] < 2**22


def test_a_plan_that_reality_has_left_is_refused(host: Host, plan_file: Path) -> None:
    assert play("plan", "web_version=2", f"stack_plan_file={plan_file}").returncode == 0
    host.check_output("docker stop -t 0 try-scheduler-1")
    result = play("converge", "web_version=2", f"stack_plan_file={plan_file}")
    assert result.returncode == 2, result.stdout
    assert "the container try-scheduler-1 is another one (serves -> exited)" in said(result)
    assert "nothing was touched" in said(result)
    plan_file.write_text(plan_file.read_text().replace('"roll"', '"keep"'))
    result = play("converge", "web_version=2", f"stack_plan_file={plan_file}")
    assert "the plan file was changed after it was written" in said(result)
    host.check_output("docker start try-scheduler-1")
    assert images(host) == {"127.0.0.1:5000/try/web:1"}


def test_a_plan_is_applied_and_hooks_are_called(host: Host, plan_file: Path) -> None:
    given = ("web_version=2", f"stack_plan_file={plan_file}", f"@{SCENARIO}/vars/hooks.yml")
    assert play("plan", *given).returncode == 0
    result = play("converge", *given)
    assert result.returncode == 0, result.stdout
    assert images(host) == {"127.0.0.1:5000/try/web:2"}
    called = host.check_output("cat /tmp/hooks").splitlines()
    assert called == ["try migrate before running", "try switch after running", "try release after succeeded"]
    assert host.run("slipway plan try").stdout.startswith("try: nothing to do")


def test_a_hook_that_fails_takes_the_release_back(host: Host) -> None:
    hook = json.dumps({"stack_hooks": {"after_switch": [["/bin/sh", "-c", f"echo {SECRET}; exit 5"]]}})
    result = play("converge", "web_version=1", hook)
    assert result.returncode == 2, result.stdout
    assert "stack_hooks.after_switch[0] (/bin/sh): exit code 5, its last lines: ********" in said(result)
    assert "the old version serves on" in said(result)
    assert images(host) == {"127.0.0.1:5000/try/web:2"}


def test_going_back_brings_the_hooks_of_then(host: Host) -> None:
    host.run("rm /tmp/hooks")
    assert host.run("slipway rollback try").rc == 0
    assert images(host) == {"127.0.0.1:5000/try/web:1"}
    assert not host.file("/tmp/hooks").exists
    assert play("converge", "web_version=2").returncode == 0


def test_a_command_of_its_own(host: Host) -> None:
    words = "echo out; echo err >&2; cat /etc/web/settings.ini /www/version; exit 7"
    done = host.run(f"slipway run try web -- sh -c '{words}'")
    assert (done.rc, done.stderr.strip()) == (7, "err")
    assert done.stdout.split() == ["out", "password", "=", SECRET, "2"]
    assert host.run("docker ps -a | grep -c [-]run-").stdout.strip() == "0"


@pytest.mark.parametrize("signal", ["TERM", "KILL"])
def test_a_command_that_is_killed_leaves_nothing(host: Host, signal: str) -> None:
    host.run("nohup slipway run try web -- sleep 300 >/dev/null 2>&1 &")
    for wanted in ("1", "0"):
        for _attempt in range(100):
            if host.run("docker ps | grep -c [-]run-").stdout.strip() == wanted:
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"there are not {wanted} containers")
        if wanted == "1":
            host.run(f"kill -{signal} $(pgrep -of '[s]lipway run try web')")


def test_an_exclusive_command_holds_the_lease(host: Host) -> None:
    host.run("nohup slipway run --exclusive try web -- sleep 8 >/dev/null 2>&1 &")
    for _attempt in range(40):
        if "command in web of try" in state(host)["lease"]:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the lease was not taken")
    assert host.run("slipway run --exclusive --wait 0 try web -- true").rc == 125


def test_an_image_is_built_once_and_released(host: Host) -> None:
    first = play("build", "greeting=hello")
    assert first.returncode == 0, first.stdout
    again = play("build", "greeting=hello")
    assert "changed=0" in again.stdout
    other = play("build", "greeting=goodbye")
    assert other.returncode == 0, other.stdout
    assert host.check_output("slipway run built app -- cat /www/greeting /www/page") == "goodbye\na page"

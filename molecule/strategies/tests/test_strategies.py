"""Every way to release, under the requests of many clients: shares, testers, returns, colours and gaps."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from testinfra.host import Host

SCENARIO = os.environ["MOLECULE_SCENARIO_DIRECTORY"]
COMMAND = ["ansible-playbook", "-i", os.environ["MOLECULE_INVENTORY_FILE"], f"{SCENARIO}/converge.yml", "--diff"]
HOLDER = "/var/lib/slipway/lease/try.json"
SHARE = "/etc/nginx/slipway/upstreams/slipway_try_web_8000.share"


def release(*extra: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *(["--check"] if check else []), *(word for each in extra for word in ("-e", each))]
    environment = {**os.environ, "ANSIBLE_FORCE_COLOR": "0", "ANSIBLE_NOCOLOR": "1"}
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, env=environment
    )


def said(result: subprocess.CompletedProcess[str]) -> str:
    return " ".join(result.stdout.split())


def history(host: Host) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.check_output("slipway status try --json"))[0]["history"]
    return found


def running(host: Host) -> dict[str, str]:
    """Container id → image."""
    lines = host.check_output(
        "docker ps --no-trunc --filter label=ops.slipway.stack=try --format '{{.ID}} {{.Image}}'"
    ).splitlines()
    return dict(line.split() for line in lines)


def fetch(host: Host) -> str:
    program = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:8080/version').read().decode())"
    return host.run(f'python3 -c "{program}"').stdout.strip()


@contextmanager
def clients(host: Host, seen: dict[str, Any]) -> Iterator[None]:
    host.run("rm -f /tmp/clients-stop; nohup python3 /root/clients.py >/tmp/clients.json 2>/tmp/clients.err &")
    time.sleep(3)
    try:
        yield
    finally:
        host.run("touch /tmp/clients-stop")
        for _attempt in range(60):
            if host.run("pgrep -f [/]root/clients.py").rc != 0:
                break
            time.sleep(0.5)
        seen.update(json.loads(host.check_output("cat /tmp/clients.json")))


def met(seen: dict[str, Any], answer: str) -> int:
    """How many people, testers apart, got that answer at least once."""
    return sum(answer in answers for answers in seen["people"])


def begin(*extra: str) -> subprocess.Popen[bytes]:
    words = [word for each in extra for word in ("-e", each)]
    return subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def await_share(host: Host, there: bool = True) -> None:
    """Until two versions serve, or until one does again."""
    for _attempt in range(300):
        if host.file(SHARE).exists == there:
            return
        time.sleep(0.3)
    pytest.fail(f"{SHARE} is {'never' if there else 'still'} there")


def holder(host: Host) -> int:
    """The process that releases."""
    return int(json.loads(host.check_output(f"cat {HOLDER}"))["pid"])


@pytest.fixture
def one(host: Host) -> Host:
    """The host with version 1 and nothing beside it."""
    result = release("web_version=1")
    assert result.returncode == 0, result.stdout
    assert set(running(host).values()) == {"try/web:1"}
    return host


def test_a_canary_is_promoted_and_nobody_jumps_between_versions(one: Host) -> None:
    plan = said(release("web_version=2", "strategy=canary", "monitor=5s", check=True))
    assert "canary: 10% for 10 s, 50% for 10 s, then all" in plan
    assert "20 s of shares, 5 s watched with all requests" in plan
    seen: dict[str, Any] = {}
    with clients(one, seen):
        result = release("web_version=2", "strategy=canary", "monitor=5s")
        assert result.returncode == 0, result.stdout
        time.sleep(4)
    assert set(seen["answers"]) == {"200 1", "200 2"}, seen["answers"]
    assert all(answers == ["200 1", "200 2"] for answers in [*seen["people"], *seen["testers"]])
    steps = history(one)[-1]["steps"]
    assert [step["share"] for step in steps] == [0.1, 0.5, 1.0]
    for step in steps[:2]:
        new, old = (step["services"]["web"][which]["answers"] for which in ("new", "old"))
        # Testers are 4 of the 200 clients; the rest is drawn.
        assert step["share"] / 2 < new / (new + old) < step["share"] * 1.5 + 0.05, step
    assert set(running(one).values()) == {"try/web:2"}
    assert not one.file(SHARE).exists


@pytest.mark.long
def test_testers_meet_the_new_version_while_nobody_else_does(one: Host) -> None:
    seen: dict[str, Any] = {}
    with clients(one, seen):
        going = begin("web_version=2", "strategy=canary", "first=0")
        await_share(one)
        time.sleep(4)
    assert {answers[-1] for answers in seen["testers"]} == {"200 2"}
    assert all(answers == ["200 1"] for answers in seen["people"])
    one.check_output(f"kill -TERM {holder(one)}")
    going.wait()
    await_share(one, there=False)


@pytest.mark.parametrize(
    ("behaviour", "bad", "reason"),
    [
        ("errors", "500 2", "requests got an error of 500 or above from the new version"),
        ("slow", "200 2", "with the old one at the same time (x-slipway.watch.times_slower is 2)"),
    ],
)
def test_a_bad_canary_returns_by_itself(one: Host, behaviour: str, bad: str, reason: str) -> None:
    before = running(one)
    seen: dict[str, Any] = {}
    with clients(one, seen):
        result = release("web_version=2", "strategy=canary", f"behaviour={behaviour}")
        time.sleep(3)
    text = said(result)
    assert result.returncode == 2, result.stdout
    assert "failed in phase watch: at 10% of the requests: services.web:" in text
    assert reason in text
    assert "the old version serves on" in text
    assert running(one) == before
    assert set(seen["answers"]) <= {"200 1", bad}, seen["answers"]
    # A tenth of 196 people, and no more than the draw may add to that.
    assert 0 < met(seen, bad) < 45, met(seen, bad)
    assert seen["answers"][bad] < 0.2 * sum(seen["answers"].values()), seen["answers"]
    assert {answers[-1] for answers in [*seen["people"], *seen["testers"]]} == {"200 1"}
    record = history(one)[-1]
    assert (record["outcome"], record["phase"], len(record["steps"])) == ("failed", "watch", 1)
    print(behaviour, seen["answers"], "people that met it:", met(seen, bad), "steps:", record["steps"])


@pytest.mark.long
def test_an_interrupted_canary_is_taken_back_without_anybody(one: Host) -> None:
    going = begin("web_version=2", "strategy=canary")
    await_share(one)
    one.check_output(f"kill -KILL {holder(one)}")
    going.wait()
    await_share(one, there=False)
    assert fetch(one) == "1"
    result = release("web_version=2", "strategy=canary")
    assert result.returncode == 0, result.stdout
    assert [step["share"] for step in history(one)[-1]["steps"]] == [0.1, 0.5, 1.0]
    assert set(running(one).values()) == {"try/web:2"}
    assert len(running(one)) == 2


def test_the_old_colour_stands_and_the_way_back_starts_nothing(one: Host) -> None:
    old = running(one)
    result = release("web_version=2", "strategy=blue-green")
    assert result.returncode == 0, result.stdout
    assert "blue-green: all at once, the old colour stands 120 s more" in said(result)
    assert fetch(one) == "2"
    assert set(old) < set(running(one))
    assert "changed=0" in release("web_version=2", "strategy=blue-green").stdout
    seen: dict[str, Any] = {}
    with clients(one, seen):
        begun = time.monotonic()
        done = json.loads(one.check_output("slipway rollback try --json"))
        took = time.monotonic() - begun
        time.sleep(2)
    assert "the colour before still stands, so nothing is started" in " ".join(done["plan"])
    assert set(seen["answers"]) == {"200 1", "200 2"}, seen["answers"]
    assert running(one) == old
    print(f"back in {took:.1f} s, with stopping the other colour")


@pytest.mark.long
def test_a_colour_whose_time_is_over_ends_without_anybody(one: Host) -> None:
    result = release("web_version=2", "strategy=blue-green")
    assert result.returncode == 0, result.stdout
    assert set(running(one).values()) == {"try/web:1", "try/web:2"}
    for _attempt in range(100):
        if set(running(one).values()) == {"try/web:2"}:
            break
        time.sleep(2)
    assert set(running(one).values()) == {"try/web:2"}
    assert "changed=0" in release("web_version=2", "strategy=blue-green").stdout


@pytest.mark.long
def test_recreate_has_the_gap_that_the_plan_predicts(one: Host) -> None:
    for version in ("2", "3"):
        plan = said(release(f"web_version={version}", "strategy=recreate", check=True))
        seen: dict[str, Any] = {}
        with clients(one, seen):
            result = release(f"web_version={version}", "strategy=recreate")
            assert result.returncode == 0, result.stdout
            time.sleep(2)
        assert all(not ("200 1" in answers and answers.index("200 1") > 0) for answers in seen["people"])
    found = re.search(r"gap: up to about (\d+) s \(3 s to stop, ([\d.]+) s to start, by the last releases\)", plan)
    assert found is not None, plan
    print(f"predicted: up to {found[1]} s, measured: {seen['gap']:.1f} s")
    # The releases before were not under the load of so many clients.
    assert 1 < seen["gap"] <= 1.5 * int(found[1]) + 2


@pytest.mark.long
def test_a_version_that_fails_after_half_a_minute_is_taken_back(one: Host) -> None:
    before = running(one)
    seen: dict[str, Any] = {}
    with clients(one, seen):
        result = release("web_version=2", "behaviour=later", "monitor=60s")
        time.sleep(2)
    assert result.returncode == 2, result.stdout
    assert "failed in phase watch: services.web:" in said(result)
    assert running(one) == before
    assert fetch(one) == "1"
    record = history(one)[-1]
    assert record["outcome"] == "failed"
    assert 20 < record["steps"][0]["watched_seconds"] < 45
    assert set(seen["answers"]) == {"200 1", "200 2", "500 2"}, seen["answers"]
    print(seen["answers"], record["steps"])

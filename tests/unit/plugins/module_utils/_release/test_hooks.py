"""The operator's own commands: their forms, their surroundings, their time, and what their failure does."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import hooks
from ansible_collections.slipway.ops.plugins.module_utils._release.hooks import HookError, Hooks, into, read
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

Document = Callable[..., dict[str, Any]]
FIRST = ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]
SECOND = ["t-db-1", "t-web-3", "t-web-4", "t-worker-2"]


def test_forms() -> None:
    assert read({"before_migrate": [["/bin/true", 1]], "after_switch": []}) == {"before_migrate": [["/bin/true", "1"]]}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"before_lunch": [["/bin/true"]]}, r"stack_hooks\.before_lunch: there is no such moment; write before_ or"),
        ({"before_start": ["/bin/true"]}, r"stack_hooks\.before_start: is not a list of commands"),
        ({"before_start": [["true"]]}, r"stack_hooks\.before_start\[0\]: 'true' is no absolute path"),
    ],
)
def test_what_cannot_be_meant(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(given)


def test_they_are_part_of_the_model() -> None:
    model = {"name": "t", "services": {}, "slipway": {"backup": {"volumes": []}}}
    assert into(model, {}, 5) == model
    stack = Stack(into(model, {"before_start": [["/bin/true"]]}, 5))
    assert (stack.hooks, stack.hook_timeout_seconds) == ({"before_start": [["/bin/true"]]}, 5)
    assert "hooks" not in model["slipway"]


def test_a_command_sees_what_is_documented_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANOTHER", "value")
    seen: list[str] = []

    def run(command: list[str], environment: Mapping[str, str], timeout: float) -> tuple[int, str]:
        seen.extend(f"{key}={value}" for key, value in sorted(environment.items()))
        return hooks.run(["/bin/sh", "-c", "env | grep -c ANOTHER; exit 0"], environment, timeout)

    Hooks("fleet", {"after_release": [["/x"]]}, run=run).call("after_release", 7, "succeeded")
    assert [line for line in seen if line.startswith("SLIPWAY")] == [
        "SLIPWAY_OUTCOME=succeeded",
        "SLIPWAY_PHASE=release",
        "SLIPWAY_RELEASE=7",
        "SLIPWAY_STACK=fleet",
        "SLIPWAY_WHEN=after",
    ]


def call(command: list[str], timeout: float = 30) -> str:
    with pytest.raises(HookError) as raised:
        Hooks("t", {"before_start": [["/bin/true"], command]}, ["hunter2"], timeout).call("before_start", 1)
    return str(raised.value)


def test_what_a_failing_one_said_is_masked() -> None:
    said = call(["/bin/sh", "-c", "echo the password is hunter2; echo no >&2; exit 4"])
    assert said == ("stack_hooks.before_start[1] (/bin/sh): exit code 4, its last lines: the password is ******** | no")


def test_one_that_is_not_there() -> None:
    assert call(["/nonexistent"]) == (
        "stack_hooks.before_start[1] (/nonexistent): cannot be started: No such file or directory"
    )


def test_one_that_lasts_too_long_is_killed_with_its_children(tmp_path: Any) -> None:
    path = tmp_path / "pid"
    begun = time.monotonic()
    said = call(["/bin/sh", "-c", f"sleep 60 & echo $! > {path}; wait"], timeout=0.5)
    assert said.endswith("did not end within 0.5 s and was killed")
    assert time.monotonic() - begun < 20
    child = int(path.read_text())
    for _attempt in range(100):
        stat = Path(f"/proc/{child}/stat")
        if not stat.exists() or ") Z " in stat.read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the child lives on")


# In a release


def released(host: Any, document: Any, fail: str = "") -> tuple[Any, list[str]]:
    called: list[str] = []

    def run(command: list[str], environment: Mapping[str, str], timeout: float) -> tuple[int, str]:
        moment = f"{environment['SLIPWAY_WHEN']}_{environment['SLIPWAY_PHASE']}"
        called.append(f"{moment} {environment['SLIPWAY_RELEASE']} {environment['SLIPWAY_OUTCOME']}")
        return (1, "no") if moment == fail else (0, "")

    work = host.release(document)
    wanted = {moment: [["/x"]] for moment in hooks.MOMENTS}
    work.beside = replace(work.beside, hooks=Hooks("t", wanted, run=run))
    return work, called


def test_every_moment_in_its_order(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    work, called = released(host, document("2"))
    work.present(check=False)
    moments = [each.split()[0] for each in called]
    phases = ["prepare", "migrate", "start", "switch", "watch", "replace", "finish"]
    assert moments == [
        *["before_pull", "after_pull", "before_release"],
        *(f"{when}_{phase}" for phase in phases for when in ("before", "after")),
        "after_release",
    ]
    assert called[-1] == "after_release 2 succeeded"
    assert called[0] == "before_pull 2 running"


def test_none_is_called_when_nothing_is_to_do(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    work, called = released(host, document())
    work.present(check=False)
    assert called == []


@pytest.mark.parametrize(
    "moment", ["before_pull", "after_pull", "before_release", "after_migrate", "after_switch", "before_finish"]
)
def test_a_failure_before_the_end_takes_the_release_back(host: Any, document: Document, moment: str) -> None:
    host.release(document()).present(check=False)
    work, called = released(host, document("2"), moment)
    with pytest.raises(ReleaseFailed, match=rf"stack_hooks\.{moment}\[0\] \(/x\): exit code 1.*the old version serves"):
        work.present(check=False)
    assert host.docker.names("running") == FIRST
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.records().journal() is None
    assert host.records().history()[-1]["outcome"] == "failed"
    assert ("after_release 2 failed" in called) is (moment in ("after_migrate", "after_switch", "before_finish"))


def test_a_failure_after_the_end_is_told_and_the_next_run_finishes(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    work, _called = released(host, document("2"), "after_finish")
    with pytest.raises(ReleaseFailed, match=r"release 2 of t serves, but its end is missing: stack_hooks.after_finish"):
        work.present(check=False)
    assert host.docker.names() == SECOND
    host.release(document("2")).present(check=False)
    assert host.records().model() is not None
    assert host.records().history()[-1]["outcome"] == "succeeded"


def test_a_failure_after_the_release_fails_the_run_and_not_the_release(host: Any, document: Document) -> None:
    work, _called = released(host, document(), "after_release")
    with pytest.raises(ReleaseFailed, match=r"succeeded and serves, but stack_hooks\.after_release\[0\]"):
        work.present(check=False)
    record = host.records().history()[-1]
    assert record["outcome"] == "succeeded"
    assert record["reason"].startswith("stack_hooks.after_release[0]")
    assert host.records().kept_releases() == [1]


def test_a_release_that_comes_back_has_its_own_hooks(host: Any, document: Document) -> None:
    plain = host.stack(document("1")).plain
    host.release(Stack(into(plain, {"before_start": [["/one"]]}, 5))).present(check=False)
    host.release(document("2")).present(check=False)
    work, _target = host.rollback()
    assert work.stack.hooks == {"before_start": [["/one"]]}


def test_how_long_phases_took_is_recorded(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    seconds = host.records().history()[-1]["seconds"]
    assert {"pull", "migrate", "start", "switch", "finish"} <= set(seconds)

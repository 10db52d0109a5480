"""Services that run exactly once, in a release: what stops where and when."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release.release import ReleaseFailed
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import without_elsewhere
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import StackError


def document(version: str = "1") -> dict[str, Any]:
    return {
        "services": {
            "web": {"image": f"web:{version}", "deploy": {"update_config": {"order": "start-first"}}},
            "scheduler": {
                "image": f"web:{version}",
                "deploy": {"update_config": {"order": "start-first"}},
                "x-slipway": {"single": True},
            },
        }
    }


def elsewhere(host: Any, version: str = "1") -> Stack:
    return Stack(without_elsewhere(host.stack(document(version)).plain, {"scheduler": "web2", "other": "web2"}))


def test_another_host_runs_it(host: Any) -> None:
    stack = elsewhere(host)
    assert stack.elsewhere == {"scheduler": "web2"}
    host.release(stack).present(check=False)
    assert host.docker.names() == ["t-web-1"]


def test_never_two_during_a_release(host: Any) -> None:
    host.release(document()).present(check=False)
    host.docker.calls.clear()
    outcome = host.release(document("2")).present(check=False)
    assert any("stop-first (image web:1 -> web:2; x-slipway.single lets it run once only)" in x for x in outcome.plan)
    calls = host.docker.calls
    assert calls.index("stop t-scheduler-1 10") < calls.index("start t-scheduler-2")


def test_it_stops_where_it_leaves_before_the_switch(host: Any) -> None:
    host.release(document()).present(check=False)
    seen: list[str] = []

    def gate(barrier: str, _plan: Any) -> None:
        seen.append(f"{barrier}: {' '.join(host.docker.names('running'))}")

    work = host.release(elsewhere(host))
    work.gate = gate
    outcome = work.present(check=False)
    assert "scheduler: remove (web2 runs it): remove 1" in outcome.plan
    assert seen == [
        "prepare: t-scheduler-1 t-web-1",
        "start: t-scheduler-1 t-web-1",
        "switch: t-web-1",
        "finish: t-web-1",
    ]
    assert host.docker.names() == ["t-web-1"]


def test_it_starts_where_it_comes_to_after_the_switch_of_all(host: Any) -> None:
    host.release(elsewhere(host)).present(check=False)
    seen: dict[str, list[str]] = {}
    work = host.release(document())
    work.gate = lambda barrier, _plan: seen.update({barrier: host.docker.names("running")})
    work.present(check=False)
    assert seen["switch"] == ["t-web-1"]
    assert seen["finish"] == ["t-scheduler-1", "t-web-1"]


def test_a_move_that_fails_leaves_none_rather_than_two(host: Any) -> None:
    host.release(document()).present(check=False)

    def gate(barrier: str, _plan: Any) -> None:
        if barrier == "finish":
            raise RuntimeError("web2: broken")

    work = host.release(elsewhere(host))
    work.gate = gate
    with pytest.raises(ReleaseFailed, match="scheduler stays stopped here, because web2 may run it already"):
        work.present(check=False)
    assert host.docker.names("running") == ["t-web-1"]
    host.release(document()).present(check=False)
    assert host.docker.names("running") == ["t-scheduler-1", "t-web-1"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"scheduler": {"deploy": {"replicas": 2}}}, "the service has several replicas"),
        ({"web": {"depends_on": ["scheduler"]}}, "scheduler runs once"),
    ],
)
def test_files_that_cannot_be_meant(change: dict[str, Any], problem: str) -> None:
    given = document()
    for name, extra in change.items():
        given["services"][name].update(extra)
    with pytest.raises(StackError) as raised:
        load(given, "t", {}, lambda path: b"")
    assert any(problem in str(each) for each in raised.value.problems)

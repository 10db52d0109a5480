"""One command in a container of its own: what it is made of, what is passed on, and that nothing of it stays."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import once
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.once import OnceError
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import without_elsewhere
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

Document = Callable[..., dict[str, Any]]


def made(host: Any, document: Any, service: str = "web") -> Any:
    stack = document if isinstance(document, Stack) else host.stack(document)
    return once.spec(stack, service, ["report"], host.docker.containers("t"), "/files", 77)


def test_it_is_made_from_what_runs(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.images["web:1"] = "sha256:moved"
    spec = made(host, document())
    assert (spec.name, spec.body["Image"], spec.body["Cmd"]) == ("t-web-run-77", "sha256:web:1", ["report"])
    assert spec.body["Env"] == ["PASSWORD=hunter2-secret"]
    assert spec.body["Labels"]["ops.slipway.purpose"] == "run"
    assert spec.body["HostConfig"]["RestartPolicy"]["Name"] == "no"
    assert [*spec.body["NetworkingConfig"]["EndpointsConfig"], *spec.further_networks] == ["t_inside", "t_outside"]


def test_of_a_service_that_does_not_run_the_name_counts(host: Any, document: Document) -> None:
    assert made(host, document()).body["Image"] == "web:1"


def test_refusals(host: Any, document: Document) -> None:
    with pytest.raises(OnceError, match="there is no service wbe; it has web, worker, db"):
        made(host, document(), "wbe")
    away = Stack(without_elsewhere(host.stack(document()).plain, {"worker": "web2"}))
    with pytest.raises(OnceError, match="there is no service worker; web2 runs it"):
        made(host, away, "worker")
    with pytest.raises(OnceError, match="runs on swarm"):
        made(host, Stack({**host.stack(document()).plain, "engine": "swarm"}))


def run(host: Any, spec: Any, code: int = 0, stop: int = 0) -> tuple[int, bytes, bytes]:
    def attach(_container: str, _name: str) -> Iterator[tuple[bytes | None, bytes | None]]:
        yield b"out\n", None
        if stop:
            os.kill(os.getpid(), stop)
            time.sleep(5)
        yield None, b"err\n"

    host.docker.attach = attach
    host.docker.wait = lambda *_arguments: code
    host.docker.images[spec.body["Image"]] = spec.body["Image"]
    output, errors = io.BytesIO(), io.BytesIO()
    handler = signal.getsignal(signal.SIGTERM)
    status = once.run(host.docker, spec, output, errors, 60)
    assert signal.getsignal(signal.SIGTERM) is handler
    return status, output.getvalue(), errors.getvalue()


def test_output_and_status_are_passed_on(host: Any, document: Document) -> None:
    assert run(host, made(host, document()), 7) == (7, b"out\n", b"err\n")
    assert host.docker.calls[-1] == "remove t-web-run-77"


def test_a_signal_ends_it_in_order(host: Any, document: Document) -> None:
    status, output, errors = run(host, made(host, document()), stop=signal.SIGTERM)
    assert (status, output, errors) == (143, b"out\n", b"")
    assert host.docker.calls[-1] == "remove t-web-run-77"


def test_what_cannot_start_goes_as_well(host: Any, document: Document) -> None:
    host.docker.fail_on = {"start t-web-run": "no such program"}
    with pytest.raises(EngineError, match="no such program"):
        run(host, made(host, document()))
    assert host.docker.calls[-1] == "remove t-web-run-77"


@pytest.mark.parametrize(("ending", "removed"), [("pass", False), ("os.kill(os.getpid(), 9)", True), ("1 / 0", True)])
def test_another_process_removes_it_when_this_one_cannot(tmp_path: Path, ending: str, removed: bool) -> None:
    gone = tmp_path / "removed"
    program = (
        "import os\n"
        f"from {once.__name__} import guarded\n"
        f"with guarded(lambda: open({str(gone)!r}, 'w').close()):\n"
        f"    {ending}\n"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        check=False,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    for _attempt in range(100 if removed else 5):
        if gone.exists():
            break
        time.sleep(0.05)
    assert gone.exists() is removed


def test_a_release_leaves_it_alone_while_it_lives(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    spec = made(host, document())
    host.docker.images["sha256:web:1"] = "sha256:web:1"
    key = host.docker.create(spec.name, spec.body)
    host.docker.start(key, spec.name)
    host.release(document("2")).present(check=False)
    assert spec.name in host.docker.names("running")
    host.docker.stop_all([(key, spec.name, 1)])
    outcome = host.release(document("2")).present(check=False)
    assert outcome.plan == [f"remove the stray container {spec.name}"]
    assert spec.name not in host.docker.names()

"""A release over several hosts: barriers, giving up, silence, death."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._release import together
from ansible_collections.slipway.ops.plugins.module_utils._release.together import (
    Board,
    Gate,
    TogetherError,
    begin,
    give_up,
    go_on,
    new_state,
)

Document = Callable[..., dict[str, Any]]
FIRST = ["t-db-1", "t-web-1", "t-web-2", "t-worker-1"]
SECOND = ["t-db-1", "t-web-3", "t-web-4", "t-worker-2"]


@pytest.fixture
def board(host: Any) -> Board:
    return Board("t", str(host.directory / "run"))


@contextmanager
def started(host: Any, board: Board, document: Any, monkeypatch: pytest.MonkeyPatch, wait: float = 30) -> Iterator[Any]:
    """`begin`, with a thread in the place of the process that systemd would start."""
    threads: list[threading.Thread] = []

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] == "systemd-run":
            work = host.release(document)
            gate = Gate(board, new_state(board.read("request")["token"]), wait)
            work.gate, gate.images = gate, work.images
            gate.say()
            threads.append(threading.Thread(target=gate.run, args=(lambda: work.present(False),)))
            threads[0].start()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(together.subprocess, "run", run)
    monkeypatch.setattr(together, "POLL_SECONDS", 0.005)
    try:
        yield begin(board, {})
    finally:
        for thread in threads:
            thread.join(10)


def test_it_waits_at_each_barrier(host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    host.release(document()).present(check=False)
    host.docker.calls.clear()
    with started(host, board, document("2"), monkeypatch) as state:
        assert (state.waiting_for, state.ended) == ("prepare", False)
        assert any(line.startswith("web: roll") for line in state.plan)
        assert state.images["web"] == "web@sha256:web:2"
        assert [call.split()[0] for call in host.docker.calls] == ["pull", "tag"]
        state = go_on(board, state.token, "prepare")
        assert state.waiting_for == "start"
        assert host.docker.names("running") == FIRST
        state = go_on(board, state.token, "start")
        assert state.waiting_for == "switch"
        assert host.servers() == ["t-web-1", "t-web-2"]
        assert "t-web-4" in host.docker.names("running")
        state = go_on(board, state.token, "switch")
        assert state.waiting_for == "finish"
        assert host.servers() == ["t-web-3", "t-web-4"]
        assert "t-web-1" in host.docker.names("running")
        state = go_on(board, state.token, "finish")
    assert (state.ended, state.changed, state.release, state.reason) == (True, True, 2, "")
    assert host.docker.names() == SECOND


@pytest.mark.parametrize("opened", [[], ["prepare"], ["prepare", "start"], ["prepare", "start", "switch"]])
def test_it_gives_up_when_told_to(
    host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    host.release(document()).present(check=False)
    with started(host, board, document("2"), monkeypatch) as state:
        for barrier in opened:
            go_on(board, state.token, barrier)
        state = give_up(board, state.token, "web2: disk full")
    assert state.ended
    assert "web2: disk full; the old version serves on" in state.reason
    assert host.docker.names("running") == FIRST
    assert host.servers() == ["t-web-1", "t-web-2"]
    assert host.records().history()[-1]["outcome"] == "failed"
    assert host.records().journal() is None


def test_it_gives_up_by_itself_when_nobody_speaks(
    host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    with started(host, board, document("2"), monkeypatch, wait=0.05):
        pass
    state = board.state()
    assert state is not None
    assert "no word came from the play within 0.05 s to go on with prepare; the old version serves on" in state.reason
    assert host.docker.names("running") == FIRST


def test_a_failure_is_told_at_the_next_barrier(
    host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    with started(host, board, document("unhealthy"), monkeypatch) as state:
        go_on(board, state.token, "prepare")
        state = go_on(board, state.token, "start")
        assert state.ended
        assert "t-web-3 is unhealthy" in state.reason
        assert give_up(board, state.token, "too late") == state


def test_a_host_with_nothing_to_change_waits_for_nobody(
    host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    with started(host, board, document(), monkeypatch) as state:
        assert (state.ended, state.changed) == (True, False)
        assert go_on(board, state.token, "start") == state


def test_the_host_that_does_not_migrate_leaves_the_migration_alone(host: Any, document: Document) -> None:
    host.release(document()).present(check=False)
    host.docker.calls.clear()
    work = host.release(document("2"))
    work.migrate = False
    outcome = work.present(check=False)
    assert not any("migrate" in line for line in [*outcome.plan, *host.docker.calls])
    assert host.records().model()["services"]["web"]["slipway"]["migrate"] == ["migrate"]


def test_two_releases_at_once_are_refused(
    host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    with started(host, board, document("2"), monkeypatch) as state:
        with pytest.raises(TogetherError, match="another release waits on this host for prepare"):
            begin(board, {})
        with pytest.raises(TogetherError, match="the release of this play is not on this host any more"):
            go_on(board, "other", "start")
        give_up(board, state.token, "enough")


def test_of_two_plays_that_begin_at_one_moment_one_is_refused(
    host: Any, board: Board, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.release(document()).present(check=False)
    write = Board.write

    def slowly(self: Board, name: str, value: Mapping[str, Any]) -> None:
        write(self, name, value)
        if name == "request":
            time.sleep(0.2)

    monkeypatch.setattr(Board, "write", slowly)
    refused: list[str] = []

    def second() -> None:
        try:
            begin(board, {})
        except TogetherError as error:
            refused.append(str(error))

    other = threading.Timer(0.1, second)
    other.start()
    with started(host, board, document("2"), monkeypatch) as state:
        other.join(10)
        assert len(refused) == 1
        assert "another release waits on this host for" in refused[0]
        give_up(board, state.token, "enough")


def test_a_process_that_dies_is_noticed(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "POLL_SECONDS", 0.005)
    board.write("state", {"token": "x", "waiting_for": "", "process": 2**22 + 1, "process_start": 7})
    state = go_on(board, "x", "start")
    assert state.ended
    assert "ended without a word; see journalctl -u slipway-release-t" in state.reason


def test_a_process_that_cannot_start_says_why(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        together.subprocess, "run", lambda command, **_options: subprocess.CompletedProcess(command, 1, "", "no bus\n")
    )
    with pytest.raises(TogetherError, match="the release could not be started: no bus"):
        begin(board, {"variables": {"SECRET": "x"}})
    assert board.read("request") == {}

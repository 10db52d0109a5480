"""The arena of the release proofs judges rightly, and its load finds each way of losing a request."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "proofs" / "arena"), str(TESTS / "lab")]

from slipway_arena import audit
from slipway_arena.judge import Answer, Window, judge, percentile, times_table, within
from slipway_arena.load import FRESH, KEPT, POST, SLOW, SOCKET, WORDS, Failed, Load, Wish, echoed, one_version

RELEASE = Window(10.0, 20.0, "1", "2")


def answer(begun: float, version: str, kind: str = FRESH, seconds: float = 0.1, **more: Any) -> Answer:
    return Answer(kind, begun, begun + seconds, version=version, **more)


@pytest.mark.parametrize(
    ("given", "good"),
    [
        pytest.param(answer(5, "1"), True, id="old-before"),
        pytest.param(answer(5, "2"), False, id="new-before"),
        pytest.param(answer(15, "1"), True, id="old-during"),
        pytest.param(answer(15, "2"), True, id="new-during"),
        pytest.param(answer(25, "2"), True, id="new-after"),
        pytest.param(answer(25, "1"), False, id="old-after"),
        pytest.param(answer(19.5, "1", SLOW, 3), True, id="old-that-began-during"),
        pytest.param(answer(15, "3"), False, id="neither"),
    ],
)
def test_only_what_serves_may_answer(given: Answer, good: bool) -> None:
    verdict = judge([given], [RELEASE])
    assert bool(verdict.wrong_version) is not good
    assert verdict.lost == (0 if good else 1)


def test_a_release_that_is_undone_ends_at_the_old_version() -> None:
    undone = Window(10.0, 20.0, "1", "2", undone=True)
    assert judge([answer(25, "1"), answer(15, "2")], [undone]).lost == 0
    assert judge([answer(25, "2")], [undone]).lost == 1


@pytest.mark.parametrize(
    ("given", "lost"),
    [
        pytest.param(Answer(SOCKET, 1, 17.5, version="1", end="told"), 0, id="after-the-limit"),
        pytest.param(Answer(SOCKET, 1, 14.0, version="1", end="untold"), 1, id="before-the-limit"),
        pytest.param(Answer(SOCKET, 1, 5.0, version="1", end="untold"), 1, id="without-a-release"),
        pytest.param(Answer(SOCKET, 1, 30.0, version="2", end="ours"), 0, id="until-the-end-of-the-load"),
        pytest.param(Answer(SOCKET, 1, 5.0, failure="status 502"), 1, id="failed"),
    ],
)
def test_a_release_ends_websockets_after_its_limit_alone(given: Answer, lost: int) -> None:
    verdict = judge([answer(12, "2"), given], [RELEASE], drain_seconds=5)
    assert verdict.lost == lost
    assert len(verdict.why()) == lost


def test_times_are_compared_by_kind() -> None:
    inside, outside = [answer(1, "1", seconds=0.2)] * 9, [answer(1, "1", seconds=0.1)] * 9
    assert times_table(inside, outside)[FRESH]["ratio"] == pytest.approx(2)
    assert percentile(range(1, 101), 0.99) == 100
    spans = [(0.0, 1.5), (3.0, 4.0)]
    assert [each.begun for each in within([answer(at, "1") for at in (3, 2, 1)], spans)] == [1, 3]


def test_a_body_must_be_whole_and_of_one_version() -> None:
    assert one_version("7 " * WORDS) == "7"
    for wrong in ("7 " * (WORDS - 1), "7 " * (WORDS - 1) + "8 ", ""):
        with pytest.raises(Failed):
            one_version(wrong)
    assert echoed(f"7 {hashlib.sha256(b'x').hexdigest()}\n", b"x") == "7"
    with pytest.raises(Failed):
        echoed("7 0", b"x")


GOOD = f"HTTP/1.1 200 OK\r\nContent-Length: {2 * WORDS}\r\n\r\n{'7 ' * WORDS}".encode()


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        pytest.param([GOOD], "", id="good"),
        pytest.param([GOOD[:-5]], "cut short", id="cut-short"),
        pytest.param([b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"], "status 502", id="status"),
        pytest.param([b""], "no answer", id="closed"),
    ],
)
def test_the_load_finds_each_failure(tmp_path: Path, said: list[bytes], failure: str) -> None:
    (found,) = asyncio.run(asked(tmp_path, said, lambda load: load.fresh()))
    assert found["failure"].startswith(failure)
    assert bool(found["failure"]) == bool(failure)
    assert found["version"] == ("" if failure else "7")


def test_nobody_listens(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as output:
        asyncio.run(Load(Wish([("127.0.0.1", 9)], "a.test", tls=False), output).post())
    (line,) = (tmp_path / "out").read_text().splitlines()
    assert (json.loads(line)["kind"], json.loads(line)["failure"].partition(":")[0]) == (POST, "ConnectionRefusedError")


def test_only_a_kept_connection_that_was_closed_without_a_byte_is_asked_again(tmp_path: Path) -> None:
    async def two(load: Load) -> None:
        asyncio.get_running_loop().call_later(0.35, load.over.set)
        await load.kept(10)

    # One answer, then the server reads the next request and closes without a word.
    found = asyncio.run(asked(tmp_path, [GOOD, b"", GOOD], two))
    assert [each["kind"] for each in found][:2] == [KEPT, KEPT]
    assert [(each["failure"], each["repeated"]) for each in found][:2] == [("", False), ("", True)]


async def asked(tmp_path: Path, said: list[bytes], act: Callable[[Load], Any]) -> list[dict[str, Any]]:
    """What the load writes of a server that says this to one request after the other, then nothing."""
    words = list(said)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while words:
            await reader.readuntil(b"\r\n\r\n")
            word = words.pop(0)
            writer.write(word)
            await writer.drain()
            if not word or word != GOOD:
                break
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with (tmp_path / "out").open("w") as output:
        await act(Load(Wish([("127.0.0.1", port)], "a.test", tls=False), output))
    server.close()
    return [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]


def seen(**changes: Any) -> dict[str, Any]:
    """A host as a good release of version 2 leaves it."""
    container = {
        "Name": "/proof-web-3",
        "Image": "sha256:two",
        "Config": {
            "Env": ["PATH=/bin", "PROOF_VERSION=2"],
            "Labels": {"ops.slipway.stack": "proof", "ops.slipway.service": "web", "ops.slipway.release": "2"},
        },
        "State": {"Status": "running", "Running": True, "Health": {"Status": "healthy"}},
        "Mounts": [{"Source": "/var/lib/slipway/stacks/proof/files/abc"}],
        "NetworkSettings": {"Networks": {"proof_default": {"IPAddress": "172.18.0.5"}}},
    }
    good: dict[str, Any] = {
        "containers": [container],
        "digests": {"sha256:two": ["proof/web@sha256:2222"]},
        "files": ["abc"],
        "staged": [],
        "journal": None,
        "request": False,
        "armed": [],
        "lease": {},
        "upstreams": {"web.conf": "upstream web { server 172.18.0.5:8000; }"},
        "kept": [1, 2],
        "history": [
            {"release": 1, "outcome": "interrupted", "images": {}},
            {"release": 2, "outcome": "succeeded", "images": {"web": "proof/web@sha256:2222"}},
        ],
    }
    return {**good, **changes}


def test_a_host_that_is_as_it_should_be() -> None:
    assert audit.host(seen(), {"web": "2"}, {"web": 1}) == []


STRAY = {**seen()["containers"][0], "Config": {"Labels": {}}, "Mounts": []}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"containers": [*seen()["containers"], STRAY]}, "stray container"),
        ({"containers": []}, "web has 0 containers"),
        ({"upstreams": {"web.conf": "server 172.18.0.9:8000;"}}, "nginx asks"),
        ({"files": ["abc", "def"]}, "of which mounted are"),
        ({"staged": [".abc"]}, "of which mounted are"),
        ({"journal": {"phase": "start"}}, "left: journal"),
        ({"lease": {"owner": "somebody"}}, "the lease is held by somebody"),
        ({"kept": [1]}, "succeeded and is not kept"),
        ({"history": [{"release": 2, "outcome": "failed", "images": {}}]}, "no release succeeded"),
        ({"history": list(reversed(seen()["history"]))}, "numbered"),
        (
            {"history": [{"release": 2, "outcome": "succeeded", "images": {"web": "proof/web@sha256:1111"}}]},
            "does not run the web of release 2",
        ),
    ],
)
def test_a_host_that_is_not(changes: dict[str, Any], problem: str) -> None:
    assert any(problem in each for each in audit.host(seen(**changes), {"web": "2"}, {"web": 1}))


def test_another_version_is_found() -> None:
    assert any("runs version 2, not 3" in each for each in audit.host(seen(), {"web": "3"}, {"web": 1}))

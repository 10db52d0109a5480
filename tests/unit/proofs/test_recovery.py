"""The proofs of recovery judge rightly: a fault that nobody notices fails them, and so does a weather that is none."""

from __future__ import annotations

import http.client
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "lab"), str(TESTS / "proofs" / "recovery")]

import prove_faults
import prove_points
import prove_restore_kills
from slipway_recovery.ground import Done, Stack
from slipway_recovery.weather import Proxy, Weather


@pytest.mark.parametrize(
    ("done", "struck", "good"),
    [
        (Done(1, "", "the disk is full\n", 1), False, True),
        (Done(0, "", "", 1), False, False),
        (Done(1, "", "another thing\n", 1), False, False),
        (Done(1, "", "the disk is full\nand more\n", 1), False, False),
        (Done(1, "", "", 1), False, False),
        (Done(99, "", "the disk is full: the line never came\n", 1), False, False),
        (Done(137, "", "", 1), True, True),
        (Done(0, "", "", 1), True, False),
        (Done(1, "", "the disk is full\n", 1), True, False),
    ],
)
def test_what_counts_as_noticed(done: Done, struck: bool, good: bool) -> None:
    assert (prove_faults.judge_failure(done, "disk is full", struck) == []) is good


def test_every_fault_says_what_it_expects() -> None:
    titles = [each.title for each in prove_faults.FAULTS]
    assert len(titles) == len(set(titles)) >= 24
    for each in prove_faults.FAULTS:
        assert each.outcome == prove_faults.OVERCOME or each.says or each.recorded, each.title
    assert {each.stack for each in prove_faults.FAULTS if each.quick} == {prove_faults.SHOP, prove_faults.DEPOT}


def test_every_step_is_struck_and_mended_in_both_ways() -> None:
    steps = ["^unpacking a", "^exchanging a", "^starting b"]
    trials = prove_restore_kills.plan(steps, quick=False)
    for step in steps:
        ways = {trial.then for trial in trials if trial.step == step and trial.way == prove_restore_kills.KILLED}
        assert ways == {prove_restore_kills.ABORT, prove_restore_kills.AGAIN}
    assert len(prove_restore_kills.plan(steps, quick=True)) == 2


def test_percentiles_are_values_that_were_seen() -> None:
    values = [float(each) for each in range(1, 21)]
    assert prove_points.percentile(values, 0.5) == 10
    assert prove_points.percentile(values, 0.99) == 20
    assert prove_points.percentile([3.0], 0.99) == 3


class Answers:
    """A session that answers this."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def send(self, statement: str) -> None:
        pass

    def ask(self, statement: str) -> str:
        return self.answer


@pytest.mark.parametrize(
    ("kind", "answer", "transaction"),
    [
        ("postgresql", "751", "xid:751"),
        ("mariadb", "0-1-42", "gtid:0-1-42"),
        ("mysql", "3e11:1-5,8f22:1-42", "gtid:8f22:42"),
        ("mysql", "8f22:1", "gtid:8f22:1"),
        ("mysql", "8f22:1-3:5-9", "gtid:8f22:9"),
    ],
)
def test_an_accident_is_named_by_its_transaction(kind: str, answer: str, transaction: str) -> None:
    engine = next(engine for engine in prove_points.ENGINES if engine.kind == kind)
    assert engine.drop(Answers(answer), 1) == transaction  # type: ignore[arg-type]


def test_a_stack_names_its_sources() -> None:
    told = Stack("shop", "/srv", ("postgresql", "mariadb")).variables()
    assert [source["kind"] for source in told["backup_sources"]] == ["postgresql", "mariadb", "volume"]


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Host", self.headers["Host"])
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    between = Proxy("127.0.0.1", 0, ("127.0.0.1", server.server_address[1]))
    yield between
    between.close()
    server.shutdown()
    server.server_close()


def put(proxy: Proxy, body: bytes = b"data") -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection(proxy.address, timeout=10)
    connection.request("PUT", "/bucket/key", body)
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.getheader("X-Host") or ""
    connection.close()
    return found


def test_fair_weather_changes_nothing(proxy: Proxy) -> None:
    assert put(proxy) == (200, b"data", proxy.address)


def test_bad_weather_hits_as_often_as_it_says(proxy: Proxy) -> None:
    with proxy.having(Weather(status=503, every=3)):
        assert [put(proxy)[0] for _turn in range(6)] == [200, 200, 503, 200, 200, 503]
    with proxy.having(Weather(503, 1, ("GET",))):
        assert put(proxy)[0] == 200
    assert put(proxy)[0] == 200


def test_a_cut_network_takes_nothing_more(proxy: Proxy) -> None:
    with proxy.having(Weather(cut_after_bytes=1000)):
        with pytest.raises((OSError, http.client.HTTPException)):
            put(proxy, b"x" * 5000)
        with pytest.raises((OSError, http.client.HTTPException)):
            put(proxy)
    assert put(proxy)[0] == 200

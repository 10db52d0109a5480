"""nginx's access log, as it grows and rotates."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer, Follower, Tally, parse


def line(upstream: str, status: str = "200", seconds: str = "0.010") -> str:
    return json.dumps({"status": 200, "upstream": upstream, "upstream_status": status, "upstream_seconds": seconds})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (line("10.0.0.1:80"), [Answer("10.0.0.1:80", 200, 0.01)]),
        (
            line("10.0.0.1:80, 10.0.0.2:80", "502, 200", "0.001, 0.020"),
            [Answer("10.0.0.1:80", 502, 0.001), Answer("10.0.0.2:80", 200, 0.02)],
        ),
        (line("10.0.0.1:80", "502", "-"), [Answer("10.0.0.1:80", 502, 0.0)]),
        (
            line("10.0.0.1:80 : 10.0.0.2:80", "200 : 200", "0.1 : 0.1"),
            [Answer("10.0.0.1:80", 200, 0.1), Answer("10.0.0.2:80", 200, 0.1)],
        ),
        (line("", "", ""), []),
        ("10.0.0.1 - - combined format", []),
        ('{"upstream": 7}', []),
    ],
)
def test_parse(text: str, expected: list[Answer]) -> None:
    assert parse([text]) == expected


def test_only_what_comes_after_is_read_and_half_a_line_waits(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text(line("old:80") + "\n", encoding="utf-8")
    follower = Follower(str(log))
    assert follower.read() == []
    whole = line("new:80")
    with log.open("a", encoding="utf-8") as stream:
        stream.write(whole[:10])
        stream.flush()
        assert follower.read() == []
        stream.write(whole[10:] + "\n")
    assert follower.read() == [Answer("new:80", 200, 0.01)]
    assert follower.read() == []


def test_a_rotation_loses_nothing(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    log.write_text("", encoding="utf-8")
    follower = Follower(str(log))
    with log.open("a", encoding="utf-8") as stream:
        stream.write(line("before:80") + "\n")
    log.rename(tmp_path / "access.log.1")
    log.write_text(line("after:80") + "\n", encoding="utf-8")
    assert [answer.server for answer in follower.read()] == ["before:80", "after:80"]


def test_a_log_that_does_not_exist_yet(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    follower = Follower(str(log))
    assert follower.read() == []
    log.write_text(line("first:80") + "\n", encoding="utf-8")
    assert [answer.server for answer in follower.read()] == ["first:80"]


def test_a_tally_is_small_and_can_be_put_together() -> None:
    tally = Tally()
    for number in range(1, 101):
        tally.add(Answer("a", 500 if number > 98 else 200, number / 1000))
    assert tally.p95() == 0.095
    other = Tally.parse(json.loads(json.dumps(tally.plain())))
    assert (other.answers, other.errors, other.p95()) == (100, 2, 0.095)
    other.merge(tally)
    assert (other.answers, other.errors) == (200, 4)
    for number in range(100_000):
        other.add(Answer("a", 200, number / 1000))
    assert len(json.dumps(other.plain())) < 8000


def test_a_percentile_of_few_says_nothing() -> None:
    tally = Tally()
    for _each in range(19):
        tally.add(Answer("a", 200, 1.0))
    assert tally.p95() is None


def test_what_has_come_since() -> None:
    before, now = Tally(), Tally()
    for tally, answers in ((before, [(500, 0.2)]), (now, [(500, 0.2), (200, 0.1), (101, 900.0)])):
        for status, seconds in answers:
            tally.add(Answer("10.0.0.1:80", status, seconds))
    since = now.minus(before)
    assert (since.answers, since.errors, since.ratio) == (2, 0, 0.0)
    assert since.p95(1) == 0.1  # a websocket lasts as long as both sides like

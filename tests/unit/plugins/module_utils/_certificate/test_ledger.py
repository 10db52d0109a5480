from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._certificate.ledger import (
    FAILED,
    HOUR,
    ISSUED,
    UNREACHED,
    WEEK,
    Attempt,
    read,
    refusal,
    write,
)

NOW = 1_800_000_000.0
DIRECTORY = "https://acme.example/dir"
NAMES = ("b.example", "a.example")


def attempt(ago: int, outcome: str, names: tuple[str, ...] = NAMES, directory: str = DIRECTORY) -> Attempt:
    return Attempt(int(NOW) - ago, directory, names, outcome, "it said no" if outcome == FAILED else "")


@pytest.mark.parametrize(
    ("attempts", "refused"),
    [
        pytest.param([], "", id="first"),
        pytest.param([attempt(60, FAILED)], "", id="one failure"),
        pytest.param([attempt(60, FAILED), attempt(1200, FAILED)], "again in 40 minutes", id="two failures"),
        pytest.param([attempt(60, FAILED), attempt(HOUR, FAILED)], "", id="the first one is an hour old"),
        pytest.param([attempt(60, FAILED), attempt(90, FAILED, ("a.example",))], "", id="other names"),
        pytest.param([attempt(60, FAILED), attempt(90, FAILED, NAMES, "https://other")], "", id="other authority"),
        pytest.param([attempt(60, UNREACHED)] * 9, "", id="never reached the authority"),
        pytest.param([attempt(-60, FAILED), attempt(60, FAILED)], "again in", id="clock set back"),
        pytest.param([attempt(DAY, ISSUED) for DAY in (60, 90)], "", id="two issued"),
        pytest.param([attempt(ago * 24 * HOUR, ISSUED) for ago in (1, 2, 3)], "again in 4 days", id="three issued"),
        pytest.param([attempt(ago * 24 * HOUR, ISSUED) for ago in (1, 2, 8)], "", id="the first one is a week old"),
        pytest.param([attempt(60, FAILED), attempt(60, ISSUED)] * 1, "", id="mixed"),
    ],
)
def test_refusal(attempts: list[Attempt], refused: str) -> None:
    line = refusal(attempts, DIRECTORY, sorted(NAMES), NOW)
    assert (refused in line) if refused and line else line is None
    assert bool(line) == bool(refused)


def test_refusal_repeats_what_the_authority_said() -> None:
    line = refusal([attempt(60, FAILED), attempt(90, FAILED)], DIRECTORY, NAMES, NOW)
    assert line
    assert "it said no" in line
    assert "\n" not in line


def test_round_trip_forgets_what_is_old() -> None:
    kept = [attempt(60, ISSUED), attempt(90, FAILED)]
    assert read(write([attempt(WEEK, ISSUED), *kept], NOW)) == kept


def test_foreign_shapes_are_left_out() -> None:
    assert read(None) == []
    assert read({"attempts": [{"time": 1}, "x"]}) == []

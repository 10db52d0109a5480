"""When new replicas must go, by their answers and by those of the old ones beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer, Tally
from ansible_collections.slipway.ops.plugins.module_utils._release.judge import Judge, Seen, verdict
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

Document = Callable[..., dict[str, Any]]
Answers = list[tuple[int, float]]
GOOD: Answers = [(200, 0.1)] * 100


def stack(document: Document, watch: dict[str, Any]) -> Stack:
    found = document()
    found["services"]["web"]["x-slipway"]["watch"] = watch
    return Stack(load(found, "t", {"SECRET": "x"}, lambda path: b""))


def tally(answers: Answers) -> Tally:
    found = Tally()
    for status, seconds in answers:
        found.add(Answer("10.0.0.3:80", status, seconds))
    return found


def errors(count: int, among: int) -> Answers:
    return [(500, 0.1)] * count + [(200, 0.1)] * (among - count)


def slow(count: int, seconds: float) -> Answers:
    return [(200, 0.1)] * (100 - count) + [(200, seconds)] * count


@pytest.mark.parametrize(
    ("watch", "new", "old", "expected"),
    [
        pytest.param({}, errors(4, 4), [], "", id="few-errors"),
        pytest.param({}, errors(5, 100), [], "", id="ratio-within-the-limit"),
        pytest.param({}, errors(6, 100), [], "6 of 100 requests got an error", id="errors"),
        pytest.param({}, [(404, 9.0)] * 50, [], "", id="no-errors-of-ours-and-no-limit-of-time"),
        pytest.param({"minimum_errors": 1, "error_ratio": 0}, errors(1, 1), [], "1 of 1 requests", id="strict"),
        pytest.param({"p95": "1s"}, [(200, 3.0)] * 19, [], "", id="too-few-times"),
        pytest.param({"p95": "1s", "minimum_answers": 5}, [(200, 3.0)] * 5, [], "up to 3.00 s", id="few-are-enough"),
        pytest.param({"p95": "1s"}, slow(5, 3.0), [], "", id="five-in-a-hundred"),
        pytest.param({"p95": "1s"}, slow(6, 3.0), [], "take up to 3.00 s", id="slow"),
        pytest.param({"p95": "1s"}, slow(6, 1.0) + [(101, 900.0)] * 50, [], "", id="websockets-take-their-time"),
        pytest.param({}, errors(5, 200), GOOD, "2.5% of the requests to the new", id="more-errors-than-the-old"),
        pytest.param({}, errors(5, 200), errors(3, 200), "", id="about-as-many-as-the-old"),
        pytest.param({}, errors(6, 200), GOOD[:19], "", id="too-few-of-the-old-to-compare"),
        pytest.param({"minimum_errors": 1, "error_ratio": 1}, errors(1, 19), GOOD, "", id="too-few-of-the-new"),
        pytest.param({}, slow(6, 0.25), GOOD, "up to 0.25 s, 0.10 s with the old one", id="slower-than-the-old"),
        pytest.param({"times_slower": 3}, slow(6, 0.25), GOOD, "", id="slower-but-allowed"),
        pytest.param({}, [(200, 0.03)] * 99, [(200, 0.01)] * 99, "", id="three-times-next-to-nothing"),
        pytest.param({}, errors(90, 100), errors(90, 100), "90 of 100 requests", id="as-bad-as-the-old-is-bad"),
    ],
)
def test_verdict(document: Document, watch: dict[str, Any], new: Answers, old: Answers, expected: str) -> None:
    found = verdict(stack(document, watch), {"web": tally(new)}, {"web": tally(old)})
    assert expected in found
    assert bool(found) == bool(expected)


def test_a_stage_is_judged_by_its_own_answers(document: Document) -> None:
    before = Seen({"web": tally(errors(50, 100))})
    judge = Judge(stack(document, {}), 0, before)
    judge.see(1, Seen({"web": tally(errors(50, 100) + GOOD)}))
    assert judge.verdict() == ""
    assert judge.figures() == {
        "web": {
            "new": {"answers": 100, "errors": 0, "p95_seconds": 0.1},
            "old": {"answers": 0, "errors": 0, "p95_seconds": None},
        }
    }


def test_many_good_answers_do_not_hide_what_it_does_now(document: Document) -> None:
    judge = Judge(stack(document, {}), 0, Seen())
    good = GOOD * 50
    for second in range(0, 300, 5):
        judge.see(second, Seen({"web": tally(good)}))
    judge.see(301, Seen({"web": tally(good + errors(20, 20))}))
    assert "20 of 20 requests got an error" in judge.verdict()


@pytest.mark.parametrize(("compare", "expected"), [(True, "with the old one at the same time"), (False, "")])
def test_the_last_words_of_the_old_version_are_no_measure(document: Document, compare: bool, expected: str) -> None:
    judge = Judge(stack(document, {}), 0, Seen(), compare)
    judge.see(20, Seen({"web": tally(slow(20, 0.5))}, {"web": tally(GOOD)}))
    assert expected in judge.verdict()
    assert bool(judge.verdict()) == bool(expected)

"""When new replicas must go, by their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer
from ansible_collections.slipway.ops.plugins.module_utils._release.judge import Judge
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import load
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

Document = Callable[..., dict[str, Any]]
NEW, OLD = "10.0.0.3:80", "10.0.0.1:80"


@pytest.mark.parametrize(
    ("watch", "answers", "expected"),
    [
        pytest.param({}, [(NEW, 500, 0.1)] * 4, "", id="few-errors"),
        pytest.param({}, [(NEW, 500, 0.1)] * 5 + [(NEW, 200, 0.1)] * 95, "", id="ratio-within-the-limit"),
        pytest.param({}, [(NEW, 502, 0.1)] * 6 + [(NEW, 200, 0.1)] * 94, "6 of 100 requests got an error", id="errors"),
        pytest.param({}, [(OLD, 500, 0.1)] * 50, "", id="errors-of-the-old"),
        pytest.param({}, [(NEW, 404, 9.0)] * 50, "", id="no-errors-of-ours-and-no-limit-of-time"),
        pytest.param({"minimum_errors": 1, "error_ratio": 0}, [(NEW, 500, 0.1)], "1 of 1 requests", id="strict"),
        pytest.param({"p95": "1s"}, [(NEW, 200, 3.0)] * 19, "", id="too-few-times"),
        pytest.param({"p95": "1s"}, [(NEW, 200, 0.1)] * 95 + [(NEW, 200, 3.0)] * 5, "", id="five-in-a-hundred"),
        pytest.param({"p95": "1s"}, [(NEW, 200, 0.1)] * 94 + [(NEW, 200, 3.0)] * 6, "take up to 3.00 s", id="slow"),
    ],
)
def test_verdict(
    document: Document, watch: dict[str, Any], answers: list[tuple[str, int, float]], expected: str
) -> None:
    found = document()
    found["services"]["web"]["x-slipway"]["watch"] = watch
    judge = Judge(Stack(load(found, "t", {"SECRET": "x"}, lambda path: b"")), {NEW: "web"})
    judge.add(Answer(*each) for each in answers)
    assert expected in judge.verdict()
    assert bool(judge.verdict()) == bool(expected)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack import values
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems


@pytest.mark.parametrize(
    ("read", "value", "expected"),
    [
        (values.duration, "30s", 30.0),
        (values.duration, "1h5m30s", 3930.0),
        (values.duration, "1m30s", 90.0),
        (values.duration, "500ms", 0.5),
        (values.duration, "1.5s", 1.5),
        (values.duration, "0", 0.0),
        (values.duration, 0, 0.0),
        (values.size, "1536M", 1536 * 2**20),
        (values.size, "2G", 2 * 2**30),
        (values.size, "2gb", 2 * 2**30),
        (values.size, "1GiB", 2**30),
        (values.size, "512k", 512 * 1024),
        (values.size, 64, 64),
        (values.size, "64b", 64),
        (values.size, "0.5g", 2**29),
        (values.boolean, True, True),
        (values.boolean, "false", False),
        (values.integer, "3", 3),
        (values.integer, -1, -1),
        (values.decimal, "0.5", 0.5),
        (values.file_mode, 0o440, 0o440),
        (values.file_mode, "0440", 0o440),
        (values.file_mode, "0o644", 0o644),
        (values.text, True, "true"),
        (values.text, 3306, "3306"),
        (values.texts, "one", ["one"]),
        (values.texts, ["a", 1], ["a", "1"]),
        (values.words, "sh -c 'a b'", ["sh", "-c", "a b"]),
        (values.words, ["a", 1], ["a", "1"]),
        (values.words, None, None),
        (values.words, [], []),
        (values.pairs, ["A=1", "B=x=y", "C"], {"A": "1", "B": "x=y", "C": None}),
        (values.pairs, {"A": 1, "B": None, "C": False}, {"A": "1", "B": None, "C": "false"}),
    ],
)
def test_good(read: Callable[..., Any], value: Any, expected: Any) -> None:
    problems = Problems()
    assert read(value, "p", problems) == expected
    assert problems.found == []


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (values.duration, "30", "p: '30' is not a duration; write for example 30s, 1m30s or 500ms"),
        (values.duration, "abc", "p: 'abc' is not a duration; write for example 30s, 1m30s or 500ms"),
        (values.size, "12Q", "p: '12Q' is not a size; write for example 512M or 2G"),
        (values.size, True, "p: True is not a size; write for example 512M or 2G"),
        (values.boolean, "maybe", "p: 'maybe' is neither true nor false; write true or false"),
        (values.integer, "x", "p: 'x' is not a whole number; write a number such as 1"),
        (values.integer, True, "p: True is not a whole number; write a number such as 1"),
        (values.decimal, "x", "p: 'x' is not a number; write for example \"0.5\""),
        (values.file_mode, "9", "p: '9' is not a file mode; write for example \"0440\""),
        (values.text, {}, "p: is not a text; write one plain value"),
        (values.words, "a 'b", "p: cannot be split into words (No closing quotation); close the quote or write a list"),
        (values.words, 1, "p: is not a command; write a text or a list of texts"),
        (values.pairs, ["=x"], "p[0]: '=x' has no key; write KEY=VALUE"),
        (values.mapping, 3, "p: is not a mapping; write key: value below it"),
    ],
)
def test_wrong(read: Callable[..., Any], value: Any, message: str) -> None:
    problems = Problems()
    read(value, "p", problems)
    assert [str(problem) for problem in problems.found] == [message]


def test_integer_limits() -> None:
    problems = Problems()
    assert values.integer(70000, "p", problems, 1, 65535) is None
    assert values.integer(-1, "q", problems, 0) is None
    assert [str(problem) for problem in problems.found] == [
        "p: 70000 is out of range; give 1 to 65535",
        "q: -1 is out of range; give 0 or more",
    ]

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.plugin_utils._compose_yaml import ComposeYamlError, line_of, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: yes", "yes"),
        ("a: on", "on"),
        ("a: 22:22", "22:22"),
        ("a: 2026-01-01", "2026-01-01"),
        ("a: 0440", 0o440),
        ("a: 0o440", 0o440),
        ("a: 0x10", 16),
        ("a: 1_000", 1000),
        ("a: 1.5", 1.5),
        ("a: 1.10", 1.1),
        ('a: "1"', "1"),
        ("a: true", True),
        ("a: ~", None),
        ("a:", None),
        ("a: 1.0.0", "1.0.0"),
        ("a: [1, x]", [1, "x"]),
        ("a: 08", "08"),
    ],
)
def test_scalars(text: str, expected: Any) -> None:
    assert parse(text)[0] == {"a": expected}


def test_anchors_and_merge_keys() -> None:
    document, lines = parse("x-a: &a\n  image: i\n  env: &e {A: 1}\nb:\n  <<: *a\n  env:\n    <<: *e\n    B: 2\n")
    assert document["b"] == {"image": "i", "env": {"A": 1, "B": 2}}
    assert lines["b.image"] == 2
    assert lines["b.env.B"] == 8


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "line 1"),
        ("a: 1\n b: 2", "line 2"),
        ("a: 1\na: 2", "line 2, column 1: the key a is written already in line 1"),
        ("a: !reset null", "line 1"),
        ("a: *none", "line 1"),
    ],
)
def test_errors_have_their_line(text: str, message: str) -> None:
    with pytest.raises(ComposeYamlError, match=message):
        parse(text)


def test_line_of_falls_back_to_the_nearest_above() -> None:
    _document, lines = parse("services:\n  web:\n    ports:\n      - a\n")
    assert line_of("services.web.ports[0]", lines) == 4
    assert line_of("services.web.image", lines) == 2
    assert line_of("services.web.ports[0].target", lines) == 4
    assert line_of("volumes", lines) is None
    assert line_of("", lines) is None

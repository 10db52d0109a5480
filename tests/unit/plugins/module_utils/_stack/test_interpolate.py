from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack.interpolate import (
    InterpolationError,
    UnsetVariable,
    interpolate,
    substitute,
)
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems

VARIABLES = {"SET": "value", "EMPTY": "", "OTHER": "x"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("${SET}", "value"),
        ("$SET/rest", "value/rest"),
        ("$SET-$OTHER", "value-x"),
        ("a${SET}b${OTHER}c", "avaluebxc"),
        ("$$SET", "$SET"),
        ("$${SET}", "${SET}"),
        ("100$$", "100$"),
        ("${EMPTY}", ""),
        ("${SET:-d}", "value"),
        ("${UNSET:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${UNSET-d}", "d"),
        ("${UNSET:-}", ""),
        ("${UNSET:-${OTHER}}", "x"),
        ("${UNSET:-${ALSO:-deep}}", "deep"),
        ("${UNSET:-a}b}", "ab}"),
        ("${UNSET:-http://h:1/?a=b}", "http://h:1/?a=b"),
        ("${UNSET:-$$}", "$"),
        ("${SET:-${UNSET}}", "value"),
        ("${SET:?needed}", "value"),
        ("${EMPTY?needed}", ""),
        ("${SET:+yes}", "yes"),
        ("${EMPTY:+yes}", ""),
        ("${EMPTY+yes}", "yes"),
        ("${UNSET+yes}", ""),
    ],
)
def test_substitute(template: str, expected: str) -> None:
    assert substitute(template, VARIABLES) == expected


@pytest.mark.parametrize(
    ("template", "name", "message"),
    [
        ("${UNSET}", "UNSET", ""),
        ("$UNSET", "UNSET", ""),
        ("${EMPTY:?not empty}", "EMPTY", "not empty"),
        ("${UNSET?}", "UNSET", "must be set"),
        ("${UNSET:?set ${OTHER}}", "UNSET", "set x"),
        ("${EMPTY:-${UNSET}}", "UNSET", ""),
    ],
)
def test_unset(template: str, name: str, message: str) -> None:
    with pytest.raises(UnsetVariable) as caught:
        substitute(template, VARIABLES)
    assert (caught.value.name, caught.value.message) == (name, message)


@pytest.mark.parametrize("template", ["$", "a $ b", "${", "${SET", "${1}", "${}", "${SET!x}", "${SET:-${OTHER}", "$1"])
def test_broken(template: str) -> None:
    with pytest.raises(InterpolationError):
        substitute(template, VARIABLES)


def test_each_unset_variable_is_one_problem_with_its_first_path() -> None:
    problems = Problems()
    interpolate(
        {"services": {"a": {"image": "i:${V}"}, "b": {"image": "i:${V}", "environment": ["K=${W:?give it}"]}}},
        {},
        problems,
    )
    assert [str(problem) for problem in problems.found] == [
        "services.a.image: the variable V is not set (and 1 more places); "
        "set V in stack_environment or write a default: ${V:-value}",
        "services.b.environment[0]: the variable W is not set (give it); "
        "set W in stack_environment or write a default: ${W:-value}",
    ]


def test_foreign_extensions_are_left_alone_and_ours_is_filled() -> None:
    problems = Problems()
    result = interpolate({"x-other": {"a": "${NO}"}, "x-slipway": {"a": "${SET}"}, "n": 1}, VARIABLES, problems)
    assert result == {"x-other": {"a": "${NO}"}, "x-slipway": {"a": "value"}, "n": 1}
    assert problems.found == []

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problem, Problems, did_you_mean


def test_text() -> None:
    assert str(Problem("a.b", "is wrong", "do this")) == "a.b: is wrong; do this"
    assert str(Problem("", "is wrong")) == "is wrong"


def test_at_knows_what_lies_below() -> None:
    problems = Problems()
    problems.add("a.b[0]", "is wrong")
    problems.add("a.b[0]", "is wrong")
    assert len(problems.found) == 1
    assert problems.at("a")
    assert problems.at("a.b")
    assert not problems.at("a.bc")


def test_did_you_mean() -> None:
    assert did_you_mean("prots", ["ports", "image"]) == "did you mean ports?"
    assert did_you_mean("zzz", ["ports"]) == ""

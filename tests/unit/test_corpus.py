"""Real systems as Compose files: every key of the table stands in one, and none is dropped in silence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._stack import support
from ansible_collections.slipway.ops.plugins.module_utils._stack.interpolate import interpolate
from ansible_collections.slipway.ops.plugins.module_utils._stack.load import check_references
from ansible_collections.slipway.ops.plugins.module_utils._stack.normalize import Normalizer
from ansible_collections.slipway.ops.plugins.module_utils._stack.problems import Problems, StackError

from tests.corpus_files import ACCEPTED, ENGINES, File, changed, files, leaves, patterns, written

FILES = files()
EACH = pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
ON = pytest.mark.parametrize("engine", ENGINES)


def reading(document: Any, file: File, engine: str) -> tuple[str, list[str]]:
    """What was understood, and all that was found wrong; not even a refusal keeps the rest from being read."""
    problems = Problems()
    filled = interpolate(document, file.variables, problems)
    support.check(filled, engine, problems)
    model = Normalizer(filled, file.variables, file.read, problems, engine).model(file.stack)
    check_references(model, problems)
    return json.dumps(model, sort_keys=True), [str(problem) for problem in problems.found]


def test_there_are_enough() -> None:
    assert len(FILES) >= 40


@EACH
@ON
def test_verdict(file: File, engine: str) -> None:
    try:
        file.model(engine)
        found: Any = ACCEPTED
    except StackError as refusal:
        found = sorted({problem.path for problem in refusal.problems})
    expected = file.expected[engine]
    assert found == (expected if expected == ACCEPTED else sorted(expected))


def test_every_key_of_the_table_stands_in_a_file() -> None:
    there = {pattern for file in FILES for pattern in patterns(file.document)}
    assert sorted(set(support.SUPPORT) - there) == []


@ON
def test_every_honoured_key_stands_in_an_accepted_file(engine: str) -> None:
    there = {pattern for file in FILES if file.accepted(engine) for pattern in patterns(file.document)}
    taken = {key for key in support.SUPPORT if support.verdict(key, engine).kind != support.REFUSED}
    above = {key.rpartition(".")[0].removesuffix("[]") for key in support.SUPPORT}
    # A key that only holds others is there with them.
    wanted = {key for key in taken if key not in above or any(other.startswith(key) for other in taken - {key})}
    assert sorted(wanted - there) == []


@EACH
@ON
def test_reading_twice_is_the_same(file: File, engine: str) -> None:
    document = file.document
    before = json.dumps(document)
    first = reading(document, file, engine)
    assert json.dumps(document) == before
    assert reading(document, file, engine) == first


@EACH
@ON
def test_nothing_is_dropped_in_silence(file: File, engine: str) -> None:
    """Each plain value is told of in a problem, translated by the table, or makes a difference to what is read."""
    document = file.document
    outcome = reading(document, file, engine)
    silent = []
    for path, keys in leaves(document):
        kinds = {support.verdict(key, engine).kind for key in keys if key in support.SUPPORT}
        if support.TRANSLATED in kinds or _told(written(path), outcome[1]):
            continue
        if support.REFUSED in kinds or not any(
            reading(other, file, engine) != outcome for other in changed(document, path)
        ):
            silent.append(written(path))
    assert silent == []


def _told(path: str, problems: list[str]) -> bool:
    named = [problem.split(": ", 1)[0] for problem in problems]
    # An item of a list whose kind is wrong is not read any further.
    named += [name.rpartition(".")[0] for name in named if name.rpartition(".")[0].endswith("]")]
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in named)


def test_nothing_lies_about() -> None:
    for file in FILES:
        used = {path.name for path in file.directory.iterdir()}
        for extra in used - {"compose.yaml", "expected.yaml"}:
            assert extra in Path(file.path).read_text(encoding="utf-8"), f"{file.name}/{extra} is read by nothing"

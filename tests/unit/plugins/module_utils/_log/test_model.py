# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    Coverage,
    HoleError,
    Lineage,
    Piece,
    Stream,
    by_stream,
    check_repository_name,
    choose,
    coverage,
    merge,
    parse_piece,
    runs,
    superfluous,
)

LINEAGE = Lineage("fleet", "database", "7710803898420211734")
STREAM = Stream(LINEAGE, "000000010000000000000002")


def chunk(start: int, end: int) -> Piece:
    return Piece(STREAM, start, end)


def whole(size: int) -> Piece:
    return Piece(STREAM, 0, size, True)


@pytest.mark.parametrize(
    ("piece", "path"),
    [
        (chunk(0, 8192), "000000000000-000000008192.gz"),
        (chunk(4097, 123456789012), "000000004097-123456789012.gz"),
        (chunk(70, 70), "000000000070-000000000070.gz"),
        (whole(16777216), "whole-000016777216.gz"),
    ],
)
def test_an_object_s_name_says_all(piece: Piece, path: str) -> None:
    assert piece.path == f"fleet/database/7710803898420211734/000000010000000000000002/{path}"
    assert parse_piece(piece.path) == piece
    assert parse_piece(piece.path, 99).stored == 99  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "path",
    [
        "fleet/database/1/x/000000000000-000000000001",
        "fleet/database/1/x/0-1.gz",
        "fleet/database/1/x/000000000002-000000000001.gz",
        "fleet/database/1/x/whole-12.gz",
        "fleet/database/1/000000000000-000000000001.gz",
        "fleet/database/1/.x/000000000000-000000000001.gz",
        "Fleet/database/1/x/000000000000-000000000001.gz",
        "fleet/database/1.1/x/000000000000-000000000001.gz",
        "fleet/database/1.0/x/000000000000-000000000001.gz",
        "fleet/../1/x/000000000000-000000000001.gz",
        "",
    ],
)
def test_what_is_none_of_ours_is_passed_over(path: str) -> None:
    assert parse_piece(path) is None


def test_a_lineage_and_the_one_after_it() -> None:
    assert LINEAGE.name == "7710803898420211734"
    assert LINEAGE.next.name == "7710803898420211734.2"
    assert Lineage.named("fleet", "database", LINEAGE.next.name) == LINEAGE.next
    assert LINEAGE.next > LINEAGE
    for stack, source, identity in (("..", "database", "1"), ("fleet", "../x", "1"), ("fleet", "database", "1/2")):
        with pytest.raises(ValueError, match="is not a name of a"):
            Lineage(stack, source, identity)
    with pytest.raises(ValueError, match="is not a name of a file of a log"):
        Stream(LINEAGE, "../x")


@pytest.mark.parametrize(
    ("ranges", "merged"),
    [
        ([], ()),
        ([(0, 0)], ()),
        ([(5, 9), (0, 5)], ((0, 9),)),
        ([(0, 5), (3, 4), (6, 7)], ((0, 5), (6, 7))),
        ([(0, 5), (2, 9), (9, 12)], ((0, 12),)),
    ],
)
def test_ranges_are_put_together(ranges: list[tuple[int, int]], merged: tuple[tuple[int, int], ...]) -> None:
    assert merge(ranges) == merged


@pytest.mark.parametrize(
    ("pieces", "end", "hole", "complete", "closed"),
    [
        ([], 0, None, False, None),
        ([chunk(0, 10)], 10, None, False, None),
        ([chunk(0, 10), chunk(10, 30), chunk(5, 20)], 30, None, False, None),
        ([chunk(0, 10), chunk(20, 30)], 10, 10, False, None),
        ([chunk(20, 30)], 0, 0, False, None),
        ([whole(50)], 50, None, True, 50),
        ([chunk(0, 10), chunk(50, 50)], 10, 10, False, 50),
        ([chunk(0, 50), chunk(50, 50)], 50, None, True, 50),
        # The server died and came back with a shorter file: what was taken from behind its end was never committed.
        ([chunk(0, 60), whole(50)], 50, None, True, 50),
        ([chunk(0, 30), chunk(30, 60), chunk(50, 50)], 50, None, True, 50),
        ([chunk(0, 0)], 0, None, True, 0),
    ],
)
def test_what_is_held_of_a_stream(
    pieces: list[Piece], end: int, hole: int | None, complete: bool, closed: int | None
) -> None:
    found = coverage(pieces)
    assert (found.end, found.hole, found.complete, found.closed) == (end, hole, complete, closed)


def test_the_fewest_objects_are_chosen() -> None:
    pieces = [chunk(0, 10), chunk(10, 20), chunk(0, 20), chunk(20, 30), chunk(15, 40), chunk(40, 50)]
    assert choose(pieces) == [chunk(0, 20), chunk(15, 40), chunk(40, 50)]
    assert choose(pieces, end=20) == [chunk(0, 20)]
    assert choose(pieces, begin=12, end=18) == [chunk(10, 20)]
    assert choose([*pieces, whole(50)]) == [whole(50)]
    assert choose([*pieces, whole(45)]) == [whole(45)]
    assert choose([]) == []
    with pytest.raises(HoleError, match=r"000000010000000000000002: the bytes from 50 on are in no object"):
        choose(pieces, end=51)
    with pytest.raises(HoleError, match="from 20 on"):
        choose([chunk(0, 20), chunk(30, 40)], end=40)
    with pytest.raises(HoleError, match="from 25 on"):
        choose([chunk(0, 20)], begin=25, end=30)
    assert choose([chunk(0, 20), chunk(30, 40)]) == [chunk(0, 20)]


def test_what_another_object_holds_as_well_is_superfluous() -> None:
    other = Piece(Stream(LINEAGE, "other"), 0, 10)
    pieces = [chunk(0, 10), chunk(10, 20), chunk(0, 20), chunk(15, 25), other]
    assert superfluous(pieces) == [chunk(0, 10), chunk(10, 20)]
    assert superfluous([*pieces, chunk(25, 25)]) == [chunk(0, 10), chunk(10, 20)]
    assert set(superfluous([*pieces, chunk(25, 25), whole(25)])) == {*pieces, chunk(25, 25)} - {other}
    # A longer chunk never makes the closing record superfluous.
    assert superfluous([chunk(0, 60), whole(50)]) == [chunk(0, 60)]
    assert superfluous([]) == []


def test_nothing_is_lost_with_what_is_superfluous() -> None:
    pieces = [chunk(start, start + length) for start in range(0, 60, 7) for length in (3, 7, 11, 21)]
    left = [piece for piece in pieces if piece not in superfluous(pieces)]
    assert coverage(left) == coverage(pieces)
    assert len(left) < len(pieces)


def test_streams_that_follow_each_other() -> None:
    names = [f"binlog.{number:06d}" for number in range(1, 8)]
    successor = dict(zip(names, names[1:]))
    done, opened, empty = Coverage(((0, 9),), 9), Coverage(((0, 5),)), Coverage()
    held = [(names[0], done), (names[1], done), (names[2], opened), (names[4], done), (names[5], empty)]
    found = runs(held, successor)
    assert [(run.first, run.last, run.end, run.closed) for run in found] == [
        (names[0], names[2], 5, False),
        (names[4], names[4], 9, True),
    ]
    # One that is open has no successor in the run, even when the next one is there.
    assert len(runs([(names[0], opened), (names[1], done)], successor)) == 2


def test_streams_by_name() -> None:
    other = Piece(Stream(LINEAGE, "000000010000000000000001"), 0, 1)
    assert list(by_stream([chunk(0, 1), other])) == [other.stream, STREAM]


def test_a_repository_s_name_is_a_directory_s() -> None:
    assert check_repository_name("main") == "main"
    for name in ("", "..", "a/b", "a.b"):
        with pytest.raises(RefusedError, match="is not a name"):
            check_repository_name(name)
    assert issubclass(HoleError, BackupError)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log import wal
from ansible_collections.slipway.ops.plugins.module_utils._log.assembly import assemble, rebuild
from ansible_collections.slipway.ops.plugins.module_utils._log.model import (
    HoleError,
    Lineage,
    Piece,
    Stream,
    UnreadableError,
)
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import FakeRepository

STREAM = Stream(Lineage("fleet", "database", "77"), "000000010000000000000002")
RAW = bytes(index % 251 for index in range(3000))


def chunk(start: int, end: int) -> Piece:
    return Piece(STREAM, start, end)


def repository(*pieces: Piece) -> FakeRepository:
    found = FakeRepository()
    for piece in pieces:
        found.objects[piece.path] = gzip.compress(RAW[piece.start : piece.end], mtime=0)
    return found


def put(root: Path, *pieces: Piece) -> list[Piece]:
    repository(*pieces).fetch(pieces, str(root))
    return list(pieces)


@pytest.mark.parametrize(
    "pieces",
    [
        [chunk(0, 3000)],
        [chunk(0, 1000), chunk(1000, 2000), chunk(2000, 3000)],
        [chunk(1000, 3000), chunk(0, 1500), chunk(900, 1200)],
        [chunk(0, 100), chunk(0, 2000), chunk(100, 3000)],
        [chunk(0, 3000), chunk(3000, 3000)],
        [Piece(STREAM, 0, 3000, True), chunk(10, 20)],
    ],
)
def test_a_file_is_put_together(pieces: list[Piece], tmp_path: Path) -> None:
    target = tmp_path / "file"
    assert assemble(str(tmp_path), put(tmp_path, *pieces), str(target)) == 3000
    assert target.read_bytes() == RAW
    assert target.stat().st_mode & 0o777 == 0o600


def test_the_end_can_be_chosen(tmp_path: Path) -> None:
    pieces = put(tmp_path, chunk(0, 1000), chunk(1000, 3000))
    for end in (0, 500, 1000, 2999):
        assert assemble(str(tmp_path), pieces, str(tmp_path / "file"), end) == end
        assert (tmp_path / "file").read_bytes() == RAW[:end]


def test_a_partial_segment_is_filled_with_zeros(tmp_path: Path) -> None:
    pieces = put(tmp_path, chunk(0, 1000))
    (tmp_path / "file").write_bytes(b"x" * 9000)
    assert assemble(str(tmp_path), pieces, str(tmp_path / "file"), pad_to=wal.SEGMENT_BYTES) == 1000
    content = (tmp_path / "file").read_bytes()
    assert len(content) == wal.SEGMENT_BYTES
    assert content.rstrip(b"\0") == RAW[:1000].rstrip(b"\0")


def test_what_lies_behind_a_closed_end_is_left_away(tmp_path: Path) -> None:
    """A server that died had written more than it kept."""
    pieces = put(tmp_path, chunk(0, 1000), chunk(1000, 3000), chunk(1500, 1500))
    assert assemble(str(tmp_path), pieces, str(tmp_path / "file")) == 1500
    assert (tmp_path / "file").read_bytes() == RAW[:1500]
    assert assemble(str(tmp_path), pieces, str(tmp_path / "file"), 2000) == 1500


@pytest.mark.parametrize(
    ("pieces", "end"),
    [
        ([chunk(0, 1000), chunk(1100, 3000)], None),
        ([chunk(5, 1000)], None),
        ([chunk(0, 1000)], 1001),
        ([chunk(0, 1000), chunk(2000, 2000)], None),
    ],
)
def test_a_hole_is_refused(pieces: list[Piece], end: int | None, tmp_path: Path) -> None:
    with pytest.raises(HoleError, match=r"000000010000000000000002: the bytes from \d+ on are missing"):
        assemble(str(tmp_path), put(tmp_path, *pieces), str(tmp_path / "file"), end)


def test_objects_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    pieces = put(tmp_path, chunk(0, 1000), chunk(500, 1500))
    path = tmp_path / pieces[1].path
    path.write_bytes(gzip.compress(b"x" * 1000, mtime=0))
    with pytest.raises(BackupError, match="holds other bytes than an object that it overlaps"):
        assemble(str(tmp_path), pieces, str(tmp_path / "file"))


@pytest.mark.parametrize("content", [b"", b"nonsense", gzip.compress(RAW[:999]), gzip.compress(RAW[:1000])[:-9]])
def test_an_object_that_cannot_be_read_is_named(content: bytes, tmp_path: Path) -> None:
    pieces = put(tmp_path, chunk(0, 1000))
    (tmp_path / pieces[0].path).write_bytes(content)
    with pytest.raises(UnreadableError) as error:
        assemble(str(tmp_path), pieces, str(tmp_path / "file"))
    assert error.value.piece == pieces[0]


def test_as_little_as_possible_is_fetched(tmp_path: Path) -> None:
    pieces = [chunk(0, 1000), chunk(1000, 2000), chunk(2000, 3000), chunk(0, 2000)]
    found = repository(*pieces)
    asked: list[Piece] = []
    fetch = found.fetch
    found.fetch = lambda pieces, directory: (asked.extend(pieces), fetch(asked, directory))[1]  # type: ignore
    result = rebuild(found, pieces, str(tmp_path / "file"), str(tmp_path / "scratch"))
    assert (result.end, result.unreadable) == (3000, ())
    assert (tmp_path / "file").read_bytes() == RAW
    assert asked == [chunk(0, 2000), chunk(2000, 3000)]
    assert [path for path in (tmp_path / "scratch").rglob("*") if path.is_file()] == []


def test_what_is_damaged_is_taken_from_others(tmp_path: Path) -> None:
    pieces = [chunk(0, 1000), chunk(1000, 2000), chunk(2000, 3000), chunk(0, 2000), Piece(STREAM, 0, 3000, True)]
    found = repository(*pieces)
    found.objects[pieces[4].path] = b"torn"
    del found.objects[pieces[3].path]
    result = rebuild(found, pieces, str(tmp_path / "file"), str(tmp_path / "scratch"))
    assert (result.end, result.unreadable) == (3000, (pieces[4], pieces[3]))
    assert (tmp_path / "file").read_bytes() == RAW


def test_a_torn_last_object_is_where_the_log_ends(tmp_path: Path) -> None:
    pieces = [chunk(0, 1000), chunk(1000, 2000)]
    found = repository(*pieces)
    found.objects[pieces[1].path] = b"torn"
    result = rebuild(found, pieces, str(tmp_path / "file"), str(tmp_path / "scratch"))
    assert (result.end, result.unreadable) == (1000, (pieces[1],))
    assert (tmp_path / "file").read_bytes() == RAW[:1000]
    with pytest.raises(HoleError, match="from 1000 on"):
        rebuild(found, pieces, str(tmp_path / "file"), str(tmp_path / "scratch"), end=1500)


@pytest.mark.parametrize("last", [chunk(2000, 3000), chunk(2000, 2000), Piece(STREAM, 0, 2000, True)])
def test_a_damaged_object_before_others_is_a_hole(last: Piece, tmp_path: Path) -> None:
    pieces = [chunk(0, 1000), chunk(1000, 2000), last]
    found = repository(*pieces)
    for piece in [pieces[1], *([last] if last.whole else [])]:
        found.objects[piece.path] = b"torn"
    with pytest.raises(HoleError, match="from 1000 on"):
        rebuild(found, pieces, str(tmp_path / "file"), str(tmp_path / "scratch"))


def test_a_repository_that_is_away_makes_no_log_shorter(tmp_path: Path) -> None:
    pieces = [chunk(0, 1000), chunk(1000, 2000)]
    found = repository(*pieces)

    def away(pieces: object, directory: str) -> None:
        raise BackupError("the server does not answer")

    found.fetch = away  # type: ignore
    with pytest.raises(BackupError, match="does not answer"):
        rebuild(found, pieces, str(tmp_path / "file"), str(tmp_path / "scratch"))


def test_an_empty_closed_stream(tmp_path: Path) -> None:
    pieces = [Piece(STREAM, 0, 0, True)]
    result = rebuild(repository(*pieces), pieces, str(tmp_path / "file"), str(tmp_path / "scratch"))
    assert result.end == 0
    assert os.path.getsize(tmp_path / "file") == 0

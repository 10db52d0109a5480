# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._log import outbox as outboxes
from ansible_collections.slipway.ops.plugins.module_utils._log.binlog import IN_USE_OFFSET
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, Stream
from ansible_collections.slipway.ops.plugins.module_utils._log.outbox import Outbox, ShortError, read_range

STREAM = Stream(Lineage("fleet", "database", "77"), "binlog.000001")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "binlog").write_bytes(bytes(range(256)) * 100)
    return tmp_path / "binlog"


@pytest.fixture
def box(tmp_path: Path) -> Outbox:
    return Outbox(str(tmp_path / "outgoing"), ("main", "far"))


def piece(start: int, end: int, whole: bool = False) -> Piece:
    return Piece(STREAM, start, end, whole)


def add(box: Outbox, source: Path, what: Piece, *names: str, born: float = 5.0) -> None:
    box.publish(box.pack(what, str(source)), names or box.repositories, born)


def test_an_object_is_the_same_whenever_it_is_made(box: Outbox, source: Path) -> None:
    first, second = (box.pack(piece(3, 700), str(source), crc_at=500) for _round in range(2))
    assert Path(first.path).read_bytes() == Path(second.path).read_bytes()
    assert gzip.decompress(Path(first.path).read_bytes()) == source.read_bytes()[3:700]
    assert first.crc == second.crc != 0
    assert os.stat(first.path).st_mode & 0o777 == 0o600


def test_several_repositories_share_the_room(box: Outbox, source: Path, tmp_path: Path) -> None:
    add(box, source, piece(0, 100))
    paths = [tmp_path / "outgoing" / name / piece(0, 100).path for name in ("main", "far")]
    assert paths[0].stat().st_ino == paths[1].stat().st_ino
    assert paths[0].stat().st_nlink == 2
    box.remove("main", [piece(0, 100)])
    assert not paths[0].exists()
    assert paths[1].exists()
    assert os.listdir(tmp_path / "outgoing/main") == []
    assert box.totals("main") == (0, 0)
    assert box.totals("far") == (1, paths[1].stat().st_size)


def test_what_waits_is_known_again(box: Outbox, source: Path, tmp_path: Path) -> None:
    add(box, source, piece(0, 100), born=7.5)
    add(box, source, piece(100, 200), "far", born=3.0)
    add(box, source, piece(0, 200, True), "far", born=0.0)
    (tmp_path / "outgoing/main/strange").write_text("", encoding="utf-8")
    (tmp_path / "outgoing/.new/left").write_text("", encoding="utf-8")
    again = Outbox(str(tmp_path / "outgoing"), ("main", "far"))
    for name in ("main", "far"):
        assert again.waiting(name) == box.waiting(name)
    # The oldest first; what is in others as well, last.
    assert [item.piece for item in again.waiting("far")] == [piece(100, 200), piece(0, 100), piece(0, 200, True)]
    assert (again.oldest("main"), again.oldest("far")) == (7.5, 3.0)
    assert os.listdir(tmp_path / "outgoing/.new") == []
    assert again.waits("far", STREAM)
    assert not again.waits("far", Stream(STREAM.lineage, "binlog.000002"))


def test_what_a_killed_process_made_stays(box: Outbox, source: Path, tmp_path: Path) -> None:
    add(box, source, piece(0, 100), "main", born=3.0)
    add(box, source, piece(0, 100), born=9.0)
    assert (box.oldest("main"), box.oldest("far")) == (3.0, 9.0)


def test_a_whole_takes_the_place_of_what_lies_within(box: Outbox, source: Path) -> None:
    for start in (0, 100, 200):
        add(box, source, piece(start, start + 100), born=10.0 + start)
    box.remove("far", [piece(0, 100)])
    box.publish(box.pack(piece(0, 250, True), str(source)), box.repositories, 0.0, instead=["far"])
    assert [item.piece for item in box.waiting("far")] == [piece(0, 250, True), piece(200, 300)]
    assert box.oldest("far") == 110.0
    assert len(box.waiting("main")) == 4


def test_repositories_that_have_too_much_waiting(box: Outbox, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    add(box, source, piece(0, 20000), "far")
    size = box.totals("far")[1]
    assert box.active(size) == ["main", "far"]
    assert box.active(size - 1) == ["main"]
    # It comes back when there is some room, not when there is a byte.
    assert box.active(size) == ["main"]
    assert box.active(2 * size) == ["main", "far"]
    monkeypatch.setattr(outboxes, "LIMIT_OBJECTS", 0)
    assert box.active(2 * size) == ["main"]


def test_conflicts_are_put_aside(box: Outbox, source: Path, tmp_path: Path) -> None:
    add(box, source, piece(0, 100))
    box.set_aside("main", [piece(0, 100)])
    assert box.conflicts("main") == 1
    assert box.totals("main") == (0, 0)
    again = Outbox(str(tmp_path / "outgoing"), ("main", "far"))
    assert (again.totals("main"), again.conflicts("main"), again.conflicts("far")) == ((0, 0), 1, 0)


def test_the_flag_is_cleared_where_it_lies(source: Path) -> None:
    raw = bytearray(source.read_bytes())
    raw[IN_USE_OFFSET] |= 1
    source.write_bytes(raw)
    plain = b"".join(read_range(str(source), 0, 100, True))
    assert plain[IN_USE_OFFSET] == raw[IN_USE_OFFSET] & 0xFE
    assert b"".join(read_range(str(source), 0, 100, False)) == raw[:100]
    assert b"".join(read_range(str(source), IN_USE_OFFSET, 30, True)) == plain[IN_USE_OFFSET:30]
    assert b"".join(read_range(str(source), IN_USE_OFFSET + 1, 30, True)) == plain[IN_USE_OFFSET + 1 : 30]


def test_a_file_that_is_too_short_leaves_nothing(box: Outbox, source: Path, tmp_path: Path) -> None:
    with pytest.raises(ShortError, match="ends after 25600 bytes, and had 30000"):
        box.pack(piece(0, 30000), str(source))
    with pytest.raises(FileNotFoundError):
        box.pack(piece(0, 10), str(tmp_path / "nothing"))
    assert os.listdir(tmp_path / "outgoing/.new") == []

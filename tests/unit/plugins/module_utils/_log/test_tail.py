# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.plugins.module_utils._log import tail as tails
from ansible_collections.slipway.ops.plugins.module_utils._log.model import choose, coverage
from ansible_collections.slipway.ops.plugins.module_utils._log.tail import TurnedBackError
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import Killed, World, die


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def two(tmp_path: Path) -> World:
    return World(tmp_path, ("main", "far"))


def check(world: World, name: str = "main") -> None:
    """What is in a repository is what the server has, to the byte."""
    found = world.rebuilt(name)
    numbers = [int(path.name[-6:]) for path in world.log.iterdir()]
    assert {f"binlog.{number:06d}": world.raw(number) for number in numbers} == found


def test_what_comes_is_cut_and_sent(world: World) -> None:
    world.write(1, 10)
    assert world.poll() == 133
    assert world.poll() == 0
    world.write(1, 50)
    assert world.poll() == 50
    world.send()
    assert world.names_of() == [
        "binlog.000001/000000000000-000000000133.gz",
        "binlog.000001/000000000133-000000000183.gz",
    ]
    assert world.held(1).closed is None
    check(world)
    assert world.outbox.totals("main") == (0, 0)
    assert os.listdir(world.root / "outgoing/main") == []


def test_a_closed_file_gets_its_end_at_once_and_a_whole_later(world: World) -> None:
    world.write(1, 1000)
    world.poll()
    world.write(1, 50)
    world.close(1)
    world.write(2, 10)
    world.poll()
    world.send()
    # The last bytes and where it ends are known before the large object is even begun.
    assert (world.held(1).complete, world.held(1).closed) == (True, 1173)
    assert world.consolidate() == 1
    world.send()
    assert "binlog.000001/whole-000000001173.gz" in world.names_of()
    assert world.tail.runs == [("binlog.000001", "binlog.000001")]
    assert world.tail.is_done("binlog.000001")
    check(world)
    assert world.poll() == 0
    assert world.consolidate() == 0


def test_a_closed_file_of_which_nothing_was_cut_comes_as_a_whole_alone(world: World) -> None:
    for number in (1, 2, 3):
        world.write(number, 500)
    world.poll()
    world.consolidate()
    world.send()
    assert world.names_of() == [
        "binlog.000001/000000000623-000000000623.gz",
        "binlog.000001/whole-000000000623.gz",
        "binlog.000002/000000000623-000000000623.gz",
        "binlog.000002/whole-000000000623.gz",
        "binlog.000003/000000000000-000000000623.gz",
    ]
    assert world.tail.runs == [("binlog.000001", "binlog.000002")]
    check(world)


def test_the_flag_of_an_open_file_is_never_copied(world: World) -> None:
    """The server clears it when it closes the file, so a chunk and the whole would hold different bytes."""
    world.write(1, 10)
    world.poll()
    world.close(1)
    world.write(2, 1)
    world.poll()
    world.consolidate()
    world.send()
    check(world)
    assert len([name for name in world.names_of() if name.startswith("binlog.000001")]) == 3


def test_a_server_that_died_comes_back_with_a_shorter_file(world: World) -> None:
    world.write(1, 1000)
    world.poll()
    world.send()
    content = world.path(1).read_bytes()
    world.path(1).write_bytes(content[:900])
    assert world.poll() == 0
    assert world.tail.shrunk == {"binlog.000001": (1123, 900)}
    world.tail.distrust()
    world.write(2, 10)
    world.poll()
    world.consolidate()
    world.send()
    assert world.tail.shrunk == {}
    assert (world.held(1).closed, world.held(1).end) == (900, 900)
    check(world)


def test_small_chunks_are_put_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "MERGE_EVERY", 4)
    for _round in range(40):
        world.write(1, 10)
        world.poll()
        world.consolidate()
    world.send()
    check(world)
    pieces = world.repositories["main"].pieces()
    # 40 chunks, ten of four of them, two of four of these.
    assert [len([piece for piece in pieces if low <= piece.size < high]) for low, high in ((1, 35), (35, 155))] == [
        39,
        10,
    ]
    assert len([piece for piece in pieces if piece.size >= 155]) == 3
    fewest = {piece.path for piece in tails_chosen(world)}
    assert len(fewest) <= 5


def tails_chosen(world: World) -> list[Any]:
    return choose(world.repositories["main"].pieces())


def test_a_large_stream_is_cut_in_blocks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "BLOCK_BYTES", 1000)
    world.write(1, 77)
    world.poll()
    for _round in range(12):
        world.write(1, 350)
        world.poll()
        world.consolidate()
    # Cut where it is to be cut, even when more than a block has come at once.
    world.write(1, 3500)
    assert world.poll() == 600
    assert [world.poll(), world.poll(), world.poll()] == [1000, 1000, 900]
    world.consolidate()
    world.close(1)
    world.write(2, 1)
    world.poll()
    world.consolidate()
    world.send()
    names = [name.split("/")[1] for name in world.names_of() if name.startswith("binlog.000001")]
    assert "000000001000-000000002000.gz" in names
    assert "000000007000-000000007900.gz" in names
    assert "000000007900-000000007900.gz" in names
    assert not [name for name in names if name.startswith("whole")]
    assert world.held(1).complete
    assert world.tail.is_done("binlog.000001")
    check(world)


def test_a_large_closed_file_is_cut_in_blocks_by_the_other_thread(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "BLOCK_BYTES", 1000)
    world.write(1, 3000)
    world.write(2, 10)
    world.poll()
    assert world.consolidate() == 4
    world.send()
    assert [name for name in world.names_of() if name.startswith("binlog.000001")] == [
        "binlog.000001/000000000000-000000001000.gz",
        "binlog.000001/000000001000-000000002000.gz",
        "binlog.000001/000000002000-000000003000.gz",
        "binlog.000001/000000003000-000000003123.gz",
        "binlog.000001/000000003123-000000003123.gz",
    ]
    check(world)


@pytest.mark.parametrize("point", ["pack", "publish", "link", "save", "saved", "publish of the second"])
def test_a_kill_while_cutting_neither_loses_nor_changes_a_byte(
    two: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    two.write(1, 100)
    two.poll()
    two.send_all()
    two.write(1, 100)
    with monkeypatch.context() as patch:
        if point == "pack":
            die(patch, os, "fsync")
        elif point == "publish":
            die(patch, two.outbox, "publish")
        elif point == "link":
            # Between the link for the first repository and the one for the second.
            die(patch, os, "link", before=False)
        elif point == "publish of the second":
            die(patch, two.outbox, "publish", before=False)
        else:
            die(patch, two.state, "save", before=point == "save")
        with pytest.raises(Killed):
            two.poll()
    two.write(1, 100)
    two.restart()
    two.poll()
    two.write(1, 5)
    two.poll()
    two.consolidate()
    two.send_all()
    check(two)
    check(two, "far")
    assert os.listdir(two.root / "outgoing/.new") == []


@pytest.mark.parametrize("point", ["pack", "publish", "link", "save", "saved"])
def test_a_kill_while_a_whole_is_made_leaves_it_to_be_made(
    two: World, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    two.write(1, 1000)
    two.poll()
    two.write(2, 10)
    two.poll()
    with monkeypatch.context() as patch:
        if point == "pack":
            die(patch, os, "fsync")
        elif point == "publish":
            die(patch, two.outbox, "publish")
        elif point == "link":
            die(patch, os, "link", before=False)
        else:
            die(patch, two.state, "save", before=point == "save")
        with pytest.raises(Killed):
            two.consolidate()
    two.restart()
    two.poll()
    two.consolidate()
    two.send_all()
    for name in two.names:
        check(two, name)
        assert "binlog.000001/whole-000000001123.gz" in two.names_of(name)
    assert two.tail.runs == [("binlog.000001", "binlog.000001")]


def test_a_kill_between_sending_and_removing_sends_it_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write(1, 100)
    world.poll()
    with monkeypatch.context() as patch:
        die(patch, world.outbox, "remove")
        with pytest.raises(Killed):
            world.send()
    world.restart()
    assert world.outbox.totals("main")[0] == 1
    world.send()
    assert world.outbox.totals("main") == (0, 0)
    check(world)


def test_a_kill_while_sending_leaves_the_rest(world: World) -> None:
    for _round in range(5):
        world.write(1, 10)
        world.poll()
    world.repositories["main"].kill_after = 2
    with pytest.raises(Killed):
        world.send()
    world.repositories["main"].kill_after = None
    world.restart()
    assert world.outbox.totals("main")[0] == 5
    world.send()
    check(world)


def test_a_repository_that_is_away_for_a_while_gets_everything(two: World) -> None:
    for number in (1, 2, 3):
        for _round in range(3):
            two.write(number, 100)
            two.poll()
            two.send("main")
        two.consolidate()
        two.send("main")
    two.poll()
    two.consolidate()
    two.send("far")
    two.send("main")
    check(two)
    check(two, "far")


def test_a_repository_with_too_much_waiting_gets_wholes_only(two: World) -> None:
    two.write(1, 2000)
    two.poll()
    two.send("main")
    for _round in range(3):
        two.write(1, 1000)
        two.poll("main")
        two.send("main")
    assert len(two.outbox.waiting("far")) == 1
    assert two.held(1).end == 5123
    two.write(2, 10)
    two.poll("main")
    two.consolidate("main")
    # The whole takes the place of the chunk that waited, and is as old as that.
    assert [item.piece.name for item in two.outbox.waiting("far")] == [
        "whole-000000005123.gz",
        "000000005123-000000005123.gz",
    ]
    assert two.outbox.oldest("far") == 1000.0
    # It is back: what is open is cut from where it ended for this repository.
    two.write(2, 10)
    two.poll()
    two.send("main")
    two.send("far")
    check(two)
    check(two, "far")
    assert "binlog.000002/000000000000-000000000143.gz" in two.names_of("far")


def test_a_paused_repository_catches_up_in_the_open_stream(two: World) -> None:
    two.write(1, 10)
    two.poll()
    two.write(1, 10)
    two.poll("main")
    two.write(1, 10)
    two.poll("main", "far")
    two.send_all()
    assert two.names_of("far")[1] == "binlog.000001/000000000133-000000000153.gz"
    check(two, "far")
    # Nobody may have them all.
    two.write(1, 10)
    assert two.poll("nobody") == 0
    two.poll()
    two.send_all()
    check(two)
    check(two, "far")


def test_the_age_of_what_is_not_safe(two: World) -> None:
    assert two.outbox.oldest("main") is None
    two.write(1, 10)
    two.poll()
    two.write(1, 10)
    two.poll()
    assert two.outbox.oldest("main") == 1000.0
    two.restart()
    assert two.outbox.oldest("main") == 1000.0
    first = two.outbox.waiting("main")[0].piece
    two.outbox.remove("main", [first])
    assert (two.outbox.oldest("main"), two.outbox.oldest("far")) == (1001.0, 1000.0)
    two.write(2, 1)
    two.poll()
    two.send_all()
    two.consolidate()
    # What is in chunks already is in no hurry.
    assert two.outbox.totals("main")[0] == 1
    assert two.outbox.oldest("main") is None


def test_a_log_that_began_anew_is_noticed(world: World) -> None:
    for number in (1, 2, 3):
        world.write(number, 100)
        world.poll()
    world.consolidate()
    for path in world.log.iterdir():
        path.unlink()
    world.write(1, 300)
    with pytest.raises(TurnedBackError, match=r"77/binlog.000001: .*begun anew or went back"):
        world.poll()


@pytest.mark.parametrize("size", [50, 223, 500])
def test_a_file_of_the_same_name_with_another_content_is_noticed(world: World, size: int) -> None:
    """After a restart as well, and whether it is shorter, of the same length or longer."""
    world.write(1, 100)
    world.poll()
    world.path(1).unlink()
    world.write(1, size)
    with open(world.path(1), "r+b") as stream:
        stream.write(b"another one")
    world.restart()
    with pytest.raises(TurnedBackError, match="begins otherwise"):
        world.poll()


def test_a_file_whose_later_part_changed_is_noticed(world: World) -> None:
    world.write(1, 5000)
    world.poll()
    content = bytearray(world.path(1).read_bytes())
    world.write(1, 100)
    world.poll()
    world.path(1).write_bytes(bytes(content) + b"x" * 100)
    world.tail.distrust()
    # As long as nothing comes behind what was cut, nothing is looked at: a receiver may be writing it again.
    assert world.poll() == 0
    world.write(1, 10)
    world.path(1).write_bytes(bytes(content) + b"x" * 120)
    with pytest.raises(TurnedBackError):
        world.poll()


def test_what_changed_behind_our_back_is_found_when_the_whole_is_made(world: World) -> None:
    world.write(1, 1000)
    world.poll()
    with open(world.path(1), "r+b") as stream:
        stream.seek(700)
        stream.write(b"changed")
    world.write(2, 5)
    world.poll()
    with pytest.raises(TurnedBackError, match="holds something else"):
        world.consolidate()
    assert os.listdir(world.root / "outgoing/.new") == []


def test_a_closed_file_that_goes_on_is_noticed(world: World) -> None:
    world.write(1, 1000)
    world.poll()
    world.write(2, 10)
    world.poll()
    world.write(1, 5)
    with pytest.raises(TurnedBackError, match="was closed with 1123 bytes, and goes on"):
        world.poll()


def test_a_lineage_after_another_begins_from_nothing(world: World) -> None:
    world.write(1, 100)
    world.poll()
    world.send()
    for path in world.log.iterdir():
        path.unlink()
    world.write(1, 70)
    with pytest.raises(TurnedBackError):
        world.poll()
    world.lineage = world.lineage.next
    world.restart()
    world.poll()
    world.send()
    check(world)
    assert "fleet/database/77.2/binlog.000001/000000000000-000000000193.gz" in world.repositories["main"].objects


def test_a_file_that_is_gone_between_looking_and_cutting_is_no_fault(world: World) -> None:
    world.write(1, 10)
    found = world.found()
    world.path(1).unlink()
    assert world.tail.poll(found, 1.0, world.names) == 0
    world.write(1, 10)
    long = [type(item)(item.name, item.path, item.end + 5, False) for item in world.found()]
    assert world.tail.poll(long, 1.0, world.names) == 0
    world.poll()
    world.send()
    check(world)


def test_purged_files_are_forgotten(world: World) -> None:
    for number in (1, 2, 3):
        world.write(number, 10)
    world.poll()
    world.consolidate()
    world.path(1).unlink()
    world.poll()
    assert not world.tail.is_done("binlog.000001")
    assert world.tail.is_done("binlog.000002")
    assert world.tail.runs == [("binlog.000001", "binlog.000002")]
    assert world.tail.newest == "binlog.000003"


def test_runs_show_a_hole_and_close_it(world: World) -> None:
    for number in (1, 2, 5, 6, 7):
        world.write(number, 10)
    world.poll()
    world.consolidate()
    assert world.tail.runs == [("binlog.000001", "binlog.000002"), ("binlog.000005", "binlog.000006")]
    for number in (4, 3):
        world.write(number, 10)
        world.poll()
        world.consolidate()
    assert world.tail.runs == [("binlog.000001", "binlog.000006")]
    assert world.tail.settled


def test_a_link_is_not_followed(world: World, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"root:x:0:0" * 100)
    os.symlink(tmp_path / "secret", world.path(1))
    found = [tails.Found("binlog.000001", str(world.path(1)), 1000, False)]
    with pytest.raises(OSError, match="symbolic"):
        world.tail.poll(found, 1.0, world.names)


def test_a_state_of_another_format_is_refused(tmp_path: Path) -> None:
    files.write_json(str(tmp_path / "state.json"), {"format": 99})
    with pytest.raises(BackupError, match="is not of format 1"):
        tails.State(str(tmp_path / "state.json"))


def test_the_state_is_small_and_plain(world: World) -> None:
    for number in range(1, 30):
        world.write(number, 10)
    world.poll()
    world.consolidate()
    value = json.loads((world.root / "state.json").read_text(encoding="utf-8"))
    record = value["lineages"]["77"]
    assert record["runs"] == [["binlog.000001", "binlog.000028"]]
    assert list(record["streams"]) == ["binlog.000029"]


def test_random_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing, cutting, sending, closing, dying and coming back in any order: what is stored is what was written."""
    monkeypatch.setattr(tails, "MERGE_EVERY", 3)
    monkeypatch.setattr(tails, "BLOCK_BYTES", 700)
    world = World(tmp_path, ("main", "far"))
    number = 1
    world.write(number, 1)
    for _step in range(400):
        step = world.random.randrange(12)
        if step < 4:
            world.write(number, world.random.randrange(1, 300))
        elif step < 7:
            world.poll(*world.random.choice([("main", "far"), ("main",), ("far",)]))
        elif step == 7:
            world.tail.consolidate(world.names)
        elif step == 8:
            world.send(world.random.choice(world.names))
        elif step == 9:
            world.close(number)
            number += 1
            world.write(number, 1)
        elif step == 10:
            world.restart()
        else:
            with monkeypatch.context() as patch:
                owner, name = world.random.choice(
                    [(os, "fsync"), (os, "link"), (world.state, "save"), (world.outbox, "remove"), (os, "utime")]
                )
                die(patch, owner, name, world.random.random() < 0.5)
                try:
                    world.poll()
                    world.consolidate()
                    world.send("main")
                except Killed:
                    pass
            world.restart()
    for _round in range(20):
        world.poll()
        world.consolidate()
    world.send_all()
    for name in world.names:
        check(world, name)
        for path in world.log.iterdir():
            held = coverage(world.repositories[name].pieces(f"{world.lineage.path}/{path.name}/"))
            assert held.hole is None

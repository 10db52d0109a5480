# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import json
import shutil
import struct
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Place, RefusedError, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.plugins.module_utils._log import binlog, wal
from ansible_collections.slipway.ops.plugins.module_utils._log.log_files import StackLogs
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Lineage, Piece, Stream
from ansible_collections.slipway.ops.plugins.module_utils._log.settings import LogPlace, LogSource
from ansible_collections.slipway.ops.plugins.module_utils._log.shelves import WaitingShelf
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._log.world import FakeRepository

MIB = 1 << 20
PAGE = wal.PAGE_BYTES
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=timezone.utc)
SAMPLES = Path(__file__).parent / "samples"
POSTGRES = Source("postgresql", "database")
MYSQL = Source("mysql", "orders", user="root", password_variable="X")
UUID = "5e0b5bd5-0000-0000-0000-000000000001"


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def commit(seconds: float, transaction: int = 5) -> bytes:
    """The record of a transaction that was committed so many seconds after noon."""
    micro = int((at(seconds).timestamp() - wal.POSTGRES_EPOCH) * 1_000_000)
    data = bytes([wal.DATA_SHORT, 8]) + micro.to_bytes(8, "little", signed=True)
    return record(data, wal.RM_XACT, transaction)


def record(data: bytes, manager: int = 10, transaction: int = 5) -> bytes:
    head = struct.pack("<IIQBB2x", wal.RECORD_BYTES + len(data), transaction, 0, 0, manager)
    raw = head + struct.pack("<I", wal.crc32c(head, wal.crc32c(data))) + data
    return raw + bytes(-len(raw) % 8)


def segment(number: int, records: bytes, timeline: int = 1) -> bytes:
    """A segment whose records lie in its first page; the others have nothing but their headers."""
    start = number * MIB
    first = struct.pack("<HHIQI4x", 0xD116, wal.LONG_HEADER, timeline, start, 0) + struct.pack("<QII", 77, MIB, PAGE)
    pages = [(first + records).ljust(PAGE, b"\0")]
    for offset in range(PAGE, MIB, PAGE):
        pages.append(struct.pack("<HHIQI4x", 0xD116, 0, timeline, start + offset, 0).ljust(PAGE, b"\0"))
    return b"".join(pages)


class World:
    """A stack's logs in a repository, and what waits on the host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.repository = FakeRepository()
        self.place = LogPlace(Place("fleet", state_root=str(root / "state")))
        sources = [LogSource("postgresql", "database"), LogSource("mysql", "orders")]
        self.logs = StackLogs(
            self.place,
            sources,
            lambda key: [WaitingShelf(self.waiting(key)), self.repository],
            lambda: [self.repository],
        )
        self.lineage = Lineage("fleet", "database", "77")
        self.target = root / "target"
        self.said: list[str] = []

    def waiting(self, key: str) -> str:
        return f"{self.place.source(key)}/outgoing/main"

    def put(self, name: str, raw: bytes, start: int = 0, whole: bool = True) -> None:
        piece = Piece(Stream(self.lineage, name), 0 if whole else start, len(raw), whole)
        self.repository.objects[piece.path] = gzip.compress(raw[piece.start :], mtime=0)

    def segment(self, number: int, *seconds: float, timeline: int = 1, end: int = MIB) -> None:
        raw = segment(number, b"".join(commit(second) for second in seconds) or record(b"x"), timeline)
        self.put(wal.Segment(timeline, number, MIB).name, raw[:end], whole=end == MIB)

    def history(self, timeline: int, text: str) -> None:
        self.put(f"{timeline:08X}.history", text.encode())

    def status(self, key: str, **record: Any) -> None:
        path = Path(self.place.status)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"sources": {key: record}}), encoding="utf-8")

    def record(self, end: int = 2 * MIB + 40, ended: float = 0, **more: Any) -> dict[str, Any]:
        return {
            "lineage": "77",
            "timeline": 1,
            "end_lsn": wal.print_lsn(end),
            "end_time": at(ended).isoformat(),
            "settings": {"wal_segment_size": MIB},
            **more,
        }

    def coverage(self, target: Target | None = None, **more: Any) -> Coverage | None:
        found = self.logs.coverage(POSTGRES, self.record(**more), target or Target())
        self.assert_clean()
        return found

    def fetch(self, target: Target | None = None, source: Source = POSTGRES, **record: Any) -> Coverage | None:
        shutil.rmtree(self.target, ignore_errors=True)
        self.target.mkdir()
        found = self.logs.fetch(source, record or self.record(), target or Target(), str(self.target), self.said.append)
        self.assert_clean()
        return found

    def assert_clean(self) -> None:
        root = Path(self.place.root)
        assert not [path.name for path in root.iterdir() if path.name.startswith("restore-")]

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.target.iterdir())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def moment(seconds: float, **more: Any) -> Target:
    return parse_target(at(seconds).isoformat(" "), at(999_999), **more)


def test_a_log_goes_from_the_point_to_its_last_commit(world: World) -> None:
    world.segment(2, 1, 5)
    world.segment(3, 9, 12.25)
    world.segment(4, 20, end=3 * PAGE)
    found = world.coverage()
    assert found == Coverage("0/200028", wal.print_lsn(4 * MIB + 3 * PAGE), at(20), 2 * MIB + 3 * PAGE - 40)


def test_segments_without_a_commit_are_passed_over(world: World) -> None:
    world.segment(2, 1, 5)
    world.segment(3)
    world.segment(4, end=PAGE)
    found = world.coverage()
    assert found is not None
    assert found.end_time == at(5)


def test_with_nothing_committed_it_covers_what_the_point_does(world: World) -> None:
    world.segment(2, -5, end=256)
    found = world.coverage(end=2 * MIB + 200, ended=3)
    assert found is not None
    assert found.end_time == at(3)


def test_a_quiet_server_is_covered_until_the_follower_last_asked_it(world: World) -> None:
    world.segment(2, 5)
    audited = {"lineage": "77", "timeline": 1, "audit_timestamp_seconds": at(900).timestamp()}
    world.status("database", server_lsn=wal.print_lsn(3 * MIB), **audited)
    found = world.coverage()
    assert found is not None
    assert found.end_time == at(900)
    # It had more than is held here, or another one was asked: then that says nothing.
    for other in ({"server_lsn": wal.print_lsn(3 * MIB + 8)}, {"timeline": 2}, {"lineage": "78"}):
        world.status("database", **{"server_lsn": wal.print_lsn(3 * MIB), **audited, **other})
        found = world.coverage()
        assert found is not None
        assert found.end_time == at(5)


def test_a_hole_ends_it_and_is_named(world: World) -> None:
    world.segment(2, 1)
    world.segment(3, 2)
    world.segment(5, 4)
    found = world.coverage()
    assert found is not None
    assert (found.end, found.end_time) == ("0/400000", at(2))
    assert found.remark == "from there to 0/500000 it is missing"
    fetched = world.fetch()
    assert fetched is not None
    assert (fetched.end, fetched.remark) == (found.end, found.remark)
    assert world.names == ["000000010000000000000002", "000000010000000000000003"]


def test_a_point_from_which_no_log_leads_on(world: World) -> None:
    assert world.coverage() is None
    world.segment(4, 1)
    assert world.coverage() is None
    assert world.coverage(lineage="78") is None
    assert world.logs.coverage(Source("postgresql", "other"), world.record(), Target()) is None
    assert world.logs.coverage(Source("mariadb", "database"), world.record(), Target()) is None
    assert world.fetch() is None
    assert world.names == []


def test_only_the_lineage_that_the_point_notes_leads_on(world: World) -> None:
    """The data went back in time: two logs of one server hold other bytes under one name."""
    world.segment(2, 1)
    world.lineage = world.lineage.next
    world.segment(2, 50)
    assert world.coverage() is None
    noted = [world.coverage(log_lineage=name) for name in ("77", "77.2")]
    assert [found.end_time for found in noted if found] == [at(1), at(50)]


def test_what_the_follower_writes_now_is_what_a_point_notes(world: World) -> None:
    assert world.logs.lineage(POSTGRES) == ""
    state = Path(world.place.source("database"), "state.json")
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"lineage": "77.2"}), encoding="utf-8")
    assert world.logs.lineage(POSTGRES) == "77.2"
    assert world.logs.lineage(Source("redis", "database")) == ""


def branched(world: World) -> None:
    """Timeline 1 was left in its fourth segment by a restore, and had gone on to its sixth."""
    for number, seconds in ((2, 1), (3, 2), (4, 3)):
        world.segment(number, seconds)
    world.segment(5, 100)
    world.segment(6, 130, end=PAGE)
    world.segment(4, 3, 200, timeline=2)
    world.segment(5, 210, timeline=2)
    world.history(2, f"1\t{wal.print_lsn(4 * MIB + 80)}\tbefore\n")


def test_the_newest_timeline_is_followed_over_the_place_where_it_left_the_other(world: World) -> None:
    branched(world)
    found = world.coverage()
    assert found is not None
    assert (found.end, found.end_time) == ("0/600000", at(210))
    world.fetch()
    assert world.names == [
        "000000010000000000000002",
        "000000010000000000000003",
        "000000010000000000000004",
        "00000002.history",
        "000000020000000000000004",
        "000000020000000000000005",
    ]


def test_a_timeline_can_be_named(world: World) -> None:
    branched(world)
    found = world.coverage(Target(timeline="1"))
    assert found is not None
    assert (found.end, found.end_time) == (wal.print_lsn(6 * MIB + PAGE), at(130))
    world.fetch(Target(timeline="1"))
    assert "000000020000000000000005" not in world.names
    # Without it, the next recovery would take a timeline that is taken.
    assert "00000002.history" in world.names


def test_a_point_on_a_branch_that_was_left_leads_nowhere(world: World) -> None:
    branched(world)
    assert world.coverage(end=5 * MIB + 512) is None
    assert world.coverage(Target(timeline="1"), end=5 * MIB + 512) is not None
    with pytest.raises(BackupError, match=r"does not hold 00000003\.history"):
        world.coverage(Target(timeline="3"))


def test_a_time_at_which_the_other_timeline_was_live_is_not_covered(world: World) -> None:
    """A server would end where the timeline was left, long before that time, and call it reached."""
    branched(world)
    for seconds in (100, 120):
        found = world.coverage(moment(seconds))
        assert found is not None
        assert found.end_time is not None
        assert found.end_time < at(seconds)
        assert "timeline 1 was live, which a restore left later; add --timeline 1" in found.remark
    for seconds, timeline in ((2.5, "latest"), (99, "latest"), (205, "latest"), (120, "1")):
        found = world.coverage(moment(seconds, timeline=timeline))
        assert found is not None
        assert found.end_time is not None
        assert found.end_time >= at(seconds)
        assert not found.remark


def test_a_timeline_of_which_nothing_was_received_yet(world: World) -> None:
    world.segment(2, 1)
    world.segment(3, 2, end=2 * PAGE)
    world.history(2, f"1\t{wal.print_lsn(3 * MIB + 512)}\tbefore\n")
    found = world.coverage()
    assert found is not None
    assert found.end == wal.print_lsn(3 * MIB + 512)
    fetched = world.fetch()
    assert fetched is not None
    assert world.names == ["000000010000000000000002", "000000010000000000000003", "00000002.history"]


def test_a_server_finds_whole_segments(world: World) -> None:
    world.segment(2, 1)
    world.segment(3, 2, end=PAGE)
    found = world.fetch()
    assert found == world.coverage()
    assert [path.stat().st_size for path in sorted(world.target.iterdir())] == [MIB, MIB]
    assert (world.target / "000000010000000000000003").read_bytes()[PAGE:] == bytes(MIB - PAGE)
    assert world.said == [
        f"log of {POSTGRES.label}: 1.0 MiB from 0/200028 to {wal.print_lsn(3 * MIB + PAGE)}",
    ]


def test_for_a_point_only_the_histories_come(world: World) -> None:
    branched(world)
    assert world.fetch(Target("point", "x", point="20261122T000000Z")) is None
    assert world.names == ["00000002.history"]


def test_for_a_time_what_comes_long_after_it_is_not_fetched(world: World) -> None:
    for number in range(2, 42):
        world.segment(number, *((number * 10,) if number % 3 else ()))
    found = world.fetch(moment(101))
    assert found is not None
    assert found.end_time == at(410)
    last = int(world.names[-1], 16) & 0xFF
    # The first commit after 101 s is the one at 110 s, in segment 11.
    assert 11 <= last <= 14
    assert world.names[0] == "000000010000000000000002"
    world.fetch(moment(409))
    assert world.names[-1] == "000000010000000000000029"


def test_for_a_position_a_little_more_is_fetched(world: World) -> None:
    for number in range(2, 12):
        world.segment(number, number)
    world.fetch(Target("position", "x", position=wal.print_lsn(4 * MIB + 100)))
    assert world.names[-1] == "000000010000000000000006"


def test_what_cannot_be_read_at_the_very_end_is_said(world: World) -> None:
    world.segment(2, 1)
    world.segment(3, 2, end=PAGE)
    raw = segment(3, commit(2))
    piece = Piece(Stream(world.lineage, "000000010000000000000003"), PAGE, 2 * PAGE)
    world.repository.objects[piece.path] = gzip.compress(raw[PAGE : 2 * PAGE])[:20]
    found = world.fetch()
    assert found is not None
    assert found.end == wal.print_lsn(3 * MIB + PAGE)
    assert f"{piece.path} cannot be read" in found.remark


def test_what_waits_on_the_host_is_taken_as_well(world: World) -> None:
    world.segment(2, 1)
    raw = segment(3, commit(2))[:PAGE]
    piece = Piece(Stream(world.lineage, "000000010000000000000003"), 0, PAGE)
    path = Path(world.waiting("database"), piece.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(raw))
    found = world.coverage()
    assert found is not None
    assert found.end_time == at(2)
    world.fetch()
    assert (world.target / "000000010000000000000003").read_bytes()[:PAGE] == raw


def test_what_is_sent_meanwhile_is_fetched_from_the_repository(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.segment(2, 1)
    piece = Piece(Stream(world.lineage, "000000010000000000000003"), 0, PAGE)
    path = Path(world.waiting("database"), piece.path)
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(segment(3, commit(2))[:PAGE]))
    before = world.repository.pieces

    def pieces(prefix: str = "") -> list[Piece]:
        found = before(prefix)
        world.repository.objects[piece.path] = path.read_bytes()
        path.unlink()
        monkeypatch.setattr(world.repository, "pieces", before)
        return found

    monkeypatch.setattr(world.repository, "pieces", pieces)
    found = world.coverage()
    assert found is not None
    assert found.end_time == at(2)


def test_a_repository_that_does_not_answer_is_no_missing_log(world: World) -> None:
    world.repository.fault = BackupError("the repository does not answer")
    with pytest.raises(BackupError, match="does not answer"):
        world.coverage()
    world.assert_clean()


def test_a_record_that_says_nothing(world: World) -> None:
    world.segment(2, 1)
    with pytest.raises(BackupError, match="does not say where its log begins"):
        world.logs.coverage(POSTGRES, {**world.record(), "end_lsn": "x"}, Target())


def follow(world: World, name: str, key: str = "database") -> None:
    state = Path(world.place.source(key), "state.json")
    state.parent.mkdir(parents=True, exist_ok=True)
    state.write_text(json.dumps({"lineage": name}), encoding="utf-8")


def test_what_comes_before_the_oldest_point_goes(world: World) -> None:
    branched(world)
    world.segment(0, -9)
    world.segment(1, -8)
    follow(world, "77")
    records = [world.record(start_lsn=wal.print_lsn(number * MIB + 40), log_lineage="77") for number in (4, 3)]
    assert world.logs.prune(POSTGRES, records) == 2
    left = sorted({piece.stream.name for piece in world.repository.pieces()})
    # One more than is needed, and all histories.
    assert left[0] == "000000010000000000000002"
    assert "00000002.history" in left
    assert world.coverage(end=3 * MIB + 40) is not None
    assert world.logs.prune(POSTGRES, records) == 0


def test_a_lineage_of_which_no_point_is_left_goes(world: World) -> None:
    world.segment(2, 1)
    world.lineage = world.lineage.next
    world.segment(5, 50)
    follow(world, "77.2")
    old, new = (world.record(start_lsn="0/500028", log_lineage=name) for name in ("77", "77.2"))
    assert world.logs.prune(POSTGRES, [old, new]) == 1
    world.lineage = Lineage("fleet", "database", "77")
    world.segment(2, 1)
    assert world.logs.prune(POSTGRES, [new]) == 1
    assert [piece.stream.lineage.name for piece in world.repository.pieces()] == ["77.2"]


def test_what_is_not_known_keeps_all(world: World) -> None:
    world.segment(2, 1)
    world.lineage = world.lineage.next
    world.segment(2, 50)
    good = world.record(start_lsn=wal.print_lsn(9 * MIB), log_lineage="77")
    # Nothing is followed at present; a point notes no lineage, or does not say where its log begins; there is none.
    assert world.logs.prune(POSTGRES, [{**good, "start_lsn": ""}]) == 0
    follow(world, "77.2")
    for records in (
        [good, world.record(start_lsn="0/1")],
        [good, {**good, "start_lsn": "x"}],
        [{**good, "settings": {}}],
    ):
        kept = world.repository.pieces("fleet/database/77")
        world.logs.prune(POSTGRES, records)
        assert world.repository.pieces("fleet/database/77") == kept
    assert world.logs.prune(POSTGRES, []) == 0
    assert world.logs.prune(Source("postgresql", "other"), [good]) == 0


# MySQL, MariaDB


class Binlogs(World):
    """The samples as a log: three transactions of a day, in two files."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.lineage = Lineage("fleet", "orders", UUID)
        self.raw = {3: (SAMPLES / "mysql.000003").read_bytes(), 4: (SAMPLES / "mysql.000005").read_bytes()}
        for number, raw in self.raw.items():
            self.put(f"binlog.{number:06d}", raw)
        self.transactions = [
            transaction
            for number in self.raw
            for transaction in self.read(number, SAMPLES / f"mysql.00000{3 if number == 3 else 5}")
        ]

    def read(self, number: int, path: Path) -> list[binlog.Transaction]:
        with path.open("rb") as stream:
            return list(binlog.transactions(stream, f"binlog.{number:06d}"))

    def mysql_record(self, **more: Any) -> dict[str, Any]:
        return {
            "lineage": UUID,
            "binlog_file": "binlog.000003",
            "binlog_position": 4,
            "gtid": "",
            "end_time": at(-90000).isoformat(),
            **more,
        }

    def kept(self) -> list[binlog.Transaction]:
        found = []
        for number in self.raw:
            path = self.target / f"binlog.{number:06d}"
            if path.exists():
                found += self.read(number, path)
        return found

    def get(self, target: Target, **more: Any) -> Coverage | None:
        return self.fetch(target, MYSQL, **self.mysql_record(**more))


@pytest.fixture
def binlogs(tmp_path: Path) -> Binlogs:
    return Binlogs(tmp_path)


def test_a_binary_log_goes_from_the_point_to_its_last_transaction(binlogs: Binlogs) -> None:
    found = binlogs.logs.coverage(MYSQL, binlogs.mysql_record(), Target())
    assert found is not None
    assert (found.start, found.end) == ("binlog.000003:4", f"binlog.000004:{len(binlogs.raw[4])}")
    assert found.end_time is not None
    assert abs(found.end_time.timestamp() - binlogs.transactions[-1].time) < 0.001
    assert binlogs.get(Target()) == found
    assert (binlogs.target / "binlog.000003").read_bytes() == binlogs.raw[3]


def test_a_quiet_server_s_binary_log_covers_what_the_follower_saw(binlogs: Binlogs) -> None:
    seen = {"lineage": UUID, "seen_timestamp_seconds": at(900).timestamp()}
    binlogs.status("orders", position=f"binlog.000004:{len(binlogs.raw[4])}", **seen)
    found = binlogs.logs.coverage(MYSQL, binlogs.mysql_record(), Target())
    assert found is not None
    assert found.end_time == at(900)
    binlogs.status("orders", position=f"binlog.000004:{len(binlogs.raw[4]) + 1}", **seen)
    found = binlogs.logs.coverage(MYSQL, binlogs.mysql_record(), Target())
    assert found is not None
    assert found.end_time != at(900)


def test_the_last_file_ends_where_the_target_is(binlogs: Binlogs) -> None:
    everything = binlogs.transactions
    for index, transaction in enumerate(everything):
        named = Target("transaction", "x", transaction=transaction.gtid)
        binlogs.get(named)
        assert binlogs.kept() == everything[: index + 1]
        binlogs.get(Target("transaction", "x", transaction=transaction.gtid, inclusive=False))
        assert binlogs.kept() == everything[:index]
        time = datetime.fromtimestamp(transaction.time, timezone.utc)
        binlogs.get(Target("time", "x", time=time + timedelta(microseconds=1)))
        assert binlogs.kept() == [item for item in everything if item.time <= transaction.time + 0.000001]


def test_a_set_of_transactions_ends_it(binlogs: Binlogs) -> None:
    third = binlogs.transactions[2].gtid
    uuid, _colon, number = third.rpartition(":")
    binlogs.get(Target("position", "x", position=f"{uuid}:1-{number}"))
    assert binlogs.kept() == binlogs.transactions[:3]
    assert not (binlogs.target / "binlog.000004").exists()


def test_a_transaction_that_is_not_there_is_refused(binlogs: Binlogs) -> None:
    with pytest.raises(RefusedError, match=r"transaction .*:999 is not in the log between binlog\.000003:4 and"):
        binlogs.get(Target("transaction", "x", transaction=f"{UUID}:999"))


def test_what_the_data_holds_already_is_not_cut(binlogs: Binlogs) -> None:
    second = binlogs.transactions[1]
    binlogs.get(Target("time", "x", time=at(-99999)), binlog_position=second.end)
    assert (binlogs.target / "binlog.000003").stat().st_size == second.end


def test_a_missing_file_ends_a_binary_log(binlogs: Binlogs) -> None:
    binlogs.put("binlog.000006", (SAMPLES / "mysql.000008").read_bytes())
    found = binlogs.logs.coverage(MYSQL, binlogs.mysql_record(), Target())
    assert found is not None
    assert found.remark == "file 000005 is missing, and there are some up to 000006"
    fetched = binlogs.get(Target())
    assert fetched is not None
    assert binlogs.names == ["binlog.000003", "binlog.000004"]


def test_a_binary_log_that_does_not_lead_on(binlogs: Binlogs) -> None:
    for other in (
        {"lineage": "other"},
        {"lineage": ""},
        {"lineage": "no/name"},
        {"binlog_file": "binlog.000002"},
        {"binlog_position": 99_999},
        {"binlog_file": "other.000003"},
    ):
        assert binlogs.logs.coverage(MYSQL, binlogs.mysql_record(**other), Target()) is None
        assert binlogs.get(Target(), **other) is None
        assert binlogs.names == []


def test_files_before_the_oldest_point_go(binlogs: Binlogs) -> None:
    follow(binlogs, UUID, "orders")
    records = [binlogs.mysql_record(binlog_file=f"binlog.{number:06d}") for number in (5, 7)]
    assert binlogs.logs.prune(MYSQL, records) == 1
    assert [piece.stream.name for piece in binlogs.repository.pieces()] == ["binlog.000004"]
    assert binlogs.logs.prune(MYSQL, [binlogs.mysql_record(binlog_file="")]) == 0

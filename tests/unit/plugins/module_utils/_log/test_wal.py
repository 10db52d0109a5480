# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import struct
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._log import wal
from ansible_collections.slipway.ops.plugins.module_utils._log.model import Coverage

SAMPLES = Path(__file__).parent / "samples"
PAGE = wal.PAGE_BYTES
SEGMENT = wal.Segment(1, 2)
MIB = 1 << 20


@pytest.fixture(scope="module")
def real() -> bytes:
    """The first pages of a real segment as they were received. Of the pages 1 to 15 there is only a header."""
    kept = gzip.decompress((SAMPLES / "wal17.gz").read_bytes())
    between = b"".join(page(SEGMENT.start + index * PAGE) for index in range(1, 16))
    return kept[:PAGE] + between + kept[PAGE:]


def page(address: int, data: bytes = b"\1" * 8, info: int = 0, remaining: int = 0, magic: int = 0xD116) -> bytes:
    """A page with something in it."""
    header = struct.pack("<HHIQI4x", magic, info, 1, address, remaining)
    if info & wal.LONG_HEADER:
        header += struct.pack("<QII", 77, 16 * MIB, PAGE)
    return (header + data).ljust(PAGE, b"\0")


def record(data: bytes, manager: int = 10, info: int = 0, transaction: int = 5) -> bytes:
    """A record with a right checksum, padded to the next multiple of eight."""
    head = struct.pack("<IIQBB2x", wal.RECORD_BYTES + len(data), transaction, 0, info, manager)
    raw = head + struct.pack("<I", wal.crc32c(head, wal.crc32c(data))) + data
    return raw + bytes(-len(raw) % 8)


@pytest.mark.parametrize(("text", "lsn"), [("0/405D838", 0x405D838), ("16/B374D848", 0x16B374D848), ("0/0", 0)])
def test_positions(text: str, lsn: int) -> None:
    assert wal.parse_lsn(text) == lsn
    assert wal.print_lsn(lsn) == text


@pytest.mark.parametrize("text", ["", "405D838", "0/", "0/123456789", "x/1", "0/1 or so"])
def test_what_is_no_position(text: str) -> None:
    with pytest.raises(RefusedError, match="is not a position"):
        wal.parse_lsn(text)


@pytest.mark.parametrize(
    ("name", "size", "timeline", "start"),
    [
        ("000000010000000000000002", 16 * MIB, 1, 0x2000000),
        ("0000000A00000001000000FF", 16 * MIB, 10, 0x1FF000000),
        ("000000010000000200000003", 1 << 30, 1, 0x2C0000000),
        ("00000001000000000000000A", 64 * MIB, 1, 0x28000000),
        ("000000010000000100000FFF", MIB, 1, 0x1FFF00000),
    ],
)
def test_names_of_segments(name: str, size: int, timeline: int, start: int) -> None:
    segment = wal.Segment.parse(name, size)
    assert segment is not None
    assert (segment.timeline, segment.start, segment.name) == (timeline, start, name)
    assert wal.Segment.holding(start + 5, timeline, size) == segment
    assert wal.Segment.parse(segment.next.name, size) == segment.next
    assert segment.next.start == segment.end


@pytest.mark.parametrize(
    "name",
    [
        "000000010000000000000002.partial",
        "00000001000000000000000",
        "00000002.history",
        "000000010000000000000100",
        "000000000000000000000001",
        "00000001000000000000000a",
    ],
)
def test_what_is_no_segment(name: str) -> None:
    assert wal.Segment.parse(name) is None


def test_sizes_of_segments() -> None:
    assert wal.check_segment_size(MIB) == MIB
    for size in (0, MIB - 1, 3 * MIB, 2 << 30):
        with pytest.raises(RefusedError, match="is not a size of a segment"):
            wal.check_segment_size(size)


def test_a_timeline_s_history() -> None:
    text = "1\t0/5000060\tno recovery target specified\n\n2\t0/7000000\tbefore 2000-01-01 00:00:00+00\n"
    history = wal.parse_history(text, 3)
    assert history.path == [(1, 0, 0x5000060), (2, 0x5000060, 0x7000000), (3, 0x7000000, None)]
    assert wal.History(1).path == [(1, 0, None)]
    for wrong in ("2\t0/1\tx\n1\t0/2\tx\n", "4\t0/1\tx\n", "nonsense\n", "1\n"):
        with pytest.raises(RefusedError, match=r"00000003.history"):
            wal.parse_history(wrong, 3)
    with pytest.raises(RefusedError, match="is not a position"):
        wal.parse_history("1\tx\ty\n", 3)


def test_a_real_header(real: bytes, tmp_path: Path) -> None:
    (tmp_path / "segment").write_bytes(real)
    header = wal.read_header(str(tmp_path / "segment"))
    assert header is not None
    assert (header.major, header.system, header.segment_size) == (17, 7710803898420211734, 16 * MIB)
    assert (header.address, header.timeline, header.bytes) == (SEGMENT.start, 1, 40)
    (tmp_path / "empty").write_bytes(bytes(PAGE))
    assert wal.read_header(str(tmp_path / "empty")) is None
    (tmp_path / "nothing").write_bytes(b"")
    assert wal.read_header(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize(
    "magic", [pytest.param(magic, id=f"PostgreSQL {major}") for magic, major in wal.MAGICS.items()]
)
def test_headers_of_all_versions(magic: int) -> None:
    header = wal.page_header(page(PAGE, magic=magic), PAGE)
    assert header is not None
    assert header.major == wal.MAGICS[magic]
    assert wal.page_header(page(PAGE, magic=0x1234), PAGE) is None


def test_the_end_of_a_real_partial_segment_is_the_server_s_position(real: bytes) -> None:
    stream = io.BytesIO(real.ljust(16 * MIB, b"\0"))
    end = 0x27F30
    assert wal.valid_end(stream, SEGMENT.start) == end
    for known in (0, 8, PAGE, PAGE + 1, 16 * PAGE, end - 8, end):
        assert wal.valid_end(stream, SEGMENT.start, known) == end


def test_the_end_never_goes_back_while_a_real_segment_grows(real: bytes) -> None:
    """The receiver writes whole records, or up to a page's end; each prefix of a whole record is found exactly."""
    read = wal.Reader(lambda lsn, size: real[lsn - SEGMENT.start :][:size])
    records = list(read.records(SEGMENT.start + 17 * PAGE, SEGMENT.start + 0x27F30))
    assert len(records) > 20
    known = 0
    for item in records:
        received = real[: item.end - SEGMENT.start].ljust(len(real), b"\0")
        known = wal.valid_end(io.BytesIO(received), SEGMENT.start, known)
        assert SEGMENT.start + known == item.end


def test_nothing_was_received_yet() -> None:
    assert wal.valid_end(io.BytesIO(b""), SEGMENT.start) == 0
    assert wal.valid_end(io.BytesIO(bytes(PAGE)), SEGMENT.start) == 0
    # Filled with zeros and no further yet.
    assert wal.valid_end(io.BytesIO(bytes(3 * PAGE + 5)), SEGMENT.start) == 0


def test_a_file_that_was_used_before_ends_where_its_own_pages_do() -> None:
    start = SEGMENT.start
    recycled = b"".join(page(start - 16 * MIB + index * PAGE) for index in range(4))
    own = page(start, b"\2" * 16, wal.LONG_HEADER) + page(start + PAGE, b"\2" * 24)
    assert wal.valid_end(io.BytesIO(own + recycled[2 * PAGE :]), start) == PAGE + 24 + 24
    assert wal.valid_end(io.BytesIO(recycled), start) == 0


def test_a_page_of_another_version_ends_it() -> None:
    start = SEGMENT.start
    mixed = page(start, info=wal.LONG_HEADER) + page(start + PAGE, magic=0xD113)
    assert wal.valid_end(io.BytesIO(mixed), start) == 48


def test_a_file_that_became_shorter_says_so() -> None:
    start = SEGMENT.start
    whole = page(start, b"\2" * 16, wal.LONG_HEADER) + page(start + PAGE, b"\2" * 24)
    known = wal.valid_end(io.BytesIO(whole), start)
    assert wal.valid_end(io.BytesIO(whole[:PAGE].ljust(2 * PAGE, b"\0")), start, known) == PAGE < known
    assert wal.valid_end(io.BytesIO(whole[:PAGE]), start, known) == PAGE
    # It was overwritten from its beginning: the page where it ended is no more what it was.
    assert wal.valid_end(io.BytesIO(bytes(2 * PAGE)), start, known) == PAGE


def test_a_record_that_ends_in_zeros_is_found_by_its_length_and_checksum() -> None:
    start = SEGMENT.start
    data = record(b"first") + record(b"\5" + bytes(99))
    content = page(start, data, wal.LONG_HEADER)
    assert wal.valid_end(io.BytesIO(content), start) == 40 + len(data)
    # Its end has not come yet: what would be zeros is something else, so only what is seen counts.
    unfinished = record(b"first") + record(b"\5" + bytes(90) + b"\6" + bytes(8))[:30]
    assert wal.valid_end(io.BytesIO(page(start, unfinished, wal.LONG_HEADER)), start) == 40 + 32 + 32


def test_a_segment_that_was_switched_is_complete() -> None:
    segment = wal.Segment(1, 3, MIB)
    own = page(segment.start, info=wal.LONG_HEADER) + page(segment.start + PAGE)
    zeros = bytes(MIB - len(own))
    old = b"".join(page(segment.start - MIB + offset) for offset in range(2 * PAGE, MIB, PAGE))
    full = own + b"".join(page(segment.start + offset) for offset in range(2 * PAGE, MIB, PAGE))
    assert wal.segment_is_complete(io.BytesIO(own + zeros), segment)
    assert wal.segment_is_complete(io.BytesIO(full), segment)
    assert not wal.segment_is_complete(io.BytesIO(own + old), segment)
    assert not wal.segment_is_complete(io.BytesIO(full[:-1]), segment)
    assert not wal.segment_is_complete(io.BytesIO(bytes(MIB)), segment)
    assert not wal.segment_is_complete(io.BytesIO(own + zeros[PAGE:] + full[-PAGE:]), segment)


def test_a_checksum_that_is_known() -> None:
    assert wal.crc32c(b"123456789") == 0xE3069283
    assert wal.crc32c(b"6789", wal.crc32c(b"12345")) == 0xE3069283


def test_real_records_and_commits(real: bytes) -> None:
    """As pg_waldump shows them."""
    begin, end = SEGMENT.start + 17 * PAGE, SEGMENT.start + 0x27F30
    records = list(wal.Reader(lambda lsn, size: real[lsn - SEGMENT.start :][:size]).records(begin, end))
    assert records[-1].end == end
    long = next(item for item in records if len(item.data) == 9055)
    assert (wal.print_lsn(long.start), wal.print_lsn(long.end)) == ("0/2025B50", "0/2027EC8")
    found = [(wal.print_lsn(item.start), item.transaction, item.microseconds) for item in wal.commits(records)]
    assert found == [
        ("0/2023978", 758, 1795311611938641),
        ("0/2023EA0", 759, 1795311611939088),
        ("0/2025AB8", 760, 1795311611939834),
        ("0/2025B28", 761, 1795311611940374),
        ("0/2027F08", 762, 1795311611940987),
    ]


def test_records_end_with_what_is_there(real: bytes) -> None:
    def read(lsn: int, size: int) -> bytes:
        return real[lsn - SEGMENT.start :][:size]

    begin = SEGMENT.start + 17 * PAGE
    all_of_them = list(wal.Reader(read).records(begin, SEGMENT.start + 0x27F30))
    assert list(wal.Reader(read).records(begin, all_of_them[-1].start + 9)) == all_of_them[:-1]
    assert list(wal.Reader(read).records(begin, 1 << 60)) == all_of_them
    assert list(wal.Reader(read).records(all_of_them[3].start, 1 << 60)) == all_of_them[3:]
    assert list(wal.Reader(lambda lsn, size: b"").records(begin, 1 << 60)) == []
    broken = bytearray(real)
    broken[all_of_them[5].start - SEGMENT.start + 30] ^= 1
    found = wal.Reader(lambda lsn, size: bytes(broken[lsn - SEGMENT.start :][:size])).records(begin, 1 << 60)
    assert list(found) == all_of_them[:5]


def test_a_switch_goes_on_in_the_next_segment() -> None:
    first, second = wal.Segment(1, 3, MIB), wal.Segment(1, 4, MIB)
    pages = {
        first.start: page(first.start, record(b"a") + record(b"", wal.RM_XLOG, wal.XLOG_SWITCH), wal.LONG_HEADER),
        second.start: page(second.start, record(b"b"), wal.LONG_HEADER),
    }
    found = list(wal.Reader(lambda lsn, size: pages.get(lsn, b""), MIB).records(first.start, second.end))
    assert [item.data[24:] for item in found] == [b"a", b"", b"b"]


def test_a_record_that_a_dying_server_left_unfinished_is_passed_over() -> None:
    start = SEGMENT.start
    torn = record(b"x" * 9000)
    first = page(start, record(b"a") + torn, wal.LONG_HEADER)[:PAGE]
    second = page(start + PAGE, record(b"b"), wal.FIRST_IS_OVERWRITTEN)
    lost = page(start + PAGE, record(b"b"))
    for after, wanted in ((second, [b"a", b"b"]), (lost, [b"a"])):
        pages = {start: first, start + PAGE: after}
        found = wal.Reader(lambda lsn, size, at=pages: at.get(lsn, b"")).records(start, start + 2 * PAGE)  # type: ignore[misc]
        assert [item.data[24:] for item in found] == wanted


def test_reading_from_a_directory(tmp_path: Path, real: bytes) -> None:
    (tmp_path / f"{SEGMENT.name}.partial").write_bytes(real)
    read = wal.directory_reader(str(tmp_path), 1)
    assert read(SEGMENT.start, 10) == real[:10]
    (tmp_path / SEGMENT.name).write_bytes(b"x" * 10)
    assert read(SEGMENT.start + 4, 3) == b"xxx"
    assert read(SEGMENT.end, 10) == b""


def full(size: int = 16 * MIB) -> Coverage:
    return Coverage(((0, size),), size)


def test_ranges_over_segments() -> None:
    held = {
        "000000010000000000000001": full(),
        "000000010000000000000002": full(),
        "000000010000000000000003": Coverage(((0, 500),)),
        "000000010000000000000005": full(),
        "00000002.history": full(41),
    }
    found = wal.ranges(held)
    assert found == {1: ((0x1000000, 0x30001F4), (0x5000000, 0x6000000))}
    assert wal.holes(found[1]) == ((0x30001F4, 0x5000000),)
    assert wal.reach(found[1], 0x1800000) == 0x30001F4
    assert wal.reach(found[1], 0x4000000) == 0x4000000
    assert wal.ranges({}) == {}


def test_ranges_over_timelines() -> None:
    """A new timeline's first segment begins with a copy of the one that it left."""
    switch = 0x2000100
    history = wal.History(2, ((1, switch),))
    held = wal.ranges(
        {
            "000000010000000000000001": full(),
            "000000010000000000000002": Coverage(((0, 0x80),)),
            "000000010000000000000003": full(),
            "000000020000000000000002": Coverage(((0, 0x900),)),
        }
    )
    assert wal.along(held, history) == ((0x1000000, 0x2000900),)
    assert wal.along(held, wal.History(1)) == ((0x1000000, 0x2000080), (0x3000000, 0x4000000))
    del held[2]
    assert wal.along(held, history) == ((0x1000000, 0x2000080),)

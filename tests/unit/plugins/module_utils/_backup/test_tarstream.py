# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.tarstream import (
    FILE,
    Entry,
    TarError,
    TarReader,
    extend,
    parse_header,
)


class Seen:
    """What a reader hands on."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.content: dict[str, bytes] = {}
        self.ended: list[str] = []
        self.reader = TarReader(self._begin, lambda entry: self.ended.append(entry.name))

    def _begin(self, entry: Entry) -> object:
        self.entries.append(entry)
        self.content[entry.name] = b""
        return lambda piece: self.content.update({entry.name: self.content[entry.name] + bytes(piece)})


FILES = {"a": b"", "b/one": b"x", "b/block": bytes(512), "b/more": b"y" * 513, "last": b"z" * 100_000}


def archive(form: int = tarfile.USTAR_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for name, data in FILES.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.uid, entry.gid = len(data), 0o640, 999, 998
            tar.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo("directory")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o750
        tar.addfile(entry)
        entry = tarfile.TarInfo("link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/elsewhere"
        tar.addfile(entry)
    return buffer.getvalue()


@pytest.mark.parametrize("size", [1, 511, 512, 513, 7000, 1 << 20])
def test_an_archive_in_pieces_of_any_size(size: int) -> None:
    seen, data = Seen(), archive()
    for start in range(0, len(data), size):
        assert not seen.reader.complete or start > len(data) - 20 * 512 - size
        seen.reader.feed(data[start : start + size])
    assert seen.reader.complete
    assert {name: content for name, content in seen.content.items() if name in FILES} == FILES
    assert [entry.name.rstrip("/") for entry in seen.entries] == [*FILES, "directory", "link"]
    assert seen.ended == [entry.name for entry in seen.entries]
    kinds = {entry.name.rstrip("/"): entry.kind for entry in seen.entries}
    assert (kinds["a"], kinds["directory"], kinds["link"]) == ("file", "directory", "link")
    first = seen.entries[0]
    assert (first.mode, first.uid, first.gid) == (0o640, 999, 998)
    assert seen.entries[-1].target == "/elsewhere"


@pytest.mark.parametrize("cut", [1, 511, 512, 5000])
def test_an_archive_that_is_cut_off_is_not_complete(cut: int) -> None:
    seen, data = Seen(), archive()
    # The library fills the last record up with further empty blocks.
    seen.reader.feed(data.rstrip(b"\0")[:-cut])
    assert not seen.reader.complete


def test_what_is_no_archive_is_refused() -> None:
    with pytest.raises(TarError, match="another checksum"):
        Seen().reader.feed(b"ERROR: access denied\n".ljust(512))
    damaged = bytearray(archive())
    damaged[3] ^= 1
    with pytest.raises(TarError, match="another checksum"):
        Seen().reader.feed(bytes(damaged))
    with pytest.raises(TarError, match="follows the archive's end"):
        Seen().reader.feed(bytes(1024) + archive())
    entry = tarfile.TarInfo("x" * 200)
    with pytest.raises(TarError, match=r"of the type b'L', which is not known"):
        Seen().reader.feed(entry.tobuf(format=tarfile.GNU_FORMAT))


def test_a_size_that_has_no_room_in_octal_digits() -> None:
    entry = tarfile.TarInfo("large")
    entry.size = 9 << 30
    assert parse_header(entry.tobuf(format=tarfile.GNU_FORMAT)).size == 9 << 30


def test_extended_headers() -> None:
    long = "directory/" + "n" * 150
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, data in ((long, b"one"), ("short", b"two")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    seen = Seen()
    for start in range(0, len(buffer.getvalue()), 700):
        seen.reader.feed(buffer.getvalue()[start : start + 700])
    assert seen.content == {long: b"one", "short": b"two"}
    assert seen.ended == [long, "short"]


@pytest.mark.parametrize(
    ("records", "name", "size"),
    [
        (b"", "a", 3),
        (b"12 path=b/c\n", "b/c", 3),
        (b"20 size=10000000000\n", "a", 10_000_000_000),
        (b"9 x=y=z\n\n", "a", 3),
    ],
)
def test_what_an_extended_header_says(records: bytes, name: str, size: int) -> None:
    found = extend(Entry("a", FILE, 3, 0o600, 0, 0), records)
    assert (found.name, found.size) == (name, size)


@pytest.mark.parametrize("records", [b"nonsense", b"99 path=a\n", b"11 size=ten\n", b"7 path\n"])
def test_an_extended_header_that_cannot_be_read(records: bytes) -> None:
    with pytest.raises(TarError, match="cannot be read"):
        extend(Entry("a", FILE, 3, 0o600, 0, 0), records)

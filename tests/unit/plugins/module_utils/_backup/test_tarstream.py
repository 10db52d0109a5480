# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.tarstream import (
    Entry,
    TarError,
    TarReader,
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
    with pytest.raises(TarError, match=r"of the type b'L', which PostgreSQL does not write"):
        Seen().reader.feed(entry.tobuf(format=tarfile.GNU_FORMAT))


def test_a_size_that_has_no_room_in_octal_digits() -> None:
    entry = tarfile.TarInfo("large")
    entry.size = 9 << 30
    assert parse_header(entry.tobuf(format=tarfile.GNU_FORMAT)).size == 9 << 30

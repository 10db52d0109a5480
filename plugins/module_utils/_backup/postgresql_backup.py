# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base backup of PostgreSQL as one tar archive: looked at while it is stored, and checked while it is unpacked."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql import (
    OLDEST_MAJOR,
    NotWhole,
    lsn_number,
    parse_control,
    parse_label,
    parse_manifest,
    segment_names,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.tarstream import (
    DIRECTORY,
    FILE,
    Entry,
    TarError,
    TarReader,
)

LABEL = "backup_label"
MANIFEST = "backup_manifest"
CONTROL = "global/pg_control"
VERSION = "PG_VERSION"
_KEPT = (LABEL, MANIFEST, CONTROL, VERSION)
# None of the files that are kept to be read is larger, but for the manifest: some 200 bytes a file of the cluster.
_KEPT_BYTES = 1 << 20
_SEGMENT = re.compile(r"pg_wal/([0-9A-F]{24})\Z")


@dataclass(frozen=True)
class BaseBackup:
    """What a base backup is, by its own files."""

    major: int
    system_identifier: str
    timeline: int
    start_lsn: str
    end_lsn: str
    begun: str
    files: int
    uid: int
    gid: int


class BaseBackupReader:
    """Reads the archive: every file's name and size, and the few files that say what it is."""

    def __init__(self) -> None:
        self.bytes = 0
        self._archive = TarReader(self._begin, self._end)
        self._sizes: dict[str, int] = {}
        self._kept: dict[str, bytearray] = {}
        self._last = ""
        self._owner = (0, 0)

    def feed(self, chunk: bytes) -> None:
        """Take the next piece."""
        self.bytes += len(chunk)
        try:
            self._archive.feed(chunk)
        except TarError as error:
            raise NotWhole(f"after {self.bytes} bytes: {error}") from error

    def finish(self) -> BaseBackup:
        """The archive has ended: what it is, if it is whole."""
        if not self._archive.complete:
            raise NotWhole("the archive is cut off")
        for name in _KEPT:
            if name not in self._kept:
                raise NotWhole(f"{name} is missing")
        if self._last != MANIFEST:
            raise NotWhole(f"{MANIFEST} is not its last file")
        manifest = parse_manifest(bytes(self._kept[MANIFEST]))
        label = parse_label(self._kept[LABEL].decode("utf-8", "replace"))
        control = parse_control(bytes(self._kept[CONTROL]))
        compare(manifest.files, self._sizes)
        if (label.start_lsn, label.timeline) != (manifest.start_lsn, manifest.timeline):
            raise NotWhole("backup_label and backup_manifest name another beginning")
        if manifest.system_identifier not in ("", control.system_identifier):
            raise NotWhole("backup_manifest and pg_control are of different clusters")
        check_wal(self._sizes, label.timeline, label.start_lsn, manifest.end_lsn)
        major = self._kept[VERSION].decode("ascii", "replace").strip()
        if not major.isdigit() or int(major) < OLDEST_MAJOR:
            raise NotWhole(f"it is of PostgreSQL {major}, and {OLDEST_MAJOR} is the oldest that can be used")
        return BaseBackup(
            int(major),
            control.system_identifier,
            label.timeline,
            label.start_lsn,
            manifest.end_lsn,
            label.begun,
            len(self._sizes),
            *self._owner,
        )

    def _begin(self, entry: Entry) -> Callable[[memoryview], object] | None:
        if entry.name in self._sizes:
            raise NotWhole(f"{entry.name} is in it twice")
        if entry.kind != FILE:
            if entry.kind != DIRECTORY:
                raise NotWhole(f"{entry.name} is a link: the cluster has a tablespace, or a part elsewhere")
            return None
        self._sizes[entry.name] = entry.size
        self._last = entry.name
        if entry.name not in _KEPT:
            return None
        if entry.size > _KEPT_BYTES and entry.name != MANIFEST:
            raise NotWhole(f"{entry.name} has {entry.size} bytes")
        self._owner = (entry.uid, entry.gid) if entry.name == VERSION else self._owner
        self._kept[entry.name] = bytearray()
        return self._kept[entry.name].extend

    def _end(self, entry: Entry) -> None:
        return None


def compare(wanted: Mapping[str, tuple[int, str]], sizes: Mapping[str, int]) -> None:
    """Whether the archive has the files that the manifest names, and no others but the WAL, which it does not list."""
    for name, (size, _checksum) in wanted.items():
        if sizes.get(name) != size:
            found = "is missing" if name not in sizes else f"has {sizes[name]} bytes and should have {size}"
            raise NotWhole(f"{name} {found}")
    for name in sizes:
        if name not in wanted and name != MANIFEST and not name.startswith("pg_wal/"):
            raise NotWhole(f"{name} is not in backup_manifest")


def check_wal(sizes: Mapping[str, int], timeline: int, start: str, end: str) -> None:
    """Whether the WAL that the backup needs is in it."""
    segments = {name: size for name, size in sizes.items() if _SEGMENT.match(name)}
    segment_bytes = max(segments.values(), default=0)
    if segment_bytes < 1 << 20 or segment_bytes & (segment_bytes - 1) or lsn_number(end) <= lsn_number(start):
        raise NotWhole("it has no WAL")
    for name in segment_names(timeline, start, end, segment_bytes):
        if segments.get(f"pg_wal/{name}") != segment_bytes:
            raise NotWhole(f"pg_wal/{name} is missing, which the backup needs")


class Unpacker(BaseBackupReader):
    """Writes the archive below a directory as well, checks every file's SHA-256 against the manifest, and gives all of
    it to the server's user. What stands in the archive cannot write outside of the directory."""

    def __init__(self, directory: str, uid: int, gid: int) -> None:
        super().__init__()
        self._directory = directory
        self._user = (uid, gid)
        self._sums: dict[str, str] = {}
        self._modes: list[tuple[str, int]] = []
        self._file: int | None = None
        self._hash = hashlib.sha256()

    def finish(self) -> BaseBackup:
        """The archive has ended: what it is, if every file is as the server wrote it."""
        found = super().finish()
        for name, (_size, checksum) in parse_manifest(bytes(self._kept[MANIFEST])).files.items():
            if self._sums.get(name) != checksum:
                raise NotWhole(f"{name} has another checksum than when it was saved")
        for path, mode in reversed(self._modes):
            os.chmod(path, mode)
        return found

    def close(self) -> None:
        """Leave no file open when the archive was given up."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _path(self, name: str) -> str:
        words = name.rstrip("/").split("/")
        # The server writes ./pg_wal/archive_status/ itself.
        words = words[1:] if words[0] == "." else words
        if not words or not all(words) or {".", ".."} & set(words):
            raise NotWhole(f"{name!r} is no name of a file within a data directory")
        return f"{self._directory}/{'/'.join(words)}"

    def _begin(self, entry: Entry) -> Callable[[memoryview], object] | None:
        kept, path = super()._begin(entry), self._path(entry.name)
        if entry.kind == DIRECTORY:
            os.mkdir(path, 0o700)
            os.lchown(path, *self._user)
            # The mode that it is to have comes last: it might keep us out.
            self._modes.append((path, entry.mode))
            return None
        if entry.name == MANIFEST:
            return kept
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, entry.mode & 0o777)
        os.fchown(self._file, *self._user)
        self._hash = hashlib.sha256()

        def write(piece: memoryview) -> None:
            if kept is not None:
                kept(piece)
            self._hash.update(piece)
            while piece and self._file is not None:
                piece = piece[os.write(self._file, piece) :]

        return write

    def _end(self, entry: Entry) -> None:
        if self._file is not None:
            self._sums[entry.name] = self._hash.hexdigest()
            self.close()

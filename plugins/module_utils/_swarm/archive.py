# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manager's state as one archive: copied, packed, read back, rotated, and unpacked again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError

DIRECTORY = files.STATE_DIRECTORY + "/swarm"
# Always the newest archive, for whatever copies it away from the host.
LATEST = "latest.tar.gz"
MANIFEST = "manifest.json"
_NAME = re.compile(r"^raft-\d{8}T\d{6}Z\.tar\.gz$")


def copy_state(source: str, target: str) -> None:
    """The directory with its modes. Room that is only reserved is not read; files for later logs are left out."""
    os.makedirs(target, mode=0o700)
    for entry in sorted(os.scandir(source), key=lambda item: item.name):
        wanted = os.path.join(target, entry.name)
        if entry.is_dir(follow_symlinks=False):
            copy_state(entry.path, wanted)
        elif entry.is_file(follow_symlinks=False) and not entry.name.endswith(".tmp"):
            _copy_file(entry.path, wanted)
    shutil.copystat(source, target)


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as reading, open(target, "wb") as writing:
        size = os.fstat(reading.fileno()).st_size
        offset = 0
        while offset < size:
            try:
                start = os.lseek(reading.fileno(), offset, os.SEEK_DATA)
                end = os.lseek(reading.fileno(), start, os.SEEK_HOLE)
            except OSError:
                break
            os.lseek(reading.fileno(), start, os.SEEK_SET)
            os.lseek(writing.fileno(), start, os.SEEK_SET)
            while start < end:
                block = os.read(reading.fileno(), min(1 << 20, end - start))
                if not block:
                    break
                os.write(writing.fileno(), block)
                start += len(block)
            offset = end
        writing.truncate(size)
    shutil.copystat(source, target)


def pack(state: str, manifest: Mapping[str, Any], stamp: str, directory: str = DIRECTORY) -> str:
    """Write the archive, read it back, and only then give it its name. Returns its path."""
    path = os.path.join(directory, f"raft-{stamp}.tar.gz")
    descriptor, temporary = tempfile.mkstemp(prefix=".raft-", dir=directory)
    whole = {**manifest, "files": digests(state)}
    try:
        with os.fdopen(descriptor, "wb") as stream:
            with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=6) as archive:
                text = json.dumps(whole, indent=2, sort_keys=True).encode("utf-8")
                head = tarfile.TarInfo(MANIFEST)
                head.size, head.mode = len(text), 0o600
                archive.addfile(head, io.BytesIO(text))
                archive.add(state, "swarm")
            stream.flush()
            os.fsync(stream.fileno())
        verify(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    newest = os.path.join(directory, LATEST)
    link = f"{newest}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
    os.link(path, link)
    os.replace(link, newest)
    files.sync_directory(directory)
    return path


def digests(state: str) -> dict[str, str]:
    """The digest of each file of a copied state, by its path in the archive."""
    found: dict[str, str] = {}
    for folder, _folders, names in os.walk(state):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as stream:
                found[os.path.join("swarm", os.path.relpath(path, state))] = _digest(stream)
    return found


def _digest(stream: Any) -> str:
    found = hashlib.sha256()
    for block in iter(lambda: stream.read(1 << 20), b""):
        found.update(block)
    return found.hexdigest()


def verify(path: str) -> dict[str, Any]:
    """The manifest of an archive whose files are as it says. Raises SwarmError."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            manifest: dict[str, Any] = {}
            seen: dict[str, str] = {}
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is None:
                    continue
                if member.name == MANIFEST:
                    manifest = json.loads(stream.read())
                else:
                    seen[member.name] = _digest(stream)
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        raise SwarmError(f"{path}: cannot be read as a backup of a manager ({error})") from error
    if not manifest or seen != manifest.get("files"):
        raise SwarmError(f"{path}: its files are not those that it was made of; take an older archive")
    return manifest


def unpack(path: str, root: str) -> None:
    """Put the state of an archive where dockerd looks for it. What was there is kept beside it by the caller."""
    with tarfile.open(path, "r:gz") as archive:
        members = [member for member in archive.getmembers() if member.name.split("/")[0] == "swarm"]
        for member in members:
            if not (member.isfile() or member.isdir()) or ".." in member.name.split("/"):
                raise SwarmError(f"{path}: holds {member.name}, which is no part of a manager's state")
        # Later Pythons would change modes by default; each member was looked at.
        trust: dict[str, Any] = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        archive.extractall(root, members, **trust)  # noqa: S202


def kept(directory: str = DIRECTORY) -> list[str]:
    """Paths of the archives, oldest first."""
    with contextlib.suppress(FileNotFoundError):
        return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if _NAME.match(name)]
    return []


def rotate(keep: int, directory: str = DIRECTORY) -> list[str]:
    """Remove all but the newest; returns what went."""
    gone = kept(directory)[: -max(keep, 1)]
    for path in gone:
        os.unlink(path)
    return gone


@contextlib.contextmanager
def workshop(directory: str = DIRECTORY) -> Iterator[str]:
    """A directory of our own beside the archives, for state on its way."""
    files.ensure_directory(directory)
    with tempfile.TemporaryDirectory(prefix=".work-", dir=directory) as path:
        yield path

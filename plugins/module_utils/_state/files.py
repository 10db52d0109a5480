# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small durable files: written whole, fsynced, renamed; after a power cut the old or the new content is there."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from typing import Any

STATE_DIRECTORY = "/var/lib/slipway"


def ensure_directory(path: str, mode: int = 0o700) -> None:
    """Create the directory with this mode; parents that are missing get the same mode."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path.rstrip("/"))
        if parent and not os.path.isdir(parent):
            ensure_directory(parent, mode)
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
        os.chmod(path, mode)


def sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: str, content: str | bytes, mode: int = 0o600) -> None:
    """Replace the file in one step; the temporary file is never readable by more than `mode` allows."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    directory = os.path.dirname(path) or "."
    descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", dir=directory)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(directory)


def remove(path: str) -> bool:
    """Remove the file durably; True when it was there."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    sync_directory(os.path.dirname(path) or ".")
    return True


def sweep(directory: str, beginning: str = ".", but: str = "") -> None:
    """Remove the temporary files that killed writers left; only for who alone writes there now."""
    with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(beginning) and not (but and entry.name.startswith(but)):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(entry.path)


def read_text(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):  # the last: a process ended under /proc
        return None


def write_json(path: str, value: Any, mode: int = 0o600) -> None:
    write_whole(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n", mode)


def read_json(path: str) -> Any | None:
    """The value, or None when there is no file. A file that is no JSON raises ValueError with its path."""
    text = read_text(path)
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}); restore it or remove it") from error


def append_json_line(path: str, value: dict[str, Any], mode: int = 0o600) -> None:
    """Append one record as one line, fsynced. A torn line left by a crash is closed first."""
    line = json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8") + b"\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, mode)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(descriptor, line)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    sync_directory(os.path.dirname(path) or ".")


def read_json_lines(path: str) -> list[dict[str, Any]]:
    """All whole records; a torn line is passed over."""
    records = []
    for line in (read_text(path) or "").splitlines():
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict):
                records.append(value)
    return records

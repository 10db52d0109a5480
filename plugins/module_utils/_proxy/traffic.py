# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx answered, by the server that it asked: read from its access log as it grows."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO


@dataclass(frozen=True)
class Answer:
    """What one server said to one request. nginx itself asks the next one when a server does not answer."""

    server: str
    status: int
    seconds: float


def parse(lines: Iterable[str]) -> list[Answer]:
    """Lines of the log format of role proxy; what is not one of them is passed over."""
    found: list[Answer] = []
    for line in lines:
        try:
            entry = json.loads(line)
            servers = _parts(str(entry["upstream"]))
            statuses = [int(status) for status in _parts(str(entry["upstream_status"]))]
            # Without an answer nginx writes "-" as the time.
            seconds = [0.0 if each == "-" else float(each) for each in _parts(str(entry["upstream_seconds"]))]
        except (ValueError, KeyError, TypeError):
            continue
        found.extend(Answer(*each) for each in zip(servers, statuses, seconds))
    return found


def _parts(text: str) -> list[str]:
    # A comma stands between servers of one group, a colon between groups.
    return [part.strip() for part in text.replace(" : ", ", ").split(",") if part.strip()]


class Follower:
    """Reads what is appended, also across a rotation; a log that is not there yet begins empty."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._rest = b""
        self._file: BinaryIO | None = self._open()
        if self._file is not None:
            self._file.seek(0, os.SEEK_END)

    def read(self) -> list[Answer]:
        data = self._rest
        while True:
            if self._file is not None:
                data += self._file.read()
            if self._is_current():
                break
            if self._file is not None:
                self._file.close()
            self._file = self._open()
            if self._file is None:
                break
        whole, newline, self._rest = data.rpartition(b"\n")
        return parse((whole + newline).decode("utf-8", "replace").splitlines())

    def _open(self) -> BinaryIO | None:
        try:
            return open(self._path, "rb")
        except FileNotFoundError:
            return None

    def _is_current(self) -> bool:
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return True
        return self._file is not None and os.fstat(self._file.fileno()).st_ino == there.st_ino

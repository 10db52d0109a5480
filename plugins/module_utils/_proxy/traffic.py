# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What nginx answered, by the server that it asked: read from its access log as it grows."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

SERVER_ERROR = 500
SWITCHED_PROTOCOLS = 101
MINIMUM_TIMES = 20  # a percentile of fewer says nothing


@dataclass(frozen=True)
class Answer:
    """What one server said to one request. nginx itself asks the next one when a server does not answer."""

    server: str
    status: int
    seconds: float


@dataclass
class Tally:
    """Answers counted, by one proxy or by several."""

    answers: int = 0
    errors: int = 0
    times: Counter[float] = field(default_factory=Counter)  # seconds → how many took that long

    def add(self, answer: Answer) -> None:
        self.answers += 1
        self.errors += answer.status >= SERVER_ERROR
        if answer.status != SWITCHED_PROTOCOLS:  # a websocket takes as long as both sides like
            self.times[answer.seconds] += 1

    def merge(self, other: Tally) -> None:
        self.answers += other.answers
        self.errors += other.errors
        self.times.update(other.times)

    def minus(self, earlier: Tally) -> Tally:
        """What has come since."""
        return Tally(self.answers - earlier.answers, self.errors - earlier.errors, self.times - earlier.times)

    @property
    def ratio(self) -> float:
        return self.errors / self.answers if self.answers else 0.0

    def p95(self, least: int = MINIMUM_TIMES) -> float | None:
        """95 of 100 answers took no longer; None while there are too few to say."""
        count = sum(self.times.values())
        if not count or count < least:
            return None
        rank = -(-count * 95 // 100)
        for seconds in sorted(self.times):
            rank -= self.times[seconds]
            if rank <= 0:
                return seconds
        return None

    def plain(self) -> dict[str, Any]:
        """Small however long it counts: times to two figures."""
        times: Counter[str] = Counter()
        for seconds, count in self.times.items():
            times[f"{seconds:.2g}"] += count
        return {"answers": self.answers, "errors": self.errors, "times": dict(times)}

    @classmethod
    def parse(cls, plain: Mapping[str, Any]) -> Tally:
        times = Counter({float(seconds): int(count) for seconds, count in plain["times"].items()})
        return cls(int(plain["answers"]), int(plain["errors"]), times)


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

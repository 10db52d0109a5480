# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Problems of a Compose file: all of them at once, each with its path and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    path: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        return f"{text}; {self.remedy}" if self.remedy else text


class StackError(Exception):
    """The file cannot be deployed as it is; `problems` says why, in the file's order of checks."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Problems:
    """Collects while the file is read, so that one run names them all."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def add(self, path: str, message: str, remedy: str = "") -> None:
        problem = Problem(path, message, remedy)
        if problem not in self.found:
            self.found.append(problem)

    def at(self, path: str) -> bool:
        """Whether something at or below the path is wrong already, so that a follow-up error would only be noise."""
        return any(problem.path == path or problem.path.startswith((path + ".", path + "[")) for problem in self.found)

    def raise_any(self) -> None:
        if self.found:
            raise StackError(self.found)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A remedy that names the nearest known words, or an empty string."""
    near = difflib.get_close_matches(word, sorted(known), n=2, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""

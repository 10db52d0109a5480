# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the objects of a log are taken from: the repositories, and before them what still waits on this host. A restore
on the host itself loses nothing of the last second then, however slow the repository is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from typing import Protocol

from ansible_collections.slipway.ops.plugins.module_utils._log.model import Piece, UnreadableError, parse_piece
from ansible_collections.slipway.ops.plugins.module_utils._state import files


class Shelf(Protocol):
    """One place with objects: `store.Store`, or what waits."""

    def pieces(self, prefix: str = "") -> list[Piece]: ...

    def directories(self, prefix: str) -> list[str]: ...

    def fetch(self, pieces: Iterable[Piece], directory: str) -> None: ...


class WaitingShelf:
    """What waits on this host for one repository. A follower may take any of it away, once it is sent."""

    def __init__(self, root: str) -> None:
        self._root = root

    def pieces(self, prefix: str = "") -> list[Piece]:
        found = []
        for directory, _names, entries in os.walk(os.path.join(self._root, prefix)):
            for entry in entries:
                path = os.path.join(directory, entry)
                piece = parse_piece(os.path.relpath(path, self._root))
                if piece is not None:
                    found.append(piece)
        return sorted(found)

    def directories(self, prefix: str) -> list[str]:
        path = os.path.join(self._root, prefix)
        try:
            return sorted(name for name in os.listdir(path) if os.path.isdir(f"{path}/{name}"))
        except OSError:
            return []

    def fetch(self, pieces: Iterable[Piece], directory: str) -> None:
        for piece in pieces:
            target = f"{directory}/{piece.path}"
            files.ensure_directory(os.path.dirname(target))
            try:
                shutil.copyfile(f"{self._root}/{piece.path}", target)
            except OSError as error:
                raise UnreadableError(f"{piece.path}: does not wait here any more: {error.strerror}", piece) from error


class Shelves:
    """Several places as one. An object is taken from the first that has it, and from the next when that fails."""

    def __init__(self, shelves: Sequence[Shelf]) -> None:
        self._shelves = tuple(shelves)
        self._places: dict[Piece, list[Shelf]] = {}

    def pieces(self, prefix: str = "") -> list[Piece]:
        found: dict[Piece, list[Shelf]] = {}
        # Listed in this order, an object that is sent meanwhile is in both lists and never in none.
        for shelf in self._shelves:
            for piece in shelf.pieces(prefix):
                found.setdefault(piece, []).append(shelf)
        self._places.update(found)
        return sorted(found)

    def directories(self, prefix: str) -> list[str]:
        return sorted({name for shelf in self._shelves for name in shelf.directories(prefix)})

    def fetch(self, pieces: Iterable[Piece], directory: str) -> None:
        groups: dict[int, list[Piece]] = {}
        for piece in pieces:
            places = self._places.get(piece) or [self._shelves[-1]]
            groups.setdefault(self._shelves.index(places[0]), []).append(piece)
        for index, group in sorted(groups.items()):
            try:
                self._shelves[index].fetch(group, directory)
            except UnreadableError:
                if index + 1 == len(self._shelves):
                    raise
                for piece in group:
                    # It may not have been in that one's list yet.
                    self._places[piece] = list(self._shelves[index + 1 :])
                self.fetch(group, directory)

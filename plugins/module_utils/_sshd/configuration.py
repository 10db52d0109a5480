# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sshd's configuration as values: what its files say in order, and what it makes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# Every occurrence of these counts; of all others the first wins.
CUMULATIVE = frozenset(
    (
        "port", "listenaddress", "hostkey", "hostcertificate",
        "allowusers", "allowgroups", "denyusers", "denygroups", "acceptenv", "setenv",
    )
)  # fmt: skip
MAIN = "/etc/ssh/sshd_config"
MAX_DEPTH = 16  # sshd's own limit


@dataclass(frozen=True)
class Directive:
    file: str
    line: int
    key: str
    value: str
    match: str = ""  # the condition of the Match block it stands in

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}"


def parse_effective(text: str) -> dict[str, list[str]]:
    """Read `sshd -T`: every key with its values, one a line."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _space, value = line.strip().partition(" ")
        if key:
            found.setdefault(key.lower(), []).append(value.strip())
    return found


Files = Callable[[str], Sequence[tuple[str, str]]]


def read(files: Files, path: str = MAIN) -> list[Directive]:
    """Directives in the order sshd sees them. `files` gives names and texts for a path or a pattern, sorted."""
    found: list[Directive] = []
    for name, text in files(path):
        _read_one(files, name, text, "", 0, found)
    return found


def _read_one(files: Files, name: str, text: str, match: str, depth: int, found: list[Directive]) -> None:
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, value = _split(line)
        if key == "match":
            match = "" if value.strip().lower() == "all" else value
        elif key == "include" and depth < MAX_DEPTH:
            found.append(Directive(name, number, key, value, match))
            for pattern in value.split():
                absolute = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
                for inner, inner_text in files(absolute):
                    _read_one(files, inner, inner_text, match, depth + 1, found)
        else:
            found.append(Directive(name, number, key, value, match))


def _split(line: str) -> tuple[str, str]:
    for index, letter in enumerate(line):
        if letter in " \t=":
            return line[:index].lower(), line[index:].lstrip(" \t=").strip('"').strip()
    return line.lower(), ""


@dataclass(frozen=True)
class Foreign:
    """What other files say about the keys that ours sets."""

    overriding: tuple[str, ...]  # ours loses, or something is added to it
    overruled: tuple[str, ...]  # ours wins; told so that nobody wonders
    conditional: tuple[str, ...]  # only for some, by a Match block


def foreign(directives: Sequence[Directive], ours: str, wanted: Mapping[str, Sequence[str]]) -> Foreign:
    """Compare the directives of other files with what ours wants. `ours` need not exist yet."""
    overriding: list[str] = []
    overruled: list[str] = []
    conditional: list[str] = []
    reached = False  # the line that includes ours; what was read until then wins
    for directive in directives:
        reached = reached or (directive.key == "include" and _includes(directive.value, ours))
        if directive.file == ours or directive.key not in wanted:
            continue
        values = [value.lower() for value in wanted[directive.key]]
        if directive.key in CUMULATIVE:
            if all(word in values for word in directive.value.lower().split()):
                continue
        elif [directive.value.lower()] == values:
            continue
        said = f"{directive.place} says {directive.key} {directive.value}"
        if directive.match:
            conditional.append(f"{said} for Match {directive.match}")
        elif directive.key in CUMULATIVE or _before(directive.file, ours) or not (reached or directive.file == MAIN):
            overriding.append(said)
        elif directive.file != MAIN:  # the distribution's own file always says something
            overruled.append(said)
    return Foreign(tuple(overriding), tuple(overruled), tuple(conditional))


def _before(file: str, ours: str) -> bool:
    directory = ours.rpartition("/")[0]
    return file.rpartition("/")[0] == directory and file < ours


def _includes(patterns: str, ours: str) -> bool:
    directory = ours.rpartition("/")[0]
    return any(word in (f"{directory}/*.conf", "sshd_config.d/*.conf") for word in patterns.split())


def includes_ours(main_text: str, ours: str) -> str:
    """Why sshd would not read our file first; empty when it does."""
    directory = ours.rpartition("/")[0]
    for raw in main_text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        key, value = _split(line)
        if key == "include" and _includes(value, ours):
            return ""
        if key == "include":
            continue
        return f"{MAIN} says {key} before it includes {directory}/*.conf; move the Include line to its top"
    return f"{MAIN} does not include {directory}/*.conf; put `Include {directory}/*.conf` at its top"


def differing(effective: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """Where what sshd makes of its files is not what is wanted."""
    found: list[str] = []
    for key, values in wanted.items():
        is_now = sorted({value.lower() for value in effective.get(key, [])})
        should_be = sorted({value.lower() for value in values})
        if is_now != should_be:
            found.append(f"{key} is {', '.join(is_now) or 'not set'}, not {', '.join(should_be) or 'unset'}")
    return found

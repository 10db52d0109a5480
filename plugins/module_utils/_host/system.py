# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mounts, swap, single settings of a file, and modes of what others made: as values, and their reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Reader

OPTION = re.compile(r"^[a-z_]+(=[A-Za-z0-9_.:-]+)?$")
SETTING = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]*$")
SEPARATORS = (" ", "=", " = ")
KEYS: dict[str, tuple[str, ...]] = {
    "mounts": ("path", "options"),
    "settings": ("path", "separator", "values"),
    "modes": ("path", "mode", "owner", "group"),
}
SWAP_KEYS = ("path", "size_mib")


@dataclass(frozen=True)
class Mount:
    """Options that the mount at a path has at least; a path that is no mount becomes one, of itself."""

    path: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Swap:
    path: str
    size_mib: int

    @property
    def unit(self) -> str:
        """As `systemd-escape --path --suffix=swap` says it."""
        escaped = "".join(
            letter if letter.isascii() and (letter.isalnum() or letter in ":_.") else f"\\x{ord(letter):02x}"
            for letter in self.path.strip("/").replace("/", "\0")
        ).replace("\\x00", "-")
        return f"{escaped}.swap"

    @property
    def unit_path(self) -> str:
        return f"/etc/systemd/system/{self.unit}"

    @property
    def unit_content(self) -> bytes:
        return (
            f"# Managed by Slipway.\n[Unit]\nDescription=Swap file {self.path}\n\n"
            f"[Swap]\nWhat={self.path}\n\n[Install]\nWantedBy=swap.target\n"
        ).encode()


@dataclass(frozen=True)
class Settings:
    """Keys of a configuration file that have these values; the other lines stay as they are."""

    path: str
    values: tuple[tuple[str, str], ...]
    separator: str = " "


@dataclass(frozen=True)
class Mode:
    """Mode and owner of a path, where it exists."""

    path: str
    mode: str
    owner: str = "root"
    group: str = "root"


def read_mounts(reader: Reader, arguments: Mapping[str, Any]) -> tuple[Mount, ...]:
    found: list[Mount] = []
    for path, item in reader.items(arguments, "mounts"):
        options = reader.texts(item, "options", path)
        if not options:
            reader.problem(f"{path}.options", "is required")
        for index, option in enumerate(options):
            if not OPTION.match(option):
                reader.problem(f"{path}.options[{index}]", f"{option!r} is not a mount option")
        found.append(Mount(reader.absolute(item.get("path"), f"{path}.path"), options))
    return tuple(found)


def read_swap(reader: Reader, arguments: Mapping[str, Any]) -> Swap | None:
    value = arguments.get("swap")
    if value is None:
        return None
    if not isinstance(value, Mapping):
        reader.problem("swap", "must be a mapping with path and size_mib")
        return None
    reader.known(value, SWAP_KEYS, "swap")
    if value.get("size_mib") is None:
        reader.problem("swap.size_mib", "is required")
    size = reader.number(value, "size_mib", "swap", 8, 1048576)
    return Swap(reader.absolute(value.get("path"), "swap.path"), size or 8)


def read_settings(reader: Reader, arguments: Mapping[str, Any]) -> tuple[Settings, ...]:
    """Items of the same file are joined; two that disagree are a problem."""
    joined: dict[str, dict[str, str]] = {}
    separators: dict[str, str] = {}
    for path, item in reader.items(arguments, "settings"):
        where = reader.absolute(item.get("path"), f"{path}.path")
        separator = reader.text(item, "separator", path, " ") or " "
        if separator not in SEPARATORS or separators.setdefault(where, separator) != separator:
            reader.problem(f"{path}.separator", "must be one of ' ', '=' and ' = ', and the same for all of a file")
        values = item.get("values")
        if not isinstance(values, Mapping):
            reader.problem(f"{path}.values", "must be a mapping of key to value")
            continue
        for key, value in values.items():
            if not SETTING.match(str(key)):
                reader.problem(f"{path}.values.{key}", "is not the name of a setting")
            elif isinstance(value, bool) or not isinstance(value, (int, str)) or "\n" in str(value):
                reader.problem(f"{path}.values.{key}", "must be a number or text of one line")
            elif joined.setdefault(where, {}).setdefault(str(key), str(value)) != str(value):
                reader.problem(f"{path}.values.{key}", f"is declared twice, as {joined[where][str(key)]} and {value}")
    return tuple(Settings(path, tuple(values.items()), separators[path]) for path, values in joined.items())


def read_modes(reader: Reader, arguments: Mapping[str, Any]) -> tuple[Mode, ...]:
    return tuple(
        Mode(
            path=reader.absolute(item.get("path"), f"{path}.path"),
            mode=reader.mode(item, path, "0644"),
            owner=reader.name(item, path, "owner", "root"),
            group=reader.name(item, path, "group", "root"),
        )
        for path, item in reader.items(arguments, "modes")
    )


def with_settings(current: str, wanted: Settings) -> str:
    """The file with its keys set: where they stand, where a comment shows them, or else at the end."""
    lines = current.splitlines()
    for key, value in wanted.values:
        line = f"{key}{wanted.separator}{value}"
        name = re.compile(rf"^\s*{re.escape(key)}(?=[\s=]|$)")
        shown = re.compile(rf"^\s*#\s?{re.escape(key)}(?=[\s=]|$)")
        there = [index for index, text in enumerate(lines) if name.match(text)]
        if there:
            if len(there) == 1 and _same(lines[there[0]], line):
                continue
            lines[there[0]] = line
            for index in reversed(there[1:]):
                del lines[index]
            continue
        examples = [index for index, text in enumerate(lines) if shown.match(text)]
        lines.insert(examples[-1] + 1 if examples else len(lines), line)
    return "".join(f"{line}\n" for line in lines)


def _same(found: str, wanted: str) -> bool:
    return found.replace("=", " = ").split() == wanted.replace("=", " = ").split()

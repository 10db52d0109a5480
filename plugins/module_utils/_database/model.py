# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes and tables as values: what is wanted, what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MYSQL = "mysql"
MARIADB = "mariadb"
POSTGRESQL = "postgresql"
KINDS = (MYSQL, MARIADB, POSTGRESQL)

# The common part of what MySQL, MariaDB and PostgreSQL accept without surprises. The length is MySQL's and MariaDB's 64
# for them and 63 bytes for PostgreSQL, which silently cuts longer names and would then never find its own index again.
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]*")
_COLUMN = re.compile(r"([A-Za-z_][A-Za-z0-9_$]*)(?:\(([1-9][0-9]{0,3})\))?")
_LENGTHS = {MYSQL: 64, MARIADB: 64, POSTGRESQL: 63}
_ALLOWED = "use letters, digits, _ and $ ({} at most)"


class InvalidIndexes(ValueError):
    """The wanted indexes cannot be honoured; every problem is listed, one a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Column:
    """A column of an index; with a length only its first characters are indexed (MySQL and MariaDB)."""

    name: str
    length: int | None = None

    def __str__(self) -> str:
        return self.name if self.length is None else f"{self.name}({self.length})"


@dataclass(frozen=True)
class Index:
    """One wanted index."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Table:
    """One table and the indexes that it should have."""

    name: str
    indexes: tuple[Index, ...] = ()
    schema: str = ""

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


@dataclass(frozen=True)
class FoundIndex:
    """An index of the server. It covers others when it is a valid, complete B-tree over plain columns."""

    name: str
    columns: tuple[str, ...]
    covers: bool = True
    valid: bool = True


@dataclass(frozen=True)
class FoundTable:
    """A table of the server."""

    engine: str = ""
    columns: frozenset[str] = frozenset()
    indexes: tuple[FoundIndex, ...] = ()


# What was found, by the name that the table was declared with. A table that is missing has no entry.
Found = Mapping[str, FoundTable]


def is_identifier(value: object, kind: str) -> bool:
    """Whether a name can be used as it is, quoted, on a server of this kind."""
    return isinstance(value, str) and len(value) <= _LENGTHS[kind] and _IDENTIFIER.fullmatch(value) is not None


def parse(indexes: Sequence[Any], tables: Sequence[Any], kind: str) -> tuple[Table, ...]:
    """Read [{table, name, columns}] and the names of further tables, or raise InvalidIndexes with all problems."""
    problems: list[str] = []
    found: dict[str, list[Index]] = {}
    names: dict[tuple[str, str], str] = {}
    for position, value in enumerate(indexes):
        path = f"indexes[{position}]"
        if not isinstance(value, Mapping):
            problems.append(f"{path}: must be a mapping with table, name and columns")
            continue
        table, name = str(value.get("table", "")), str(value.get("name", ""))
        _check_table(f"{path}.table", table, kind, problems)
        if not is_identifier(name, kind):
            problems.append(f"{path}.name: {name!r} is not a plain index name; {_ALLOWED.format(_LENGTHS[kind])}")
        # PostgreSQL keeps index names unique in a schema, not in a table.
        space = table.rpartition(".")[0] if kind == POSTGRESQL else table
        if (space, name) in names:
            problems.append(f"{path}.name: {names[space, name]} has this name already; choose another")
        names.setdefault((space, name), path)
        found.setdefault(table, []).append(
            Index(name, _columns(f"{path}.columns", value.get("columns"), kind, problems))
        )
    for position, table in enumerate(tables):
        if str(table) not in found:
            _check_table(f"tables[{position}]", str(table), kind, problems)
            found[str(table)] = []
    if problems:
        raise InvalidIndexes(problems)
    return tuple(
        Table(name.rpartition(".")[2], tuple(wanted), name.rpartition(".")[0]) for name, wanted in found.items()
    )


def _check_table(path: str, name: str, kind: str, problems: list[str]) -> None:
    schema, dot, bare = name.rpartition(".")
    if dot and kind != POSTGRESQL:
        problems.append(f"{path}: only PostgreSQL has schemas; write the table's name alone")
    elif not all(is_identifier(part, kind) for part in ((schema, bare) if dot else (bare,))):
        problems.append(f"{path}: {name!r} is not a plain table name; {_ALLOWED.format(_LENGTHS[kind])}")


def _columns(path: str, value: object, kind: str, problems: list[str]) -> tuple[Column, ...]:
    if not isinstance(value, (list, tuple)) or not value:
        problems.append(f"{path}: must be a list of at least one column")
        return ()
    columns: list[Column] = []
    for position, item in enumerate(value):
        match = _COLUMN.fullmatch(item) if isinstance(item, str) else None
        if match is None or not is_identifier(match.group(1), kind):
            problems.append(f"{path}[{position}]: {item!r} is not a column name, nor name(length)")
            continue
        if match.group(2) and kind == POSTGRESQL:
            problems.append(f"{path}[{position}]: PostgreSQL has no prefix length; write {match.group(1)}")
            continue
        column = Column(match.group(1), int(match.group(2)) if match.group(2) else None)
        if column.name in [other.name for other in columns]:
            problems.append(f"{path}[{position}]: column {column.name} is already in this index; remove one of them")
        columns.append(column)
    return tuple(columns)

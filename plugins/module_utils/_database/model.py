# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Indexes and tables as values: what is wanted, what was found."""

from __future__ import annotations

import re
from collections.abc import Mapping
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


def parse(indexes: Mapping[str, Any], kind: str) -> tuple[Table, ...]:
    """Read {table: {index: [columns]}}, or raise InvalidIndexes with all problems."""
    problems: list[str] = []
    tables = tuple(_table(str(name), value, kind, problems) for name, value in indexes.items())
    if kind == POSTGRESQL:
        problems.extend(_repeated(tables))
    if problems:
        raise InvalidIndexes(problems)
    return tables


def _table(name: str, value: object, kind: str, problems: list[str]) -> Table:
    path = f"indexes.{name}"
    schema, _dot, bare = name.rpartition(".")
    if schema and kind != POSTGRESQL:
        problems.append(f"{path}: only PostgreSQL has schemas; write the table's name alone")
    elif not all(is_identifier(part, kind) for part in ((schema, bare) if schema else (bare,))):
        problems.append(f"{path}: not a plain table name; use letters, digits, _ and $ ({_LENGTHS[kind]} at most)")
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        problems.append(f"{path}: must map index names to lists of columns, for example {{idx_{bare}_x: [x]}}")
        return Table(bare, (), schema)
    return Table(bare, tuple(_index(path, str(key), item, kind, problems) for key, item in value.items()), schema)


def _index(path: str, name: str, value: object, kind: str, problems: list[str]) -> Index:
    path = f"{path}.{name}"
    if not is_identifier(name, kind):
        problems.append(f"{path}: not a plain index name; use letters, digits, _ and $ ({_LENGTHS[kind]} at most)")
    if not isinstance(value, (list, tuple)) or not value:
        problems.append(f"{path}: must be a list of at least one column")
        return Index(name, ())
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
    return Index(name, tuple(columns))


def _repeated(tables: tuple[Table, ...]) -> list[str]:
    """PostgreSQL keeps index names unique in a schema, not in a table."""
    seen: dict[tuple[str, str], Table] = {}
    problems = []
    for table in tables:
        for index in table.indexes:
            first = seen.setdefault((table.schema, index.name), table)
            if first is not table:
                problems.append(
                    f"indexes.{table}.{index.name}: {first} already declares this name, and PostgreSQL keeps index "
                    "names unique in a schema; choose another"
                )
    return problems

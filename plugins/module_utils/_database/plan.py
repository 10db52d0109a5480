# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From wanted and found tables to an ordered list of statements. Nothing is ever dropped."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._database.model import (
    Found,
    FoundIndex,
    FoundTable,
    Index,
    Table,
)
from ansible_collections.slipway.ops.plugins.module_utils._database.sql import Dialect


@dataclass
class Plan:
    """Statements in order, and one line of text for every wanted index that needs none."""

    statements: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    covered: list[str] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        return bool(self.statements)


def plan(dialect: Dialect, wanted: tuple[Table, ...], found: Found | None, maintain: bool = True) -> Plan:
    """Compare; found is None when nothing can be asked yet, and then every index is predicted to be created.

    A table declared without indexes has no reason of its own to be maintained: it is maintained together with the
    others in the run that creates an index, so that a run which creates none changes nothing.
    """
    result = Plan()
    changed: list[Table] = []
    companions: list[Table] = []
    for table in wanted:
        actual = FoundTable() if found is None else found.get(str(table))
        if actual is None:
            names = ", ".join(index.name for index in table.indexes)
            if names:
                result.pending.append(f"{table}: the table does not exist yet; not created: {names}")
            continue
        if not table.indexes:
            companions.append(table)
            continue
        create, repair = _compare(dialect, table, actual, found is not None, result)
        result.statements.extend(dialect.repair(table, name) for name in repair)
        result.statements.extend(dialect.create(table, actual.engine, create))
        result.created.extend(f"{table}.{name}" for name in [*repair, *(index.name for index in create)])
        if create or repair:
            changed.append(table)
    if maintain and changed:
        for table in [*changed, *companions]:
            result.statements.extend(dialect.maintain(table))
    return result


def _compare(
    dialect: Dialect, table: Table, actual: FoundTable, known: bool, result: Plan
) -> tuple[list[Index], list[str]]:
    """The indexes to create and the names of those to repair; all else is written to the result."""
    create: list[Index] = []
    repair: list[str] = []
    by_name = {dialect.fold(index.name): index for index in actual.indexes}
    columns = {dialect.fold(column) for column in actual.columns}
    for index in table.indexes:
        label = f"{table}.{index.name}"
        wanted = tuple(str(column) for column in index.columns)
        same_name = by_name.get(dialect.fold(index.name))
        cover = _cover(dialect, wanted, actual.indexes)
        missing = [column.name for column in index.columns if known and dialect.fold(column.name) not in columns]
        if same_name is not None and not same_name.valid:
            repair.append(same_name.name)
        elif same_name is not None and _leads(dialect, wanted, same_name):
            result.present.append(label)
        elif same_name is not None:
            result.different.append(
                f"{label}: exists over ({', '.join(same_name.columns)}) and not over ({', '.join(wanted)}); "
                "give the wanted index another name, or drop the old one by hand"
            )
        elif cover is not None:
            result.covered.append(f"{label}: {cover.name} already leads with ({', '.join(wanted)})")
        elif missing:
            result.pending.append(f"{label}: column {', '.join(missing)} does not exist yet; not created")
        else:
            create.append(index)
    return create, repair


def _cover(dialect: Dialect, wanted: tuple[str, ...], indexes: tuple[FoundIndex, ...]) -> FoundIndex | None:
    return next((index for index in indexes if index.covers and _leads(dialect, wanted, index)), None)


def _leads(dialect: Dialect, wanted: tuple[str, ...], index: FoundIndex) -> bool:
    leading = index.columns[: len(wanted)]
    return [dialect.fold(column) for column in leading] == [dialect.fold(column) for column in wanted]

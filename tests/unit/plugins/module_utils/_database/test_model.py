from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._database.model import (
    MARIADB,
    MYSQL,
    POSTGRESQL,
    Column,
    Index,
    InvalidIndexes,
    Table,
    parse,
)


def index(table: object = "orders", name: object = "idx", columns: object = ("a",)) -> dict[str, Any]:
    return {"table": table, "name": name, "columns": list(columns) if isinstance(columns, tuple) else columns}


def test_reads_tables_in_order() -> None:
    indexes = [index("orders", "idx_a", ("status", "note(20)")), index("visits"), index("orders", "idx_b", ("id",))]
    assert parse(indexes, ["drivers", "orders"], MYSQL) == (
        Table("orders", (Index("idx_a", (Column("status"), Column("note", 20))), Index("idx_b", (Column("id"),)))),
        Table("visits", (Index("idx", (Column("a"),)),)),
        Table("drivers"),
    )


def test_postgresql_tables_may_have_a_schema() -> None:
    (table,) = parse([index("sales.orders")], [], POSTGRESQL)
    assert (table.schema, table.name, str(table)) == ("sales", "orders", "sales.orders")


@pytest.mark.parametrize(
    ("kind", "indexes", "problem"),
    [
        (MYSQL, [index("or`ders")], "indexes[0].table: 'or`ders' is not a plain table name"),
        (MYSQL, [index("orders; DROP TABLE x")], "indexes[0].table: 'orders; DROP TABLE x' is not a plain table name"),
        (MYSQL, [index("")], "indexes[0].table: '' is not a plain table name"),
        (MYSQL, [index("sales.orders")], "indexes[0].table: only PostgreSQL has schemas"),
        (POSTGRESQL, [index(".orders")], "indexes[0].table: '.orders' is not a plain table name"),
        (MYSQL, ["status"], "indexes[0]: must be a mapping with table, name and columns"),
        (MYSQL, [index(name="id x")], "indexes[0].name: 'id x' is not a plain index name"),
        (MYSQL, [index(name="i" * 65)], "(64 at most)"),
        (POSTGRESQL, [index(name="i" * 64)], "(63 at most)"),
        (MYSQL, [index(columns=())], "indexes[0].columns: must be a list of at least one column"),
        (MYSQL, [index(columns="status")], "indexes[0].columns: must be a list of at least one column"),
        (MARIADB, [index(columns=("a", "b c"))], "indexes[0].columns[1]: 'b c' is not a column name"),
        (MARIADB, [index(columns=(1,))], "indexes[0].columns[0]: 1 is not a column name"),
        (MARIADB, [index(columns=("a(0)",))], "indexes[0].columns[0]: 'a(0)' is not a column name"),
        (POSTGRESQL, [index(columns=("a(3)",))], "indexes[0].columns[0]: PostgreSQL has no prefix length"),
        (MYSQL, [index(columns=("a", "a"))], "indexes[0].columns[1]: column a is already in this index"),
        (MYSQL, [index(), index()], "indexes[1].name: indexes[0] has this name already"),
        (POSTGRESQL, [index("a"), index("b")], "indexes[1].name: indexes[0] has this name already"),
    ],
)
def test_refuses(kind: str, indexes: list[Any], problem: str) -> None:
    with pytest.raises(InvalidIndexes) as caught:
        parse(indexes, [], kind)
    assert problem in str(caught.value)


def test_reports_all_problems_at_once() -> None:
    with pytest.raises(InvalidIndexes) as caught:
        parse([index(columns=()), index(name="j", columns=("x y",))], ["a b"], MYSQL)
    assert len(caught.value.problems) == 3


def test_same_index_name_in_two_tables_is_fine_in_mysql() -> None:
    assert len(parse([index("a"), index("b")], [], MYSQL)) == 2

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


def test_reads_tables_in_order() -> None:
    indexes = {"orders": {"idx_a": ["status", "note(20)"], "idx_b": ["id"]}, "drivers": {}, "vehicles": None}
    assert parse(indexes, MYSQL) == (
        Table("orders", (Index("idx_a", (Column("status"), Column("note", 20))), Index("idx_b", (Column("id"),)))),
        Table("drivers"),
        Table("vehicles"),
    )


def test_postgresql_tables_may_have_a_schema() -> None:
    (table,) = parse({"sales.orders": {"idx_a": ["status"]}}, POSTGRESQL)
    assert (table.schema, table.name, str(table)) == ("sales", "orders", "sales.orders")


@pytest.mark.parametrize(
    ("kind", "indexes", "problem"),
    [
        (MYSQL, {"or`ders": {"idx": ["a"]}}, "indexes.or`ders: not a plain table name"),
        (MYSQL, {"orders; DROP TABLE x": {}}, "indexes.orders; DROP TABLE x: not a plain table name"),
        (MYSQL, {"sales.orders": {}}, "indexes.sales.orders: only PostgreSQL has schemas"),
        (MYSQL, {"orders": ["status"]}, "indexes.orders: must map index names to lists of columns"),
        (MYSQL, {"orders": {"id x": ["a"]}}, "indexes.orders.id x: not a plain index name"),
        (MYSQL, {"orders": {"i" * 65: ["a"]}}, "(64 at most)"),
        (POSTGRESQL, {"orders": {"i" * 64: ["a"]}}, "(63 at most)"),
        (MYSQL, {"orders": {"idx": []}}, "indexes.orders.idx: must be a list of at least one column"),
        (MYSQL, {"orders": {"idx": "status"}}, "indexes.orders.idx: must be a list of at least one column"),
        (MARIADB, {"orders": {"idx": ["a", "b c"]}}, "indexes.orders.idx[1]: 'b c' is not a column name"),
        (MARIADB, {"orders": {"idx": [1]}}, "indexes.orders.idx[0]: 1 is not a column name"),
        (MARIADB, {"orders": {"idx": ["a(0)"]}}, "indexes.orders.idx[0]: 'a(0)' is not a column name"),
        (POSTGRESQL, {"orders": {"idx": ["a(3)"]}}, "indexes.orders.idx[0]: PostgreSQL has no prefix length"),
        (MYSQL, {"orders": {"idx": ["a", "a"]}}, "indexes.orders.idx[1]: column a is already in this index"),
        (POSTGRESQL, {"a": {"idx": ["x"]}, "b": {"idx": ["x"]}}, "indexes.b.idx: a already declares this name"),
    ],
)
def test_refuses(kind: str, indexes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidIndexes) as caught:
        parse(indexes, kind)
    assert problem in str(caught.value)


def test_reports_all_problems_at_once() -> None:
    with pytest.raises(InvalidIndexes) as caught:
        parse({"a b": {}, "orders": {"i": [], "j": ["x y"]}}, MYSQL)
    assert len(caught.value.problems) == 3


def test_same_index_name_in_two_tables_is_fine_in_mysql() -> None:
    assert len(parse({"a": {"idx": ["x"]}, "b": {"idx": ["x"]}}, MYSQL)) == 2

from __future__ import annotations

from typing import Optional

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._database.model import (
    MYSQL,
    POSTGRESQL,
    Found,
    FoundIndex,
    FoundTable,
    parse,
)
from ansible_collections.slipway.ops.plugins.module_utils._database.plan import Plan, plan
from ansible_collections.slipway.ops.plugins.module_utils._database.sql import dialect

WANTED = [
    {"table": "orders", "name": "idx_status", "columns": ["status"]},
    {"table": "orders", "name": "idx_both", "columns": ["status", "driver_id"]},
]
COLUMNS = frozenset({"id", "status", "driver_id"})


def make(found: Optional[Found], kind: str = MYSQL, maintain: bool = True) -> Plan:
    return plan(dialect(kind), parse(WANTED, ["drivers"], kind), found, maintain)


def orders(*indexes: FoundIndex, engine: str = "InnoDB") -> Found:
    return {"orders": FoundTable(engine, COLUMNS, indexes), "drivers": FoundTable(engine, frozenset({"id"}))}


def test_creates_what_is_absent_and_maintains_only_then() -> None:
    result = make(orders())
    assert result.statements == [
        "ALTER TABLE `orders` ADD INDEX `idx_status` (`status`), ADD INDEX `idx_both` (`status`, `driver_id`), "
        "ALGORITHM=INPLACE, LOCK=NONE;",
        "OPTIMIZE TABLE `orders`;",
        "ANALYZE TABLE `orders`;",
        "OPTIMIZE TABLE `drivers`;",
        "ANALYZE TABLE `drivers`;",
    ]
    assert result.created == ["orders.idx_status", "orders.idx_both"]


def test_second_run_changes_nothing() -> None:
    result = make(orders(FoundIndex("idx_status", ("status",)), FoundIndex("idx_both", ("status", "driver_id"))))
    assert not result.changed
    assert result.present == ["orders.idx_status", "orders.idx_both"]


def test_names_are_compared_as_the_server_does() -> None:
    upper = FoundIndex("IDX_STATUS", ("STATUS",))
    assert make(orders(upper)).present == ["orders.idx_status"]
    assert "orders.idx_status" in make(orders(upper), POSTGRESQL).created


def test_index_that_leads_with_the_same_columns_covers() -> None:
    result = make(orders(FoundIndex("old", ("status", "driver_id", "id"))))
    assert not result.changed
    assert result.covered == [
        "orders.idx_status: old already leads with (status)",
        "orders.idx_both: old already leads with (status, driver_id)",
    ]


@pytest.mark.parametrize(
    "index",
    [
        FoundIndex("other_order", ("driver_id", "status")),
        FoundIndex("prefix", ("status(5)",)),
        FoundIndex("expression", ("",)),
        FoundIndex("partial", ("status",), covers=False),
        FoundIndex("interrupted", ("status", "driver_id"), covers=False, valid=False),
    ],
    ids=lambda index: index.name,
)
def test_these_do_not_cover(index: FoundIndex) -> None:
    assert make(orders(index)).created == ["orders.idx_status", "orders.idx_both"]


def test_same_name_over_other_columns_is_left_alone_and_said() -> None:
    result = make(orders(FoundIndex("idx_status", ("driver_id",))))
    assert result.created == ["orders.idx_both"]
    assert result.different == [
        "orders.idx_status: exists over (driver_id) and not over (status); give the wanted index another name, or drop "
        "the old one by hand"
    ]


def test_missing_table_is_pending_and_no_error() -> None:
    result = make({"drivers": FoundTable("InnoDB")})
    assert not result.changed
    assert result.pending == ["orders: the table does not exist yet; not created: idx_status, idx_both"]


def test_missing_column_is_pending() -> None:
    result = make({"orders": FoundTable("InnoDB", frozenset({"id", "status"}))})
    assert result.created == ["orders.idx_status"]
    assert result.pending == ["orders.idx_both: column driver_id does not exist yet; not created"]


def test_unknown_server_predicts_everything() -> None:
    result = make(None)
    assert result.created == ["orders.idx_status", "orders.idx_both"]
    assert result.pending == []


def test_maintenance_can_be_left_out() -> None:
    assert len(make(orders(), maintain=False).statements) == 1


def test_other_engines_are_altered_as_they_can() -> None:
    assert "ALGORITHM" not in make(orders(engine="MyISAM")).statements[0]


def test_postgresql_creates_concurrently_and_repairs_what_was_interrupted() -> None:
    result = make(orders(FoundIndex("idx_status", ("status",), covers=False, valid=False)), POSTGRESQL)
    assert result.statements == [
        'REINDEX INDEX CONCURRENTLY "idx_status";',
        'CREATE INDEX CONCURRENTLY "idx_both" ON "orders" ("status", "driver_id");',
        'ANALYZE "orders";',
        'ANALYZE "drivers";',
    ]

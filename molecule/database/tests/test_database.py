"""The indexes are in the servers, and nothing else was touched."""

from __future__ import annotations

from typing import Any

MARIADB = """
    printf %%s %s | docker exec -i shop-database-1 sh -c 'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" exec mariadb --batch \
        --skip-column-names --user=root shop'"""
POSTGRESQL = """
    printf %%s %s | docker exec -i shop-reports-1 sh -c 'PGPASSWORD="$POSTGRES_PASSWORD" exec psql -At -U postgres'"""


def test_mariadb_has_the_indexes_that_no_other_covers(host: Any) -> None:
    query = "SELECT DISTINCT index_name FROM information_schema.statistics WHERE table_name = 'orders' ORDER BY 1"
    found = host.check_output(MARIADB, query).split()
    created = ["idx_orders_note", "idx_orders_status", "idx_orders_status_driver"]
    assert found == ["by_driver", *created, "ignored", "PRIMARY", "words"]


def test_missing_table_is_not_created(host: Any) -> None:
    assert host.check_output(MARIADB, "SHOW TABLES").split() == ["drivers", "orders"]


def test_data_is_untouched(host: Any) -> None:
    assert host.check_output(MARIADB, "SELECT COUNT(*) FROM orders") == "1"


def test_postgresql_has_a_valid_index(host: Any) -> None:
    query = "SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'sales.visits'::regclass"
    assert "sales.idx_visits_page|t" in host.check_output(POSTGRESQL, query).split()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.mysql_copy import (
    COUNTER,
    drop_keys_sql,
    dump_command,
    exchange_sql,
    foreign_keys_sql,
    kept_name,
    parse_foreign_keys,
    restored_name,
)

ID = "20260101T020000Z"


@pytest.mark.parametrize("name", ["orders", "x" * 64, "é" * 64])
def test_names_fit(name: str) -> None:
    assert len(kept_name(name, ID)) <= 64
    assert kept_name(name, ID).endswith("_before_20260101t020000z")
    assert len(restored_name(name, ID)) <= 64


def test_foreign_keys_are_read_with_all_their_columns() -> None:
    rows = ("k\ta\tshop\tparts\tx\tRESTRICT\tCASCADE", "k\tb\tshop\tparts\ty\tRESTRICT\tCASCADE")
    answer = "\n".join((*rows, "l\tc\tshop\to`r\tz\tNO ACTION\tSET NULL", ""))
    first, second = parse_foreign_keys(answer)
    assert first.clause() == (
        "ADD CONSTRAINT `k` FOREIGN KEY (`a`, `b`) REFERENCES `shop`.`parts` (`x`, `y`)"
        " ON UPDATE RESTRICT ON DELETE CASCADE"
    )
    assert "REFERENCES `shop`.`o``r` (`z`)" in second.clause()
    assert drop_keys_sql("shop", "orders", (first, second)) == (
        "ALTER TABLE `shop`.`orders` DROP FOREIGN KEY `k`, DROP FOREIGN KEY `l`;\n"
    )
    assert drop_keys_sql("shop", "orders", ()) == ""
    assert parse_foreign_keys("") == ()


def test_names_in_questions_are_quoted() -> None:
    assert "k.table_name = 'it\\'s'" in foreign_keys_sql("shop", "it's")


def test_an_exchange_is_one_statement() -> None:
    assert exchange_sql("shop", "orders", "new", "orders_before").endswith(
        "RENAME TABLE `shop`.`orders` TO `shop`.`orders_before`, `new`.`orders` TO `shop`.`orders`;\n"
    )
    assert exchange_sql("shop", "orders", "new", "").endswith("RENAME TABLE `new`.`orders` TO `shop`.`orders`;\n")


def test_the_counter_of_a_table() -> None:
    made = "orders\tCREATE TABLE `orders` (`note` text COMMENT 'AUTO_INCREMENT=7') ENGINE=InnoDB AUTO_INCREMENT=202 X\n"
    found = COUNTER.search(made)
    assert found is not None
    assert found[1] == "202"
    assert COUNTER.search(made.replace(" AUTO_INCREMENT=202", "")) is None


def test_the_dump_logs_in_by_a_file() -> None:
    command = dump_command("--skip-triggers", "shop", "orders")
    assert command[4] == "--defaults-extra-file=/slipway/run/client.cnf"
    assert command[-3:] == ["--skip-triggers", "shop", "orders"]
    assert "--routines" not in command

from __future__ import annotations

import os
import subprocess

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._database import sql
from ansible_collections.slipway.ops.plugins.module_utils._database.model import (
    MARIADB,
    MYSQL,
    POSTGRESQL,
    FoundIndex,
    FoundTable,
    Table,
)

# What the clients of MariaDB 11.8 and PostgreSQL 17 print for the queries of observe().
MARIADB_OUTPUT = (
    "table\tdrivers\tInnoDB\n"
    "table\torders\tInnoDB\n"
    "column\torders\tid\n"
    "column\torders\tstatus\n"
    "column\tdrivers\tid\n"
    "index\torders\tby_driver\t1\t1\tdriver_id\n"
    "index\torders\tby_driver\t1\t1\tstatus\n"
    "index\torders\tidx_note\t1\t1\tnote(20)\n"
    "index\torders\twords\t0\t1\tnote\n"
)


def test_reads_rows() -> None:
    found = sql.read(MARIADB_OUTPUT)
    assert found["drivers"] == FoundTable("InnoDB", frozenset({"id"}))
    assert found["orders"].columns == {"id", "status"}
    assert found["orders"].indexes == (
        FoundIndex("by_driver", ("driver_id", "status")),
        FoundIndex("idx_note", ("note(20)",)),
        FoundIndex("words", ("note",), covers=False),
    )


def test_view_is_no_table() -> None:
    assert sql.read("column\tv\tid\n") == {}


@pytest.mark.parametrize("line", ["Warning: something", "index\torders\tx", "table\torders"])
def test_quotes_a_line_that_it_does_not_understand(line: str) -> None:
    with pytest.raises(ValueError, match="not understood") as caught:
        sql.read(line + "\n")
    assert line.split("\t")[0] in str(caught.value)


def test_unescapes_fields() -> None:
    assert sql.rows("a\\tb\tc\\\\n\\nd\n") == [["a\tb", "c\\n\nd"]]


@pytest.mark.parametrize("kind", [MYSQL, MARIADB, POSTGRESQL])
def test_observe_names_only_the_wanted_tables(kind: str) -> None:
    text = sql.dialect(kind).observe([Table("orders"), Table("o'x")])
    assert "'orders'" in text
    assert "o''x" in text


def test_postgresql_asks_for_the_quoted_relation() -> None:
    text = sql.dialect(POSTGRESQL).observe([Table("Orders", (), "sales")])
    assert """('sales.Orders', to_regclass('"sales"."Orders"'))""" in text


@pytest.mark.parametrize(
    ("rows", "complaints"),
    [
        ([["shop.a", "optimize", "status", "OK"]], []),
        ([["shop.a", "optimize", "note", "Table does not support optimize, doing recreate + analyze instead"]], []),
        ([["shop.a", "optimize", "Error", "Table is full"]], ["optimize of shop.a: Table is full"]),
        ([["1"]], []),
    ],
)
def test_finds_failures_in_results(rows: list[list[str]], complaints: list[str]) -> None:
    assert sql.dialect(MYSQL).failures(rows) == complaints


@pytest.mark.parametrize("kind", [MYSQL, POSTGRESQL])
def test_client_takes_no_value_as_script(kind: str) -> None:
    command = sql.dialect(kind).client("shop", "root", "ROOT_PASSWORD")
    assert command[:2] == ["sh", "-c"]
    assert command[3:] == ["root", "shop"]
    assert "shop" not in command[2]


@pytest.mark.parametrize(
    ("kind", "client", "variable"), [(MYSQL, "mysql", "MYSQL_PWD"), (POSTGRESQL, "psql", "PGPASSWORD")]
)
@pytest.mark.parametrize("by_file", [False, True])
def test_client_finds_the_password_in_its_environment(
    tmp_path: object, kind: str, client: str, variable: str, by_file: bool
) -> None:
    """The real shell runs the real script, with a client that prints what it was given."""
    folder = str(tmp_path)
    with open(f"{folder}/{client}", "w", encoding="utf-8") as program:
        program.write(f'#!/bin/sh\nprintf "%s|" "${variable}" "$@"\n')
    os.chmod(f"{folder}/{client}", 0o755)
    password = 'it\'s "$HOME" `x`'
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "PW": password}
    if by_file:
        with open(f"{folder}/secret", "w", encoding="utf-8") as secret:
            secret.write(password + "\n")
        environment = {"PATH": environment["PATH"], "PW_FILE": f"{folder}/secret"}
    done = subprocess.run(
        sql.dialect(kind).client("shop", "root", "PW"), env=environment, capture_output=True, text=True, check=True
    )
    words = done.stdout.split("|")
    assert words[0] == password
    assert any(word.endswith("=root") for word in words)
    assert any(word.endswith("shop") for word in words)

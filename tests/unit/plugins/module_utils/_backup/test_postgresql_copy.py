# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_copy import (
    commit_sql,
    create_sql,
    dump_command,
    exchange_sql,
    hindrances,
    kept_name,
    load_command,
    own_statements,
    rename_sql,
    restored_name,
    sql_reason,
    table_sql,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.sources import Wanted

ID = "20261122T100000Z"
FACTS: dict[str, Any] = {
    "kind": "r",
    "partition": False,
    "inherits": False,
    "indexes": ["orders_pkey"],
    "sequences": [["public", "orders_id_seq"]],
    "statistics": [],
    "foreign_keys": [
        {"table": "public.lines", "name": "lines_fk", "definition": "FOREIGN KEY (o) REFERENCES public.orders(id)"}
    ],
    "views": [{"name": "public.open", "kind": "v", "options": "", "definition": " SELECT 1\n FROM public.orders;"}],
    "functions": [],
    "columns": [],
    "publications": [],
}


def test_the_name_that_is_kept() -> None:
    assert kept_name("orders", ID) == "orders_before_20261122t100000z"
    assert restored_name("shop", ID) == "shop_restored_20261122t100000z"
    for name in ("x" * 63, "ü" * 31):
        found = kept_name(name, ID)
        assert len(found.encode()) <= 63
        assert found.endswith("_before_20261122t100000z")


def test_a_table_goes_out_of_the_way_with_all_that_has_a_name() -> None:
    assert rename_sql("public", 'or"ders', FACTS, ID).splitlines() == [
        "BEGIN;",
        "SET LOCAL lock_timeout = '60s';",
        'ALTER TABLE "public"."or""ders" RENAME TO "or""ders_before_20261122t100000z";',
        'ALTER INDEX "public"."orders_pkey" RENAME TO "orders_pkey_before_20261122t100000z";',
        'ALTER SEQUENCE "public"."orders_id_seq" RENAME TO "orders_id_seq_before_20261122t100000z";',
    ]
    assert rename_sql("public", "orders", None, ID).splitlines()[0] == "BEGIN;"
    assert "ALTER" not in rename_sql("public", "orders", None, ID)


def test_only_the_last_statement_commits() -> None:
    text = commit_sql("public", "orders", FACTS, 7, ID)
    assert text.splitlines() == [
        """DO $slipway$ BEGIN IF to_regclass('"public"."orders_id_seq"') IS NOT NULL THEN PERFORM pg_catalog.setval("""
        """'"public"."orders_id_seq"', greatest((SELECT last_value FROM "public"."orders_id_seq"), (SELECT last_value"""
        """ FROM "public"."orders_id_seq_before_20261122t100000z"))); END IF; END $slipway$;""",
        'ALTER TABLE public.lines DROP CONSTRAINT "lines_fk";',
        'ALTER TABLE public.lines ADD CONSTRAINT "lines_fk" FOREIGN KEY (o) REFERENCES public.orders(id);',
        "CREATE OR REPLACE VIEW public.open AS SELECT 1",
        " FROM public.orders;",
        'DO $slipway$ BEGIN IF (SELECT count(*) FROM "public"."orders") <> 7 THEN RAISE EXCEPTION'
        " 'the table has not the 7 rows that it had'; END IF; END $slipway$;",
        "COMMIT;",
    ]
    assert "COMMIT" not in rename_sql("public", "orders", FACTS, ID)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({"kind": "p"}, "it is no plain table"),
        ({"partition": True}, "it is no plain table"),
        ({"inherits": True}, "it is no plain table"),
        ({"views": [{"name": "public.m", "kind": "m"}]}, "materialized views public.m"),
        ({"functions": ["public.f(integer)"]}, "functions public.f(integer)"),
        ({"columns": ["public.other"]}, "columns of its type in public.other"),
    ],
)
def test_what_would_go_on_with_the_old_table(change: dict[str, Any], words: str) -> None:
    assert "; ".join(hindrances({**FACTS, **change})) == words or words in hindrances({**FACTS, **change})[0]


def test_names_are_quoted_wherever_they_stand() -> None:
    assert "n.nspname = 'it''s' AND c.relname = 'x'" in table_sql("it's", "x")
    command = dump_command("me", Wanted("shop", "public", 'or"ders'))
    assert command[-2:] == ['--table="public"."or""ders"', "--dbname=dbname='shop'"]
    assert "--table" not in " ".join(dump_command("me", Wanted("shop")))
    assert "--set=ON_ERROR_STOP=1" in load_command("", "PW", "shop")


def test_a_database_is_made_like_another() -> None:
    facts = {"owner": "me", "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "c", "locale": None}
    expected = "CREATE DATABASE \"x\" TEMPLATE template0 OWNER \"me\" ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    assert create_sql(facts, "x") == f"{expected};\n"
    icu = create_sql({**facts, "provider": "i", "locale": "de-DE"}, "x")
    assert icu == f"{expected} LOCALE_PROVIDER icu ICU_LOCALE 'de-DE';\n"


def test_a_database_takes_its_place_in_one_transaction() -> None:
    lines = exchange_sql("shop", "new", "old", True).splitlines()
    assert lines[2:6] == [
        "BEGIN;",
        'ALTER DATABASE "shop" RENAME TO "old";',
        'ALTER DATABASE "new" RENAME TO "shop";',
        "COMMIT;",
    ]
    assert lines[0].endswith("ALLOW_CONNECTIONS false;")
    assert lines[-1] == 'ALTER DATABASE "old" WITH ALLOW_CONNECTIONS true;'
    assert exchange_sql("shop", "new", "old", False) == 'ALTER DATABASE "new" RENAME TO "shop";\n'


def test_settings_and_rights_of_a_database() -> None:
    dump = "\n".join(
        [
            "CREATE DATABASE shop WITH TEMPLATE = template0;",
            "ALTER DATABASE shop OWNER TO me;",
            "\\connect shop",
            "ALTER DATABASE shop SET work_mem TO '7MB';",
            "ALTER ROLE me IN DATABASE shop SET search_path TO 'a', 'b';",
            "GRANT CONNECT ON DATABASE shop TO reader;",
            "GRANT SELECT ON TABLE public.orders TO reader;",
            "ALTER DATABASE shop SET",
        ]
    )
    assert own_statements(dump).splitlines() == [
        "ALTER DATABASE shop SET work_mem TO '7MB';",
        "ALTER ROLE me IN DATABASE shop SET search_path TO 'a', 'b';",
        "GRANT CONNECT ON DATABASE shop TO reader;",
    ]


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        (
            'psql:<stdin>:9: ERROR:  insert violates "fk"\nDETAIL:  Key (o)=(1) is not present.\n',
            'ERROR: insert violates "fk" DETAIL: Key (o)=(1) is not present',
        ),
        ("psql: error: connection refused\n", "psql: error: connection refused"),
        ("", "no reason was given"),
    ],
)
def test_what_a_server_says(stderr: str, reason: str) -> None:
    assert sql_reason(stderr) == reason

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import postgresql as pg
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import control


def test_no_password_is_on_a_command_line() -> None:
    for command in (pg.client_command("", "PW", "shop"), pg.backup_command("", "PW", "20260101T000000Z")):
        assert command[:2] == ["sh", "-c"]
        assert 'PGPASSWORD="${PW-}"' in command[2]
        assert "$PW_FILE" in command[2]
        assert not [word for word in command[3:] if "PW" in word]


def test_a_base_backup_has_all_that_it_needs() -> None:
    command = pg.backup_command("me", "PW", "20260101T000000Z")
    assert command[4] == "me"
    assert {"--pgdata=-", "--format=tar", "--wal-method=fetch", "--manifest-checksums=SHA256"} <= set(command)


@pytest.mark.parametrize(
    ("text", "number"), [("0/0", 0), ("0/3000028", 0x3000028), ("1/A", (1 << 32) + 10), ("FF/FFFFFFFF", (1 << 40) - 1)]
)
def test_positions(text: str, number: int) -> None:
    assert pg.lsn_number(text) == number
    assert pg.lsn_text(number) == text


def test_files_of_the_log() -> None:
    size = 16 << 20
    assert pg.segment_name(1, pg.lsn_number("0/3000028"), size) == "000000010000000000000003"
    assert pg.segment_name(10, pg.lsn_number("1/FF000000"), size) == "0000000A00000001000000FF"
    assert pg.segment_names(1, "0/FF000028", "1/1", size) == ["0000000100000000000000FF", "000000010000000100000000"]
    # An end at the beginning of a file has nothing in it.
    assert pg.segment_names(1, "0/3000028", "0/4000000", size) == ["000000010000000000000003"]
    assert pg.segment_name(1, 5 << 20, 1 << 20) == "000000010000000000000005"


def test_names_are_quoted() -> None:
    assert pg.identifier('a"b') == '"a""b"'
    assert pg.literal("it's") == "'it''s'"
    assert pg.literal("a\\b") == "E'a\\\\b'"
    assert pg.conninfo("a'b\\c") == "dbname='a\\'b\\\\c'"


def test_what_is_in_the_databases() -> None:
    text = "\n".join(
        [
            "noise",
            json.dumps({"database": "shop", "tables": 2, "rows": 180}),
            json.dumps({"database": "shop", "table": "public.small", "estimate": 80, "count": 3}),
            json.dumps({"database": "other", "table": "public.lost", "estimate": 80, "count": 3}),
            json.dumps({"database": "empty", "tables": 0, "rows": 0}),
            "{broken",
        ]
    )
    content = pg.parse_content(pg.parse_lines(text))
    assert content.databases == {"shop": {"tables": 2, "rows": 103}, "empty": {"tables": 0, "rows": 0}}
    assert content.counts == {"shop.public.small": 3}
    assert content.rows == 103


def test_a_database_whose_name_no_client_can_be_told_is_passed_over() -> None:
    text = pg.content_sql(["plain", "od d", "it's", 'quo"te', "new\nline"])
    assert text.count("\\connect") == 2
    assert "\\connect -reuse-previous=on \"dbname='od d'\"" in text


def test_the_control_file() -> None:
    found = pg.parse_control(control(1, 7))
    assert (found.system_identifier, found.state, found.timeline) == ("7710802470090932246", pg.STATE_SHUT_DOWN, 7)
    assert found.state_text == "shut down"
    assert pg.parse_control(control(6, 1)).state_text == "in production"
    for wrong in (b"", bytes(8192), b"x" * 8192):
        with pytest.raises(pg.NotWhole):
            pg.parse_control(wrong)


LOG = """\
LOG:  database system was interrupted; last known up at 2026-11-22 01:31:48 GMT
LOG:  restored log file "000000010000000000000003" from archive
LOG:  starting point-in-time recovery to 2026-11-22 01:34:07.589248+00
LOG:  redo starts at 0/3000028
LOG:  restored log file "000000010000000000000005" from archive
LOG:  recovery stopping before commit of transaction 754, time 2026-11-22 01:34:08.596066+00
LOG:  redo done at 0/406D468 system usage: CPU: user: 0.00 s, system: 0.02 s, elapsed: 0.22 s
LOG:  last completed transaction was at log time 2026-11-22 01:34:06.546566+00
LOG:  selected new timeline ID: 2
LOG:  database system is ready to accept connections
"""


def test_a_recovery_that_came_to_its_target() -> None:
    found = pg.parse_recovery(LOG.splitlines())
    assert found == pg.Recovery(
        file="000000010000000000000005",
        stopped="recovery stopping before commit of transaction 754, time 2026-11-22 01:34:08.596066+00",
        position="0/406D468",
        last_time="2026-11-22T01:34:06.546566+00:00",
        timeline="2",
    )


def test_a_recovery_that_did_not() -> None:
    lines = ["LOG:  redo in progress, elapsed time: 10.00 s, current LSN: 0/5000000"]
    lines += ["FATAL:  recovery ended before configured recovery target was reached"]
    found = pg.parse_recovery(lines)
    assert (found.missed, found.timeline, found.position) == (True, "", "0/5000000")
    assert found.fatal == lines[1]
    assert pg.parse_recovery([]) == pg.Recovery()


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-11-22 01:34:06.546566+00", "2026-11-22T01:34:06.546566+00:00"),
        ("2026-11-22 01:34:06+01", "2026-11-22T00:34:06+00:00"),
        ("2026-11-22 01:34:06.5 UTC", "2026-11-22T01:34:06.500000+00:00"),
        ("2026-11-22 01:34:06 UTC", "2026-11-22T01:34:06+00:00"),
        ("yesterday", ""),
    ],
)
def test_times_in_the_log(text: str, iso: str) -> None:
    line = f"LOG:  last completed transaction was at log time {text}"
    assert pg.parse_recovery([line]).last_time == iso

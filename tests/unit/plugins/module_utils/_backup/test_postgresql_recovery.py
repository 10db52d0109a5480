# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.postgresql_recovery import (
    ends_at_point,
    last_words,
    recovery_settings,
    server_settings,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
COVERAGE = Coverage("0/3000128", "0/9000000", NOW, 5)
RECORD: dict[str, Any] = {"major": 17, "settings": {"max_connections": "20", "max_prepared_transactions": "900"}}


@pytest.mark.parametrize(
    ("words", "inclusive", "expected"),
    [
        ("latest", True, {}),
        ("20261122T020000Z", True, {"recovery_target": "immediate", "recovery_target_timeline": "current"}),
        (
            "2026-11-22 10:00:00.25+01:00",
            True,
            {"recovery_target_time": "2026-11-22 09:00:00.250000+00", "recovery_target_inclusive": "on"},
        ),
        ("0/16B3748", False, {"recovery_target_lsn": "0/16B3748", "recovery_target_inclusive": "off"}),
        ("xid:4711", False, {"recovery_target_xid": "4711", "recovery_target_inclusive": "off"}),
    ],
)
def test_the_settings_that_lead_to_a_target(words: str, inclusive: bool, expected: dict[str, str]) -> None:
    found = recovery_settings(parse_target(words, NOW, inclusive), COVERAGE)
    common = ("restore_command", "recovery_target_action", "hot_standby")
    assert {"recovery_target_timeline": "latest", **expected} == {
        name: value for name, value in found.items() if name not in common
    }
    assert (found["recovery_target_action"], found["hot_standby"]) == ("promote", "off")


def test_a_timeline_that_was_named() -> None:
    assert recovery_settings(parse_target("now", NOW, timeline="3"), COVERAGE)["recovery_target_timeline"] == "3"


def test_without_a_log_latest_is_the_point() -> None:
    assert recovery_settings(Target(), None)["recovery_target"] == "immediate"
    assert ends_at_point(Target(), None)
    assert not ends_at_point(Target(), COVERAGE)
    assert ends_at_point(parse_target("20261122T020000Z", NOW), COVERAGE)


def test_a_copy_that_fails_is_no_end_of_the_log() -> None:
    """The server takes a status of up to 125 for a file that is not there."""
    command = recovery_settings(Target(), COVERAGE)["restore_command"]
    assert command == "test -f /slipway/log/%f || exit 1; cp /slipway/log/%f %p || exit 255"


def test_nothing_is_less_than_it_was() -> None:
    found = server_settings(RECORD)
    assert (found["max_connections"], found["max_prepared_transactions"]) == ("100", "900")
    assert found["track_commit_timestamp"] == "off"
    assert "log_startup_progress_interval" in found
    assert "log_startup_progress_interval" not in server_settings({**RECORD, "major": 14})


def test_last_words() -> None:
    lines = ["LOG:  starting", "FATAL:  the disk is full", "LOG:  shutting down"]
    assert last_words(lines) == "FATAL:  the disk is full"
    assert last_words(lines[:1]) == "LOG:  starting"
    assert last_words([]) == "nothing"

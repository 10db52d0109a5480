# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import UsageError
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import (
    Target,
    parse_target,
    target_from,
)

NOW = datetime(2026, 11, 22, 12, 0, 0, 500000, tzinfo=timezone.utc)
UUID = "3E11FA47-71CA-11E1-9E33-C80AA9429562"


@pytest.mark.parametrize(
    ("text", "moment", "remark"),
    [
        ("2026-11-22 10:00:00", "2026-11-22T10:00:00+00:00", "names no zone, so it is read as UTC"),
        ("2026-11-22 10:00", "2026-11-22T10:00:00+00:00", "read as UTC"),
        ("  2026-11-22   10:00:00 ", "2026-11-22T10:00:00+00:00", "read as UTC"),
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00+00:00", ""),
        ("2026-11-22 10:00:00 UTC", "2026-11-22T10:00:00+00:00", ""),
        ("2026-11-22 10:00:00+00:00", "2026-11-22T10:00:00+00:00", ""),
        ("2026-11-22 10:00:00+01:00", "2026-11-22T09:00:00+00:00", "is 2026-11-22 09:00:00 UTC"),
        ("2026-11-22 10:00:00 +0100", "2026-11-22T09:00:00+00:00", "is 2026-11-22 09:00:00 UTC"),
        ("2026-11-22 10:00:00 UTC+1", "2026-11-22T09:00:00+00:00", "is 2026-11-22 09:00:00 UTC"),
        ("2026-11-22 05:00:00-05", "2026-11-22T10:00:00+00:00", "is 2026-11-22 10:00:00 UTC"),
        ("2026-11-22 10:00:00.25", "2026-11-22T10:00:00.250000+00:00", "read as UTC"),
        ("2026-11-22 10:00:00,123456Z", "2026-11-22T10:00:00.123456+00:00", ""),
        ("2026-07-01 12:00:00 Europe/Paris", "2026-07-01T10:00:00+00:00", "is 2026-07-01 10:00:00 UTC"),
        ("now", "2026-11-22T12:00:00.500000+00:00", "now is 2026-11-22 12:00:00.500000 UTC"),
        ("now-15min", "2026-11-22T11:45:00.500000+00:00", "now-15min is"),
        ("now - 2h 30 min", "2026-11-22T09:30:00.500000+00:00", "is 2026-11-22 09:30:00.500000 UTC"),
        ("Now-1D", "2026-11-21T12:00:00.500000+00:00", "Now-1D is"),
        ("time:2026-11-22 10:00:00Z", "2026-11-22T10:00:00+00:00", ""),
    ],
)
def test_a_moment(text: str, moment: str, remark: str) -> None:
    target = parse_target(text, NOW)
    assert target.kind == "time"
    assert target.time == datetime.fromisoformat(moment)
    assert remark in target.remark
    assert bool(remark) is bool(target.remark)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("latest", "latest", ""),
        ("", "latest", ""),
        ("20261122T020000Z", "point", "20261122T020000Z"),
        ("0/16b3748", "position", "0/16B3748"),
        ("lsn:0/16B3748", "position", "0/16B3748"),
        ("xid:4711", "transaction", "4711"),
        (f"{UUID}:23", "transaction", f"{UUID}:23"),
        (f"{UUID}:1-23", "position", f"{UUID}:1-23"),
        (f"gtid:{UUID}:1-23, {UUID}:30", "position", f"{UUID}:1-23,{UUID}:30"),
        ("gtid:0-1-42", "transaction", "0-1-42"),
        ("gtid:0-1-42,1-2-7", "position", "0-1-42,1-2-7"),
    ],
)
def test_points_positions_and_transactions(text: str, kind: str, value: str) -> None:
    target = parse_target(text, NOW)
    assert target.kind == kind
    assert (target.point or target.position or target.transaction) == value
    assert target.needs_log is (kind in ("position", "transaction"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("yesterday", "cannot be understood; write one of: latest"),
        ("10:00", "cannot be understood"),
        ("2026-11-22", "names a day"),
        ("2026-11-31 10:00:00", "is no time that a clock can show"),
        ("2026-11-22 25:00:00", "is no time that a clock can show"),
        ("2026-11-22 10:00:00.1234567", "more than the six digits"),
        ("2026-11-22 10:00:00 CET", "names the zone CET, which can mean several"),
        ("2026-11-22 10:00:00 Europe/Atlantis", "which this host does not know"),
        ("2026-10-25 02:30:00 Europe/Paris", "where the clocks change; give the offset"),
        ("2026-03-29 02:30:00 Europe/Paris", "where the clocks change; give the offset"),
        ("2026-11-22 13:00:00", "is in the future (here it is 2026-11-22 12:00:00.500000 UTC)"),
        ("2026-11-22 11:59:59 -01:00", "is in the future"),
        ("now+1h", "cannot be understood"),
        ("now-1fortnight", "a time ago is written such as now-15min"),
        ("now-15", "a time ago is written such as now-15min"),
        ("xid:abc", "cannot be understood"),
        ("lsn:0/XYZ", "cannot be understood"),
        ("gtid:what", "cannot be understood"),
        ("0-1-42", "cannot be understood"),
    ],
)
def test_what_is_unclear_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_target(text, NOW)
    assert words in str(caught.value)
    assert text in str(caught.value)


def test_just_before_and_a_timeline() -> None:
    target = parse_target("xid:4711", NOW, inclusive=False, timeline="2")
    assert (target.inclusive, target.timeline) == (False, "2")
    assert target.describe() == "just before transaction 4711"
    for wrong in ("0", "-1", "newest"):
        with pytest.raises(UsageError, match="timeline"):
            parse_target("latest", NOW, timeline=wrong)


@pytest.mark.parametrize(
    "text", ["latest", "20261122T020000Z", "2026-11-22 10:00:00.25", "now-15min", "0/16B3748", "xid:4711"]
)
def test_a_journal_keeps_it(text: str) -> None:
    target = parse_target(text, NOW, inclusive=False)
    assert target_from(json.loads(json.dumps(target.as_dict()))) == target


def test_people_read_it() -> None:
    assert parse_target("2026-11-22 10:00:00.5+01:00", NOW).describe() == "2026-11-22 09:00:00.500000 UTC"
    assert parse_target("20261122T020000Z", NOW).describe() == "point 20261122T020000Z"
    assert parse_target("0/A", NOW).describe() == "position 0/A"
    assert Target().describe() == "the newest that there is"

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import promises
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import (
    DrillSettings,
    Place,
    Promises,
    RepositorySettings,
    Settings,
    Source,
)

NOW = 1_800_000_000.0
HOUR = 3600
DATABASE = Source("postgresql", "database")
UPLOADS = Source("volume", volume="fleet_uploads")
MAIN = RepositorySettings("main", "/repository")
SETTINGS = Settings("fleet", (DATABASE, UPLOADS), (MAIN,), promises=Promises(4 * HOUR, 24 * HOUR))


def log(loss: Any = 2.0, age: float = 1, **changes: Any) -> dict[str, Any]:
    source = {"kind": "postgresql", "service": "database", "loss_seconds": loss, "holes": [], **changes}
    return {"epoch": NOW - age, "sources": {"database": source}}


@pytest.mark.parametrize(
    ("newest", "status", "database", "uploads"),
    [
        (NOW - 5 * HOUR, None, 5 * HOUR, 5 * HOUR),
        (NOW - 5 * HOUR, log(), 2, 5 * HOUR),
        # A dead follower sends nothing: what it last wrote ages.
        (NOW - 5 * HOUR, log(age=HOUR), HOUR + 2, 5 * HOUR),
        (NOW - 5 * HOUR, log(loss=None), 5 * HOUR, 5 * HOUR),
        (NOW - 5 * HOUR, log(holes=["000000010000000000000003"]), 5 * HOUR, 5 * HOUR),
        (NOW - 5 * HOUR, log(repositories={"main": {"missing": ["3"]}}), 5 * HOUR, 5 * HOUR),
        (NOW - 5 * HOUR, log(service="other"), 5 * HOUR, 5 * HOUR),
        # A log that is further behind than the point: nothing needs it.
        (NOW - 5 * HOUR, log(loss=9 * HOUR), 5 * HOUR, 5 * HOUR),
        # A log without a point to begin from leads nowhere.
        (None, log(), None, None),
        (NOW + 10, None, 0, 0),
    ],
)
def test_what_a_loss_would_cost(newest: float | None, status: Any, database: float, uploads: float) -> None:
    found = promises.exposures(SETTINGS, NOW, newest, status)
    assert found == {DATABASE.label: database, UPLOADS.label: uploads}


def test_the_worst_source_counts() -> None:
    found = promises.judge_rpo(3 * HOUR, {"database": 2.0, "volume": 5.0 * HOUR})
    assert (found["broken"], found["seconds"], found["of"]) == (True, 5 * HOUR, "volume")
    assert found["why"] == "a loss now would cost the last 5 h of volume; at most 3 h are promised"
    assert promises.judge_rpo(6 * HOUR, {"database": 2.0, "volume": 5.0 * HOUR})["broken"] is False
    assert promises.judge_rpo(0, {"volume": None}) == {
        "promised_seconds": 0,
        "seconds": None,
        "of": "",
        "sources": {"volume": None},
        "broken": False,
        "why": "",
    }
    assert "there is no good point" in promises.judge_rpo(HOUR, {"volume": None})["why"]


def test_the_last_drill_says_how_long_a_restore_takes() -> None:
    drill = {"rto_seconds": 5 * HOUR, "measured": "2027-01-01"}
    found = promises.judge_rto(4 * HOUR, drill)
    assert (found["broken"], found["seconds"]) == (True, 5 * HOUR)
    assert found["why"] == "the last drill needed 5 h until everything served; at most 4 h are promised"
    assert promises.judge_rto(6 * HOUR, drill)["broken"] is False
    assert promises.judge_rto(4 * HOUR, {})["broken"] is False
    assert promises.judge_rto(0, drill)["broken"] is False


@pytest.mark.parametrize(
    ("interval", "drill", "since", "late", "failed", "why"),
    [
        (168 * HOUR, {"ok": True, "last_success_epoch": NOW - 200 * HOUR}, None, False, False, ""),
        (168 * HOUR, {"ok": True, "last_success_epoch": NOW - 300 * HOUR}, None, True, False, "12 d 12 h ago"),
        (168 * HOUR, {}, NOW - 200 * HOUR, False, False, ""),
        (168 * HOUR, {}, NOW - 300 * HOUR, True, False, "no drill was done in 12 d 12 h; one is expected every 7 d"),
        (168 * HOUR, {}, None, False, False, ""),
        (0, {}, NOW - 9000 * HOUR, False, False, ""),
        (0, {"ok": False, "error": "damage"}, None, False, True, "the last drill failed: damage"),
        (
            168 * HOUR,
            {"ok": False, "error": "damage", "last_success_epoch": NOW - 300 * HOUR},
            None,
            True,
            True,
            "the last drill failed: damage",
        ),
    ],
)
def test_late_and_failed_drills(
    interval: int, drill: dict[str, Any], since: float | None, late: bool, failed: bool, why: str
) -> None:
    found = promises.judge_drill(interval, drill, NOW, since)
    assert (found["late"], found["failed"]) == (late, failed)
    assert why in found["why"]
    assert bool(found["why"]) is (late or failed)


def test_for_people() -> None:
    seen = promises.Observed(SETTINGS, NOW - 25 * HOUR, None, {"rto_seconds": 60.0})
    standing = promises.judge(seen, NOW, NOW - 500 * HOUR)
    assert promises.describe(standing) == [
        "RPO, lost at most: promised 1 d, now 1 d 1 h (the databases of service database (postgresql)): BROKEN",
        "RTO, back within: promised 4 h, now 1 min: kept",
        "drills by hand alone: none yet",
    ]
    assert promises.complaints(standing) == [standing["rpo"]["why"]]


def judged(place: Place) -> tuple[bool, bool, bool]:
    seen = promises.observe(place)
    assert seen is not None
    found = promises.judge(seen, NOW, NOW - 2 * HOUR)
    return found["rpo"]["broken"], found["rto"]["broken"], found["drill"]["late"]


def test_from_files(tmp_path: Path) -> None:
    place = Place("fleet", configuration_root=f"{tmp_path}/etc", state_root=f"{tmp_path}/state")
    assert promises.observe(place) is None
    for path in (place.configuration, place.state):
        Path(path).mkdir(parents=True)
    document = {
        "stack": "fleet",
        "repositories": [{"name": "main", "url": "/repository"}],
        "sources": [UPLOADS.as_dict()],
        "promises": {"rto_seconds": 60, "rpo_seconds": HOUR},
        "drill": DrillSettings(interval_seconds=HOUR).as_dict(),
    }
    Path(place.settings).write_text(json.dumps(document), encoding="utf-8")
    assert judged(place) == (True, False, True)
    Path(place.status).write_text(json.dumps({"last_success_epoch": NOW - 60}), encoding="utf-8")
    Path(place.drill).write_text(
        json.dumps({"ok": True, "last_success_epoch": NOW - 60, "rto_seconds": 61}), encoding="utf-8"
    )
    assert judged(place) == (False, True, False)

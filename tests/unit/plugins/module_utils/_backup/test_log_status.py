# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_files import Coverage
from ansible_collections.slipway.ops.plugins.module_utils._backup.log_status import describe, log_status
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, Source
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster, FakeLog
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(World(tmp_path))


def followed(cluster: Cluster, age: float = 2, **more: Any) -> None:
    """The follower says how it stands."""
    now = cluster.world.clock.timestamp()
    record = {"loss_seconds": 1, "repositories": {"main": {"sent_timestamp_seconds": now - 3, "missing": []}}, **more}
    place = cluster.tools().place
    files.ensure_directory(place.state)
    files.write_json(f"{place.state}/log.json", {"epoch": now - age, "sources": {"postgres": record}})


def status(cluster: Cluster) -> dict[str, Any]:
    points = sorted(cluster.world.points.values(), key=lambda point: point.name)
    return log_status(cluster.tools(), points)


def ended(cluster: Cluster) -> str:
    """Make a point; returns when its data was whole."""
    cluster.world.clock += timedelta(minutes=5)
    make_point(cluster.tools(), "scheduled", tidy=False)
    return cluster.world.clock.isoformat()


def test_any_second_since_the_oldest_point(cluster: Cluster) -> None:
    ended(cluster)
    ended(cluster)
    cluster.world.clock += timedelta(minutes=5)
    cluster.add("after")
    followed(cluster)
    state = status(cluster)["postgres"]
    oldest = min(cluster.world.points.values(), key=lambda point: point.name)
    assert state["from"][:16] == oldest.time.isoformat()[:16]
    assert state["until"] == cluster.world.clock.isoformat()
    assert (state["ok"], state["last_sent_seconds"], state["remark"]) == (True, 4, "")
    lines = describe("fleet", {"postgres": state})
    assert lines[0].startswith("postgres: any second from 2026-")
    assert lines[0].endswith("can be restored")
    assert lines[1:] == ["  last sent 4 s ago; a loss now would cost 1 s of changes"]


def test_only_from_the_point_on_from_which_the_log_leads(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(cluster)
    left = ended(cluster)
    ended(cluster)
    ended(cluster)
    cluster.add("after")
    followed(cluster)
    before = FakeLog.coverage

    def coverage(log: FakeLog, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        return None if record["end_time"] <= left else before(log, source, record, target)

    monkeypatch.setattr(FakeLog, "coverage", coverage)
    state = status(cluster)["postgres"]
    third = sorted(cluster.world.points)[2]
    assert state["from"][:16] == cluster.world.points[third].time.isoformat()[:16]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ({"age": 61}, "  NOT FOLLOWED: look at journalctl -u slipway-backup-follow-fleet"),
        ({"loss_seconds": 61}, "  last sent 4 s ago; a loss now would cost 1 min 1 s of changes"),
        ({"loss_seconds": None}, "  last sent 4 s ago"),
        ({"repositories": {}, "loss_seconds": None, "problems": ["no way in"]}, "  problem: no way in"),
        ({"receiver": "far", "waits_for_receiver": False, "problems": ["it is away"]}, "  problem: it is away"),
        ({"holes": ["segment 1", "segment 2"]}, "  HOLE: segment 1 (2 in all)"),
        ({"repositories": {"main": {"missing": ["segment 3"]}}}, "  HOLE: segment 3 (1 in all)"),
    ],
)
def test_what_is_not_well(cluster: Cluster, said: dict[str, Any], line: str) -> None:
    ended(cluster)
    followed(cluster, **said)
    found = status(cluster)
    assert found["postgres"]["ok"] is False
    assert line in describe("fleet", found)


def test_commits_that_wait_for_another_host(cluster: Cluster) -> None:
    ended(cluster)
    followed(cluster, receiver="far", waits_for_receiver=True)
    found = status(cluster)
    assert found["postgres"]["ok"] is True
    assert "  commits wait for the receiver far on another host" in describe("fleet", found)


def test_without_a_point_nothing_can_be_restored_to_a_second(cluster: Cluster) -> None:
    followed(cluster)
    found = status(cluster)
    assert (found["postgres"]["from"], found["postgres"]["ok"]) == ("", True)
    assert describe("fleet", found)[0].startswith("postgres: only points can be restored (no point can be followed")


def test_a_follower_that_never_ran(cluster: Cluster) -> None:
    ended(cluster)
    found = status(cluster)
    assert found["postgres"]["ok"] is False
    assert found["postgres"]["from"]
    assert "NOT FOLLOWED" in "\n".join(describe("fleet", found))


def test_what_ends_the_log_is_said(cluster: Cluster) -> None:
    ended(cluster)
    followed(cluster)
    cluster.world.faults["log remark"] = "from there to 0/1 it is missing"
    assert "(from there to 0/1 it is missing)" in describe("fleet", status(cluster))[0]


def test_a_repository_that_cannot_be_asked(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    ended(cluster)
    followed(cluster)

    def coverage(log: FakeLog, source: Source, record: Mapping[str, Any], target: Target) -> Coverage | None:
        raise BackupError("it is away")

    monkeypatch.setattr(FakeLog, "coverage", coverage)
    found = status(cluster)
    assert found["postgres"]["remark"] == "what the repository holds of it cannot be told: it is away"


def test_without_logs_nothing_is_said(cluster: Cluster) -> None:
    ended(cluster)
    tools = cluster.tools()
    tools.log = None
    assert log_status(tools, list(cluster.world.points.values())) == {}

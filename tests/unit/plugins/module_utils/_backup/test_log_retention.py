# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup import log_retention
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import World


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster(World(tmp_path))


def point(cluster: Cluster) -> dict[str, object]:
    cluster.world.clock += timedelta(days=1)
    return make_point(cluster.tools(), "scheduled")


def test_after_a_backup_the_log_is_told_what_all_points_need(cluster: Cluster) -> None:
    for _day in range(3):
        point(cluster)
    service, starts = cluster.world.faults["pruned"][-1]
    assert service == "postgres"
    assert len(starts) == len(cluster.world.points)
    assert any("removed 1 parts of the log of postgres" in line for line in cluster.world.said)


def test_what_a_point_needs_is_read_once(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    before = log_retention.read_manifest
    monkeypatch.setattr(
        log_retention, "read_manifest", lambda tools, point: asked.append(point.name) or before(tools, point)
    )
    point(cluster)
    point(cluster)
    assert asked == sorted(cluster.world.points)
    needs = json.loads(Path(f"{cluster.tools().place.state}/log-needs.main.json").read_text(encoding="utf-8"))
    assert sorted(needs) == sorted(cluster.world.points)


def test_a_point_that_cannot_be_read_keeps_all(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tools: object, point: object) -> None:
        raise BackupError("its manifest is damaged")

    monkeypatch.setattr(log_retention, "read_manifest", fail)
    assert "old parts of the logs stay: its manifest is damaged" in str(point(cluster)["warnings"])
    assert "pruned" not in cluster.world.faults


def test_a_log_that_cannot_be_pruned_is_no_fault_of_the_point(cluster: Cluster) -> None:
    cluster.world.faults["log cannot be pruned"] = True
    made = point(cluster)
    assert "old parts of the logs stay: the repository is read-only" in str(made["warnings"])
    assert cluster.world.points[str(made["point"])].verified

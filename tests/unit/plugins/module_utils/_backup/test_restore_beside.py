# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

"""The restore of a database that is put together beside the live one, with the volumes of the same stack."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._backup.backup import make_point
from ansible_collections.slipway.ops.plugins.module_utils._backup.model import BackupError, RefusedError
from ansible_collections.slipway.ops.plugins.module_utils._backup.restore import (
    Plan,
    abort,
    discard_previous,
    make_plan,
    read_journal,
    restore,
    restore_status,
)
from ansible_collections.slipway.ops.plugins.module_utils._backup.target import Target, parse_target
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.cluster import SERVER_NAME, Cluster
from ansible_collections.slipway.ops.tests.unit.plugins.module_utils._backup.world import Killed, World

ROWS = ["one", "two", "three", "four", "five"]


@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return begin(tmp_path)


def begin(root: Path) -> Cluster:
    """A point, three transactions a minute apart, and then everything is deleted."""
    cluster = Cluster(World(root))
    make_point(cluster.tools(), "scheduled")
    for row in ROWS[2:]:
        cluster.add(row)
    cluster.lose()
    (cluster.world.volume / "a.jpg").unlink()
    cluster.world.upload("new.jpg", "new")
    cluster.world.clock += timedelta(minutes=1)
    cluster.world.events.clear()
    cluster.world.said.clear()
    return cluster


def target(cluster: Cluster, words: str, inclusive: bool = True) -> Target:
    return parse_target(words, cluster.world.clock, inclusive)


def before_the_loss(cluster: Cluster) -> str:
    return f"{cluster.log[2][3]:%Y-%m-%d %H:%M:%S}Z"


def run(cluster: Cluster, words: str = "", log: bool = True) -> dict[str, Any]:
    return restore(cluster.tools(log), target(cluster, words or before_the_loss(cluster)), "fleet")


def assert_old(cluster: Cluster) -> None:
    """Everything is as it was before the restore."""
    assert cluster.rows == []
    assert cluster.timeline == 1
    assert cluster.world.uploads == {"new.jpg": "new"}
    assert all(cluster.world.running.values())
    assert_tidy(cluster)


def assert_tidy(cluster: Cluster) -> None:
    assert cluster.isolated == {}
    outside = {path.name for path in (cluster.world.root / "volumes/fleet_pg").iterdir()}
    assert {name for name in outside if not name.startswith(".slipway-previous")} == {"_data"}


def assert_restored(cluster: Cluster, summary: dict[str, Any], rows: Sequence[str] = tuple(ROWS)) -> None:
    assert cluster.rows == list(rows)
    assert cluster.timeline == 2
    assert cluster.world.uploads == {"a.jpg": "hello"}
    assert all(cluster.world.running.values())
    assert_tidy(cluster)
    kept = [Path(path) for path in summary["previous"] if "fleet_pg" in path]
    assert [Cluster.read_rows(path) for path in kept] == [[]]
    assert restore_status(cluster.tools())["interrupted_restore"] is None


def test_back_to_just_before_the_loss(cluster: Cluster) -> None:
    summary = run(cluster)
    assert_restored(cluster, summary)
    assert summary["needs_point"]
    assert summary["reached"]["postgresql-postgres"]["rows"] == 5
    assert summary["started_services"] == ["fleet-application-1"]
    assert cluster.world.events == [
        *("fetch the log", "start isolated", "stop isolated", "remove isolated"),
        # What is written over is saved, and the cluster is not: its directory is kept.
        *("store", "mark"),
        *("stop application", "stop postgres", "move _data", "move data", "start postgres"),
        *("unpack", "move _data", "move _data", "start application"),
    ]
    assert cluster.world.points[summary["saved"]].parts == ()


def test_latest_follows_the_log_and_a_point_does_not(tmp_path: Path) -> None:
    for number, (words, log, rows) in enumerate(
        [("latest", True, []), ("latest", False, ROWS[:2]), ("point", True, ROWS[:2])]
    ):
        cluster = begin(tmp_path / str(number))
        words = next(iter(cluster.world.points)) if words == "point" else words
        assert_restored(cluster, run(cluster, words, log), rows)


def test_the_plan_says_where_it_goes_and_what_is_lost(cluster: Cluster) -> None:
    plan: Plan = make_plan(cluster.tools(), target(cluster, "2026-01-01 02:03:30"))
    text = "\n".join(plan.lines)
    assert plan.problems == []
    for words in (
        "2026-01-01 02:03:30 names no zone, so it is read as UTC",
        "from there along the log of postgresql-postgres, which reaches to",
        "what was written after 2026-01-01 02:03:30 UTC is replaced",
        "what has no log comes back as it was at 2026-01-01T02:00:01+00:00",
        "put the databases of service postgres (postgresql) together beside the live one",
        "save the present data as a point of its own",
    ):
        assert words in text
    assert plan.lines.index("stop fleet-application-1") > next(
        number for number, line in enumerate(plan.lines) if "together beside" in line
    )
    assert cluster.world.events == []
    assert plan.as_dict()["target"]["kind"] == "time"


def dies_at(root: Path) -> list[int]:
    """Every step of a restore, by its number."""
    cluster = begin(root / "whole")
    run(cluster)
    return list(range(1, len(cluster.world.events) + 1))


def kill(cluster: Cluster, number: int, words: str = "") -> bool:
    """Let a restore die after the step of this number; whether it came so far."""
    cluster.world.dies_after = number
    try:
        run(cluster, words)
    except Killed:
        return True
    finally:
        cluster.world.dies_after = 0
    return False


def test_killed_at_any_step_the_same_command_ends_it(tmp_path: Path) -> None:
    for number in dies_at(tmp_path):
        cluster = begin(tmp_path / str(number))
        assert kill(cluster, number)
        assert restore_status(cluster.tools())["interrupted_restore"] is not None
        summary = run(cluster)
        assert_restored(cluster, summary)
        assert summary["started_services"] == ["fleet-application-1"]


def test_killed_at_any_step_it_can_be_taken_back(tmp_path: Path) -> None:
    for number in dies_at(tmp_path):
        cluster = begin(tmp_path / str(number))
        assert kill(cluster, number)
        abort(cluster.tools(), "fleet")
        assert_old(cluster)
        assert read_journal(cluster.tools()) is None
        # And another time it goes through.
        assert_restored(cluster, run(cluster))


def test_killed_twice_and_killed_while_it_is_taken_back(tmp_path: Path) -> None:
    steps = dies_at(tmp_path)
    for number in steps[4::3]:
        for second in range(1, 12, 2):
            cluster = begin(tmp_path / f"{number}-{second}")
            assert kill(cluster, number)
            cluster.world.dies_after = len(cluster.world.events) + second
            try:
                abort(cluster.tools(), "fleet")
            except Killed:
                cluster.world.dies_after = 0
                if second % 4 == 1:
                    abort(cluster.tools(), "fleet")
                    assert_old(cluster)
                else:
                    assert_restored(cluster, run(cluster))
                continue
            cluster.world.dies_after = 0
            assert_old(cluster)


def test_before_the_exchange_the_old_server_has_not_even_stopped(tmp_path: Path) -> None:
    whole = begin(tmp_path / "whole")
    run(whole)
    for number in range(1, whole.world.events.index("stop postgres") + 1):
        cluster = begin(tmp_path / str(number))
        assert kill(cluster, number)
        assert cluster.rows == []
        assert cluster.world.running[SERVER_NAME]


def unusable(cluster: Cluster) -> None:
    """What was prepared does not start on the real server."""
    start = cluster.world.happens

    def happens(step: str) -> None:
        start(step)
        if step == "move data" and cluster.timeline == 2:
            (cluster.data / "global/pg_control").unlink()

    cluster.world.happens = happens  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("switch", "words"),
    [
        pytest.param(unusable, "does not serve", id="the restored data does not serve"),
        pytest.param(
            lambda cluster: cluster.world.faults.__setitem__("unpack", BackupError("no space left on device")),
            "no space left",
            id="a volume does not come back",
        ),
    ],
)
def test_what_fails_after_the_stop_is_taken_back(
    cluster: Cluster, switch: Callable[[Cluster], None], words: str
) -> None:
    switch(cluster)
    with pytest.raises(BackupError) as caught:
        run(cluster)
    assert words in str(caught.value)
    assert "The restore was taken back: everything is as it was before" in str(caught.value)
    assert_old(cluster)
    assert read_journal(cluster.tools()) is None


def test_what_cannot_be_prepared_stops_nothing(cluster: Cluster) -> None:
    cluster.world.faults["recovery"] = "invalid checkpoint record"
    with pytest.raises(BackupError, match=r"invalid checkpoint record.*Nothing was touched"):
        run(cluster)
    assert_old(cluster)
    assert "stop application" not in cluster.world.events


def test_a_repository_that_is_gone_does_not_hinder_the_way_back(cluster: Cluster) -> None:
    assert kill(cluster, 10)
    cluster.world.faults["repository"] = "the bucket is gone"
    abort(cluster.tools(), "fleet")
    assert_old(cluster)


def test_taking_back_needs_the_name_and_something_to_take_back(cluster: Cluster) -> None:
    with pytest.raises(RefusedError, match="no restore was interrupted"):
        abort(cluster.tools(), "fleet")
    kill(cluster, 3)
    with pytest.raises(RefusedError, match="nothing was named"):
        abort(cluster.tools(), "")


def test_a_time_ago_stays_the_moment_that_it_was(cluster: Cluster) -> None:
    words = "now-2min"
    wanted = target(cluster, words).time
    assert kill(cluster, 4, words)
    cluster.world.clock += timedelta(hours=2)
    journal = read_journal(cluster.tools())
    assert journal is not None
    summary = run(cluster, words)
    assert summary["target"]["time"] == wanted.isoformat() if wanted else False
    assert_restored(cluster, summary)


def test_another_target_may_end_an_interrupted_restore(cluster: Cluster) -> None:
    assert kill(cluster, 11)
    first = f"{cluster.log[0][3]:%Y-%m-%d %H:%M:%S}Z"
    summary = run(cluster, first)
    assert cluster.rows == ROWS[:3]
    kept = [Path(path) for path in summary["previous"] if "fleet_pg" in path]
    assert [Cluster.read_rows(path) for path in kept] == [[]]


def test_latest_after_another_target_was_interrupted_is_unclear(cluster: Cluster) -> None:
    assert kill(cluster, 3)
    with pytest.raises(RefusedError, match=r"was interrupted.*--abort"):
        run(cluster, "latest")


def test_what_another_killed_restore_left_goes(cluster: Cluster) -> None:
    left = cluster.world.root / "volumes/fleet_pg/.slipway-restore-20250101T000000Z"
    (left / "data").mkdir(parents=True)
    look = cluster.world.root / "volumes/fleet_pg/.slipway-look-20250101T000000Z"
    look.mkdir()
    run(cluster)
    assert not left.exists()
    assert look.exists()


def test_a_disk_without_room(cluster: Cluster) -> None:
    cluster.world.free = 100 << 20
    with pytest.raises(RefusedError, match="are free and the restore needs"):
        run(cluster)
    assert cluster.world.events == []


def test_old_data_goes_only_when_told(cluster: Cluster) -> None:
    summary = run(cluster)
    assert sorted(discard_previous(cluster.tools(), "fleet")) == sorted(summary["previous"])
    assert not [path for path in summary["previous"] if Path(path).exists()]


def test_the_point_after_a_restore_begins_a_log_of_its_own(cluster: Cluster) -> None:
    run(cluster)
    cluster.world.clock += timedelta(minutes=1)
    make_point(cluster.tools(), "manual")
    # The log of the old timeline cannot lead on from there, nor that of the new one from an abandoned branch.
    second = cluster.add("after")
    cluster.lose()
    cluster.world.clock += timedelta(minutes=1)
    run(cluster, f"{second:%Y-%m-%d %H:%M:%S}Z")
    assert cluster.rows == [*ROWS, "after"]
    assert cluster.timeline == 3

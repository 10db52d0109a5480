from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._lease.lease import LeaseLost
from ansible_collections.slipway.ops.plugins.module_utils._raft.lease import cluster_lease
from ansible_collections.slipway.ops.plugins.module_utils._raft.records import (
    HISTORY_RECORDS,
    ClusterRecords,
    cluster_stacks,
)
from ansible_collections.slipway.ops.plugins.module_utils._raft.state import RECORD_LABEL, ClusterState
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import EngineError
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Image
from ansible_collections.slipway.ops.plugins.module_utils._release.records import Kept, Records

from .fake import Raft

LOCAL_ONLY = {"files_directory", "mounted_files", "write_files", "collect_files", "say_pull", "said_pull"}


@pytest.fixture
def mine(state: ClusterState) -> Iterator[ClusterRecords]:
    with cluster_lease(state, "release 1"):
        yield ClusterRecords(state)


def kept(number: int) -> Kept:
    return Kept(number, {"name": "t", "n": number}, {"SECRET": "s"}, {"web:1": Image("sha256:1", "web@sha256:2")})


def documents(raft: Raft) -> list[str]:
    found = [each["Spec"] for each in raft.configs.values()]
    return sorted(spec["Name"].rpartition("-")[0] for spec in found if RECORD_LABEL in spec["Labels"])


def test_they_are_those_of_a_host() -> None:
    """Whoever reads the records of a host reads these."""
    methods = {name for name in dir(Records) if not name.startswith("_")} - LOCAL_ONLY
    assert methods <= {name for name in dir(ClusterRecords) if not name.startswith("_")}


def test_deployed(raft: Raft, mine: ClusterRecords, tmp_path: Path) -> None:
    host = Records("t", str(tmp_path / "etc"), str(tmp_path / "var"))
    assert mine.model() is None
    assert mine.environment() is None
    for records in (mine, host):
        records.write_deployed({"name": "t", "n": 1}, {"A": "0"})
        records.write_deployed({"name": "t", "n": 2}, {"B": "2", "A": "one\ntwo"})
    assert mine.model() == host.model() == {"name": "t", "n": 2}
    assert mine.environment() == host.environment() == 'A="one\\ntwo"\nB=2\n'
    assert documents(raft) == ["slipway-t-deployed"]
    assert cluster_stacks(raft.gateway("n2")) == ["t"]
    mine.remove_deployed()
    assert mine.model() is None
    assert documents(raft) == []
    assert cluster_stacks(raft.gateway("n2")) == []


def test_history_is_bounded(raft: Raft, mine: ClusterRecords) -> None:
    assert mine.last_release() == 0
    for number in range(1, HISTORY_RECORDS + 4):
        mine.add_history({"release": number})
    assert [each["release"] for each in mine.history()] == list(range(4, HISTORY_RECORDS + 4))
    assert mine.last_release() == HISTORY_RECORDS + 3
    assert documents(raft) == ["slipway-t-history"]


def test_the_newest_ten_releases_are_kept(raft: Raft, mine: ClusterRecords) -> None:
    assert mine.kept_releases() == []
    for number in range(1, 13):
        mine.keep_release(kept(number))
    mine.keep_release(kept(12))
    assert mine.kept_releases() == list(range(12, 2, -1))
    assert mine.kept_release(12) == kept(12)
    assert mine.kept_release(2) is None
    assert len(documents(raft)) == 10


def test_journal(mine: ClusterRecords) -> None:
    assert mine.journal() is None
    mine.write_journal({"phase": "start"})
    assert mine.journal() == {"phase": "start"}
    mine.clear_journal()
    mine.clear_journal()
    assert mine.journal() is None


def test_standing(mine: ClusterRecords) -> None:
    assert mine.standing() == {}
    mine.write_standing({"task": 3.5})
    assert mine.standing() == {"task": 3.5}
    mine.write_standing({})
    assert mine.standing() == {}


def test_what_is_too_large_is_refused(raft: Raft, mine: ClusterRecords) -> None:
    with pytest.raises(EngineError, match=r"deployed of stack t: \d+ KiB packed, a config object of Docker holds 1000"):
        mine.write_deployed({"noise": os.urandom(1_100_000).hex()}, {})
    large = Kept(1, {"noise": os.urandom(1_100_000).hex()}, {}, {})
    with pytest.raises(EngineError, match="release-1 of stack t: "):
        mine.require_room(large)
    mine.require_room(kept(1))
    assert documents(raft) == []


def test_everything_needs_the_lease(raft: Raft, state: ClusterState) -> None:
    records = ClusterRecords(state)
    for write in (
        lambda: records.write_deployed({}, {}),
        lambda: records.add_history({}),
        lambda: records.keep_release(kept(1)),
        lambda: records.write_journal({}),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert documents(raft) == []


def test_overtaken_between_making_and_listing(raft: Raft, state: ClusterState) -> None:
    """What the overtaken one made is never listed, and goes with the next release."""
    other = ClusterState(raft.gateway("n2"), "t")
    with cluster_lease(state, "release 1"):
        mine = ClusterRecords(state)
        mine.write_deployed({"n": 1}, {})
        create = state.gateway.create_config

        def create_then_lose(*arguments: object) -> None:
            create(*arguments)  # type: ignore[arg-type]
            other.change(lambda labels: {key: value for key, value in labels.items() if not key.endswith("lease")})

        state.gateway.create_config = create_then_lose  # type: ignore[method-assign]
        with pytest.raises(LeaseLost):
            mine.write_deployed({"n": 2}, {})
    assert documents(raft) == ["slipway-t-deployed"] * 2
    with cluster_lease(other, "release 2"):
        theirs = ClusterRecords(other)
        assert theirs.model() == {"n": 1}
        theirs.keep_release(kept(2))
    assert documents(raft) == ["slipway-t-deployed", "slipway-t-release-2"]


def test_what_a_later_holder_is_about_to_list_stays(raft: Raft, mine: ClusterRecords) -> None:
    raft.gateway("n2").create_config("theirs-x", {RECORD_LABEL: "t", "ops.slipway.fencing": "2"}, b"")
    mine.keep_release(kept(1))
    assert documents(raft) == ["slipway-t-release-1", "theirs"]


def test_a_reader_meets_a_writer(raft: Raft, mine: ClusterRecords, monkeypatch: pytest.MonkeyPatch) -> None:
    mine.write_deployed({"n": 1}, {})
    reader = ClusterRecords(ClusterState(raft.gateway("n2"), "t"))
    state = reader._state
    read = state.read
    calls: list[int] = []

    def read_then_write() -> dict[str, str]:
        found = read()
        calls.append(1)
        if len(calls) == 1:
            mine.write_deployed({"n": 2}, {})
        return found

    monkeypatch.setattr(state, "read", read_then_write)
    assert reader.model() == {"n": 2}


def test_a_document_that_somebody_removed_is_named(raft: Raft, mine: ClusterRecords) -> None:
    mine.write_deployed({"n": 1}, {})
    for name in [name for name in raft.configs if "deployed" in name]:
        del raft.configs[name]
    with pytest.raises(EngineError, match=r"config slipway-t-deployed-\w+: is listed as deployed .* somebody removed"):
        mine.model()

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup of a manager's state, and the way back."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._swarm import archive, keep
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.keep import STOP, Keeper, Keeping
from ansible_collections.slipway.ops.plugins.module_utils._swarm.raft import Position

from tests.unit.plugins.module_utils._swarm.fake_swarm import FakeGateway


class FakeDockerd:
    def __init__(self) -> None:
        self.calls: list[str] = []

    @contextmanager
    def paused(self) -> Iterator[None]:
        self.calls.append("pause")
        yield
        self.calls.append("go on")

    def stop(self) -> None:
        self.calls.append("stop")

    def start(self) -> None:
        self.calls.append("start")


@pytest.fixture
def gateway(tmp_path: Path) -> FakeGateway:
    found = FakeGateway("a", "b", "c")
    found.root = str(tmp_path / "docker")
    logs = tmp_path / "docker/swarm/raft/wal-v3-encrypted"
    logs.mkdir(parents=True)
    with (logs / "0-0.wal").open("wb") as stream:
        stream.write(b"log")
        stream.truncate(1 << 20)
    (logs / "0.tmp").write_bytes(b"reserved")
    key = tmp_path / "docker/swarm/certificates/swarm-node.key"
    key.parent.mkdir()
    key.write_text("-----BEGIN PRIVATE KEY-----")
    key.chmod(0o600)
    return found


def keeper(gateway: FakeGateway, tmp_path: Path, now: float = 0) -> tuple[Keeper, FakeDockerd]:
    dockerd = FakeDockerd()
    return Keeper(gateway, dockerd, str(tmp_path / "kept"), lambda: now), dockerd  # type: ignore[arg-type]


def test_an_archive_holds_the_state_and_says_so(gateway: FakeGateway, tmp_path: Path) -> None:
    work, dockerd = keeper(gateway, tmp_path)
    report = work.backup(Keeping())
    assert dockerd.calls == ["pause", "go on"]
    path = tmp_path / "kept/raft-19700101T000000Z.tar.gz"
    assert (report["path"], report["raft"]["index"], report["counts"]["services"]) == (str(path), 41, 0)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_size < 5000, "what is only reserved takes no room"
    with tarfile.open(path) as packed:
        files = sorted(member.name for member in packed if member.isfile())
    assert files == [
        "manifest.json",
        "swarm/certificates/swarm-node.key",
        "swarm/raft/wal-v3-encrypted/0-0.wal",
    ]
    assert archive.verify(str(tmp_path / "kept" / archive.LATEST))["node_id"] == "id-a"
    assert sorted(os.listdir(tmp_path / "kept")) == ["latest.tar.gz", path.name]


def test_only_the_newest_are_kept(gateway: FakeGateway, tmp_path: Path) -> None:
    for day in range(4):
        report = keeper(gateway, tmp_path, day * 86400)[0].backup(Keeping(keep=2))
    assert report["removed"] == ["raft-19700102T000000Z.tar.gz"]
    assert [os.path.basename(path) for path in archive.kept(str(tmp_path / "kept"))] == [
        "raft-19700103T000000Z.tar.gz",
        "raft-19700104T000000Z.tar.gz",
    ]


def test_dockerd_is_stopped_only_on_a_drained_node_that_the_quorum_can_spare(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    work, dockerd = keeper(gateway, tmp_path)
    with pytest.raises(SwarmError, match="drain it first"):
        work.backup(Keeping(method=STOP))
    gateway.found["id-a"]["Spec"]["Availability"] = "drain"
    work.backup(Keeping(method=STOP))
    assert dockerd.calls == ["stop", "start"]
    gateway.found["id-c"]["ManagerStatus"]["Reachability"] = "unreachable"
    with pytest.raises(SwarmError, match="1 of 3 managers would be reachable and 2 are needed"):
        work.backup(Keeping(method=STOP))
    assert dockerd.calls == ["stop", "start"]


def test_a_worker_has_nothing_to_back_up(gateway: FakeGateway, tmp_path: Path) -> None:
    del gateway.found["id-a"]["ManagerStatus"]
    with pytest.raises(SwarmError, match="is no manager"):
        keeper(gateway, tmp_path)[0].backup(Keeping())


def test_a_restore_puts_the_state_in_place_and_keeps_what_was_there(gateway: FakeGateway, tmp_path: Path) -> None:
    path = keeper(gateway, tmp_path)[0].backup(Keeping())["path"]
    (tmp_path / "docker/swarm/later").write_text("x")
    gateway.error = "no leader"
    work, dockerd = keeper(gateway, tmp_path, 60)
    report: dict[str, Any] = work.restore(path, 5)
    assert dockerd.calls == ["stop", "start"]
    assert gateway.calls == ["force", "update the Swarm"]
    assert not (tmp_path / "docker/swarm/later").exists()
    assert (Path(report["before"]) / "later").exists()
    key = tmp_path / "docker/swarm/certificates/swarm-node.key"
    assert key.stat().st_mode & 0o777 == 0o600


def test_nothing_is_touched_where_a_restore_would_be_wrong(gateway: FakeGateway, tmp_path: Path) -> None:
    path = Path(keeper(gateway, tmp_path)[0].backup(Keeping())["path"])
    work, dockerd = keeper(gateway, tmp_path)
    with pytest.raises(SwarmError, match="has its quorum"):
        work.restore(str(path), 5)
    gateway.error = "no leader"
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SwarmError, match=r"torn\.tar\.gz: "):
        work.restore(str(torn), 5)
    assert dockerd.calls == []


def test_a_locked_swarm_is_not_forced(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.spec["EncryptionConfig"], gateway.key = {"AutoLockManagers": True}, "SWMKEY-1"
    path = keeper(gateway, tmp_path)[0].backup(Keeping())["path"]
    assert b"SWMKEY" not in Path(path).read_bytes()
    gateway.error = "no leader"
    with pytest.raises(SwarmError, match="Docker cannot force a new cluster"):
        keeper(gateway, tmp_path)[0].restore(path, 5)


def test_a_survivor_is_set_aside_whole(gateway: FakeGateway, tmp_path: Path) -> None:
    work, dockerd = keeper(gateway, tmp_path)
    with pytest.raises(SwarmError, match="has its quorum"):
        work.set_aside()
    gateway.error = "no leader"
    before = work.set_aside()
    assert (Path(before) / "certificates/swarm-node.key").exists()
    assert not (tmp_path / "docker/swarm").exists()
    assert dockerd.calls == ["stop", "start"]


def test_how_it_is_kept_is_read_from_the_host(tmp_path: Path) -> None:
    assert Keeping.load(str(tmp_path / "none.json")) == Keeping()
    path = tmp_path / "swarm.json"
    path.write_text('{"keep": 3, "method": "stop"}')
    assert Keeping.load(str(path)) == Keeping(3, STOP)


def test_a_manager_that_lags_behind_is_waited_for(
    gateway: FakeGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its copy would lack what the leader counted, and the archive would say otherwise."""
    gateway.found["id-b"]["Version"]["Index"] = 41
    positions = iter([40, 41, 42, 42])
    monkeypatch.setattr(gateway, "raft_position", lambda root: Position(2, 42, next(positions)))
    assert keeper(gateway, tmp_path)[0].backup(Keeping())["raft"]["committed"] == 42
    monkeypatch.setattr(keep, "CATCH_UP_SECONDS", 0)
    monkeypatch.setattr(gateway, "raft_position", lambda root: Position(2, 42, 41))
    work, dockerd = keeper(gateway, tmp_path)
    with pytest.raises(SwarmError, match="raft stands at 41 and the Swarm's beyond 41"):
        work.backup(Keeping())
    assert dockerd.calls == []


def test_a_write_that_changes_nothing_is_tried_again(gateway: FakeGateway, tmp_path: Path) -> None:
    gateway.overtaken = 2
    keeper(gateway, tmp_path)[0].backup(Keeping())
    assert (gateway.overtaken, gateway.calls) == (0, [])

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A manager's state kept: the backup, and the way back from it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._swarm import archive
from ansible_collections.slipway.ops.plugins.module_utils._swarm.engine import Dockerd
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.member import Membership
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import (
    observe_cluster,
    observe_local,
    read_cluster,
)
from ansible_collections.slipway.ops.plugins.module_utils._swarm.recovery import LOCKED_REASON
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import (
    DRAIN,
    Cluster,
    Local,
    quorum,
)

CONFIGURATION = "/etc/slipway/swarm.json"
PAUSE, STOP = "pause", "stop"
METHODS = (PAUSE, STOP)
CATCH_UP_SECONDS = 30
ATTEMPTS = 10
POLL_SECONDS = 0.2
COUNTED = ("services", "configs", "secrets")


@dataclass(frozen=True)
class Keeping:
    keep: int = 14
    method: str = PAUSE

    @classmethod
    def load(cls, path: str = CONFIGURATION) -> Keeping:
        raw = files.read_json(path)
        return cls(**raw) if isinstance(raw, Mapping) else cls()


class Keeper:
    def __init__(
        self,
        gateway: SwarmGateway,
        dockerd: Dockerd,
        directory: str = archive.DIRECTORY,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._gateway = gateway
        self._dockerd = dockerd
        self._directory = directory
        self._now = now

    def backup(self, keeping: Keeping) -> dict[str, Any]:
        """Make an archive of this manager's state; returns what is in it and how long dockerd was away."""
        local, root = observe_local(self._gateway)
        if not local.state:
            raise SwarmError(local.error)
        if not local.manager:
            raise SwarmError(f"{local.hostname} is no manager, so it has no state of a Swarm to back up; do it on one")
        try:
            cluster = read_cluster(self._gateway)
            manifest = self._manifest(local, cluster)
            key = self._gateway.unlock_key() if cluster.settings.autolock else ""
        except ApiError as error:
            raise translate("the Swarm is not backed up", error) from error
        if keeping.method == STOP:
            self._may_stop(local, cluster)
        self._push(local.node_id)
        self._wait_for_raft(root, manifest["written"])
        stamp = self._stamp()
        with archive.workshop(self._directory) as workshop:
            state = os.path.join(workshop, "swarm")
            away = self._copy(keeping.method, f"{root}/swarm", state, key)
            position = self._gateway.raft_position(workshop)
            if position.committed <= manifest["written"]:
                raise SwarmError(f"{root}/swarm lacks what was written last; see journalctl -u docker")
            told = {**manifest, "created": stamp, "method": keeping.method, "raft": asdict(position)}
            path = archive.pack(state, told, stamp, self._directory)
        removed = archive.rotate(keeping.keep, self._directory)
        return {
            **told,
            "path": path,
            "bytes": os.path.getsize(path),
            "away_seconds": round(away, 3),
            "kept": len(archive.kept(self._directory)),
            "removed": [os.path.basename(each) for each in removed],
        }

    def restore(self, path: str, number: int, address: str = "") -> dict[str, Any]:
        """Make this host the only manager of the Swarm that the archive holds. Raises before anything is touched."""
        manifest = archive.verify(path)
        local, root = observe_local(self._gateway)
        if not local.state:
            raise SwarmError(local.error)
        if observe_cluster(self._gateway, local) is not None:
            raise SwarmError("this host is a manager of a Swarm that has its quorum; it is not replaced by a backup")
        if manifest.get("autolock"):
            raise SwarmError(f"{path}: {LOCKED_REASON}; take an archive from before the managers were locked")
        self._dockerd.stop()
        try:
            before = self._rename(root)
            archive.unpack(path, root)
        finally:
            self._dockerd.start()
        self._recover(number, address)
        return {"manifest": manifest, "found": self._counts(), "before": before}

    def set_aside(self) -> str:
        """Take this host out of its Swarm without asking or telling anyone, and keep its state beside."""
        local, root = observe_local(self._gateway)
        if observe_cluster(self._gateway, local) is not None:
            raise SwarmError("this host is a manager of a Swarm that has its quorum; let it leave by role swarm")
        if not local.member:
            return ""
        self._dockerd.stop()
        try:
            return self._rename(root)
        finally:
            self._dockerd.start()

    def _rename(self, root: str) -> str:
        if not os.path.isdir(f"{root}/swarm"):
            return ""
        before = f"{root}/swarm.before-{self._stamp()}"
        os.rename(f"{root}/swarm", before)
        return before

    def _stamp(self) -> str:
        return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now()))

    def recover(self, number: int, address: str = "") -> dict[str, Any]:
        """Make this manager, which lost its fellows, the only one."""
        self._recover(number, address)
        return {"found": self._counts()}

    def _recover(self, number: int, address: str) -> None:
        local, _root = observe_local(self._gateway)
        if local.locked_key:
            raise SwarmError(LOCKED_REASON)
        Membership(self._gateway, local).recovered(number, address)

    def _copy(self, method: str, source: str, target: str, key: str) -> float:
        begun = time.monotonic()
        if method == PAUSE:
            with self._dockerd.paused():
                archive.copy_state(source, target)
            return time.monotonic() - begun
        self._dockerd.stop()
        try:
            archive.copy_state(source, target)
        finally:
            self._dockerd.start()
            if key:
                self._gateway.unlock(key)
        return time.monotonic() - begun

    def _push(self, node: str) -> None:
        """Write something that changes nothing. What is committed reaches the disk only with the entry behind it."""
        for attempt in range(ATTEMPTS):
            found = self._gateway.node(node)
            try:
                self._gateway.update_node(node, int(found["Version"]["Index"]), found["Spec"])
                return
            except ApiError as error:
                if "out of sequence" not in str(error) or attempt == ATTEMPTS - 1:
                    raise translate("the Swarm is not backed up", error) from error

    def _wait_for_raft(self, root: str, written: int) -> None:
        """Until this manager's disk knows as committed what the leader answered: a new cluster forgets all the rest."""
        give_up_at = time.monotonic() + CATCH_UP_SECONDS
        while (found := self._gateway.raft_position(root).committed) <= written:
            if time.monotonic() >= give_up_at:
                raise SwarmError(
                    f"this manager's raft stands at {found} and the Swarm's beyond {written}: it lags behind, or"
                    f" {root}/swarm cannot be read; see journalctl -u docker"
                )
            time.sleep(POLL_SECONDS)

    def _written(self) -> int:
        """The raft's index before the youngest object was written."""
        found = [self._gateway.swarm(), *self._gateway.nodes(), *self._gateway.services()]
        for kind in COUNTED[1:]:
            found += self._gateway.objects(kind)
        return max(int((each.get("Version") or {}).get("Index", 0)) for each in found)

    def _may_stop(self, local: Local, cluster: Cluster) -> None:
        managers = cluster.managers
        left, needed = sum(node.reachable for node in managers if node.id != local.node_id), quorum(len(managers))
        if left < needed:
            raise SwarmError(
                f"without this one {left} of {len(managers)} managers would be reachable and {needed} are needed;"
                " use the method pause, or bring the others back first"
            )
        node = cluster.node(local.node_id)
        if node is None or node.availability != DRAIN:
            raise SwarmError("stopping dockerd stops this node's tasks; drain it first, or use the method pause")

    def _manifest(self, local: Local, cluster: Cluster) -> dict[str, Any]:
        return {
            "cluster_id": cluster.id,
            "node_id": local.node_id,
            "hostname": local.hostname,
            "address": local.address,
            "autolock": cluster.settings.autolock,
            "unlock_key_sha256": cluster.unlock_key_sha256,
            "nodes": [node.hostname for node in cluster.nodes],
            "counts": self._counts(),
            "written": self._written(),
        }

    def _counts(self) -> dict[str, int]:
        found: dict[str, int] = {"services": len(self._gateway.services())}
        return {**found, **{kind: len(self._gateway.objects(kind)) for kind in COUNTED[1:]}}


def newest(directory: str = archive.DIRECTORY) -> Optional[str]:
    found = archive.kept(directory)
    return found[-1] if found else None

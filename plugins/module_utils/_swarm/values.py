# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Swarm as frozen values: what this host is in it, its nodes and its settings; and what is wished of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

MANAGER, WORKER = "manager", "worker"
ROLES = (MANAGER, WORKER)
ACTIVE, PAUSE, DRAIN = "active", "pause", "drain"
AVAILABILITIES = (ACTIVE, PAUSE, DRAIN)
PRESENT, ABSENT = "present", "absent"
# What dockerd says of its own part in a Swarm.
INACTIVE, PENDING, LOCKED, ERROR = "inactive", "pending", "locked", "error"
READY, DOWN = "ready", "down"
REACHABLE = "reachable"
PORT = 2377
NANOSECONDS = 10**9
DAY_SECONDS = 86400
# Set on the whole Swarm by a quorum recovery: its number tells the recovered Swarm from what is left of the old one.
RECOVERY_LABEL = "ops.slipway.recovery"


def quorum(managers: int) -> int:
    """How many managers must be reachable of so many."""
    return managers // 2 + 1


@dataclass(frozen=True)
class Settings:
    """What holds for the whole Swarm and can be changed at any time."""

    task_history: int = 5
    snapshot_interval: int = 10000
    old_snapshots: int = 0
    log_entries_for_slow_followers: int = 500
    heartbeat_seconds: int = 5
    certificate_days: int = 90
    autolock: bool = False

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> Settings:
        raft = spec.get("Raft") or {}
        return cls(
            task_history=int((spec.get("Orchestration") or {}).get("TaskHistoryRetentionLimit", 5)),
            snapshot_interval=int(raft.get("SnapshotInterval", 10000)),
            old_snapshots=int(raft.get("KeepOldSnapshots") or 0),
            log_entries_for_slow_followers=int(raft.get("LogEntriesForSlowFollowers", 500)),
            heartbeat_seconds=int((spec.get("Dispatcher") or {}).get("HeartbeatPeriod", 0)) // NANOSECONDS,
            certificate_days=int((spec.get("CAConfig") or {}).get("NodeCertExpiry", 0)) // NANOSECONDS // DAY_SECONDS,
            autolock=bool((spec.get("EncryptionConfig") or {}).get("AutoLockManagers")),
        )

    def into_spec(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """The spec with these settings; what they do not know stays."""
        raft = {
            "SnapshotInterval": self.snapshot_interval,
            "KeepOldSnapshots": self.old_snapshots,
            "LogEntriesForSlowFollowers": self.log_entries_for_slow_followers,
        }
        changed: dict[str, dict[str, Any]] = {
            "Orchestration": {"TaskHistoryRetentionLimit": self.task_history},
            "Raft": raft,
            "Dispatcher": {"HeartbeatPeriod": self.heartbeat_seconds * NANOSECONDS},
            "CAConfig": {"NodeCertExpiry": self.certificate_days * DAY_SECONDS * NANOSECONDS},
            "EncryptionConfig": {"AutoLockManagers": self.autolock},
        }
        return {**spec, **{key: {**(spec.get(key) or {}), **value} for key, value in changed.items()}}

    def differences(self, wanted: Settings) -> list[str]:
        before, after = asdict(self), asdict(wanted)
        return [f"{key} {before[key]} -> {after[key]}" for key in before if before[key] != after[key]]


@dataclass(frozen=True)
class Node:
    """A node as the managers know it."""

    id: str
    hostname: str
    role: str
    availability: str = ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    state: str = READY
    address: str = ""
    # Only a member of the raft has these; a manager that was cut off has none.
    reachability: str = ""
    manager_address: str = ""
    leader: bool = False

    @property
    def in_raft(self) -> bool:
        return bool(self.reachability)

    @property
    def reachable(self) -> bool:
        return self.reachability == REACHABLE

    @classmethod
    def of_api(cls, raw: Mapping[str, Any]) -> Node:
        spec, status = raw.get("Spec") or {}, raw.get("Status") or {}
        manager = raw.get("ManagerStatus") or {}
        return cls(
            id=str(raw["ID"]),
            hostname=str((raw.get("Description") or {}).get("Hostname", "")),
            role=str(spec.get("Role", WORKER)),
            availability=str(spec.get("Availability", ACTIVE)),
            labels=dict(spec.get("Labels") or {}),
            state=str(status.get("State", "")),
            address=str(status.get("Addr", "")),
            reachability=str(manager.get("Reachability", "")),
            manager_address=str(manager.get("Addr", "")),
            leader=bool(manager.get("Leader")),
        )


@dataclass(frozen=True)
class Cluster:
    """The Swarm as an answering manager tells it."""

    id: str
    settings: Settings
    nodes: tuple[Node, ...]
    recovery: int = 0
    # The digest of the key that unlocks managers, where there is one.
    unlock_key_sha256: str = ""
    # How many services run; None where that was not asked.
    services: Optional[int] = None

    @property
    def managers(self) -> list[Node]:
        return [node for node in self.nodes if node.in_raft]

    def node(self, identifier: str) -> Optional[Node]:
        return next((node for node in self.nodes if node.id == identifier), None)

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_plain(cls, raw: Mapping[str, Any]) -> Cluster:
        nodes = tuple(Node(**node) for node in raw["nodes"])
        return cls(**{**raw, "settings": Settings(**raw["settings"]), "nodes": nodes})


@dataclass(frozen=True)
class Local:
    """What dockerd on this host says of itself, and what it was told when it came to the Swarm."""

    hostname: str
    state: str = INACTIVE
    node_id: str = ""
    address: str = ""
    manager: bool = False
    error: str = ""
    cluster_id: str = ""
    listen_address: str = ""
    data_path_address: str = ""
    data_path_port: int = 0
    address_pools: tuple[str, ...] = ()
    subnet_size: int = 0
    live_restore: bool = False
    # Whether this manager's key lies locked on its disk.
    locked_key: bool = False
    # The address by which this host would come to a Swarm when none is given.
    default_address: str = ""
    # Whether the kernel can encrypt an overlay network; None where that was not asked or cannot be told.
    encrypts: Optional[bool] = None

    @property
    def member(self) -> bool:
        return self.state not in ("", INACTIVE)

    def plain(self) -> dict[str, Any]:
        return {**asdict(self), "address_pools": list(self.address_pools)}

    @classmethod
    def of_plain(cls, raw: Mapping[str, Any]) -> Local:
        known = {key: value for key, value in raw.items() if key in cls.__dataclass_fields__}
        return cls(**{**known, "address_pools": tuple(raw.get("address_pools") or ())})


@dataclass(frozen=True)
class Wish:
    """What one host is to be."""

    state: str = PRESENT
    role: str = WORKER
    availability: str = ACTIVE
    labels: Mapping[str, str] = field(default_factory=dict)
    advertise_address: str = ""
    listen_address: str = ""
    data_path_address: str = ""
    data_path_port: int = 0
    address_pools: tuple[str, ...] = ()
    subnet_size: int = 0
    rejoin: bool = False
    encrypted_networks: bool = True

    @classmethod
    def of_plain(cls, raw: Mapping[str, Any]) -> Wish:
        labels = {str(key): str(value) for key, value in (raw.get("labels") or {}).items()}
        return cls(**{**raw, "labels": labels, "address_pools": tuple(raw.get("address_pools") or ())})


def shown(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"


def with_port(address: str) -> str:
    """An address with the port of managers."""
    if address.count(":") > 1 and not address.startswith("["):
        return f"[{address}]:{PORT}"
    return address if address.count(":") == 1 or address.endswith(f"]:{PORT}") else f"{address}:{PORT}"

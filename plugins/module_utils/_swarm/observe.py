# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host is in a Swarm, and, on a manager that is answered, the Swarm itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Optional

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmGateway
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import (
    INACTIVE,
    RECOVERY_LABEL,
    Cluster,
    Local,
    Node,
    Settings,
)

DOCKER_ROOT = "/var/lib/docker"


def observe_local(gateway: SwarmGateway, encryption: bool = False) -> tuple[Local, str]:
    """This host's part, and where dockerd keeps its state. Without dockerd its state is empty."""
    encrypts = gateway.encrypts() if encryption else None
    address = gateway.default_address()
    try:
        information = gateway.information()
    except ApiError as error:
        return Local(gateway.hostname(), "", error=str(error), default_address=address, encrypts=encrypts), DOCKER_ROOT
    root = str(information.get("DockerRootDir") or DOCKER_ROOT)
    swarm = information.get("Swarm") or {}
    state = str(swarm.get("LocalNodeState") or INACTIVE)
    cluster = swarm.get("Cluster") or {}
    local = Local(
        hostname=str(information.get("Name", "")),
        state=state,
        node_id=str(swarm.get("NodeID", "")),
        address=str(swarm.get("NodeAddr", "")),
        manager=bool(swarm.get("ControlAvailable")),
        error=" ".join(str(swarm.get("Error") or "").split()),
        cluster_id=str(cluster.get("ID", "")),
        live_restore=bool(information.get("LiveRestoreEnabled")),
        default_address=address,
        encrypts=encrypts,
    )
    if not local.member:
        return local, root
    told = gateway.told(root)
    return replace(
        local,
        listen_address=str(told.get("ListenAddr", "")),
        data_path_address=str(told.get("DataPathAddr", "")),
        data_path_port=int(cluster.get("DataPathPort") or told.get("DataPathPort") or 0),
        address_pools=tuple(cluster.get("DefaultAddrPool") or ()),
        subnet_size=int(cluster.get("SubnetSize") or 0),
        locked_key=gateway.has_locked_key(root),
    ), root


def observe_cluster(gateway: SwarmGateway, local: Local, count_services: bool = False) -> Optional[Cluster]:
    """The Swarm; None where this host is no manager, or where the managers have no quorum."""
    if not local.manager or local.error:
        return None
    try:
        return read_cluster(gateway, count_services)
    except ApiError:
        return None


def read_cluster(gateway: SwarmGateway, count_services: bool = False) -> Cluster:
    swarm = gateway.swarm()
    spec = swarm.get("Spec") or {}
    settings = Settings.of_spec(spec)
    recovery = str((spec.get("Labels") or {}).get(RECOVERY_LABEL, "0"))
    return Cluster(
        id=str(swarm["ID"]),
        settings=settings,
        nodes=tuple(sorted((Node.of_api(raw) for raw in gateway.nodes()), key=lambda node: (node.hostname, node.id))),
        recovery=int(recovery) if recovery.isdigit() else 0,
        unlock_key_sha256=digest(gateway.unlock_key()) if settings.autolock else "",
        services=len(gateway.services()) if count_services else None,
    )


def digest(key: str) -> str:
    """What may be known of a key: it has 256 random bits."""
    return hashlib.sha256(key.strip().encode("utf-8")).hexdigest()

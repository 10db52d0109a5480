# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""This host's own part: it makes a Swarm, joins one, is unlocked, or leaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Optional

from ansible_collections.slipway.ops.plugins.module_utils._docker.api import ApiError
from ansible_collections.slipway.ops.plugins.module_utils._swarm.gateway import SwarmError, SwarmGateway, translate
from ansible_collections.slipway.ops.plugins.module_utils._swarm.observe import (
    observe_cluster,
    observe_local,
    read_cluster,
)
from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import (
    ACTIVE,
    LOCKED,
    READY,
    RECOVERY_LABEL,
    Local,
    Settings,
    shown,
    with_port,
)

JOIN_SECONDS = 120
UNLOCK_SECONDS = 60
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Joining:
    """How a host comes to a Swarm."""

    advertise_address: str = ""
    listen_address: str = "0.0.0.0"  # noqa: S104 - dockerd's own default; the firewall closes it to others
    data_path_address: str = ""
    data_path_port: int = 4789
    address_pools: tuple[str, ...] = ()
    subnet_size: int = 24
    availability: str = ACTIVE
    addresses: tuple[str, ...] = ()
    token: str = ""
    settings: Settings = field(default_factory=Settings)


class Membership:
    """Does, or in check mode says, what makes this host a member or not."""

    def __init__(
        self,
        gateway: SwarmGateway,
        local: Local,
        check: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._gateway = gateway
        self._local = local
        self._check = check
        self._clock = clock
        self._sleep = sleep
        self.lines: list[str] = []

    @property
    def node_id(self) -> str:
        return self._local.node_id

    def present(self, joining: Joining) -> None:
        if not self._local.state and not self._check:
            raise SwarmError(self._local.error)
        if self._local.member:
            return
        address = joining.advertise_address or self._local.default_address
        if not address and not self._check:
            raise SwarmError("this host has no default route to find its address by; set advertise_address")
        common = {
            "ListenAddr": with_port(joining.listen_address),
            "AdvertiseAddr": address,
            "DataPathAddr": joining.data_path_address,
            "Availability": joining.availability,
        }
        if joining.token:
            self.lines.append(f"join a Swarm by {shown(joining.addresses)}")
            body: dict[str, Any] = {**common, "RemoteAddrs": list(joining.addresses), "JoinToken": joining.token}
            act: Callable[[], Any] = partial(self._gateway.join, body)
        else:
            self.lines.append(f"make a Swarm at {address}")
            new = {
                "DataPathPort": joining.data_path_port,
                "DefaultAddrPool": list(joining.address_pools),
                "SubnetSize": joining.subnet_size,
                "Spec": joining.settings.into_spec({}),
            }
            act = partial(self._gateway.init, {**common, **new})
        if self._check:
            return
        try:
            act()
        except ApiError as error:
            # The attempt goes on in the background when it takes dockerd longer than it waits.
            if "in the background" not in str(error):
                raise translate(self.lines[-1], error) from error
        self._wait_until_active(JOIN_SECONDS)

    def unlocked(self, key: str) -> None:
        if self._local.state != LOCKED:
            return
        self.lines.append("unlock this manager")
        if self._check:
            return
        try:
            self._gateway.unlock(key)
        except ApiError as error:
            raise SwarmError(f"this manager is not unlocked: {error}; the key may have been rotated since") from error
        self._wait_until_active(UNLOCK_SECONDS)

    def absent(self, force: bool) -> None:
        if not self._local.member:
            return
        if self._local.manager and not force:
            raise SwarmError("this host is a manager; demote it first, so that the others know that it goes")
        self.lines.append("leave the Swarm")
        if self._check:
            return
        try:
            self._gateway.leave(force)
        except ApiError as error:
            raise translate(self.lines[-1], error) from error
        self._look_until(lambda: not self._local.member, JOIN_SECONDS, "has not left the Swarm")

    def recovered(self, number: int, advertise_address: str = "", listen_address: str = "") -> None:
        """Make this manager the only one, of a Swarm with all that its raft knows. Its own tasks start anew."""
        before = self._gateway.information().get("Swarm") or {}
        if observe_cluster(self._gateway, self._local) is not None:
            raise SwarmError("the managers have their quorum; there is nothing to recover")
        if not self._local.member:
            raise SwarmError("this host is in no Swarm; recover on one that was a manager, or from a backup")
        if not self._check:
            self._look_until(lambda: self._local.manager, UNLOCK_SECONDS, "does not come up as a manager")
        self.lines.append(f"force a new Swarm from the raft of node {before.get('NodeID')}")
        if self._check:
            return
        address = advertise_address or self._local.address or self._local.default_address
        listen = with_port(listen_address) if listen_address else self._local.listen_address or with_port("0.0.0.0")  # noqa: S104
        try:
            self._gateway.init({"ForceNewCluster": True, "AdvertiseAddr": address, "ListenAddr": listen, "Spec": {}})
        except ApiError as error:
            raise translate(self.lines[-1], error) from error
        self._wait_until_active(JOIN_SECONDS)
        self._mark(number)
        self._look_until(self._is_ready, JOIN_SECONDS, "does not take tasks")

    def _mark(self, number: int) -> None:
        swarm = self._gateway.swarm()
        spec = {**swarm["Spec"], "Labels": {**(swarm["Spec"].get("Labels") or {}), RECOVERY_LABEL: str(number)}}
        self._gateway.update(int(swarm["Version"]["Index"]), spec)

    def _is_ready(self) -> bool:
        node: Optional[Any] = read_cluster(self._gateway).node(self._local.node_id)
        return node is not None and node.state == READY

    def _wait_until_active(self, seconds: float) -> None:
        def active() -> bool:
            if self._local.state != ACTIVE or not self._local.node_id:
                return False
            if not self._local.manager:
                return not self._local.error
            read_cluster(self._gateway)
            return True

        self._look_until(active, seconds, "is no working member of the Swarm")

    def _look_until(self, ready: Callable[[], bool], seconds: float, message: str) -> None:
        give_up_at = self._clock() + seconds
        while True:
            self._local, _root = observe_local(self._gateway)
            try:
                if ready():
                    return
                reason = self._local.error
            except ApiError as error:
                reason = str(error)
            if self._clock() >= give_up_at:
                raise SwarmError(f"this host {message} within {seconds:g} s ({reason or self._local.state})")
            self._sleep(POLL_SECONDS)

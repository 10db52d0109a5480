# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""nginx between the old and the new containers of one release: what it sends to either, and what it got from them."""

from __future__ import annotations

import copy
from collections.abc import Iterable

from ansible_collections.slipway.ops.plugins.module_utils._proxy import upstreams
from ansible_collections.slipway.ops.plugins.module_utils._proxy.gateway import Proxy
from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Tally
from ansible_collections.slipway.ops.plugins.module_utils._release.engine import Progress
from ansible_collections.slipway.ops.plugins.module_utils._release.judge import Seen
from ansible_collections.slipway.ops.plugins.module_utils._release.observed import Container
from ansible_collections.slipway.ops.plugins.module_utils._release.plan import ROLL, Plan, is_late
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


class Division:
    def __init__(self, proxy: Proxy, stack: Stack, plan: Plan, progress: Progress) -> None:
        self._proxy = proxy
        self._stack = stack
        self._plan = plan
        self._progress = progress
        self._answers = proxy.follow()
        self._servers: dict[str, tuple[str, bool]] = {}  # address → service, and whether it is the next version
        self._seen: tuple[dict[str, Tally], dict[str, Tally]] = ({}, {})  # stable, following

    def apply(self, containers: Iterable[Container]) -> bool:
        """Have nginx divide requests as the share is now; True when it was reloaded."""
        containers = list(containers)
        new = self._new()
        for each in containers:
            if each.service in self._stack.services:
                for route in self._stack.services[each.service].routes:
                    address = upstreams.address(self._stack, each, each.service)
                    self._servers[f"{address}:{route['port']}"] = (each.service, each.id in new)
        return self._proxy.apply(self._files(containers, new))

    def seen(self) -> Seen:
        for answer in self._answers.read():
            service, is_next = self._servers.get(answer.server, ("", False))
            if service:
                self._seen[is_next].setdefault(service, Tally()).add(answer)
        stable, following = copy.deepcopy(self._seen)
        return Seen(following, stable)

    def draining(self) -> bool:
        return self._progress.reloaded and self._proxy.draining()

    def _new(self) -> set[str]:
        """The containers of the next version, those that were there already among them."""
        there = {each.id for entry in self._plan.services if entry.old for each in (*entry.keep, *entry.start)}
        leaving = {each.id for entry in self._plan.services for each in entry.old}
        return there | (set(self._progress.created) - leaving)

    def _files(self, containers: list[Container], new: set[str]) -> dict[str, str]:
        share = self._progress.share
        if share >= 1:
            # The old of services that are still to be replaced serve on.
            leaving = {
                each.id
                for entry in self._plan.services
                if not is_late(self._stack, self._plan, entry.service)
                for each in entry.old
            }
            return upstreams.wanted(self._stack, [each for each in containers if each.id not in leaving])
        rolling = {entry.service for entry in self._plan.services if entry.action == ROLL}
        old = [each for each in containers if not (each.service in rolling and each.id in new)]
        shares = {}
        for name in self._plan.canaries:
            canary = self._stack.services[name].canary
            shares[name] = upstreams.Share(share, str(self._plan.release), canary["cookie"], canary["header"])
        return upstreams.wanted(self._stack, old, [each for each in containers if each.id in new], shares)

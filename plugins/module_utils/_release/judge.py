# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the new replicas answer well enough to stay, by what the proxy saw of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer, Tally
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack


def verdict(stack: Stack, tallies: Mapping[str, Tally]) -> str:
    """Why the new version must not stay, in one line, from each service's answers; empty while all is well."""
    for service, tally in tallies.items():
        limits = stack.services[service].watch
        if tally.errors >= limits["minimum_errors"] and tally.errors / tally.answers > limits["error_ratio"]:
            return (
                f"services.{service}: {tally.errors} of {tally.answers} requests got an error of 500 or above from "
                f"the new version ({tally.errors / tally.answers:.0%}; "
                f"x-slipway.watch.error_ratio is {limits['error_ratio']:.0%})"
            )
        slowest, p95 = limits.get("p95_seconds"), tally.p95()
        if slowest is not None and p95 is not None and p95 > slowest:
            return (
                f"services.{service}: 95 of 100 requests to the new version take up to {p95:.2f} s "
                f"(x-slipway.watch.p95 is {slowest:g} s)"
            )
    return ""


class Judge:
    """Counts the answers of the servers given, service by service."""

    def __init__(self, stack: Stack, services: Mapping[str, str]) -> None:
        self._stack = stack
        self._services = dict(services)  # server address -> service
        self._tallies: dict[str, Tally] = {}

    def add(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            service = self._services.get(answer.server)
            if service is not None:
                self._tallies.setdefault(service, Tally()).add(answer)

    def verdict(self) -> str:
        """Why they must not stay, in one line; empty while all is well."""
        return verdict(self._stack, self._tallies)

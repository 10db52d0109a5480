# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the new replicas answer well enough to stay, by what the proxy saw of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._proxy.traffic import Answer
from ansible_collections.slipway.ops.plugins.module_utils._stack.model import Stack

SERVER_ERROR = 500
MINIMUM_TIMES = 20  # a percentile of fewer says nothing


@dataclass
class _Tally:
    answers: int = 0
    errors: int = 0
    times: list[float] = field(default_factory=list)


class Judge:
    """Counts the answers of the servers given, service by service."""

    def __init__(self, stack: Stack, services: Mapping[str, str]) -> None:
        self._stack = stack
        self._services = dict(services)  # server address -> service
        self._tallies: dict[str, _Tally] = {}

    def add(self, answers: Iterable[Answer]) -> None:
        for answer in answers:
            service = self._services.get(answer.server)
            if service is None:
                continue
            tally = self._tallies.setdefault(service, _Tally())
            tally.answers += 1
            tally.errors += answer.status >= SERVER_ERROR
            tally.times.append(answer.seconds)

    def verdict(self) -> str:
        """Why they must not stay, in one line; empty while all is well."""
        for service, tally in self._tallies.items():
            limits = self._stack.services[service].watch
            ratio = tally.errors / tally.answers
            if tally.errors >= limits["minimum_errors"] and ratio > limits["error_ratio"]:
                return (
                    f"services.{service}: {tally.errors} of {tally.answers} requests got an error of 500 or above from "
                    f"the new version ({ratio:.0%}; x-slipway.watch.error_ratio is {limits['error_ratio']:.0%})"
                )
            slowest = limits.get("p95_seconds")
            if slowest is not None and len(tally.times) >= MINIMUM_TIMES:
                p95 = sorted(tally.times)[-(-len(tally.times) * 95 // 100) - 1]
                if p95 > slowest:
                    return (
                        f"services.{service}: 95 of 100 requests to the new version take up to {p95:.2f} s "
                        f"(x-slipway.watch.p95 is {slowest:g} s)"
                    )
        return ""

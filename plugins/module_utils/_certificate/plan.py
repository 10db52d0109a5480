# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what is wanted with what is there: whether to order, to publish or only to reload. Runs nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._certificate.ledger import Attempt, refusal
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request
from ansible_collections.slipway.ops.plugins.module_utils._certificate.pair import PLACEHOLDER_DAYS, Pair

DAY = 24 * 3600
SHORT_LIFETIME = 10 * DAY

STATE_PLACEHOLDER = "placeholder"
STATE_ISSUED = "issued"

INSTALL = "install"
PLACEHOLDER = "placeholder"
ISSUE = "issue"
PUBLISH = "publish"
RELOAD = "reload"


@dataclass(frozen=True)
class Observation:
    """What one certificate is now: published pair, certbot's newest pair, what the wire shows."""

    current: Pair | None = None
    current_problem: str = ""
    lineage: Pair | None = None
    lineage_server: str = ""
    served_fingerprint: str | None = None


@dataclass(frozen=True)
class Step:
    """One thing to do, for one certificate (or for the tool, with an empty name)."""

    kind: str
    name: str
    reason: str
    domains: tuple[str, ...] = ()
    refused: str = ""

    def line(self) -> str:
        words = {
            INSTALL: "install certbot",
            PLACEHOLDER: f"make a self-signed placeholder for {self.name}, valid {PLACEHOLDER_DAYS} day",
            ISSUE: f"order a certificate for {', '.join(self.domains)}",
            PUBLISH: f"publish the certificate {self.name} and reload nginx",
            RELOAD: f"reload nginx for {self.name}",
        }
        return f"{words[self.kind]}: {self.reason}"


def renewal_margin(lifetime: int) -> int:
    """Seconds before its end from which a certificate is due: a third of its life, half of a short one."""
    return lifetime // 2 if lifetime < SHORT_LIFETIME else lifetime // 3


def due(pair: Pair, now: float) -> bool:
    return pair.remaining(now) <= renewal_margin(pair.lifetime)


def _remaining(pair: Pair, now: float) -> str:
    seconds = pair.remaining(now)
    if seconds <= 0:
        return "it has expired"
    hours = seconds // 3600
    return f"it ends in {hours // 24} days" if hours >= 48 else f"it ends in {hours} hours"


def shortcoming(request: Request, pair: Pair | None, problem: str, now: float) -> str:
    """Why this pair is not what the request wants; empty when it is."""
    if problem:
        return problem
    if pair is None:
        return "there is none"
    if not pair.key_matches:
        return "its key belongs to another certificate"
    if pair.placeholder:
        return "there is only the placeholder"
    if set(pair.domains) != set(request.domains):
        return f"it is for {', '.join(pair.domains) or 'no name'}"
    if due(pair, now):
        return _remaining(pair, now)
    return ""


def plan_placeholder(request: Request, seen: Observation, now: float) -> list[Step]:
    """A pair that nginx can start with. One that it can read is never replaced, however old it is."""
    if seen.current is not None and seen.current.key_matches:
        return []
    reason = seen.current_problem or (
        "its key belongs to another certificate" if seen.current else "there is no pair yet"
    )
    if not shortcoming(request, seen.lineage, "", now):
        return [Step(PUBLISH, request.name, f"{reason}, but certbot has one", request.domains)]
    return [Step(PLACEHOLDER, request.name, reason, request.domains)]


def plan_issued(
    request: Request, seen: Observation, directory_url: str, attempts: Sequence[Attempt], now: float
) -> list[Step]:
    """The steps from what is there to a valid certificate that is served."""
    current = shortcoming(request, seen.current, seen.current_problem, now)
    # A certificate whose certbot files are lost is kept until it is due: ordering it again on each loss is how names
    # get locked out. Without the files its authority is not known, and is taken as right.
    foreign = bool(seen.lineage_server) and seen.lineage_server != directory_url
    lineage = shortcoming(request, seen.lineage, "", now)
    if not lineage and not foreign and seen.lineage is not None:
        newer = seen.current is None or seen.lineage.fingerprint != seen.current.fingerprint
        if current or newer:
            reason = current or "certbot has a newer one"
            return [Step(PUBLISH, request.name, reason, request.domains)]
    if current or foreign:
        reason = current or f"it was issued through {seen.lineage_server}"
        refused = refusal(attempts, directory_url, request.domains, now) or ""
        return [
            Step(ISSUE, request.name, reason, request.domains, refused),
            Step(PUBLISH, request.name, "after the order", request.domains, refused),
        ]
    if seen.current is not None and seen.served_fingerprint != seen.current.fingerprint:
        found = "serves another certificate" if seen.served_fingerprint else "does not answer with a certificate"
        return [Step(RELOAD, request.name, f"port 443 {found}", request.domains)]
    return []


def plan(
    requests: Sequence[Request],
    observations: Sequence[Observation],
    state: str,
    directory_url: str,
    attempts: Sequence[Attempt],
    now: float,
    tool_problem: str = "",
) -> list[Step]:
    """All steps in order: the tool first, then each certificate."""
    steps: list[Step] = []
    for request, seen in zip(requests, observations):
        if state == STATE_PLACEHOLDER:
            steps.extend(plan_placeholder(request, seen, now))
        else:
            steps.extend(plan_issued(request, seen, directory_url, attempts, now))
    if state == STATE_ISSUED and tool_problem:
        steps.insert(0, Step(INSTALL, "", tool_problem))
    return steps

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe, plan and apply: the one way from a wish to a served certificate, for the module and for the timer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._certificate import plan as planning
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request


@dataclass
class Outcome:
    """What was planned, what went wrong, and what each certificate is now."""

    steps: list[planning.Step] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    certificates: list[dict[str, Any]] = field(default_factory=list)


def observe(gateway: Gateway, requests: Sequence[Request], wire: bool) -> list[planning.Observation]:
    return [gateway.observe(request, wire) for request in requests]


def describe(requests: Sequence[Request], observations: Sequence[planning.Observation]) -> list[dict[str, Any]]:
    """One record a certificate, without secrets."""
    records = []
    for request, seen in zip(requests, observations):
        record: dict[str, Any] = {"name": request.name, "wanted_domains": list(request.domains), "present": False}
        if seen.current is not None:
            served = None if seen.served_fingerprint is None else seen.served_fingerprint == seen.current.fingerprint
            record.update(seen.current.public(), present=True, served=served)
        records.append(record)
    return records


def decide(
    gateway: Gateway, requests: Sequence[Request], observations: Sequence[planning.Observation], state: str, now: float
) -> list[planning.Step]:
    return planning.plan(
        requests,
        observations,
        state,
        gateway.authority.directory_url,
        gateway.attempts(),
        now,
        gateway.tool_problem() if gateway.tool.requirements else "",
    )


def apply(gateway: Gateway, requests: Sequence[Request], steps: Sequence[planning.Step], wire: bool) -> list[str]:
    """Take the steps. One certificate that fails does not hold up the others; all errors come back."""
    errors: list[str] = []
    failed: set[str] = set()
    wanted = {request.name: request for request in requests}
    for step in steps:
        if step.name in failed:
            continue
        if step.refused:
            errors.append(f"{step.name}: refused to order: {step.refused}")
            failed.add(step.name)
            continue
        try:
            _take(gateway, wanted.get(step.name), step, wire)
        except CertificateError as error:
            errors.append(str(error))
            failed.add(step.name)
            if step.kind == planning.INSTALL:
                break
    return errors


def _take(gateway: Gateway, request: Request | None, step: planning.Step, wire: bool) -> None:
    if request is None:
        gateway.install_tool()
        return
    if step.kind == planning.PLACEHOLDER:
        gateway.make_placeholder(request)
    elif step.kind == planning.ISSUE:
        gateway.order(request)
    elif step.kind == planning.PUBLISH:
        gateway.publish(request.name)
    if wire and step.kind in (planning.PUBLISH, planning.RELOAD):
        serve(gateway, request)


def serve(gateway: Gateway, request: Request) -> None:
    """Reload, then look from outside of nginx at what it serves."""
    gateway.reload()
    pair, problem = gateway.read_pair(gateway.current_directory(request.name))
    if pair is None:
        raise CertificateError(f"{request.name}: {problem or 'the published pair has gone'}")
    gateway.prove(request, pair)


def converge(gateway: Gateway, requests: Sequence[Request], state: str, check: bool = False) -> Outcome:
    """The whole way; with `check`, only its first half."""
    wire = state == planning.STATE_ISSUED
    observations = observe(gateway, requests, wire)
    steps = decide(gateway, requests, observations, state, time.time())
    outcome = Outcome(steps=steps)
    if steps and not check:
        with gateway.lock():
            # Another job may have done it while this one waited.
            observations = observe(gateway, requests, wire)
            outcome.steps = decide(gateway, requests, observations, state, time.time())
            outcome.errors = apply(gateway, requests, outcome.steps, wire)
            observations = observe(gateway, requests, wire)
    elif check:
        outcome.errors = [
            f"{step.name}: refused to order: {step.refused}"
            for step in steps
            if step.kind == planning.ISSUE and step.refused
        ]
    outcome.certificates = describe(requests, observations)
    return outcome

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``slipway certificate``: what the timer and certbot's hook run, and what a person asks at night."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._certificate import certbot, plan
from ansible_collections.slipway.ops.plugins.module_utils._certificate.converge import (
    Outcome,
    converge,
    describe,
    observe,
    serve,
)
from ansible_collections.slipway.ops.plugins.module_utils._certificate.gateway import CertificateError, Gateway
from ansible_collections.slipway.ops.plugins.module_utils._certificate.names import Request, parse_requests
from ansible_collections.slipway.ops.plugins.module_utils._state import files as state_files

SETTINGS = "/etc/slipway/certificate.json"


def load(path: str = SETTINGS) -> tuple[Gateway, list[Request]]:
    """The role writes this file; it holds the same words as the module's options."""
    settings = state_files.read_json(path)
    if not isinstance(settings, dict):
        raise CertificateError(f"{path} is missing; run the role certificate")
    requests, problems = parse_requests(settings.get("certificates", []))
    if problems:
        raise CertificateError(f"{path}: " + "; ".join(f"certificates{problem}" for problem in problems))
    authority = certbot.Authority(
        directory_url=str(settings.get("directory_url") or certbot.LETS_ENCRYPT),
        email=str(settings.get("email") or ""),
        ca_file=str(settings.get("ca_file") or ""),
        profile=str(settings.get("profile") or ""),
    )
    return Gateway(authority, certbot.Tool()), requests


def renew(gateway: Gateway, requests: list[Request], force: bool = False) -> Outcome:
    """certbot first, because it asks the authority when; then whatever is still not as it should be."""
    # By name: a certificate that is not wanted any more is not renewed, so its names may leave the DNS.
    with gateway.lock():
        problems = [gateway.renew(request.name, force) for request in requests]
    outcome = converge(gateway, requests, plan.STATE_ISSUED)
    outcome.errors[:0] = [f"certbot could not renew {problem}" for problem in problems if problem]
    return outcome


def deployed(gateway: Gateway, requests: list[Request], lineage: str) -> Outcome:
    """Publish what certbot has just renewed. It takes no lock: certbot runs inside a job that holds it."""
    name = os.path.basename(lineage.rstrip("/"))
    chosen = [request for request in requests if not name or request.name == name]
    if name and not chosen:
        raise CertificateError(
            f"{SETTINGS} knows no certificate {name}; add it to certificate_names or delete it in certbot"
        )
    outcome = Outcome()
    for request in chosen:
        try:
            gateway.publish(request.name)
            serve(gateway, request)
        except CertificateError as error:
            outcome.errors.append(str(error))
    outcome.certificates = describe(chosen, observe(gateway, chosen, wire=True))
    return outcome


def _print(outcome: Outcome, as_json: bool) -> None:
    if as_json:
        value: dict[str, Any] = {
            "certificates": outcome.certificates,
            "steps": [step.line() for step in outcome.steps],
            "errors": outcome.errors,
        }
        sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")
        return
    for step in outcome.steps:
        sys.stdout.write(step.line() + "\n")
    for record in outcome.certificates:
        served = {True: "served", False: "NOT served", None: "nothing answers"}[record.get("served")]
        mark = ", placeholder" if record.get("placeholder") else ""
        text = f"serial {record['serial']}, {served}{mark}" if record["present"] else "missing"
        sys.stdout.write(f"{record['name']}: {text}\n")


def certificate(argv: list[str]) -> int:
    """The verb's entry point."""
    parser = argparse.ArgumentParser(prog="slipway certificate", description="Certificates of this host")
    parser.add_argument("action", choices=("status", "renew", "deployed"), nargs="?", default="status")
    parser.add_argument("--force", action="store_true", help="renew even what is not due (with renew)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    words = parser.parse_args(argv)
    gateway, requests = load()
    if words.action == "renew":
        outcome = renew(gateway, requests, words.force)
    elif words.action == "deployed":
        outcome = deployed(gateway, requests, os.environ.get("RENEWED_LINEAGE", ""))
    else:
        outcome = Outcome(certificates=describe(requests, observe(gateway, requests, wire=True)))
    _print(outcome, words.json)
    for error in outcome.errors:
        sys.stderr.write(f"slipway: certificate: {error}\n")
    return 1 if outcome.errors else 0

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway prune`: keep images and build cache within their budget. Volumes are never touched."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys

from ansible_collections.slipway.ops.plugins.module_utils._docker import prune as rules
from ansible_collections.slipway.ops.plugins.module_utils._docker import pruning
from ansible_collections.slipway.ops.plugins.module_utils._docker.gateway import EngineDisk
from ansible_collections.slipway.ops.plugins.module_utils._release.quiet import all_stacks
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places, ledgers

LEASE_WAIT_SECONDS = 600


def prune(argv: list[str]) -> int:
    """The verb. The status is 1 when what cannot be removed is more than the budget."""
    arguments = _arguments(argv)
    settings = pruning.load(arguments.config)
    places = Places()
    with contextlib.nullcontext() if arguments.dry_run else all_stacks("prune", places, LEASE_WAIT_SECONDS):
        report = pruning.run(
            EngineDisk.connect(), settings, ledgers(places), arguments.dry_run, arguments.grace_minutes
        )
    sys.stdout.write(json.dumps(report, sort_keys=True) + "\n" if arguments.json else rules.page(report))
    if not arguments.dry_run:
        pruning.publish(report, settings)
    if report["over_budget"]:
        sys.stderr.write(
            "slipway: prune: the rest is in use, needed to go back to, or has just come; raise docker_disk_budget_*, "
            "remove containers that are not needed, or lower docker_prune_keep_releases\n"
        )
        return 1
    return 0


def after_release(places: Places) -> None:
    """Keep within the budget once a release is done; a host at work on another stack is left to the timer."""
    if not os.path.exists(rules.CONFIG_FILE):
        return
    settings = pruning.load(rules.CONFIG_FILE)
    with all_stacks("prune after a release", places, 0):
        pruning.publish(
            pruning.run(EngineDisk.connect(), settings, ledgers(places), False, rules.GRACE_MINUTES), settings
        )


def idle_bytes(places: Places) -> int:
    """What a smaller budget could free at most."""
    settings = pruning.load(rules.CONFIG_FILE) if os.path.exists(rules.CONFIG_FILE) else rules.Settings()
    return pruning.idle_bytes(EngineDisk.connect(), settings, ledgers(places))


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="slipway prune",
        description="Keep Docker's images and build cache within their budget. Volumes are never touched, nor images "
        "of containers, of deployed stacks, and of the releases that one may go back to.",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed; remove nothing")
    parser.add_argument(
        "--grace-minutes",
        type=int,
        default=rules.GRACE_MINUTES,
        help="leave alone what came to the host within these minutes (default: %(default)s)",
    )
    parser.add_argument("--config", default=rules.CONFIG_FILE, help="default: %(default)s")
    return parser.parse_args(argv)

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway confirm`: what is armed on this host, keep it or put it back."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import (
    ARMED,
    CONFIRMED,
    REVERTED,
    Status,
    Store,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host


def confirm(argv: list[str]) -> int:
    """Without a name: list. With one: confirm it (or, with --revert, put it back now)."""
    parser = argparse.ArgumentParser(prog="slipway confirm", description="Confirm a change that would undo itself.")
    parser.add_argument("name", nargs="?", help="the change; left out, all that are armed or were put back are listed")
    parser.add_argument("--revert", action="store_true", help="put it back now instead")
    parser.add_argument("--json", action="store_true", help="answer as JSON")
    options = parser.parse_args(argv)
    store = Store(Host())
    if options.name is None:
        found = [store.status(name) for name in store.names()]
        _tell(found, options.json, "nothing is armed on this host")
        return 0
    if options.revert:
        status = store.revert(options.name, "an operator asked for it")
        wanted = REVERTED
    else:
        status = store.confirm(options.name)
        wanted = CONFIRMED
    _tell([status], options.json, "")
    return 0 if status.state == wanted else 1


def _tell(found: list[Status], as_json: bool, nothing: str) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(status) for status in found if status.state]) + "\n")
        return
    lines = [status.line for status in found if status.state in (ARMED, REVERTED, CONFIRMED) or not nothing]
    sys.stdout.write("\n".join(lines or [nothing]) + "\n")

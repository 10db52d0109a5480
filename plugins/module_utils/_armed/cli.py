# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway confirm`: what is armed on this host, keep it or put it back."""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict

from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import (
    ARMED,
    CONFIRMED,
    NOTHING,
    REVERTED,
    Status,
    Store,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host

BY_HAND = "Nobody has proven a new login: keep this session open and try one now."


def confirm(argv: list[str]) -> int:
    """Without a name: list. With one: confirm it (or, with --revert, put it back now)."""
    parser = argparse.ArgumentParser(prog="slipway confirm", description="Confirm a change that would undo itself.")
    parser.add_argument("name", nargs="?", help="the change; left out, all that are armed or were put back are listed")
    parser.add_argument("--revert", action="store_true", help="put it back now instead")
    parser.add_argument("--json", action="store_true", help="answer as JSON")
    options = parser.parse_args(argv)
    if options.revert and options.name is None:
        parser.error("--revert needs the name of the change; without options the names are listed")
    if os.geteuid() != 0:
        raise PermissionError("armed changes are root's; use sudo slipway confirm")
    store = Store(Host())
    if options.name is None:
        found = [status for status in map(store.status, store.names()) if status.state != NOTHING]
        _tell(found, options.json, "nothing is armed on this host")
        return 0
    if options.name not in store.names():
        _tell([Status(options.name, NOTHING)], options.json, _armed_now(store))
        return 1
    if options.revert:
        status, wanted = store.revert(options.name, "an operator asked for it"), REVERTED
    else:
        status, wanted = store.confirm(options.name), CONFIRMED
    _tell([status], options.json, BY_HAND if status.state == CONFIRMED else "")
    return 0 if status.state == wanted else 1


def _armed_now(store: Store) -> str:
    names = [name for name in store.names() if store.status(name).state == ARMED]
    return f"armed on this host: {', '.join(names) or 'nothing'}"


def _tell(found: list[Status], as_json: bool, hint: str) -> None:
    """One line each; the hint is for people, and all there is to say when nothing was found."""
    if as_json:
        sys.stdout.write(json.dumps([asdict(status) for status in found]) + "\n")
        return
    lines = [status.line for status in found]
    if hint and (not found or (len(found) == 1 and found[0].state in (CONFIRMED, NOTHING))):
        lines.append(hint)
    sys.stdout.write("".join(f"{line}\n" for line in lines))

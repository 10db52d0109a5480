# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway maintenance`: every host name of a stack answers 503 with Retry-After, at once and until told otherwise.

nginx looks for a file named like the host at each request, so nothing is reloaded and no release undoes it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import Places, Settings, recorded, stacks
from ansible_collections.slipway.ops.plugins.module_utils._stack.derived import host_names
from ansible_collections.slipway.ops.plugins.module_utils._state import files

DIRECTORY = "/etc/nginx/slipway/maintenance"
ON, OFF, STATUS = "on", "off", "status"


class MaintenanceError(Exception):
    """It cannot be switched; one line with the remedy."""


def switch(names: list[str], state: str, directory: str = DIRECTORY) -> list[str]:
    """Switch these host names and return those that changed."""
    if not os.path.isdir(directory):
        raise MaintenanceError(f"{directory}: is missing, so nginx would not look there; run the play with role proxy")
    changed = []
    for name in names:
        path = os.path.join(directory, name)
        if state == ON and not os.path.exists(path):
            files.write_whole(path, "", 0o644)
            changed.append(name)
        elif state == OFF and files.remove(path):
            changed.append(name)
    return changed


def maintained(names: list[str], directory: str = DIRECTORY) -> list[str]:
    """Those of the host names that are in maintenance now."""
    return [name for name in names if os.path.exists(os.path.join(directory, name))]


def maintenance(argv: list[str]) -> int:
    """Switch or show. Ends with 1 when that is not possible."""
    parser = argparse.ArgumentParser(
        prog="slipway maintenance", description="Answer 503 for every host name of a stack, until it is switched off."
    )
    parser.add_argument("state", choices=[ON, OFF, STATUS])
    parser.add_argument("stack", nargs="?", help="name of the stack; may be left out where there is only one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    wanted = parser.parse_args(argv)
    places = Places()
    there = stacks(places)
    stack = wanted.stack or (there[0] if len(there) == 1 else "")
    model = recorded(stack, Settings(places=places)).records.model() if stack in there else None
    if model is None:
        parser.error(f"name the stack, one of: {', '.join(there) or 'none is deployed on this host'}")
    names = host_names(model)
    try:
        changed = switch(names, wanted.state) if wanted.state != STATUS else []
    except (MaintenanceError, OSError) as error:
        sys.stderr.write(f"slipway maintenance: {error}\n")
        return 1
    now = maintained(names)
    if wanted.json:
        found = {"stack": stack, "changed": changed, "in_maintenance": now}
        sys.stdout.write(json.dumps(found, indent=2, sort_keys=True) + "\n")
    else:
        lines = [f"{name}: {'in maintenance' if name in now else 'open'}" for name in names]
        sys.stdout.write("\n".join(lines or [f"{stack}: has no routes"]) + "\n")
    return 0

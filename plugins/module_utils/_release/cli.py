# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person on the host does with a stack: look at it, see what a release would do, go back, run a command."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._release import once, plan_document
from ansible_collections.slipway.ops.plugins.module_utils._release.docker_gateway import DockerGateway
from ansible_collections.slipway.ops.plugins.module_utils._release.status import status as read_status
from ansible_collections.slipway.ops.plugins.module_utils._release.together import Board
from ansible_collections.slipway.ops.plugins.module_utils._release.wiring import (
    FAILURES,
    Places,
    Settings,
    deployed_again,
    one_command,
    rolling_back,
    run_requested,
    stacks,
)


def status(argv: list[str]) -> int:
    """Print the state of one or all stacks. Ends with 1 when a service is not as deployed."""
    parser = argparse.ArgumentParser(prog="slipway status", description="What of each stack runs on this host.")
    parser.add_argument("stack", nargs="*", help="names of stacks; all of them without one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    places = Places()
    found = [read_status(name, places) for name in arguments.stack or stacks(places)]
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=2, sort_keys=True) + "\n")
    else:
        for entry in found:
            sys.stdout.write("\n".join(_lines(entry)) + "\n")
    good = all(
        entry["deployed"] and not entry["unfinished"] and all(service["ok"] for service in entry["services"].values())
        for entry in found
    )
    return 0 if good else 1


def _lines(entry: dict[str, Any]) -> list[str]:
    if not entry["deployed"]:
        return [f"{entry['name']}: is not deployed on this host"]
    lines = [f"{entry['name']}: release {entry['release']} of {entry['released']}"]
    if entry["last_outcome"] not in ("succeeded", ""):
        lines.append(f"  the last release {entry['last_outcome']}: {entry['history'][-1].get('reason', '')}")
    for key, text in (
        ("unfinished", "unfinished in phase"),
        ("lease", "at work:"),
        ("pull", "pulls"),
        ("engine_problem", "engine:"),
    ):
        if entry[key]:
            lines.append(f"  {text} {entry[key]}")
    for name, service in entry["services"].items():
        word = "ok" if service["ok"] else "NOT OK"
        lines.append(f"  {name}: {word}, {service['ready']} of {service['replicas']} ready, {service['image']}")
        lines.extend(
            f"    {each['name']}{' on ' if each['node'] else ''}{each['node']}: {each['state']}, "
            f"health {each['health']}, restarts {each['restarts']}"
            f"{', stands for the way back' if each['standing'] else ''}"
            for each in service["containers"]
        )
    lines.extend(f"  {name}: runs once, on {host}" for name, host in entry["elsewhere"].items())
    return lines


def rollback(argv: list[str]) -> int:
    """Bring the last good release back, or the one asked for. Ends with 1 when that failed."""
    parser = argparse.ArgumentParser(prog="slipway rollback", description="Bring an earlier good release back.")
    parser.add_argument("stack", nargs="?", help="name of the stack; may be left out where there is only one")
    parser.add_argument("--to", type=int, metavar="RELEASE", help="its number; the last good one before this without")
    parser.add_argument("--plan", action="store_true", help="only show what would be done")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args(argv)
    names = stacks(Places())
    name = arguments.stack or (names[0] if len(names) == 1 else "")
    if not name:
        parser.error(f"name the stack, one of: {', '.join(names) or 'none is deployed on this host'}")
    settings = Settings(actor=os.environ.get("SUDO_USER") or "root")
    try:
        work, target = rolling_back(name, arguments.to, settings)
        outcome = work.present(arguments.plan)
    except FAILURES as error:
        sys.stderr.write(f"slipway rollback: {error}\n")
        return 1
    done = "would go" if arguments.plan else "went"
    if arguments.json:
        found = {
            "stack": name,
            "changed": outcome.changed,
            "from": target.current,
            "to": target.kept.release,
            "release": outcome.release,
            "plan": outcome.plan,
            "notes": list(target.notes),
        }
        sys.stdout.write(json.dumps(found, indent=2, sort_keys=True) + "\n")
        return 0
    head = f"{name}: {done} back from release {target.current} to {target.kept.release}, as release {outcome.release}"
    sys.stdout.write("\n".join([head, *(f"  {line}" for line in (*outcome.plan, *target.notes))]) + "\n")
    return 0


COLOURS = {
    plan_document.HEAD: "1",
    plan_document.ADD: "32",
    plan_document.CHANGE: "33",
    plan_document.DROP: "31",
    plan_document.SAME: "2",
    plan_document.NOTE: "36",
}


def plan(argv: list[str]) -> int:
    """Print what a release of the deployed version would do: nothing, where the host is as it was left."""
    parser = argparse.ArgumentParser(
        prog="slipway plan",
        description="What a release of the deployed version would do now; nothing, where the host is as it was left. "
        "What another version would do, playbooks/plan.yml tells.",
    )
    parser.add_argument("stack", help="name of the stack")
    parser.add_argument("--json", action="store_true", help="print the whole plan as JSON")
    arguments = parser.parse_args(argv)
    settings = Settings(actor=os.environ.get("SUDO_USER") or "root")
    try:
        document = deployed_again(arguments.stack, settings).document()
    except FAILURES as error:
        sys.stderr.write(f"slipway plan: {error}\n")
        return 1
    if arguments.json:
        sys.stdout.write(json.dumps(document, indent=2, sort_keys=True) + "\n")
        return 0
    for style, text in plan_document.lines(document):
        sys.stdout.write(f"\033[{COLOURS[style]}m{text}\033[0m\n" if sys.stdout.isatty() else f"{text}\n")
    return 0


def run(argv: list[str]) -> int:
    """Run a command in a container of its own; its output and its exit status are passed on."""
    words, command = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = argparse.ArgumentParser(
        prog="slipway run",
        usage="slipway run [--exclusive] STACK SERVICE -- COMMAND [ARGUMENT ...]",
        description="Run a command in a container of its own: the image that the service runs now, its environment, "
        "files, volumes and networks, but no port, route or healthcheck. Output and exit status are passed on; 125 "
        "is a failure of slipway itself. The container is removed at the end, also when this program is killed.",
    )
    parser.add_argument(
        "--exclusive", action="store_true", help="hold the stack's lease: no release or backup meanwhile"
    )
    parser.add_argument(
        "--wait", type=float, default=300, metavar="SECONDS", help="for the lease; default: %(default)s"
    )
    parser.add_argument("stack", help="name of the stack")
    parser.add_argument("service", help="name of the service")
    arguments = parser.parse_args(words)
    if not command:
        parser.error("the command is missing; write it after --")
    who = os.environ.get("SUDO_USER") or "root"
    settings = Settings(actor=who, lease_wait_seconds=arguments.wait)
    try:
        on, gateway, made = one_command(arguments.stack, arguments.service, command, os.getpid(), settings)
        owner = f"command in {arguments.service} of {arguments.stack} by {who}"
        with (
            on.take(owner) if arguments.exclusive else contextlib.nullcontext(),
            once.guarded(lambda: DockerGateway.connect().remove(made.name, made.name, volumes=True)),
        ):
            return once.run(gateway, made, *once.streams(), settings.limits.migration)
    except FAILURES as error:
        sys.stderr.write(f"slipway run: {error}\n")
        return once.OWN_FAILURE_STATUS


def release(argv: list[str]) -> int:
    """This host's part of a release over several hosts, started by the play as a unit of its own."""
    parser = argparse.ArgumentParser(
        prog="slipway release", description="One host's part of a release over several hosts. The play starts it."
    )
    parser.add_argument("stack", help="name of the stack")
    name = parser.parse_args(argv).stack
    try:
        return 0 if run_requested(name, Board(name)) else 1
    except FAILURES as error:
        sys.stderr.write(f"slipway release: {error}\n")
        return 1

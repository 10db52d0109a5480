# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The front door of the host program: find the verb, run it, turn what goes wrong into one line and an exit status."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from collections.abc import Sequence

from ansible_collections.slipway.ops.plugins.module_utils._cli.verbs import VERBS, Verb

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_REFUSED = 3
EXIT_BUSY = 4
EXIT_INTERRUPTED = 130

EXIT_STATUSES = (
    (EXIT_DONE, "done"),
    (EXIT_FAILED, "it was tried and it failed; the line on stderr says what, and what to do"),
    (EXIT_USAGE, "the command line is wrong"),
    (EXIT_REFUSED, "refused before anything was touched"),
    (EXIT_BUSY, "another job holds the stack's lease; try again when it has ended"),
    (EXIT_INTERRUPTED, "interrupted from the keyboard"),
)


def version() -> str:
    """The collection's version, written beside this file when the program is built."""
    try:
        data = pkgutil.get_data(__name__, "VERSION")
    except OSError:
        data = None
    return data.decode().strip() if data else "unreleased"


def available(verb: Verb) -> bool:
    """Whether the module of a verb is part of this build."""
    try:
        return importlib.util.find_spec(verb.module) is not None
    except ModuleNotFoundError:
        return False


def usage(verbs: Sequence[Verb]) -> str:
    """The help page: one line a verb, then what the exit statuses mean."""
    width = max((len(verb.name) for verb in verbs), default=0)
    lines = ["usage: slipway VERB [--json] ...", "       slipway VERB --help", "       slipway --version", "", "verbs:"]
    lines += [f"  {verb.name:<{width}}  {verb.summary}" for verb in verbs]
    lines += ["", "exit status:"]
    lines += [f"  {status:<{width}}  {meaning}" for status, meaning in EXIT_STATUSES]
    return "\n".join(lines) + "\n"


def complain(message: str) -> None:
    """Write one line on stderr, whatever the message holds."""
    sys.stderr.write("slipway: " + " ".join(message.split()) + "\n")


def run_verb(verb: Verb, arguments: list[str]) -> int:
    """Import the verb's function and run it."""
    try:
        function = getattr(importlib.import_module(verb.module), verb.function)
    except (ImportError, AttributeError) as error:
        complain(f"the verb '{verb.name}' cannot be loaded ({error}); install what it needs, or run the play again")
        return EXIT_FAILED
    try:
        return int(function(arguments) or EXIT_DONE)
    except KeyboardInterrupt:
        complain(f"{verb.name}: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; nobody is left to tell, and the flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except PermissionError as error:
        remedy = "" if os.geteuid() == 0 else "; only root may: put sudo before it"
        complain(f"{verb.name}: {error}{remedy}")
        return EXIT_FAILED
    except Exception as error:
        if os.environ.get("SLIPWAY_DEBUG"):
            traceback.print_exc()
        complain(f"{verb.name}: {str(error) or type(error).__name__}")
        return int(getattr(error, "exit_status", EXIT_FAILED))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # ``slipway --json status`` and ``slipway status --json`` are the same wish.
    as_json = bool(arguments) and arguments[0] == "--json"
    if as_json:
        arguments.pop(0)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        page = usage([verb for verb in VERBS if available(verb)])
        (sys.stdout if arguments else sys.stderr).write(page)
        return EXIT_DONE if arguments else EXIT_USAGE
    if arguments[0] == "--version":
        sys.stdout.write(f"slipway {version()}\n")
        return EXIT_DONE
    name = arguments.pop(0)
    verb = next((candidate for candidate in VERBS if candidate.name == name), None)
    if verb is None or not available(verb):
        names = [candidate.name for candidate in VERBS if available(candidate)]
        near = difflib.get_close_matches(name, names, n=1)
        remedy = f"did you mean '{near[0]}'?" if near else "'slipway --help' lists the verbs"
        reason = "there is no verb" if verb is None else "this build has no verb"
        complain(f"{reason} '{name}'; {remedy}")
        return EXIT_USAGE
    if as_json and "--json" not in arguments:
        arguments.append("--json")
    return run_verb(verb, arguments)

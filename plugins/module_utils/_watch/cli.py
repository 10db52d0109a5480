# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`slipway watch`: one pass over all checks, made by a timer every few minutes and by hand when wanted."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._state import files
from ansible_collections.slipway.ops.plugins.module_utils._watch import decide, gateway, report
from ansible_collections.slipway.ops.plugins.module_utils._watch.decide import TEST, Notice, State, Verdict
from ansible_collections.slipway.ops.plugins.module_utils._watch.model import (
    CONFIG_FILE,
    EMAIL,
    SECRETS_FILE,
    STATE_FILE,
    Configuration,
    parse,
)

HEARTBEAT = "heartbeat"


def watch(argv: list[str]) -> int:
    """The verb. The status is 0 when the checks were made and every message that was due has been handed over."""
    arguments = _arguments(argv)
    config = load(arguments.config, arguments.secrets)
    now = time.time()
    if arguments.test:
        return _test(config, arguments.token or secrets.token_hex(4), now, arguments.json)
    if arguments.dry_run:
        verdicts = observe(config, _state(arguments.state), now)
        _print(config, verdicts, [], {}, now, arguments.json)
        return 0
    with _alone(arguments.state):
        state = _state(arguments.state)
        verdicts = observe(config, state, now)
        sent, failed, undelivered = deliver(config, decide.notices(config, verdicts, state, now), now)
        files.write_json(arguments.state, decide.next_state(verdicts, sent, state, now))
        if config.textfile:
            files.write_whole(config.textfile, report.metrics(config, verdicts, undelivered, now), 0o644)
    if config.heartbeat_url and not failed:
        # Only whoever waits for it notices that this host, or its way to the receivers, is gone.
        try:
            gateway.call(config.heartbeat_url)
        except gateway.NotSent as error:
            failed[HEARTBEAT] = str(error)
    _print(config, verdicts, sent, failed, now, arguments.json)
    return 1 if failed else 0


def load(config_file: str, secrets_file: str) -> Configuration:
    config = files.read_json(config_file)
    if config is None:
        raise ValueError(f"{config_file} does not exist; the role monitoring writes it")
    return parse(config, files.read_json(secrets_file))


def observe(config: Configuration, state: State, now: float) -> list[Verdict]:
    return [decide.verdict(check, gateway.read(check), state, now) for check in config.checks]


def deliver(config: Configuration, notices: Sequence[Notice], now: float) -> tuple[list[Notice], dict[str, str], int]:
    """One message a channel and pass. One channel that fails does not keep the others from being told."""
    sent: list[Notice] = []
    failed: dict[str, str] = {}
    for channel in config.channels:
        mine = [notice for notice in notices if notice.channel == channel]
        if not mine:
            continue
        try:
            _send(config, channel, mine, now)
            sent.extend(mine)
        except gateway.NotSent as error:
            failed[channel] = str(error)
    return sent, failed, len(notices) - len(sent)


def _send(config: Configuration, channel: str, notices: Sequence[Notice], now: float) -> None:
    if channel == EMAIL and config.email is not None:
        subject = report.subject(config.host, notices)
        gateway.send_email(config.email, subject, report.body(config.host, notices, now))
    else:
        gateway.call(config.webhook_url, report.payload(config.host, notices, now))


def _test(config: Configuration, token: str, now: float, as_json: bool) -> int:
    """Send a synthetic alert the whole way; it leaves no trace in the state."""
    if not config.channels:
        raise ValueError("nobody would be told: neither a mail address nor a webhook is configured")
    message = f"This is a test of the alerts, token {token}. Nothing is wrong."
    notices = [Notice(channel, f"test-{token}", TEST, message, now) for channel in config.channels]
    sent, failed, _undelivered = deliver(config, notices, now)
    if as_json:
        sys.stdout.write(
            json.dumps({"token": token, "sent": [notice.channel for notice in sent], "failed": failed}) + "\n"
        )
    else:
        sys.stdout.write(report.page([], sent, failed))
    return 1 if failed else 0


def _print(
    config: Configuration,
    verdicts: Sequence[Verdict],
    sent: Sequence[Notice],
    failed: dict[str, str],
    now: float,
    as_json: bool,
) -> None:
    if as_json:
        sys.stdout.write(json.dumps(report.document(config, verdicts, sent, failed, now)) + "\n")
    else:
        sys.stdout.write(report.page(verdicts, sent, failed))


def _state(path: str) -> dict[str, Any]:
    """What was known after the last pass. A damaged file must not make the watch blind: it starts anew and says so."""
    try:
        state = files.read_json(path)
    except ValueError as error:
        sys.stderr.write(f"slipway: watch: {error}; it starts anew, so alerts may come twice\n")
        return {}
    return state if isinstance(state, dict) else {}


@contextlib.contextmanager
def _alone(state_file: str) -> Iterator[None]:
    """One pass at a time, so that the timer and a person do not tell the same thing twice."""
    directory = os.path.dirname(state_file)
    files.ensure_directory(directory, 0o700)
    with open(os.path.join(directory, "lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="slipway watch",
        description="Make all checks once, tell the receivers what has changed, and write the metrics.",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--dry-run", action="store_true", help="make the checks and print them; send and write nothing")
    parser.add_argument("--test", action="store_true", help="send a test alert to every receiver, and check nothing")
    parser.add_argument("--token", default="", help="a word to find the test alert by (random when not given)")
    parser.add_argument("--config", default=CONFIG_FILE, help="default: %(default)s")
    parser.add_argument("--secrets", default=SECRETS_FILE, help="default: %(default)s")
    parser.add_argument("--state", default=STATE_FILE, help="default: %(default)s")
    return parser.parse_args(argv)

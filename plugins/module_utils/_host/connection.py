# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH login that this process came by: read from the processes above it and from the journal."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from dataclasses import dataclass

ACCEPTED = re.compile(r"^Accepted publickey for \S+ from \S+ port \d+ ssh2: \S+ (SHA256:\S+)")


@dataclass(frozen=True)
class Connection:
    """Empty and 0 where the play does not come by SSH."""

    address: str = ""
    client_port: int = 0
    port: int = 0


def connection() -> Connection:
    process = os.getpid()
    while process > 1:
        try:
            with open(f"/proc/{process}/environ", "rb") as handle:
                for entry in handle.read().split(b"\0"):
                    if entry.startswith(b"SSH_CONNECTION="):
                        words = entry.partition(b"=")[2].decode("ascii", "replace").split()
                        if len(words) == 4 and words[1].isdigit() and words[3].isdigit():
                            return Connection(words[0], int(words[1]), int(words[3]))
            with open(f"/proc/{process}/stat", "rb") as handle:
                process = int(handle.read().rpartition(b")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            break
    return Connection()


def connected_user() -> str:
    """Who logged in, before sudo made us root."""
    return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name


def used_key(user: str, came: Connection) -> str:
    """Fingerprint of the key that the login was made with; empty where the journal does not tell."""
    start = f"^Accepted publickey for {re.escape(user)} from {re.escape(came.address)} port {came.client_port} "
    argv = ["journalctl", "--quiet", "--no-pager", "--output", "cat", "--reverse", "--lines", "1"]
    argv += ["--identifier", "sshd", "--identifier", "sshd-session", "--grep", start]
    try:
        done = subprocess.run(argv, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    except FileNotFoundError:
        return ""
    found = ACCEPTED.match(done.stdout.decode("utf-8", "replace"))
    return found.group(1) if found else ""

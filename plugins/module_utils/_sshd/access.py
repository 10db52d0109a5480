# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would the one who connects now still get in? Pure: the answer is a list of reasons why not."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._host.wish import key_problem


@dataclass(frozen=True)
class Login:
    """Who the play connects as, and what the host has for that user."""

    user: str
    groups: tuple[str, ...] = ()
    address: str = ""  # where the connection comes from, as the host sees it
    keys: int = 0
    key_files: tuple[str, ...] = ()
    unsafe: tuple[str, ...] = ()  # why sshd would ignore a file of keys
    other_proof: bool = False  # keys come from a command, or certificates from an authority


@dataclass(frozen=True)
class Listener:
    port: int
    process: str


@dataclass(frozen=True)
class Rules:
    """What is about to hold."""

    port: int
    root_login: bool = False
    passwords: bool = False
    allow_users: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] = ()
    listeners: tuple[Listener, ...] = field(default=())


def lockouts(login: Login, rules: Rules) -> list[str]:
    found: list[str] = []
    if login.user == "root" and not rules.root_login:
        found.append(
            "this play connects as root, and root may not log in any more: "
            "make a user with a key and sudo, and connect as it"
        )
    if rules.allow_users and not any(_allows(pattern, login) for pattern in rules.allow_users):
        found.append(
            f"ssh_allow_users ({', '.join(rules.allow_users)}) leaves out {login.user}, "
            "who this play connects as: add it"
        )
    if rules.allow_groups and not any(
        fnmatch.fnmatchcase(group, pattern) for group in login.groups for pattern in rules.allow_groups
    ):
        found.append(
            f"ssh_allow_groups ({', '.join(rules.allow_groups)}) has no group of {login.user}, "
            "who this play connects as: add one"
        )
    if not rules.passwords and login.keys == 0 and not login.other_proof:
        why = f" ({'; '.join(login.unsafe)})" if login.unsafe else ""
        found.append(
            f"{login.user}, who this play connects as, has no usable key in "
            f"{', '.join(login.key_files) or 'any file'}{why}: "
            "without passwords nobody would get in; add a public key first"
        )
    taken = [item.process for item in rules.listeners if item.port == rules.port and not is_ssh(item.process)]
    if taken:
        found.append(f"port {rules.port} is taken by {', '.join(sorted(set(taken)))}: choose another ssh_port")
    return found


def is_ssh(process: str) -> bool:
    return process in ("sshd", "ssh.socket")


def _allows(pattern: str, login: Login) -> bool:
    user, _at, host = pattern.partition("@")
    if not fnmatch.fnmatchcase(login.user, user):
        return False
    # an address in CIDR form or a host name cannot be judged here: sshd resolves it
    return not host or not login.address or "/" in host or fnmatch.fnmatchcase(login.address, host) or _is_name(host)


def _is_name(host: str) -> bool:
    return any(letter.isalpha() for letter in host) and ":" not in host


def count_keys(text: str) -> int:
    lines = (line.strip() for line in text.splitlines())
    return sum(1 for line in lines if line and not line.startswith("#") and key_problem(line) is None)


def key_paths(patterns: Sequence[str], user: str, home: str, uid: int) -> list[str]:
    """The files AuthorizedKeysFile stands for."""
    found: list[str] = []
    for word in [word for pattern in patterns for word in pattern.split()]:
        if word.lower() == "none":
            continue
        path = word.replace("%%", "\0").replace("%h", home).replace("%u", user).replace("%U", str(uid))
        path = path.replace("\0", "%")
        found.append(path if path.startswith("/") else f"{home}/{path}")
    return found


def parse_socket_ports(text: str) -> frozenset[int]:
    """Read the `Listen=[::]:22 (Stream)` lines of `systemctl show ssh.socket`."""
    return frozenset(int(found) for found in re.findall(r"^Listen=\S*?(\d+) \(Stream\)$", text, re.MULTILINE))


def parse_listeners(text: str, socket_ports: frozenset[int]) -> tuple[Listener, ...]:
    """Read `ss -Hltnp`; `socket_ports` are those that an active ssh.socket holds."""
    found: set[tuple[int, str]] = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) < 5 or not words[3].rpartition(":")[2].isdigit():
            continue
        port = int(words[3].rpartition(":")[2])
        names = set(re.findall(r'\("([^"]+)",pid=', line))
        if "sshd" in names:
            found.add((port, "sshd"))
        elif "systemd" in names and port in socket_ports:
            found.add((port, "ssh.socket"))
        else:
            found.add((port, ", ".join(sorted(names)) or "a process that cannot be seen"))
    return tuple(Listener(port, process) for port, process in sorted(found))

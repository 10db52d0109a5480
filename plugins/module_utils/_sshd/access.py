# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Would the one who connects now still get in? Pure: the answer is a list of reasons why not."""

from __future__ import annotations

import fnmatch
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace


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
    unusable: tuple[str, ...] = ()  # keys that sshd would not take, and why
    used_key: str = ""  # fingerprint of the one that this connection was made with, where it is known
    code: str = ""  # why the user cannot give a code; empty when there is a secret for it


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
    deny_users: tuple[str, ...] = ()
    deny_groups: tuple[str, ...] = ()
    revoked: frozenset[str] = frozenset()  # fingerprints
    codes: bool = False
    exempt: tuple[str, ...] = ()  # users who need no code
    listeners: tuple[Listener, ...] = field(default=())


def lockouts(login: Login, rules: Rules) -> list[str]:
    found: list[str] = []
    who = f"{login.user}, who this play connects as"
    if login.user == "root" and not rules.root_login:
        found.append(
            "this play connects as root, and root may not log in any more: "
            "make a user with a key and sudo, and connect as it"
        )
    if rules.allow_users and not any(_allows(pattern, login) for pattern in rules.allow_users):
        found.append(f"ssh_allow_users ({', '.join(rules.allow_users)}) leaves out {who}: add it")
    if rules.allow_groups and not _in_groups(login, rules.allow_groups):
        found.append(f"ssh_allow_groups ({', '.join(rules.allow_groups)}) has no group of {who}: add one")
    if any(_allows(pattern, login) for pattern in rules.deny_users):
        found.append(f"ssh_deny_users ({', '.join(rules.deny_users)}) shuts out {who}: take it out")
    if _in_groups(login, rules.deny_groups):
        found.append(f"ssh_deny_groups ({', '.join(rules.deny_groups)}) has a group of {who}: take it out")
    if login.used_key and login.used_key in rules.revoked:
        found.append(f"ssh_revoked_keys holds {login.used_key}, which {who}, logged in with: connect with another key")
    if not rules.passwords and login.keys == 0 and not login.other_proof:
        found.append(
            f"{who}, has no usable key in {_where(login)}: "
            "without passwords nobody would get in; add a public key first"
        )
    if rules.codes and login.user not in rules.exempt:
        found.append(f"{who}, cannot type a code: add it to ssh_second_factor_exempt_users")
    taken = [item.process for item in rules.listeners if item.port == rules.port and not is_ssh(item.process)]
    if taken:
        found.append(f"port {rules.port} is taken by {', '.join(sorted(set(taken)))}: choose another ssh_port")
    return found


def powerless(login: Login, rules: Rules) -> list[str]:
    """Why a user who is let in by name could not log in all the same."""
    found: list[str] = []
    if not rules.passwords and login.keys == 0 and not login.other_proof:
        found.append(
            f"ssh_allow_users: {login.user} has no usable key in {_where(login)}: add a public key or leave it out"
        )
    if rules.codes and login.code and login.user not in rules.exempt:
        found.append(
            f"ssh_second_factor: {login.user} {login.code}: let the user run google-authenticator "
            "(package libpam-google-authenticator), or add the user to ssh_second_factor_exempt_users"
        )
    return found


def used(login: Login, key: str) -> Login:
    return replace(login, used_key=key)


def _where(login: Login) -> str:
    why = "; ".join([*login.unsafe, *login.unusable])
    return (", ".join(login.key_files) or "any file") + (f" ({why})" if why else "")


def _in_groups(login: Login, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(group, pattern) for group in login.groups for pattern in patterns)


def is_ssh(process: str) -> bool:
    return process in ("sshd", "ssh.socket")


def _allows(pattern: str, login: Login) -> bool:
    user, _at, host = pattern.partition("@")
    if not fnmatch.fnmatchcase(login.user, user):
        return False
    if not host or not login.address or _is_name(host):  # a name cannot be judged here: sshd resolves it
        return True
    if "/" in host:
        try:
            return ipaddress.ip_address(login.address) in ipaddress.ip_network(host, strict=False)
        except ValueError:
            return True
    return fnmatch.fnmatchcase(login.address, host)


def _is_name(host: str) -> bool:
    return any(letter.isalpha() for letter in host) and ":" not in host


def named(patterns: Sequence[str]) -> list[str]:
    """Users that a list names outright, not by a pattern."""
    users = (pattern.partition("@")[0] for pattern in patterns)
    return list(dict.fromkeys(user for user in users if not any(letter in user for letter in "*?!")))


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


def parse_sockets(text: str) -> frozenset[str]:
    """Read the inodes of sshd's sockets from `ss -Hltnpe`."""
    found = (re.search(r"\bino:(\d+)", line) for line in text.splitlines() if '(("sshd",' in line)
    return frozenset(match[1] for match in found if match)


def has_dual_socket(text: str) -> bool:
    """Whether `ss -Hltnp` shows sshd on one socket for IPv4 and IPv6: its own are two."""
    return any(re.search(r"\s\*:\d+\s", line) and '("sshd",' in line for line in text.splitlines())

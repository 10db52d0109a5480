# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SSH server is to be, as values, and the reader that finds every problem of a request at once."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._host.wish import NAME, fingerprint
from ansible_collections.slipway.ops.plugins.module_utils._sshd import algorithms, keys
from ansible_collections.slipway.ops.plugins.module_utils._sshd.jail import Jail

NONE = "none"
TOTP = "totp"
MIN_LIMIT_SECONDS = 30


@dataclass(frozen=True)
class Policy:
    port: int = 22
    login_user: str = ""
    root_login: bool = False
    passwords: bool = False
    allow_users: tuple[str, ...] = ()
    allow_groups: tuple[str, ...] = ()
    deny_users: tuple[str, ...] = ()
    deny_groups: tuple[str, ...] = ()
    max_auth_tries: int = 4
    login_grace_seconds: int = 30
    client_alive_interval_seconds: int = 300
    client_alive_count: int = 2
    tcp_forwarding: bool = False
    agent_forwarding: bool = False
    banner_file: str = ""
    host_keys: tuple[str, ...] = ()  # empty: by the release's policy
    host_certificates: tuple[str, ...] = ()
    key_exchanges: tuple[str, ...] = ()
    ciphers: tuple[str, ...] = ()
    macs: tuple[str, ...] = ()
    trusted_user_ca_keys: tuple[str, ...] = ()
    authorized_principals: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    revoked_keys: tuple[str, ...] = ()
    second_factor: str = NONE
    second_factor_exempt_users: tuple[str, ...] = ()
    admin_networks: tuple[str, ...] = ()
    jail: Jail | None = None
    confirm_limit_seconds: int = 120

    @property
    def revoked(self) -> frozenset[str]:
        return frozenset(fingerprint(key) for key in self.revoked_keys)

    @property
    def totp(self) -> bool:
        return self.second_factor == TOTP


def parse(given: Mapping[str, Any]) -> tuple[Policy, list[str]]:
    """Options of the module by their names; problems carry the names of the role's variables."""
    problems: list[str] = []

    def problem(name: str, said: str) -> None:
        problems.append(f"ssh_{name}: {said}")

    numbers = {
        "port": (1, 65535),
        "max_auth_tries": (1, 100),
        "login_grace_seconds": (5, 3600),
        "client_alive_interval_seconds": (0, 86400),
        "client_alive_count": (0, 100),
        "confirm_limit_seconds": (MIN_LIMIT_SECONDS, 86400),
        "fail2ban_max_retry": (1, 1000),
        "fail2ban_find_seconds": (10, 31536000),
        "fail2ban_ban_seconds": (10, 31536000),
    }
    for name, (least, most) in numbers.items():
        if not least <= given[name] <= most:
            problem(name, f"{given[name]} is not between {least} and {most}")
    for name in ("allow_users", "allow_groups", "deny_users", "deny_groups"):
        _words(name, given[name], problem)
    for index, user in enumerate(given["second_factor_exempt_users"]):
        if not NAME.match(user):
            problem(f"second_factor_exempt_users[{index}]", f"{user!r} is not a user's name")
    _algorithms(given, problem)
    _paths(given, problem)
    _networks(given["admin_networks"], problem)
    for name in ("trusted_user_ca_keys", "revoked_keys"):
        for index, line in enumerate(given[name]):
            said = keys.refusal(line) if name == "trusted_user_ca_keys" else _no_key(line)
            if said:
                problem(f"{name}[{index}]", said)
    principals = _principals(given, problem)
    if given["second_factor"] == TOTP and given["passwords"]:
        problem("passwords", "a code is asked for after a key, not after a password; set one of the two to false")
    if given["second_factor"] == NONE and given["second_factor_exempt_users"]:
        problem("second_factor_exempt_users", "has no meaning without ssh_second_factor: totp")
    jail = Jail(given["fail2ban_max_retry"], given["fail2ban_find_seconds"], given["fail2ban_ban_seconds"])
    values = {name: value for name, value in given.items() if name in Policy.__dataclass_fields__}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = tuple(value)
    values.update(
        authorized_principals=principals,
        jail=jail if given["fail2ban"] else None,
        login_user=given["login_user"] or "",
    )
    return Policy(**values), problems


Problem = Callable[[str, str], None]


def _words(name: str, values: Sequence[str], problem: Problem) -> None:
    for index, value in enumerate(values):
        if not value or any(letter.isspace() or letter in "\"'#" for letter in value):
            problem(f"{name}[{index}]", f"{value!r} is not one name or pattern")


def _algorithms(given: Mapping[str, Any], problem: Problem) -> None:
    for name in ("key_exchanges", "ciphers", "macs"):
        _words(name, given[name], problem)
    if given["key_exchanges"] and not any(algorithms.is_post_quantum(each) for each in given["key_exchanges"]):
        problem(
            "key_exchanges",
            "has no post-quantum exchange, which makes SSH weaker than it is without Slipway; "
            f"add {algorithms.SNTRUP_OLD_NAME}",
        )


def _paths(given: Mapping[str, Any], problem: Problem) -> None:
    for name in ("host_keys", "host_certificates"):
        for index, path in enumerate(given[name]):
            if not path.startswith("/") or any(letter.isspace() for letter in path):
                problem(f"{name}[{index}]", f"{path!r} must be an absolute path")
    for index, path in enumerate(given["host_keys"]):
        if "ecdsa" in path or "_dsa" in path:
            problem(f"host_keys[{index}]", f"{path} is of a type that is not offered; take ed25519 or rsa")
    if given["banner_file"] and not given["banner_file"].startswith("/"):
        problem("banner_file", f"{given['banner_file']!r} must be an absolute path")


def _networks(values: Sequence[str], problem: Problem) -> None:
    for index, value in enumerate(values):
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            problem(f"admin_networks[{index}]", f"{error}; give an address or a network such as 192.0.2.0/24")


def _no_key(line: str) -> str | None:
    return None if fingerprint(line) else "is not a public key"


def _principals(given: Mapping[str, Any], problem: Problem) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for user, names in given["authorized_principals"].items():
        where = f"authorized_principals.{user}"
        if not NAME.match(str(user)):
            problem(where, "is not a user's name")
        elif isinstance(names, str) or not isinstance(names, Sequence) or not names:
            problem(where, "must be a list of principals")
        else:
            _words(where, [str(name) for name in names], problem)
            found[str(user)] = tuple(str(name) for name in names)
    if found and not given["trusted_user_ca_keys"]:
        problem("authorized_principals", "has no meaning without ssh_trusted_user_ca_keys")
    return found


def covers(networks: Sequence[str], address: str) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        wanted = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(wanted in ipaddress.ip_network(network) for network in networks)

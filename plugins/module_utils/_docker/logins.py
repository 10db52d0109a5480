# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins at registries, as Docker's client keeps them: in a helper where one is configured, else in config.json."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RECORD_FILE = "/etc/slipway/docker/logins.json"
HUB = "docker.io"
HUB_ADDRESS = "https://index.docker.io/v1/"

_REGISTRY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.-]*(:\d{1,5})?$|^\[[0-9a-fA-F:]+\](:\d{1,5})?$")


@dataclass(frozen=True)
class Login:
    registry: str
    username: str
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        """What Docker's client calls the registry in its files."""
        return HUB_ADDRESS if self.registry == HUB else self.registry

    @property
    def encoded(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(frozen=True)
class Step:
    """One login to make, or one to remove, of one user of the host."""

    user: str
    registry: str
    helper: str = ""
    login: Login | None = None

    @property
    def line(self) -> str:
        if self.login is None:
            return f"registry {self.registry}: log {self.user} out"
        return f"registry {self.registry}: log {self.user} in as {self.login.username}"


def parse(given: Iterable[Mapping[str, Any]]) -> tuple[list[Login], list[str]]:
    logins: list[Login] = []
    problems: list[str] = []
    for index, item in enumerate(given):
        path = f"docker_registry_logins[{index}]"
        registry = str(item.get("registry") or "")
        if not _REGISTRY.match(registry):
            problems.append(f"{path}.registry: {registry!r} is no registry; write HOST or HOST:PORT, without https://")
        if registry in [login.registry for login in logins]:
            problems.append(f"{path}.registry: {registry} is there twice; one login a registry is what Docker keeps")
        username, password = str(item.get("username") or ""), str(item.get("password") or "")
        if not username or ":" in username:
            problems.append(f"{path}.username: is missing or contains a colon")
        if not password:
            problems.append(f"{path}.password: is missing; keep it in the vault")
        logins.append(Login(registry, username, password))
    return logins, problems


def read(text: str, path: str) -> tuple[dict[str, Any], list[str]]:
    """config.json; a file that Docker's client could not read is for a person to look at."""
    if not text.strip():
        return {}, []
    try:
        found = json.loads(text)
    except ValueError as error:
        return {}, [f"{path}: is no JSON ({error}); correct or remove it"]
    return (found, []) if isinstance(found, dict) else ({}, [f"{path}: holds no object; correct or remove it"])


def helper_of(config: Mapping[str, Any], address: str) -> str:
    return str((config.get("credHelpers") or {}).get(address) or config.get("credsStore") or "")


def has(config: Mapping[str, Any], login: Login, stored: Mapping[str, str] | None) -> bool:
    """Whether the login is kept as it should be. `stored` is what the helper answers, when there is one."""
    entry = (config.get("auths") or {}).get(login.address) or {}
    if stored is None:
        return bool(entry.get("auth") == login.encoded)
    kept = (stored.get("Username"), stored.get("Secret")) == (login.username, login.password)
    return kept and not entry.get("auth")


def with_login(config: Mapping[str, Any], login: Login, helper: str) -> dict[str, Any]:
    """The new config.json; everything else in it stays. With a helper, Docker's client keeps an empty entry."""
    auths = {**(config.get("auths") or {}), login.address: {} if helper else {"auth": login.encoded}}
    return {**config, "auths": auths}


def without(config: Mapping[str, Any], address: str) -> dict[str, Any]:
    auths = {name: entry for name, entry in (config.get("auths") or {}).items() if name != address}
    rest = {name: value for name, value in config.items() if name != "auths"}
    return {**rest, "auths": auths} if auths else rest


def plan(
    wanted: Sequence[Login],
    users: Sequence[str],
    recorded: Mapping[str, Sequence[str]],
    configs: Mapping[str, Mapping[str, Any]],
    missing: Iterable[tuple[str, str]],
) -> list[Step]:
    """Logins that are missing or other than declared, and those of earlier runs that are declared no more."""
    absent = set(missing)
    steps = [
        Step(user, login.registry, helper_of(configs.get(user, {}), login.address), login)
        for user in users
        for login in wanted
        if (user, login.registry) in absent
    ]
    declared = {login.registry for login in wanted}
    for user, registries in sorted(recorded.items()):
        for registry in sorted(registries):
            if user not in users or registry not in declared:
                address = HUB_ADDRESS if registry == HUB else registry
                steps.append(Step(user, registry, helper_of(configs.get(user, {}), address)))
    return steps


def record(wanted: Sequence[Login], users: Sequence[str]) -> dict[str, list[str]]:
    """Which logins are ours: names only, so that those that are declared no more can be removed."""
    return {user: sorted(login.registry for login in wanted) for user in users} if wanted else {}

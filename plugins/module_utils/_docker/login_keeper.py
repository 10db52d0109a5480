# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keep a host's logins at registries: proved at the registry first, then written, or handed to a credential helper."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._docker import logins as registry
from ansible_collections.slipway.ops.plugins.module_utils._docker.api import Api, ApiError
from ansible_collections.slipway.ops.plugins.module_utils._docker.logins import Login, Step
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._state import files


class LoginKeeper:
    def __init__(
        self, host: Host, api: Api, check: bool, did: Callable[[str], None], warn: Callable[[str], None]
    ) -> None:
        self.host = host
        self.api = api
        self.check = check
        self.did = did
        self.warn = warn

    def keep(self, wanted: list[Login], users: list[str]) -> None:
        recorded = files.read_json(registry.RECORD_FILE) or {}
        if not wanted and not recorded:
            return
        homes = {user: home_of(user) for user in [*users, *recorded]}
        configs: dict[str, dict[str, Any]] = {}
        missing: list[tuple[str, str]] = []
        for user, home in homes.items():
            path = f"{home}/.docker/config.json"
            configs[user], problems = registry.read(self.host.text(path) if home else "", path)
            if problems:
                raise HostError("\n".join(problems))
            if not home and user in users and not self.check:
                raise HostError(
                    f"docker_registry_login_users: {user} does not exist on this host; add it to docker_users"
                )
        for user in users:
            for login in wanted:
                helper = registry.helper_of(configs[user], login.address)
                stored = self._helper(user, helper, "get", login.address) if helper else None
                if not registry.has(configs[user], login, stored):
                    missing.append((user, login.registry))
        steps = registry.plan(wanted, users, recorded, configs, missing)
        for step in steps:
            self.did(step.line)
        if self.check:
            return
        self._prove([step.login for step in steps if step.login])
        for step in steps:
            if homes[step.user]:
                self._carry_out(step, homes[step.user] or "", configs)
        now = registry.record(wanted, users)
        if now != recorded:
            files.write_json(registry.RECORD_FILE, now, 0o600) if now else files.remove(registry.RECORD_FILE)

    def _prove(self, logins: Sequence[Login]) -> None:
        """All of them, before the first old login goes."""
        for login in dict.fromkeys(logins):
            try:
                self.api.check_login(login.address, login.username, login.password)
            except ApiError as error:
                said = str(error).replace(login.password, "(password)")
                raise HostError(
                    f"docker_registry_logins: {login.registry} refused the login of {login.username} ({said}); "
                    "correct it; every login is as it was before"
                ) from error

    def _carry_out(self, step: Step, home: str, configs: dict[str, dict[str, Any]]) -> None:
        config = configs[step.user]
        if step.login is None:
            address = registry.HUB_ADDRESS if step.registry == registry.HUB else step.registry
            if step.helper:
                self._helper(step.user, step.helper, "erase", address)
            new = registry.without(config, address)
        else:
            address = step.login.address
            if step.helper:
                secret = {"ServerURL": address, "Username": step.login.username, "Secret": step.login.password}
                self._helper(step.user, step.helper, "store", json.dumps(secret))
            else:
                self.warn(
                    f"registry {step.registry}: the password is kept in {home}/.docker/config.json, readable to root"
                    f"{'' if step.user == 'root' else f' and {step.user}'}; a credential helper named there under "
                    "credHelpers or credsStore would keep it elsewhere"
                )
            new = registry.with_login(config, step.login, step.helper)
        if new != config:
            self._write_config(step.user, home, new)
            configs[step.user] = new

    def _write_config(self, user: str, home: str, config: Mapping[str, Any]) -> None:
        account = pwd.getpwnam(user)
        directory = f"{home}/.docker"
        if os.path.islink(directory) or (os.path.isdir(directory) and os.stat(directory).st_uid != account.pw_uid):
            raise HostError(f"{directory}: is a link or belongs to somebody else; make it a directory of {user}")
        group = str(account.pw_gid)
        if not os.path.isdir(directory):
            self.host.make_directory(directory, "0700", user, group)
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        self.host.write_file(f"{directory}/config.json", text.encode(), "0600", user, group, secret=True)

    def _helper(self, user: str, helper: str, verb: str, sent: str) -> dict[str, str]:
        """Ask a credential helper, as Docker's client does: everything goes by its standard input."""
        program = f"docker-credential-{helper}"
        argv = ["runuser", "-u", user, "--", program, verb]
        done = subprocess.run(argv, input=sent, capture_output=True, text=True, check=False, cwd="/")
        if verb == "get" and done.returncode != 0 and "not found" in (done.stdout + done.stderr) and _there(program):
            return {}
        if done.returncode != 0:
            said = " ".join((done.stdout + done.stderr).split())[:300] if verb != "store" else "see its own log"
            raise HostError(f"{program} {verb}, as {user}: {said}; install it, or take it out of config.json")
        if verb != "get":
            return {}
        found = json.loads(done.stdout)
        return {str(key): str(value) for key, value in found.items()}


def _there(program: str) -> bool:
    return any(os.path.exists(f"{folder}/{program}") for folder in os.environ.get("PATH", "").split(":"))


def home_of(user: str, find: Callable[[str], Any] = pwd.getpwnam) -> str | None:
    try:
        return str(find(user).pw_dir).rstrip("/")
    except KeyError:
        return None

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bring the SSH server to what a policy says: survey, refuse, converge, and look whether it is so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._armed.converge import converge, put_back
from ansible_collections.slipway.ops.plugins.module_utils._armed.gateway import Store
from ansible_collections.slipway.ops.plugins.module_utils._host import units
from ansible_collections.slipway.ops.plugins.module_utils._host.connection import (
    Connection,
    connected_user,
    connection,
    used_key,
)
from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._host.steps import ActOnUnit, InstallPackages, Step
from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Wish
from ansible_collections.slipway.ops.plugins.module_utils._sshd import (
    access,
    algorithms,
    configuration,
    dropin,
    keys,
    pam,
    request,
    wire,
)
from ansible_collections.slipway.ops.plugins.module_utils._sshd import (
    policy as policies,
)
from ansible_collections.slipway.ops.plugins.module_utils._sshd.access import Login, Rules
from ansible_collections.slipway.ops.plugins.module_utils._sshd.dropin import Setting
from ansible_collections.slipway.ops.plugins.module_utils._sshd.gateway import Sshd
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy
from ansible_collections.slipway.ops.plugins.module_utils._sshd.request import HostKey, Present
from ansible_collections.slipway.ops.plugins.module_utils._sshd.wire import Offer

SETTLE_ATTEMPTS = 10
SETTLE_SECONDS = 0.5
MODULI = "/etc/ssh/moduli"


@dataclass
class Outcome:
    steps: list[Step] = field(default_factory=list)
    ports: list[int] = field(default_factory=list)
    moving: bool = False  # the old port is open still, until the new one is proven
    armed: str | None = None
    login_user: str = ""
    connected_port: int = 0
    policy: str = ""  # of ssh-audit
    foreseen: dict[str, Any] = field(default_factory=dict)  # in check mode: for the tasks that follow


@dataclass(frozen=True)
class Look:
    """What was seen of the running server. Users who are missing are asked for when they are needed."""

    effective: Mapping[str, Mapping[str, Sequence[str]]]
    listeners: Sequence[access.Listener]
    offer: Offer | None


class Owing(Host):
    """A host whose sshd does not run what its files say: it owes a restart."""

    def pending(self) -> dict[str, str]:
        return {**super().pending(), request.SERVICE: units.RESTART}


class Server:
    def __init__(
        self,
        host: Host,
        sshd: Sshd,
        store: Store,
        policy: Policy,
        warn: Callable[[str], None],
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        self.host = host
        self.sshd = sshd
        self.store = store
        self.policy = policy
        self.warn = warn
        self.earlier = earlier or {}
        self.came: Connection = connection()
        self.user = policy.login_user or connected_user()
        self.users: list[str] = []  # whose effective settings are looked at

    def run(self, check_mode: bool) -> Outcome:
        outcome = Outcome(login_user=self.user, connected_port=self.came.port)
        if not self.sshd.installed and not check_mode:
            self.host.install((request.PACKAGE,), (request.SERVICE,))  # it starts once it is configured
            outcome.steps.append(InstallPackages((request.PACKAGE,)))
        with self.sshd.runnable() if self.sshd.installed else contextlib.nullcontext():
            return self._run(outcome, check_mode)

    def _run(self, outcome: Outcome, check_mode: bool) -> Outcome:
        there = self.sshd.installed
        effective = self.sshd.effective(self.user, self.came.address, self.policy.port) if there else {}
        listeners = self.sshd.listeners() if there else ()
        open_ports = sorted({item.port for item in listeners if access.is_ssh(item.process)})
        open_ports = self.earlier.get("ssh_ports") or open_ports
        moving = bool(open_ports) and self.policy.port not in open_ports
        ports = [self.policy.port, *open_ports] if moving else [self.policy.port]
        host, public_keys, problems = self._host(effective)
        settings = dropin.settings(self.policy, host, ports)
        if there:
            problems += self._problems(effective, settings, listeners)
        if problems:
            raise HostError("; ".join(problems))

        offer = self.sshd.offer(self.policy.port) if open_ports == [self.policy.port] else None
        running = self._running(settings, open_ports, offer) if there and not moving else []
        for said in running:
            self.warn(f"{said}; it is restarted")
        try:
            wish = request.request(self.policy, settings, self._present(host, public_keys, check_mode), ports)
        except ValueError as error:
            raise HostError(str(error)) from error
        before = self.sshd.sockets() if there else frozenset()
        result = converge(Owing() if running else self.host, self.store, wish, check_mode, self.warn, self.earlier)
        outcome.steps += result.steps
        outcome.foreseen = {**result.foreseen, "ssh_ports": ports}
        outcome.armed = result.armed
        outcome.policy = host.suite.policy
        outcome.moving = moving
        outcome.ports = ports
        if not check_mode:
            told = any(isinstance(step, ActOnUnit) and step.name == request.SERVICE for step in result.steps)
            if result.steps:
                self._prove(wish, settings, ports, before if told else frozenset())
            elif wrong := self._wrong(settings, ports, Look({self.user: effective}, listeners, offer)):
                raise HostError(_denied(wrong))
        return outcome

    def _host(self, effective: dict[str, list[str]]) -> tuple[dropin.Host, dict[str, str], list[str]]:
        """What the settings need to know of the host, and what is wrong with it."""
        distribution, release = self.sshd.release()
        known_release = (distribution, release) in algorithms.SUITES
        suite = algorithms.suite_for(distribution, release, (0, 0) if known_release else self.sshd.openssh())
        paths = self.policy.host_keys or (request.ED25519_KEY, request.RSA_KEY, request.LARGE_RSA_KEY)
        public = {path: self.sshd.public_key(path) for path in paths}
        large = {
            path: keys.bits(keys.key_blob(line)[1]) >= algorithms.RSA_HOST_BITS
            for path, line in public.items()
            if line and request.kind_of(path) == "rsa"
        }
        wanted = request.wanted_host_keys(self.policy, suite, large)
        problems = [said for path in wanted for said in [request.host_key_problem(path, public[path])] if said]
        problems += [
            f"ssh_host_certificates: {path} is not there; have it signed first"
            for path in self.policy.host_certificates
            if not self.host.text(path)
        ]
        host = dropin.Host(
            suite=suite,
            host_keys=wanted,
            known=self._known(effective, suite),
            options=frozenset(effective),
            exempt_addresses=self._friends(),
        )
        asked = {"key_exchanges": self.policy.key_exchanges, "ciphers": self.policy.ciphers, "macs": self.policy.macs}
        for name, values in asked.items():
            unknown = [value for value in values if host.known and value not in host.known]
            if unknown:
                problems.append(f"ssh_{name}: this host's OpenSSH has no {', '.join(unknown)}; leave it out")
        return host, public, problems

    def _known(self, effective: dict[str, list[str]], suite: algorithms.Suite) -> frozenset[str]:
        """What this OpenSSH has. When all that is wanted is in effect already, that much need not be asked."""
        if not effective:
            return frozenset()
        in_effect = {
            name
            for key in ("kexalgorithms", "ciphers", "macs", "pubkeyacceptedalgorithms", "casignaturealgorithms")
            for value in effective.get(key, [])
            for name in value.split(",")
        }
        wanted = {
            *(self.policy.key_exchanges or suite.key_exchanges),
            *(self.policy.ciphers or suite.ciphers),
            *(self.policy.macs or suite.macs),
            *algorithms.KEYS,
        }
        return frozenset(in_effect) if wanted <= in_effect else self.sshd.algorithms()

    def _friends(self) -> tuple[str, ...]:
        """Who is never banned: the declared networks, and the address of this connection."""
        networks = self.policy.admin_networks
        if self.came.address and not policies.covers(networks, self.came.address):
            return (*networks, self.came.address)
        return networks

    def _problems(
        self, effective: dict[str, list[str]], settings: Sequence[Setting], listeners: Sequence[access.Listener]
    ) -> list[str]:
        wanted = dropin.effective(self.policy, settings)
        others = configuration.foreign(configuration.read(self.sshd.files), dropin.PATH, wanted)
        problems = [f"{said}: remove it, it is stronger than {dropin.PATH}" for said in others.overriding]
        unread = configuration.includes_ours(self.host.text(configuration.MAIN), dropin.PATH)
        if unread:
            problems.append(unread)
        for said in others.overruled:
            self.warn(f"{said}, which {dropin.PATH} overrules")
        for said in others.conditional:
            self.warn(f"{said}, which may hold instead of {dropin.PATH}")
        return problems + self._lockouts(effective, listeners)

    def _lockouts(self, effective: dict[str, list[str]], listeners: Sequence[access.Listener]) -> list[str]:
        policy = self.policy
        rules = Rules(
            port=policy.port,
            root_login=policy.root_login,
            passwords=policy.passwords,
            allow_users=policy.allow_users,
            allow_groups=policy.allow_groups,
            deny_users=policy.deny_users,
            deny_groups=policy.deny_groups,
            revoked=policy.revoked,
            codes=policy.totp,
            exempt=policy.second_factor_exempt_users,
            listeners=tuple(listeners),
        )
        # what keys are looked for in does not change; certificates are those that the policy trusts, and modes count
        certificates = ["yes"] if policy.trusted_user_ca_keys else []
        kept = {**effective, "trustedusercakeys": certificates, "strictmodes": ["yes"]}
        problems: list[str] = []
        if self.came.port:  # a connection that is not SSH is not lost with it
            self.users.append(self.user)
            login = self._login(self.user, kept)
            problems += access.lockouts(login, rules)
        for user in access.named(policy.allow_users):
            if not self.sshd.exists(user):
                self.warn(f"ssh_allow_users: {user} does not exist on this host (yet)")
            elif user not in self.users:
                self.users.append(user)
                problems += access.powerless(self._login(user, kept), rules)
        if policy.totp and not policy.allow_users:
            for user in self.sshd.people():
                login = self._login(user, kept)
                if user not in self.users and login.keys and (user != "root" or policy.root_login):
                    problems += access.powerless(login, rules)
        return problems

    def _login(self, user: str, effective: dict[str, list[str]]) -> Login:
        policy = self.policy
        known = dict(effective)
        if policy.authorized_principals and user not in policy.authorized_principals:
            known["trustedusercakeys"] = []
        login = self.sshd.login(user, known, self.came.address, policy.revoked)
        if user == self.user and policy.revoked and self.came.port:
            return access.used(login, used_key(user, self.came))
        return login

    def _present(self, host: dropin.Host, public: dict[str, str], check_mode: bool) -> Present:
        made: list[HostKey] = []
        for path in host.host_keys:
            if public[path]:
                made.append(HostKey(path, self.sshd.bytes(path), f"{public[path]}\n".encode()))
            elif check_mode:
                made.append(HostKey(path))
            else:
                made.append(HostKey(path, *self.sshd.new_host_key(request.kind_of(path), algorithms.RSA_HOST_BITS)))
        return Present(
            keys=made,
            moduli=self.host.text(MODULI),
            pam=self.host.text(pam.FILE),
            principals=self.sshd.names(dropin.PRINCIPALS),
            ignored=host.exempt_addresses,
            socket=self.sshd.socket_serves(),
        )

    def _running(self, settings: Sequence[Setting], open_ports: Sequence[int], offer: Offer | None) -> list[str]:
        """Where the process that runs does not do what files that are right already say."""
        wanted = dropin.effective(self.policy, settings)
        if self.host.text(dropin.PATH) != dropin.render(self.policy, settings):
            return []
        if list(open_ports) != [self.policy.port]:
            return [f"sshd listens on {', '.join(map(str, open_ports)) or 'no port'}, not on {self.policy.port}"]
        return wire.differing(offer, wanted) if offer is not None else []

    def _prove(self, wish: Wish, settings: Sequence[Setting], ports: Sequence[int], old: frozenset[str]) -> None:
        """Effective settings of each user who is let in by name, open ports, and the word of the running server.

        A server that is told to read its files again opens its sockets anew; until then a login proves nothing.
        """
        wrong: list[str] = []
        for attempt in range(SETTLE_ATTEMPTS):
            if attempt:
                self.host.pause(SETTLE_SECONDS)
            wrong = self._wrong(settings, ports, Look({}, self.sshd.listeners(), self.sshd.offer(self.policy.port)))
            if old & self.sshd.sockets():
                wrong.append("it has not read its files again")
            if not wrong:
                return
        raise HostError(put_back(self.store, wish, _denied(wrong)))

    def _wrong(self, settings: Sequence[Setting], ports: Sequence[int], look: Look) -> list[str]:
        wrong: list[str] = []
        for user in self.users or [self.user]:
            effective = look.effective.get(user) or self.sshd.effective(user, self.came.address, self.policy.port)
            wanted = dropin.effective(self.policy, settings, user)
            wrong += [f"for {user} {said}" for said in configuration.differing(effective, wanted)]
        heard = sorted({item.port for item in look.listeners if item.process == "sshd"})
        if heard != sorted(ports):
            wrong.append(f"it listens on {', '.join(map(str, heard)) or 'no port'}")
        if look.offer is not None:
            wrong += wire.differing(look.offer, dropin.effective(self.policy, settings))
        return wrong


def _denied(wrong: Sequence[str]) -> str:
    return f"sshd does not do what {dropin.PATH} says: {'; '.join(wrong)}"

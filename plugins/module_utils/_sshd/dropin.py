# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The drop-in: one list of settings from which the file is written and what sshd makes of it is judged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ansible_collections.slipway.ops.plugins.module_utils._sshd import algorithms
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import Suite
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy

PATH = "/etc/ssh/sshd_config.d/00-slipway.conf"
MODULI = "/etc/ssh/slipway_moduli"
USER_CA = "/etc/ssh/slipway_user_ca_keys"
REVOKED = "/etc/ssh/slipway_revoked_keys"
PRINCIPALS = "/etc/ssh/slipway_principals"
HEAD = "# Managed by slipway.ops.ssh. sshd reads this file first, and the first value wins.\n"
# Not in every release's OpenSSH: left out where `sshd -T` does not know them.
NOT_EVERYWHERE = ("requiredrsasize", "modulifile", "persourcepenaltyexemptlist", "gssapiauthentication")
NEVER_SHOWN = ("debianbanner",)  # not every release's `sshd -T` prints it
KEY_AND_CODE = "publickey,keyboard-interactive:pam"


@dataclass(frozen=True)
class Setting:
    name: str  # as sshd_config(5) writes it
    values: tuple[str, ...]  # a line each
    shown: tuple[str, ...] | None = None  # as `sshd -T` prints them, where that differs

    @property
    def key(self) -> str:
        return self.name.lower()

    @property
    def effective(self) -> tuple[str, ...]:
        return self.values if self.shown is None else self.shown


@dataclass(frozen=True)
class Host:
    """What the settings need to know of the host."""

    suite: Suite
    host_keys: tuple[str, ...]
    known: Collection[str] = ()  # algorithms that this OpenSSH has; empty: not known
    options: Collection[str] = ()  # keys that `sshd -T` prints; empty: not known
    exempt_addresses: tuple[str, ...] = ()


def settings(policy: Policy, host: Host, ports: Sequence[int]) -> list[Setting]:
    suite = host.suite
    exchanges = algorithms.offered(policy.key_exchanges or suite.key_exchanges, host.known)
    accepted = ",".join(algorithms.offered(algorithms.KEYS, host.known))
    found = [
        Setting("Port", tuple(str(port) for port in ports)),
        Setting(
            "PermitRootLogin",
            ("prohibit-password" if policy.root_login else "no",),
            ("without-password",) if policy.root_login else None,
        ),
        _switch("PubkeyAuthentication", True),
        _switch("PasswordAuthentication", policy.passwords),
        _switch("KbdInteractiveAuthentication", policy.totp),
        Setting("AuthenticationMethods", (KEY_AND_CODE if policy.totp else "any",)),
        _switch("HostbasedAuthentication", False),
        _switch("GSSAPIAuthentication", False),
        _switch("PermitEmptyPasswords", False),
        _switch("UsePAM", True),
        _switch("StrictModes", True),
        Setting("AllowUsers", policy.allow_users),
        Setting("AllowGroups", policy.allow_groups),
        Setting("DenyUsers", policy.deny_users),
        Setting("DenyGroups", policy.deny_groups),
        Setting("TrustedUserCAKeys", (USER_CA if policy.trusted_user_ca_keys else "none",)),
        Setting(
            "AuthorizedPrincipalsFile",
            (f"{PRINCIPALS}/%u" if policy.authorized_principals else "none",),
        ),
        Setting("RevokedKeys", (REVOKED if policy.revoked_keys else "none",)),
        Setting("MaxAuthTries", (str(policy.max_auth_tries),)),
        Setting("LoginGraceTime", (str(policy.login_grace_seconds),)),
        Setting("ClientAliveInterval", (str(policy.client_alive_interval_seconds),)),
        Setting("ClientAliveCountMax", (str(policy.client_alive_count),)),
        Setting("PerSourcePenaltyExemptList", (",".join(["127.0.0.0/8", "::1", *host.exempt_addresses]),)),
        _switch("AllowTcpForwarding", policy.tcp_forwarding),
        _switch("AllowAgentForwarding", policy.agent_forwarding),
        _switch("X11Forwarding", False),
        _switch("GatewayPorts", False),
        _switch("PermitTunnel", False),
        _switch("PermitUserEnvironment", False),
        _switch("Compression", False),
        _switch("TCPKeepAlive", False),
        Setting("LogLevel", ("VERBOSE",)),
        Setting("Banner", (policy.banner_file or "none",)),
        _switch("DebianBanner", False),
        Setting("HostKey", host.host_keys),
        Setting("HostCertificate", policy.host_certificates),
        Setting("HostKeyAlgorithms", (accepted,)),
        Setting("KexAlgorithms", (",".join(exchanges),)),
        Setting("Ciphers", (",".join(algorithms.offered(policy.ciphers or suite.ciphers, host.known)),)),
        Setting("MACs", (",".join(algorithms.offered(policy.macs or suite.macs, host.known)),)),
        Setting("PubkeyAcceptedAlgorithms", (accepted,)),
        Setting("HostbasedAcceptedAlgorithms", (accepted,)),
        Setting("CASignatureAlgorithms", (",".join(algorithms.offered(algorithms.SIGNATURES, host.known)),)),
        Setting("RequiredRSASize", (str(algorithms.RSA_BITS),)),
    ]
    if algorithms.GROUP_EXCHANGE in exchanges:
        found.append(Setting("ModuliFile", (MODULI,)))
    return [item for item in found if not host.options or item.key not in NOT_EVERYWHERE or item.key in host.options]


def _switch(name: str, on: bool) -> Setting:
    return Setting(name, ("yes" if on else "no",))


def render(policy: Policy, found: Sequence[Setting]) -> str:
    lines = [f"{item.name} {value}" for item in found for value in item.values]
    if policy.totp and policy.second_factor_exempt_users:
        lines += [
            "# These log in by key alone: programs cannot type a code.",
            f"Match User {','.join(policy.second_factor_exempt_users)}",
            "    AuthenticationMethods publickey",
            "Match all",
        ]
    return HEAD + "\n".join(lines) + "\n"


def effective(policy: Policy, found: Sequence[Setting], user: str = "") -> dict[str, list[str]]:
    """What `sshd -T` must print, for a user."""
    wanted = {item.key: list(item.effective) for item in found if item.key not in NEVER_SHOWN}
    if policy.totp and user in policy.second_factor_exempt_users:
        wanted["authenticationmethods"] = ["publickey"]
    return wanted

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state that a policy asks of a host, as a request like any other: packages, files, checks, units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.slipway.ops.plugins.module_utils._host.wish import Armed, Check, Directory, File, Unit, Wish
from ansible_collections.slipway.ops.plugins.module_utils._sshd import algorithms, dropin, jail, keys, pam
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import Suite
from ansible_collections.slipway.ops.plugins.module_utils._sshd.dropin import Setting
from ansible_collections.slipway.ops.plugins.module_utils._sshd.policy import Policy

NAME = "ssh"  # of the armed change
SERVICE = "ssh.service"
PACKAGE = "openssh-server"
ED25519_KEY = "/etc/ssh/ssh_host_ed25519_key"
RSA_KEY = "/etc/ssh/ssh_host_rsa_key"
LARGE_RSA_KEY = "/etc/ssh/ssh_host_rsa_4096_key"  # beside the distribution's, which stays as it is
# Left from Ubuntu releases whose ssh.socket was made from sshd's configuration.
SOCKET_LEFTOVERS = (
    "/etc/systemd/system/ssh.service.d/00-socket.conf",
    "/etc/systemd/system/ssh.socket.d/addresses.conf",
)


@dataclass(frozen=True)
class HostKey:
    """A key to offer and the bytes of both halves; empty where it cannot be made in check mode."""

    path: str
    private: bytes = b""
    public: bytes = b""


@dataclass(frozen=True)
class Present:
    """What the host has that files are made from."""

    keys: Sequence[HostKey] = ()
    moduli: str = ""
    pam: str = ""
    principals: Sequence[str] = ()  # names of files
    ignored: Sequence[str] = field(default=())  # addresses never to be banned
    socket: bool = False  # ssh.socket serves


def wanted_host_keys(policy: Policy, suite: Suite, large: Mapping[str, bool]) -> tuple[str, ...]:
    """Which keys to offer. `large` tells of each RSA key that is there whether it has enough bits for the policy."""
    if policy.host_keys:
        return policy.host_keys
    if large.get(RSA_KEY):
        return (ED25519_KEY, RSA_KEY)
    if suite.rsa_host_key or large.get(LARGE_RSA_KEY):
        return (ED25519_KEY, LARGE_RSA_KEY)
    return (ED25519_KEY,)


def kind_of(path: str) -> str:
    """Of a host key that is to be made; by the name, as sshd's own are called."""
    if "ed25519" in path:
        return "ed25519"
    return "rsa" if "rsa" in path else ""


def host_key_problem(path: str, public: str) -> str | None:
    if not public:
        if kind_of(path):
            return None
        return f"ssh_host_keys: {path} is not there, and its name does not tell its type (ed25519 or rsa)"
    said = keys.refusal(public)
    return f"ssh_host_keys: {path} {said}: name another, or leave ssh_host_keys empty" if said else None


def request(policy: Policy, settings: Sequence[Setting], present: Present, ports: Sequence[int]) -> Wish:
    files = [file for key in present.keys for file in _key_files(key)]
    absent = list(SOCKET_LEFTOVERS)
    exchanges = {item.key: item.values for item in settings}
    for path, content in (
        (dropin.MODULI, algorithms.safe_moduli(present.moduli) if "modulifile" in exchanges else ""),
        (dropin.USER_CA, _lines(policy.trusted_user_ca_keys)),
        (dropin.REVOKED, _lines(policy.revoked_keys)),
    ):
        if content:
            # secret: nobody reads half a megabyte of moduli in a diff
            files.append(File(path, content.encode(), secret=path == dropin.MODULI))
        else:
            absent.append(path)
    directories: list[Directory] = []
    if policy.authorized_principals:
        directories.append(Directory(dropin.PRINCIPALS))
    for user, principals in policy.authorized_principals.items():
        files.append(File(f"{dropin.PRINCIPALS}/{user}", _lines(principals).encode()))
    absent += [f"{dropin.PRINCIPALS}/{name}" for name in present.principals if name not in policy.authorized_principals]
    files.append(File(dropin.PATH, dropin.render(policy, settings).encode(), validate="sshd -t -f %s"))
    packages = [PACKAGE]
    checks = [Check("sshd -t", ("/etc/ssh/",))]
    units = [
        Unit("ssh.socket", enabled=False, state="stopped"),
        _service(present.socket),
    ]
    if policy.totp:
        packages.append(pam.PACKAGE)
        files.append(File(pam.FILE, pam.with_second_factor(present.pam).encode()))
    elif pam.BEGIN in present.pam:
        files.append(File(pam.FILE, pam.without_second_factor(present.pam).encode()))
    if policy.jail is not None:
        packages += jail.PACKAGES
        files.append(File(jail.FILE, jail.render(policy.jail, ports, present.ignored).encode()))
        checks.append(Check("fail2ban-client -t", (jail.FILE,)))
        units.append(Unit(jail.UNIT, enabled=True, state="started", reload_on=(jail.FILE,)))
    else:
        absent.append(jail.FILE)
        units.append(Unit(jail.UNIT, reload_on=(jail.FILE,)))
    return Wish(
        packages=tuple(packages),
        directories=tuple(directories),
        files=tuple(files),
        absent=tuple(absent),
        checks=tuple(checks),
        units=tuple(units),
        armed=Armed(NAME, policy.confirm_limit_seconds),
    )


def _service(socket: bool) -> Unit:
    """Reloaded, for a restart may fail for a reason of the unit's own, and then nobody gets in.

    A server that has its sockets from systemd cannot open them itself while it runs.
    """
    if socket:
        return Unit(SERVICE, enabled=True, state="started", restart_on=(dropin.PATH,))
    return Unit(SERVICE, enabled=True, state="started", reload_on=(dropin.PATH,))


def _key_files(key: HostKey) -> list[File]:
    return [File(key.path, key.private, "0600", secret=True), File(f"{key.path}.pub", key.public)]


def _lines(values: Sequence[str]) -> str:
    return "".join(f"{value}\n" for value in values)

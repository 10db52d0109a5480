# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sshd on this host: its files, what it makes of them, what it listens on, and who is connected."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import stat
from collections.abc import Sequence

from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._sshd import access, configuration
from ansible_collections.slipway.ops.plugins.module_utils._sshd.access import Listener, Login

SSHD = "/usr/sbin/sshd"
RUN = "/run/sshd"


class Sshd:
    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def installed(self) -> bool:
        return os.path.exists(SSHD)

    def effective(self, user: str = "", address: str = "") -> dict[str, list[str]]:
        """What sshd makes of its files for a user. A host that only ssh.socket serves lacks /run/sshd: lend it one."""
        argv = [SSHD, "-T"]
        if user:
            argv += ["-C", f"user={user},host={address or 'localhost'},addr={address or '127.0.0.1'}"]
        lent = not os.path.isdir(RUN)
        if lent:
            os.mkdir(RUN, 0o755)
        try:
            done = self.host.run(argv)
        finally:
            if lent:
                os.rmdir(RUN)
        if done.code != 0:
            raise HostError(f"sshd -T: {done.said}; repair sshd's configuration on the host first")
        return configuration.parse_effective(done.output)

    def files(self, pattern: str) -> Sequence[tuple[str, str]]:
        return [(name, self.host.text(name)) for name in sorted(glob.glob(pattern))]

    def listeners(self) -> tuple[Listener, ...]:
        socket = self.host.run(["systemctl", "show", "--property=ActiveState,Listen", "ssh.socket"]).output
        ports = access.parse_socket_ports(socket) if "ActiveState=active" in socket else frozenset()
        done = self.host.run(["ss", "-Hltnp"])
        if done.code != 0:
            raise HostError(f"ss -Hltnp: {done.said}")
        return access.parse_listeners(done.output, ports)

    def login(self, user: str, effective: dict[str, list[str]], address: str) -> Login:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise HostError(f"user {user}: does not exist on the host; give ssh_login_user") from None
        groups = {group.gr_name for group in grp.getgrall() if user in group.gr_mem or group.gr_gid == account.pw_gid}
        paths = access.key_paths(effective.get("authorizedkeysfile", []), user, account.pw_dir, account.pw_uid)
        strict = effective.get("strictmodes", ["yes"]) == ["yes"]
        keys = 0
        unsafe: list[str] = []
        for path in paths:
            wrong = self.unsafe(path, account.pw_dir, account.pw_uid) if strict else ""
            if wrong:
                unsafe.append(wrong)
            else:
                keys += access.count_keys(self.host.text(path))
        others = effective.get("authorizedkeyscommand", []) + effective.get("trustedusercakeys", [])
        return Login(
            user=user,
            groups=tuple(sorted(groups)),
            address=address,
            keys=keys,
            key_files=tuple(paths),
            unsafe=tuple(unsafe),
            other_proof=any(value != "none" for value in others),
        )

    def unsafe(self, path: str, home: str, uid: int) -> str:
        """Why StrictModes would make sshd ignore the file; empty when it would not."""
        if not os.path.exists(path):
            return ""
        each = path
        while each not in ("/", ""):
            info = os.stat(each)
            if info.st_uid not in (0, uid):
                return f"{each} belongs to another user"
            if stat.S_IMODE(info.st_mode) & 0o022:
                return f"{each} can be written by others"
            if each == home:
                break
            each = os.path.dirname(each)
        return ""

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""sshd on this host: its files, what it makes of them, what it listens on, and who is connected."""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import platform
import pwd
import re
import socket
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence

from ansible_collections.slipway.ops.plugins.module_utils._host.gateway import Host, HostError
from ansible_collections.slipway.ops.plugins.module_utils._sshd import access, configuration, keys, pam, wire
from ansible_collections.slipway.ops.plugins.module_utils._sshd.access import Listener, Login
from ansible_collections.slipway.ops.plugins.module_utils._sshd.wire import Offer

SSHD = "/usr/sbin/sshd"
RUN = "/run/sshd"
ANSWER_SECONDS = 3.0
MAX_PACKET = 35000  # RFC 4253 section 6.1


class Sshd:
    def __init__(self, host: Host) -> None:
        self.host = host

    @property
    def installed(self) -> bool:
        return os.path.exists(SSHD)

    def effective(self, user: str = "", address: str = "", port: int = 22) -> dict[str, list[str]]:
        """What sshd makes of its files for a user."""
        argv = [SSHD, "-T"]
        if user:
            here = address or "127.0.0.1"
            argv += ["-C", f"user={user},host={here},addr={here},laddr=127.0.0.1,lport={port}"]
        with self.runnable():
            done = self.host.run(argv)
        if done.code != 0:
            raise HostError(f"sshd -T: {done.said}; repair sshd's configuration on the host first")
        return configuration.parse_effective(done.output)

    def files(self, pattern: str) -> Sequence[tuple[str, str]]:
        return [(name, self.host.text(name)) for name in sorted(glob.glob(pattern))]

    def socket_serves(self) -> bool:
        """Whether sshd has its sockets from systemd, be it that ssh.socket was stopped since."""
        if self.host.run(["systemctl", "is-active", "--quiet", "ssh.socket"]).code == 0:
            return True
        return access.has_dual_socket(self.host.run(["ss", "-Hltnp"]).output)

    def sockets(self) -> frozenset[str]:
        """The sockets that sshd listens on, by the kernel's numbers for them: new ones have new numbers."""
        return access.parse_sockets(self.host.run(["ss", "-Hltnpe"]).output)

    def listeners(self) -> tuple[Listener, ...]:
        socket = self.host.run(["systemctl", "show", "--property=ActiveState,Listen", "ssh.socket"]).output
        ports = access.parse_socket_ports(socket) if "ActiveState=active" in socket else frozenset()
        done = self.host.run(["ss", "-Hltnp"])
        if done.code != 0:
            raise HostError(f"ss -Hltnp: {done.said}")
        return access.parse_listeners(done.output, ports)

    def login(
        self, user: str, effective: Mapping[str, Sequence[str]], address: str = "", revoked: Collection[str] = ()
    ) -> Login:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise HostError(f"user {user}: does not exist on the host; give ssh_login_user") from None
        groups = {group.gr_name for group in grp.getgrall() if user in group.gr_mem or group.gr_gid == account.pw_gid}
        paths = access.key_paths(effective.get("authorizedkeysfile", []), user, account.pw_dir, account.pw_uid)
        strict = effective.get("strictmodes", ["yes"]) == ["yes"]
        count = 0
        unsafe: list[str] = []
        unusable: list[str] = []
        for path in paths:
            wrong = self.unsafe(path, account.pw_dir, account.pw_uid) if strict else ""
            if wrong:
                unsafe.append(wrong)
                continue
            usable, others = keys.usable(self.host.text(path), revoked)
            count += usable
            unusable += others
        others = [*effective.get("authorizedkeyscommand", []), *effective.get("trustedusercakeys", [])]
        return Login(
            user=user,
            groups=tuple(sorted(groups)),
            address=address,
            keys=count,
            key_files=tuple(paths),
            unsafe=tuple(unsafe),
            other_proof=any(value != "none" for value in others),
            unusable=tuple(unusable),
            code=self.no_code(account.pw_dir, account.pw_uid),
        )

    def no_code(self, home: str, uid: int) -> str:
        """Why the PAM module would not take a code of the user; empty when it would."""
        path = f"{home}/{pam.ENROLMENT}"
        try:
            info = os.stat(path)
        except OSError:
            return f"has no {path}"
        if info.st_uid != uid or stat.S_IMODE(info.st_mode) & 0o077:
            return f"does not own {path} alone (mode 0400)"
        return ""

    def people(self) -> list[str]:
        """Accounts that a person or a program can log in to."""
        return [
            account.pw_name
            for account in pwd.getpwall()
            if not account.pw_shell.endswith(("/nologin", "/false", "/sync"))
        ]

    def exists(self, user: str) -> bool:
        try:
            pwd.getpwnam(user)
        except KeyError:
            return False
        return True

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

    def release(self) -> tuple[str, str]:
        """Distribution and release, as /etc/os-release names them."""
        values: dict[str, str] = {}
        for line in self.host.text("/etc/os-release").splitlines():
            key, _equals, value = line.partition("=")
            values[key] = value.strip().strip('"')
        return values.get("ID", ""), values.get("VERSION_ID", "")

    def openssh(self) -> tuple[int, int]:
        done = self.host.run(["ssh", "-V"])
        found = re.search(r"OpenSSH_(\d+)\.(\d+)", done.errors + done.output)
        return (int(found.group(1)), int(found.group(2))) if found else (0, 0)

    def algorithms(self) -> frozenset[str]:
        """All that this OpenSSH has, of every kind."""
        names: set[str] = set()
        for kind in ("kex", "cipher", "mac", "key-sig"):
            done = self.host.run(["ssh", "-Q", kind])
            if done.code == 0:
                names.update(done.output.split())
        return frozenset(names)

    def public_key(self, path: str) -> str:
        """The public half of a host key; empty when there is no key."""
        if not os.path.exists(path):
            return ""
        text = self.host.text(f"{path}.pub").strip()
        if text:
            return text
        done = self.host.run(["ssh-keygen", "-y", "-f", path])
        if done.code != 0:
            raise HostError(f"{path}: {done.said}; move it away, and it is made anew")
        return done.output.strip()

    def new_host_key(self, kind: str, size: int) -> tuple[bytes, bytes]:
        """Private and public half, made where nothing remains of them."""
        with tempfile.TemporaryDirectory(prefix="slipway-", dir="/run") as directory:
            path = f"{directory}/key"
            comment = f"root@{platform.node()}"
            argv = ["ssh-keygen", "-q", "-t", kind, "-b", str(size), "-N", "", "-C", comment, "-f", path]
            done = self.host.run(argv)
            if done.code != 0:
                raise HostError(f"ssh-keygen -t {kind}: {done.said}")
            with open(path, "rb") as private, open(f"{path}.pub", "rb") as public:
                return private.read(), public.read()

    def bytes(self, path: str) -> bytes:
        with open(path, "rb") as handle:
            return handle.read()

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []

    def offer(self, port: int) -> Offer | None:
        """What the running server says to a client on this host; nothing when it does not answer here."""
        for address in ("127.0.0.1", "::1"):
            try:
                with socket.create_connection((address, port), ANSWER_SECONDS) as link, link.makefile("rb") as stream:
                    if not stream.readline(256).startswith(b"SSH-2.0-"):
                        return None
                    link.sendall(b"SSH-2.0-Slipway\r\n")
                    head = stream.read(4)
                    return wire.parse_offer(head + stream.read(min(int.from_bytes(head, "big"), MAX_PACKET)))
            except OSError:
                continue
        return None

    @contextlib.contextmanager
    def runnable(self) -> Iterator[None]:
        """sshd does not even test a file without /run/sshd, which a host that only ssh.socket serves lacks: lend it."""
        lent = not os.path.isdir(RUN)
        if lent:
            os.mkdir(RUN, 0o755)
        try:
            yield
        finally:
            if lent and self.host.run(["systemctl", "is-active", "--quiet", "ssh.service"]).code != 0:
                with contextlib.suppress(OSError):
                    os.rmdir(RUN)

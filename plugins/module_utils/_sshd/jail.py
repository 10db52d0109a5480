# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jail of fail2ban for SSH: read from the journal, banned in a table of its own that no other rule is lost with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FILE = "/etc/fail2ban/jail.d/slipway-sshd.local"
PACKAGES = ("fail2ban", "nftables", "python3-systemd")
UNIT = "fail2ban.service"
LOOPBACK = ("127.0.0.0/8", "::1")


@dataclass(frozen=True)
class Jail:
    max_retry: int = 5
    find_seconds: int = 600
    ban_seconds: int = 3600


def render(jail: Jail, ports: Sequence[int], ignored: Sequence[str]) -> str:
    return f"""# Managed by slipway.ops.ssh.
[sshd]
enabled = true
backend = systemd
journalmatch = _SYSTEMD_UNIT=ssh.service + _SYSTEMD_UNIT=sshd.service
filter = sshd[mode=normal]
port = {",".join(str(port) for port in ports)}
banaction = nftables[type=multiport]
ignoreself = true
ignoreip = {" ".join([*LOOPBACK, *ignored])}
maxretry = {jail.max_retry}
findtime = {jail.find_seconds}
bantime = {jail.ban_seconds}
"""

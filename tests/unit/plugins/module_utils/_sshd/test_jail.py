# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.slipway.ops.plugins.module_utils._sshd import jail


def test_jail() -> None:
    text = jail.render(jail.Jail(3, 60, 120), [2222, 22], ["192.0.2.0/24"])
    values = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    assert values["backend"] == "systemd"
    assert values["port"] == "2222,22"
    assert values["ignoreip"] == "127.0.0.0/8 ::1 192.0.2.0/24"
    assert (values["maxretry"], values["findtime"], values["bantime"]) == ("3", "60", "120")
    assert "ssh.service + _SYSTEMD_UNIT=sshd.service" in values["journalmatch"]
    assert values["banaction"].startswith("nftables"), "a table of its own: no chain of others is touched"

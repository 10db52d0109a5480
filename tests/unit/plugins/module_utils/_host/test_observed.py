# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._host import observed
from ansible_collections.slipway.ops.plugins.module_utils._host.observed import UnitState

STATUS = """\
Package: nginx
Status: install ok installed
Architecture: amd64
Provides: httpd, nginx-common (= 1.26)
Description: small
 Package: liar
 Status: install ok installed

Package: gone
Status: deinstall ok config-files
Architecture: amd64

Package: held
Status: hold ok installed
Architecture: all
"""

# recorded on Debian 13 (systemd 257): a service that runs, one refused by its condition, one that does not exist
SHOW = """\
Type=notify
Restart=no
NRestarts=0
Result=success
Id=ssh.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled
NeedDaemonReload=no
ConditionResult=yes
ConditionTimestampMonotonic=8155151397

Type=notify
NRestarts=0
Result=success
Id=systemd-timesyncd.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=enabled
NeedDaemonReload=no
ConditionResult=no
ConditionTimestampMonotonic=8155151397

Id=nothere.socket
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
NeedDaemonReload=no
ConditionResult=no
ConditionTimestampMonotonic=0
"""


@pytest.mark.parametrize(
    ("wanted", "installed"),
    [
        ({"nginx"}, {"nginx"}),
        ({"httpd"}, {"httpd"}),
        ({"nginx:amd64"}, {"nginx:amd64"}),
        ({"nginx:arm64", "gone", "liar"}, set()),
        ({"held"}, {"held"}),
    ],
)
def test_dpkg_status(wanted: set[str], installed: set[str]) -> None:
    assert observed.parse_dpkg_status(STATUS, frozenset(wanted)) == installed


def test_accounts() -> None:
    accounts = observed.parse_passwd("root:x:0:0:root:/root:/bin/bash\nbroken\ndeploy:x:1001:1002:D:/home/d:/bin/sh\n")
    assert accounts["deploy"] == observed.Account("deploy", 1001, 1002, "D", "/home/d", "/bin/sh")
    assert set(accounts) == {"root", "deploy"}
    groups = observed.parse_group("docker:x:990:deploy,other\nempty:x:5:\n")
    assert groups["docker"].members == ("deploy", "other")
    assert groups["empty"].members == ()


def test_units() -> None:
    found = observed.parse_units(["ssh.service", "systemd-timesyncd.service", "nothere.socket"], SHOW)
    assert found["ssh.service"].running
    assert not found["ssh.service"].condition_refused
    assert found["systemd-timesyncd.service"].condition_refused
    assert not found["nothere.socket"].exists
    assert not found["nothere.socket"].condition_refused, "it was never tried"


@pytest.mark.parametrize(
    ("active", "running"), [("active", True), ("reloading", True), ("activating", True), ("failed", False)]
)
def test_running(active: str, running: bool) -> None:
    assert UnitState("x.service", active=active).running is running


def test_sysctl_path() -> None:
    assert observed.sysctl_path("net.core.somaxconn") == "/proc/sys/net/core/somaxconn"
    assert observed.sysctl_path("net/ipv4/conf/eth0.10/rp_filter") == "/proc/sys/net/ipv4/conf/eth0.10/rp_filter"

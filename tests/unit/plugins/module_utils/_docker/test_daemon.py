# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker.daemon import daemon_settings, needs_restart

DEFAULTS = {
    "live-restore": True,
    "log-driver": "json-file",
    "log-opts": {"max-file": "5", "max-size": "10m"},
    "no-new-privileges": True,
    "userland-proxy": False,
}


@pytest.mark.parametrize(
    ("options", "more"),
    [
        ({}, {}),
        ({"log_driver": "local", "log_max_size_mib": 1, "log_max_files": 2},
         {"log-driver": "local", "log-opts": {"max-file": "2", "max-size": "1m"}}),
        ({"live_restore": False, "userland_proxy": True, "no_new_privileges": False},
         {"live-restore": False, "userland-proxy": True, "no-new-privileges": False}),
        ({"address_pools": [{"base": "10.201.0.0/16", "size": 24}]},
         {"default-address-pools": [{"base": "10.201.0.0/16", "size": 24}]}),
        ({"registry_mirrors": ["http://192.0.2.1:5000"], "insecure_registries": ["192.0.2.1:5000", "10.0.0.0/8"]},
         {"registry-mirrors": ["http://192.0.2.1:5000"], "insecure-registries": ["192.0.2.1:5000", "10.0.0.0/8"]}),
        ({"ipv6": True, "ipv6_subnet": "fd00:d0c::/64"},
         {"ipv6": True, "ip6tables": True, "experimental": True, "fixed-cidr-v6": "fd00:d0c::/64"}),
        ({"daemon_extra": {"max-concurrent-downloads": 5}}, {"max-concurrent-downloads": 5}),
    ],
)  # fmt: skip
def test_settings(options: dict[str, Any], more: dict[str, Any]) -> None:
    assert daemon_settings(options) == ({**DEFAULTS, **more}, [])


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"log_driver": "syslog"}, "log_driver: 'syslog'"),
        ({"log_max_files": 0}, "log_max_files: must be at least 1"),
        ({"address_pools": [{"base": "10.0.0.1/8", "size": 24}]}, "address_pools[0].base: '10.0.0.1/8' is no network"),
        ({"address_pools": [{"base": "10.0.0.0/16", "size": 8}]}, "address_pools[0].size: 8 is not between"),
        ({"registry_mirrors": ["mirror.example.test"]}, "registry_mirrors[0]: 'mirror.example.test' is no mirror"),
        ({"insecure_registries": ["http://a"]}, "insecure_registries[0]: 'http://a' is no registry"),
        ({"ipv6": True}, "ipv6_subnet: '' is no IPv6 network"),
        ({"ipv6": True, "ipv6_subnet": "10.0.0.0/8"}, "ipv6_subnet: '10.0.0.0/8' is no IPv6 network"),
        ({"daemon_extra": {"live-restore": False}}, "daemon_extra.live-restore: has a variable of its own"),
    ],
)
def test_problems(options: dict[str, Any], problem: str) -> None:
    problems = daemon_settings(options)[1]
    assert len(problems) == 1
    assert problems[0].startswith(problem)


def test_only_what_cannot_be_reloaded_needs_a_restart() -> None:
    settings, _problems = daemon_settings({"registry_mirrors": ["https://a.test"], "daemon_extra": {"debug": True}})
    assert set(settings) - set(needs_restart(settings)) == {"live-restore", "registry-mirrors", "debug"}

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What dockerd says it runs with, against daemon.json."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker.daemon import daemon_settings
from ansible_collections.slipway.ops.plugins.module_utils._docker.running import differences, started_before

OPTIONS = {
    "registry_mirrors": ["https://mirror.test"],
    "insecure_registries": ["registry.test:5000", "10.1.2.3/8"],
    "address_pools": [{"base": "198.18.0.0/16", "size": 24}],
}
RUNNING: dict[str, Any] = {
    "ServerVersion": "26.1.5+dfsg1",
    "LiveRestoreEnabled": True,
    "LoggingDriver": "json-file",
    "DefaultAddressPools": [{"Base": "198.18.0.0/16", "Size": 24}],
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=no-new-privileges"],
    "RegistryConfig": {
        "Mirrors": ["https://mirror.test/"],
        "InsecureRegistryCIDRs": ["10.0.0.0/8", "127.0.0.0/8"],
        "IndexConfigs": {"docker.io": {"Secure": True}, "registry.test:5000": {"Secure": False}},
    },
}


def test_finds_nothing_where_all_is_as_declared() -> None:
    assert differences(daemon_settings(OPTIONS)[0], RUNNING) == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"LiveRestoreEnabled": False}, ["live-restore"]),
        ({"LoggingDriver": "local"}, ["log-driver"]),
        ({"DefaultAddressPools": None}, ["default-address-pools"]),
        ({"SecurityOptions": []}, ["no-new-privileges"]),
        ({"SecurityOptions": [], "ServerVersion": "20.10.24"}, []),
        ({"RegistryConfig": {}}, ["registry-mirrors", "insecure-registries"]),
    ],
)
def test_finds_what_differs(changed: dict[str, Any], expected: list[str]) -> None:
    assert differences(daemon_settings(OPTIONS)[0], {**RUNNING, **changed}) == expected


def test_a_start_before_the_last_change_is_found_and_a_second_of_doubt_is_left() -> None:
    assert started_before(100, 103)
    assert not started_before(100, 101.9)

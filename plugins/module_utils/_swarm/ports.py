# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nodes of a Swarm need of each other's firewalls."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from ansible_collections.slipway.ops.plugins.module_utils._swarm.values import PORT

GOSSIP_PORT = 7946
# net.ipv4.ip_local_port_range, out of which dockerd takes random ports.
RANDOM_PORTS = "32768:60999"


def rules(addresses: Sequence[str], data_path_port: int, encrypted: bool) -> list[dict[str, Any]]:
    """Rules for each address, in the addresses' order. Raises ValueError for what is no address."""
    found: list[dict[str, Any]] = []
    for address in addresses:
        version = ipaddress.ip_address(address).version
        found += [
            {"port": [PORT, GOSSIP_PORT], "protocol": "tcp", "from": address, "comment": "Swarm"},
            {"port": [data_path_port, GOSSIP_PORT], "protocol": "udp", "from": address, "comment": "Swarm"},
        ]
        if encrypted:
            found.append({"protocol": "esp", "from": address, "comment": "Swarm, encrypted overlay networks"})
        if version == 6:
            found.append({"port": [RANDOM_PORTS], "protocol": "tcp", "from": address, "comment": "Swarm tasks"})
    return found

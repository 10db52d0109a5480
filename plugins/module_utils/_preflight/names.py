# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare what host names resolve to with the addresses that they must lead to."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Optional

# Answers that a DNS64 resolver makes up for hosts without IPv6 (RFC 6052).
_DNS64 = ipaddress.ip_network("64:ff9b::/96")


def _addresses(values: Sequence[str]) -> list[str]:
    return [str(ipaddress.ip_address(value)) for value in values]


def record_type(address: str) -> str:
    """Return the type of the DNS record that holds this address."""
    return "A" if ipaddress.ip_address(address).version == 4 else "AAAA"


def check_name(name: str, answers: Sequence[str], failure: Optional[str], expected: Sequence[str]) -> list[str]:
    """Return what is wrong with the answers for one host name.

    :arg answers: the addresses that the name resolves to.
    :arg failure: why there are none, in the resolver's words.
    :arg expected: the addresses that the name may resolve to; without any, resolving is enough.
    """
    wanted = _addresses(expected)
    found = [address for address in _addresses(answers) if ipaddress.ip_address(address) not in _DNS64]
    remedy_target = f" with {' or '.join(wanted)}" if wanted else ""
    if not found:
        record = record_type(wanted[0]) if wanted else "A"
        return [
            f"{name} does not resolve ({failure or 'no A or AAAA record'}): create its {record} record{remedy_target}"
        ]
    if not wanted:
        return []
    foreign = [address for address in found if address not in wanted]
    if not foreign:
        return []
    also = "" if len(foreign) == len(found) else "also "
    records = " and ".join(sorted({record_type(address) for address in foreign}))
    return [
        f"{name} resolves {also}to {', '.join(foreign)}, not to this host ({', '.join(wanted)}): "
        f"correct its {records} record, or set site_addresses"
    ]

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an SSH server says first, before anything is secret: its banner and the algorithms that it offers."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

KEXINIT = 20
NOT_ALGORITHMS = ("ext-info-s", "kex-strict-s-v00@openssh.com")  # markers among the key exchanges
CERTIFICATE = "-cert-v01@openssh.com"


@dataclass(frozen=True)
class Offer:
    key_exchanges: tuple[str, ...]
    host_keys: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]


def parse_offer(packet: bytes) -> Offer | None:
    """Read the first packet (RFC 4253 sections 6 and 7.1); nothing when it is not what it should be."""
    if len(packet) < 6:
        return None
    length, padding = struct.unpack(">IB", packet[:5])
    body = packet[5 : 4 + length - padding]
    if not body or body[0] != KEXINIT:
        return None
    lists: list[tuple[str, ...]] = []
    rest = body[17:]  # after the type and the cookie
    for _index in range(6):
        if len(rest) < 4:
            return None
        (size,) = struct.unpack(">I", rest[:4])
        names = rest[4 : 4 + size]
        if len(names) != size:
            return None
        lists.append(tuple(names.decode("ascii", "replace").split(",")) if names else ())
        rest = rest[4 + size :]
    exchanges = tuple(name for name in lists[0] if name not in NOT_ALGORITHMS)
    return Offer(exchanges, lists[1], lists[3], lists[5])


def differing(offer: Offer, wanted: Mapping[str, Sequence[str]]) -> list[str]:
    """Where the running server offers something else than its files say. Host keys by type: it has not all of them."""
    found: list[str] = []
    for key, names in (
        ("kexalgorithms", offer.key_exchanges),
        ("ciphers", offer.ciphers),
        ("macs", offer.macs),
    ):
        should_be = ",".join(wanted.get(key, ()))
        if should_be and ",".join(names) != should_be:
            found.append(f"the running sshd offers {key} {','.join(names)}, not {should_be}")
    allowed = {name for value in wanted.get("hostkeyalgorithms", ()) for name in value.split(",")}
    strange = [name for name in offer.host_keys if allowed and name not in allowed]
    if strange:
        found.append(f"the running sshd offers host keys {','.join(strange)}, which are not wanted")
    return found

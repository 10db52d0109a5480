# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of OpenPGP public keys (RFC 4880, section 12.2), without gpg: hosts and controllers need not have it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator

_BEGIN = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
_END = "-----END PGP PUBLIC KEY BLOCK-----"
_PUBLIC_KEY = 6


def fingerprints(armoured: str) -> list[str]:
    """The fingerprint of every primary key in the text, in upper case without spaces."""
    found: list[str] = []
    for block in armoured.split(_BEGIN)[1:]:
        body, end, _rest = block.partition(_END)
        if not end:
            raise ValueError("the key block has no end; it was cut off")
        for tag, packet in _packets(_unarmour(body)):
            if tag == _PUBLIC_KEY:
                if packet[:1] != b"\x04":
                    raise ValueError(f"key version {packet[0]} is not supported; use a version 4 key")
                framed = b"\x99" + len(packet).to_bytes(2, "big") + packet
                found.append(hashlib.sha1(framed, usedforsecurity=False).hexdigest().upper())
    if not found:
        raise ValueError(f"no public key found; give the text that starts with {_BEGIN}")
    return found


def _unarmour(body: str) -> bytes:
    lines = [line.strip() for line in body.strip("\n").splitlines()]
    # Headers such as "Comment:" end with an empty line.
    if "" in lines and any(":" in line for line in lines[: lines.index("")]):
        lines = lines[lines.index("") :]
    try:
        return base64.b64decode("".join(line for line in lines if line and not line.startswith("=")), validate=True)
    except binascii.Error as error:
        raise ValueError(f"the key block is not base64: {error}") from None


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        head = data[position]
        position += 1
        if not head & 0x80:
            raise ValueError("the key block is damaged")
        if head & 0x40:
            tag, length, position = head & 0x3F, *_new_length(data, position)
        else:
            tag, size = (head >> 2) & 0x0F, 1 << (head & 3)
            if size == 8:
                raise ValueError("the key block is damaged")
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        yield tag, data[position : position + length]
        position += length


def _new_length(data: bytes, position: int) -> tuple[int, int]:
    first = data[position]
    if first < 192:
        return first, position + 1
    if first < 224:
        return ((first - 192) << 8) + data[position + 1] + 192, position + 2
    if first == 255:
        return int.from_bytes(data[position + 1 : position + 5], "big"), position + 5
    raise ValueError("the key block is damaged")

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys as sshd will judge them: which of a user's would still be accepted, and how large a host's is."""

from __future__ import annotations

import struct
from collections.abc import Collection

from ansible_collections.slipway.ops.plugins.module_utils._host.wish import fingerprint, key_blob
from ansible_collections.slipway.ops.plugins.module_utils._sshd.algorithms import RSA_BITS, USER_KEY_TYPES

RSA = "ssh-rsa"
ED25519 = "ssh-ed25519"


def bits(blob: bytes) -> int:
    """Size of an RSA key; 256 of any other, which has but one size."""
    fields = _fields(blob)
    if not fields or fields[0] != RSA.encode():
        return 256
    return int.from_bytes(fields[-1], "big").bit_length()


def refusal(line: str, revoked: Collection[str] = ()) -> str | None:
    """Why sshd would not take this line of an authorized_keys file; nothing when it would."""
    kind, blob = key_blob(line)
    if not blob:
        return "is not a public key"
    if fingerprint(line) in revoked:
        return "is revoked"
    if kind not in USER_KEY_TYPES:
        return f"is of type {kind}"
    if kind == RSA and bits(blob) < RSA_BITS:
        return f"is RSA of {bits(blob)} bits, {RSA_BITS} are needed"
    return None


def usable(text: str, revoked: Collection[str] = ()) -> tuple[int, list[str]]:
    """How many keys of a file sshd would take, and why it would not take the others."""
    count = 0
    others: list[str] = []
    for line in text.splitlines():
        said = refusal(line, revoked)
        if said is None:
            count += 1
        elif key_blob(line)[1]:
            others.append(f"{fingerprint(line)} {said}")
    return count, others


def _fields(blob: bytes) -> list[bytes]:
    found: list[bytes] = []
    while len(blob) >= 4:
        (size,) = struct.unpack(">I", blob[:4])
        found.append(blob[4 : 4 + size])
        blob = blob[4 + size :]
    return found

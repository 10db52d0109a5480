# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._sshd.wire import Offer, differing, parse_offer


def packet(*lists: str, kind: int = 20) -> bytes:
    body = bytes([kind]) + b"c" * 16
    for names in lists:
        body += struct.pack(">I", len(names)) + names.encode()
    body += bytes(5)
    padding = 8
    return struct.pack(">IB", len(body) + padding + 1, padding) + body + bytes(padding)


GOOD = packet(
    "mlkem768x25519-sha256,ext-info-s,kex-strict-s-v00@openssh.com",
    "ssh-ed25519", "aes256-ctr", "aes256-ctr", "m1,m2", "m1,m2", "none", "none", "", "",
)  # fmt: skip
OFFER = Offer(("mlkem768x25519-sha256",), ("ssh-ed25519",), ("aes256-ctr",), ("m1", "m2"))


def test_offer() -> None:
    assert parse_offer(GOOD) == OFFER


@pytest.mark.parametrize("raw", [b"", b"abc", GOOD[:30], packet("a", kind=21), packet("a", "b")])
def test_anything_else_is_no_offer(raw: bytes) -> None:
    assert parse_offer(raw) is None


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ({"kexalgorithms": ["mlkem768x25519-sha256"], "macs": ["m1,m2"], "port": ["22"]}, []),
        ({"macs": ["m2,m1"]}, ["the running sshd offers macs m1,m2, not m2,m1"]),
        ({"ciphers": ["aes128-ctr"]}, ["the running sshd offers ciphers aes256-ctr, not aes128-ctr"]),
        ({"hostkeyalgorithms": ["ssh-ed25519,rsa-sha2-512"]}, []),
        ({"hostkeyalgorithms": ["rsa-sha2-512"]}, ["offers host keys ssh-ed25519, which are not wanted"]),
    ],
)
def test_differing(wanted: dict[str, list[str]], says: list[str]) -> None:
    found = differing(OFFER, wanted)
    assert len(found) == len(says)
    assert all(part in line for part, line in zip(says, found))

# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the nginx of a distribution's release can do. Known before nginx is installed, so that check mode can render."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

# Mozilla's server side TLS guideline 6.0, level "intermediate". OpenSSL takes the first group that both sides know.
GROUPS = ("X25519", "prime256v1", "secp384r1")
HYBRID_GROUP = "X25519MLKEM768"
CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)


@dataclass(frozen=True)
class Release:
    """nginx's and OpenSSL's versions as the distribution ships them."""

    nginx: tuple[int, int, int]
    openssl: tuple[int, int]


RELEASES: dict[str, Release] = {
    "bookworm": Release((1, 22, 1), (3, 0)),
    "trixie": Release((1, 26, 3), (3, 5)),
    "jammy": Release((1, 18, 0), (3, 0)),
    "noble": Release((1, 24, 0), (3, 0)),
}


@dataclass(frozen=True)
class Platform:
    """What the templates ask."""

    http2_directive: bool
    reject_handshake: bool
    groups: str
    ciphers: str

    def plain(self) -> dict[str, Any]:
        return asdict(self)


def platform(release: str) -> Platform:
    """The abilities of a release; ValueError when nothing is known about it."""
    if release not in RELEASES:
        raise ValueError(f"{release!r} is not a known release; known are {', '.join(sorted(RELEASES))}")
    versions = RELEASES[release]
    # ML-KEM came with OpenSSL 3.5; an older one refuses the whole configuration for an unknown group.
    groups = (HYBRID_GROUP, *GROUPS) if versions.openssl >= (3, 5) else GROUPS
    return Platform(
        http2_directive=versions.nginx >= (1, 25, 1),  # from here on `listen ... http2` warns
        reject_handshake=versions.nginx >= (1, 19, 4),
        groups=":".join(groups),
        ciphers=":".join(CIPHERS),
    )

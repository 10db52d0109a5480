# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which algorithms a release's OpenSSH is to offer: ssh-audit's policies for hardened servers, as data.

Source: ssh-audit 3.9.0, `builtin_policies.py` (what is compared over the wire) and its hardening guides of the same
names (what is set besides). A release that is not in the table gets what its OpenSSH version is closest to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

CIPHERS = (
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-gcm@openssh.com",
    "aes128-ctr",
)
MACS = ("hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "umac-128-etm@openssh.com")
MACS_SHORT_FIRST = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "umac-128-etm@openssh.com")
SIGNATURES = ("sk-ssh-ed25519@openssh.com", "ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256")
KEYS = (
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ssh-ed25519-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    *SIGNATURES,
)
USER_KEY_TYPES = ("ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ssh-rsa")  # what KEYS lets a user log in with

ML_KEM = "mlkem768x25519-sha256"
SNTRUP = "sntrup761x25519-sha512"
SNTRUP_OLD_NAME = "sntrup761x25519-sha512@openssh.com"
POST_QUANTUM = ("mlkem", "sntrup")
GROUP_EXCHANGE = "diffie-hellman-group-exchange-sha256"
CURVES = ("curve25519-sha256", "curve25519-sha256@libssh.org")

RSA_BITS = 3072  # RequiredRSASize of the guides: smaller keys of hosts and users are not accepted
RSA_HOST_BITS = 4096
MODULUS_BITS = 3071  # as the moduli file counts


@dataclass(frozen=True)
class Suite:
    policy: str
    openssh: tuple[int, int]
    key_exchanges: tuple[str, ...]
    macs: tuple[str, ...] = MACS
    ciphers: tuple[str, ...] = CIPHERS
    rsa_host_key: bool = False  # the policy does not pass without one


SUITES: dict[tuple[str, str], Suite] = {
    ("debian", "12"): Suite(
        "Hardened Debian 12 (version 3)",
        (9, 2),
        (
            SNTRUP,
            SNTRUP_OLD_NAME,
            *CURVES,
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group18-sha512",
            GROUP_EXCHANGE,
        ),
        macs=MACS_SHORT_FIRST,
        rsa_host_key=True,
    ),
    ("debian", "13"): Suite("Hardened Debian 13 (version 1)", (10, 0), (ML_KEM, SNTRUP, SNTRUP_OLD_NAME)),
    ("ubuntu", "22.04"): Suite(
        "Hardened Ubuntu Server 22.04 LTS (version 6)",
        (8, 9),
        (
            SNTRUP_OLD_NAME,
            *CURVES,
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group18-sha512",
            GROUP_EXCHANGE,
        ),
        macs=MACS_SHORT_FIRST,
        rsa_host_key=True,
    ),
    ("ubuntu", "24.04"): Suite(
        "Hardened Ubuntu Server 24.04 LTS (version 2)",
        (9, 6),
        (
            SNTRUP_OLD_NAME,
            *CURVES,
            "diffie-hellman-group18-sha512",
            GROUP_EXCHANGE,
            "diffie-hellman-group16-sha512",
        ),
    ),
    ("ubuntu", "26.04"): Suite(
        "Hardened Ubuntu Server 26.04 LTS (version 1)", (10, 2), (ML_KEM, SNTRUP, SNTRUP_OLD_NAME)
    ),
}


def suite_for(distribution: str, release: str, openssh: tuple[int, int]) -> Suite:
    """The release's own, or that of the newest OpenSSH which is not newer than this host's."""
    found = SUITES.get((distribution, release))
    if found is not None:
        return found
    by_age = sorted(SUITES.values(), key=lambda suite: suite.openssh)
    not_newer = [suite for suite in by_age if suite.openssh <= openssh]
    return not_newer[-1] if not_newer else by_age[0]


def offered(wanted: Iterable[str], known: Iterable[str]) -> tuple[str, ...]:
    """What is wanted and this OpenSSH has. Without knowledge of the host, all of it."""
    there = set(known)
    return tuple(name for name in wanted if not there or name in there)


def is_post_quantum(name: str) -> bool:
    return name.startswith(POST_QUANTUM)


def safe_moduli(text: str) -> str:
    """The groups of /etc/ssh/moduli that are large enough, comments left out."""
    kept: list[str] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 7 and fields[4].isdigit() and int(fields[4]) >= MODULUS_BITS:
            kept.append(line)
    return "".join(f"{line}\n" for line in kept)

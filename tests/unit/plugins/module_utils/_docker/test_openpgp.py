# Copyright: Slipway contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints as gpg 2.2 prints them for the same keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._docker.openpgp import fingerprints

KEY = (Path(__file__).parent / "example.asc").read_text(encoding="ascii")
FINGERPRINT = "F177AFE7BA8E2F01E351BF1A9172CD6F9C95CDF2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (KEY, [FINGERPRINT]),
        (KEY + KEY, [FINGERPRINT, FINGERPRINT]),
        (KEY.replace("BLOCK-----\n\n", "BLOCK-----\nComment: example\n\n", 1), [FINGERPRINT]),
        (KEY.replace("\n", "\r\n"), [FINGERPRINT]),
        ("Some words before\n" + KEY, [FINGERPRINT]),
    ],
    ids=["one", "two", "with a header", "with Windows line ends", "with words around"],
)
def test_reads_fingerprints(text: str, expected: list[str]) -> None:
    assert fingerprints(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no public key found"),
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----", "no public key found"),
        (KEY[:200], "was cut off"),
        (KEY.replace("mDME", "mD!E"), "not base64"),
        (KEY.replace("mDMEawEViRYJ", "AAAAAAAAAAAA"), "damaged"),
    ],
)
def test_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fingerprints(text)

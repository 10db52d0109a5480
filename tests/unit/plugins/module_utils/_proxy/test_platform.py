from __future__ import annotations

import pytest
from ansible_collections.slipway.ops.plugins.module_utils._proxy.platform import platform


@pytest.mark.parametrize(
    ("release", "http2_directive", "reject_handshake", "hybrid"),
    [
        ("jammy", False, False, False),
        ("bookworm", False, True, False),
        ("noble", False, True, False),
        ("trixie", True, True, True),
    ],
)
def test_releases(release: str, http2_directive: bool, reject_handshake: bool, hybrid: bool) -> None:
    found = platform(release)
    assert found.http2_directive is http2_directive
    assert found.reject_handshake is reject_handshake
    assert ("X25519MLKEM768" in found.groups) is hybrid
    assert found.groups.endswith("X25519:prime256v1:secp384r1")


def test_ciphers_are_six_and_have_forward_secrecy() -> None:
    ciphers = platform("trixie").ciphers.split(":")
    assert len(ciphers) == 6
    assert all(cipher.startswith("ECDHE-") and ("GCM" in cipher or "POLY1305" in cipher) for cipher in ciphers)


def test_unknown_release_names_the_known() -> None:
    with pytest.raises(ValueError, match="'sid' is not a known release; known are bookworm, jammy, noble, trixie"):
        platform("sid")

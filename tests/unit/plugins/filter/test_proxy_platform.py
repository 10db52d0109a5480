from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.proxy_platform import FilterModule, proxy_platform


def test_name() -> None:
    assert FilterModule().filters() == {"proxy_platform": proxy_platform}


def test_answer() -> None:
    assert set(proxy_platform("trixie")) == {"http2_directive", "reject_handshake", "groups", "ciphers"}


def test_errors() -> None:
    with pytest.raises(AnsibleFilterError, match="'sid' is not a known release"):
        proxy_platform("sid")
    with pytest.raises(AnsibleFilterError, match="must be text, not int"):
        proxy_platform(13)

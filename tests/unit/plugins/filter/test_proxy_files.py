from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.proxy_files import FilterModule, proxy_files
from ansible_collections.slipway.ops.plugins.filter.proxy_sites import proxy_sites


def test_name() -> None:
    assert FilterModule().filters() == {"proxy_files": proxy_files}


def test_entries() -> None:
    found = proxy_files(proxy_sites([{"host": "a.example", "upstream": "web"}]))
    assert [entry["path"].rsplit("/", 1)[1] for entry in found] == ["a.example.conf", "web.conf"]
    assert proxy_files([]) == []


def test_wrong_type() -> None:
    with pytest.raises(AnsibleFilterError, match="must be a list of mappings, not str"):
        proxy_files("x")

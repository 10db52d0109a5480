from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.proxy_sites import FilterModule, proxy_sites


def test_name() -> None:
    assert FilterModule().filters() == {"proxy_sites": proxy_sites}


def test_groups() -> None:
    found = proxy_sites([{"host": "a.example", "upstream": "web"}], [{"name": "b.example", "domains": ["a.example"]}])
    assert found[0]["certificate"] == "/etc/slipway/certificates/b.example/current"


@pytest.mark.parametrize("routes", ["a.example", {"host": "a.example"}, None])
def test_wrong_type(routes: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="routes must be a list of mappings"):
        proxy_sites(routes)


def test_problems_carry_the_variable() -> None:
    with pytest.raises(AnsibleFilterError, match=r"proxy_routes\[0\]\.host: 'x'"):
        proxy_sites([{"host": "x", "upstream": "web"}])

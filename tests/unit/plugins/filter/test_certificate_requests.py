from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.ops.plugins.filter.certificate_requests import FilterModule, certificate_requests


def test_name() -> None:
    assert FilterModule().filters() == {"certificate_requests": certificate_requests}


def test_answer() -> None:
    assert certificate_requests(["b.example", "a.example"]) == [
        {"name": "a.example", "domains": ["a.example"]},
        {"name": "b.example", "domains": ["b.example"]},
    ]


@pytest.mark.parametrize("value", ["a.example", None, {"a.example": 1}])
def test_wrong_type(value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="needs a list of host names"):
        certificate_requests(value)


def test_every_bad_name_is_told() -> None:
    with pytest.raises(AnsibleFilterError) as caught:
        certificate_requests(["*.a.example", "localhost", "a.example"])
    assert len(str(caught.value).splitlines()) == 2
